//! Benchmark of looking for records and of statistics, over the whole way: HTTP, SQLite, JSON.
//!
//! `cargo bench --bench search` makes 10,000,000 call records (`SEARCH_CDRS` changes how many) of two years on 1,000 devices
//! in a folder of its own (`SEARCH_FOLDER` keeps it, and finds it again), and asks for the first page of a hundred by each
//! filter, at its rarest and at its commonest value and between; then statistics. Warm: each is asked once before it counts.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use switchroom::storage::records::{self, Kept};
use switchroom::storage::sqlite;
use switchroom::storage::statistics::Changes;
use switchroom_domain::conversation::{Confidence, Conversation, Outcome};
use switchroom_domain::fact::CdrSide;
use switchroom_domain::id::{CallId, CdrId, DeviceId};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{Basis, CdrView, Direction};
use switchroom_protocol::Dialect;
use switchroom_test_support::{Service, TOKEN};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DEVICES: usize = 1_000;
/// Each question is put so often; the 95th of a hundred is the slowest but one of twenty.
const TIMES: usize = 20;
const DAY: i64 = 86_400_000;
/// The time of the records: two years.
const SPAN: i64 = 730 * DAY;
/// Of the day on which the last of them ends.
const END: i64 = 1_795_000_000_000;
const BATCH: usize = 100_000;
/// What only the oldest record has.
const RARE: &str = "00779990000771";

fn main() -> Result<()> {
    switchroom::link::tls::install_provider();
    let count = std::env::var("SEARCH_CDRS").ok().map_or(Ok(10_000_000), |count| count.parse())?;
    let (folder, _temporary) = match std::env::var_os("SEARCH_FOLDER") {
        Some(folder) => (PathBuf::from(folder), None),
        None => {
            let folder = tempfile::tempdir()?;
            (folder.path().to_owned(), Some(folder))
        }
    };
    std::fs::create_dir_all(&folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        fill(&folder, count).await?;
        ask(&folder).await
    })
}

/// Numbers that look as if by chance, the same in each run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Small ones more often: as the inverse of their place.
    fn uneven(&mut self, n: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((n as f64 + 1.0).powf(unit) - 1.0) as u64
    }
}

/// Makes what is not there yet.
async fn fill(folder: &Path, count: usize) -> Result<()> {
    let path = folder.join("switchroom.db");
    let is_there = path.exists() && {
        let there: i64 =
            sqlite::open_reader(&path)?.query_row("SELECT count(*) FROM cdr", [], |row| row.get(0))?;
        usize::try_from(there)? == count
    };
    if is_there {
        return Ok(());
    }
    let mut service = Service::start_in(folder, |_| {})?;
    for n in 0..DEVICES {
        let id = format!("pbx-{n}");
        let site = |settings: &mut switchroom::devices::DeviceSettings| {
            settings.site = if n < 500 {
                "most"
            } else if n < 990 {
                "many"
            } else {
                "few"
            }
            .to_owned();
        };
        service.add_with(&id, Dialect::Om, Default::default(), site).await?;
    }
    service.stop();
    let mut connection = sqlite::open(&path)?;
    // What is made is made again if the power fails.
    for (name, value) in
        [("synchronous", "OFF"), ("cache_size", "-1000000"), ("wal_autocheckpoint", "100000")]
    {
        connection.execute_batch(&format!("PRAGMA {name} = {value}"))?;
    }
    let keys: Vec<i64> = connection
        .prepare("SELECT key FROM device ORDER BY key")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut dice = Dice(42);
    let begun = Instant::now();
    for first in (0..count).step_by(BATCH) {
        let transaction = connection.transaction()?;
        let mut changes = Changes::default();
        for n in first..(first + BATCH).min(count) {
            let (device, cdr, conversation) = make(n, count, &mut dice)?;
            let body = serde_json::to_string(&cdr)?;
            let key = keys[device];
            let kept = Kept { id: cdr.id.0.as_bytes(), device: key, at: cdr.received_at.0, body: &body };
            records::put_cdr(&transaction, &kept, cdr.wire_id.as_str(), n as u64)?;
            if let Some(conversation) = conversation {
                changes.add(key, &conversation, 1);
            }
        }
        changes.write(&transaction)?;
        transaction.commit()?;
        eprintln!("{} records after {:.0} s", (first + BATCH).min(count), begun.elapsed().as_secs_f64());
    }
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

/// The nth record, and with every second the conversation that it belongs to.
fn make(n: usize, count: usize, dice: &mut Dice) -> Result<(usize, CdrView, Option<Conversation>)> {
    let oldest = n == 0;
    // The last device has the oldest record, and no other.
    let device = if oldest { DEVICES - 1 } else { dice.uneven(DEVICES as u64 - 1) as usize };
    let at = END - SPAN + (SPAN as f64 * (n as f64 / count as f64)) as i64;
    let extension = format!("{}", 200 + dice.uneven(60));
    let outside = if oldest {
        RARE.to_owned()
    } else {
        let subscriber = dice.uneven(3_000_000).wrapping_mul(2_654_435_761) % 100_000_000;
        match dice.below(10) {
            0..=5 => format!("13{:09}", subscriber * 7 % 1_000_000_000),
            6 | 7 => format!("15{:09}", subscriber * 3 % 1_000_000_000),
            8 => format!("021{subscriber:08}"),
            _ => format!("0086189{subscriber:08}"),
        }
    };
    let (direction, kind) = match dice.below(100) {
        _ if oldest => (Direction::Callback, "CB"),
        0..50 => (Direction::Inbound, "IN"),
        50..85 => (Direction::Outbound, "OU"),
        _ => (Direction::Internal, "LO"),
    };
    let outcome = match dice.below(1000) {
        _ if oldest => Outcome::Rejected,
        0..720 => Outcome::Answered,
        720..900 => Outcome::NoAnswer,
        900..960 => Outcome::Abandoned,
        960..990 => Outcome::Busy,
        _ => Outcome::Failed,
    };
    let trunk = if oldest { "rare".to_owned() } else { format!("{}", 800 + dice.uneven(12)) };
    let (from, to) = match direction {
        Direction::Inbound | Direction::Callback => (outside, extension),
        Direction::Outbound => (extension, outside),
        Direction::Internal => (extension, format!("{}", 200 + dice.below(60))),
    };
    let id = DeviceId::new(format!("pbx-{device}"))?;
    let talk = dice.below(400) as u32;
    let (call, cdr_id) = (dice.next(), dice.next());
    let cdr = CdrView {
        id: CdrId(Uuid::from_u64_pair((at as u64) << 16 | 0x7000, cdr_id)),
        device: id.clone(),
        wire_id: format!("{n}-0").as_str().into(),
        call: Some(CallId(Uuid::from_u64_pair((at as u64) << 16 | 0x7000, call))),
        kind: kind.into(),
        route: Some("IP".into()),
        direction: Some(direction),
        outcome: Some(outcome),
        side: CdrSide::Extension,
        from: Some(from.as_str().into()),
        to: Some(to.as_str().into()),
        trunk: (direction != Direction::Internal).then(|| trunk.as_str().into()),
        started_at: Some(Timestamp(at - 1000 * i64::from(talk))),
        ended_at: Some(Timestamp(at)),
        duration: Some(talk),
        recording: None,
        received_at: Timestamp(at),
        extra: serde_json::Map::new(),
    };
    let conversation = n.is_multiple_of(2).then(|| Conversation {
        id: CallId(Uuid::from_u64_pair((at as u64) << 16 | 0x7000, call)),
        device: id,
        direction,
        from: cdr.from.clone(),
        to: cdr.to.clone(),
        answered_by: cdr.to.clone().filter(|_| outcome == Outcome::Answered),
        trunk: cdr.trunk.clone(),
        started_at: Timestamp(at - 1000 * i64::from(talk)),
        answered_at: None,
        ended_at: Timestamp(at),
        ring_seconds: Some(7.0),
        queue_seconds: None,
        talk_seconds: Some(f64::from(talk)),
        outcome,
        confidence: Confidence::Certain,
        basis: Basis::Observed,
        queue: (dice.below(10) == 0).then(|| "1".into()),
        menus: Vec::new(),
        digits: Vec::new(),
        score: None,
        transfers: Vec::new(),
        recordings: Vec::new(),
        cdrs: vec![cdr.id],
    });
    Ok((device, cdr, conversation))
}

/// How long a question takes: the median, and the 95th of a hundred.
async fn time(client: &reqwest::Client, url: &str) -> Result<(usize, Duration, Duration)> {
    let mut taken = Vec::new();
    let mut items = 0;
    for n in 0..=TIMES {
        let begun = Instant::now();
        let answer = client.get(url).bearer_auth(TOKEN).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status == 200, "{url}: {status}: {text}");
        let page: Value = serde_json::from_str(&text)?;
        items = page["items"].as_array().context("no items")?.len();
        if n > 0 {
            taken.push(begun.elapsed());
        }
    }
    taken.sort_unstable();
    Ok((items, taken[TIMES / 2], taken[TIMES * 95 / 100 - 1]))
}

fn date(ms: i64) -> String {
    Timestamp(ms).to_string()
}

async fn ask(folder: &Path) -> Result<()> {
    // What is two years old is not to go while it is asked for.
    let mut service = Service::start_in(folder, |config| config.retention.records_days = 0)?;
    let client = reqwest::Client::new();
    let base = format!("http://{}/api/v1", service.api);
    let begin = END - SPAN;
    let filters = [
        ("no filter", String::new()),
        ("device, commonest", "device=pbx-0".into()),
        ("device, rarest", "device=pbx-999".into()),
        ("site, commonest", "site=most".into()),
        ("site, seldom", "site=many".into()),
        ("site, rarest", "site=few".into()),
        ("extension, commonest", "extension=200".into()),
        ("extension, rarest", "extension=259".into()),
        ("trunk, commonest", "trunk=800".into()),
        ("trunk, rarest", "trunk=rare".into()),
        ("direction, commonest", "direction=inbound".into()),
        ("direction, rarest", "direction=callback".into()),
        ("outcome, commonest", "outcome=answered".into()),
        ("outcome, rarest", "outcome=rejected".into()),
        ("type, commonest", "type=IN".into()),
        ("type, rarest", "type=CB".into()),
        ("since, all", format!("since={}", date(begin - DAY))),
        ("since, the last minute", format!("since={}", date(END - 60_000))),
        ("until, all", format!("until={}", date(END + DAY))),
        ("until, the first minute", format!("until={}", date(begin + 60_000))),
        ("number, commonest", "number=200".into()),
        ("number, rarest", format!("number={RARE}")),
        ("number, none", "number=55555".into()),
        ("number_prefix, commonest", "number_prefix=1".into()),
        ("number_prefix, 1 of 10", "number_prefix=0086".into()),
        ("number_prefix, 1 of 10,000", "number_prefix=131234".into()),
        ("number_prefix, rarest", format!("number_prefix={}", &RARE[..10])),
        ("number_prefix, none", "number_prefix=77".into()),
        ("number_suffix, commonest", "number_suffix=0".into()),
        ("number_suffix, 1 of 1,000", "number_suffix=123".into()),
        ("number_suffix, 1 of 10,000", "number_suffix=1234".into()),
        ("number_suffix, rarest", format!("number_suffix={}", &RARE[4..])),
        ("number_suffix, none", "number_suffix=00000000000".into()),
        ("device and outcome", "device=pbx-0&outcome=failed".into()),
        ("extension and outcome", "extension=200&outcome=rejected".into()),
        ("trunk and direction", "trunk=800&direction=internal".into()),
    ];
    println!("| first page of /cdrs by | items | p50 | p95 |\n| --- | --- | --- | --- |");
    for (name, filter) in filters {
        let (items, p50, p95) = time(&client, &format!("{base}/cdrs?limit=100&{filter}")).await?;
        println!("| {name} | {items} | {:.1} ms | {:.1} ms |", ms(p50), ms(p95));
    }
    let days = |days: i64| format!("since={}&until={}", date(END - days * DAY), date(END));
    let statistics = [
        ("a day, by hour", format!("{}&group_by=hour", days(1))),
        ("30 days, by day", format!("{}&group_by=day", days(30))),
        ("30 days, by extension", format!("{}&group_by=extension", days(30))),
        ("30 days, by device", format!("{}&group_by=device", days(30))),
        ("30 days, by trunk of a site", format!("{}&group_by=trunk&site=few", days(30))),
        ("two years, in one line", days(730)),
        ("two years, by direction", format!("{}&group_by=direction", days(730))),
        ("two years, by extension", format!("{}&group_by=extension", days(730))),
        ("two years, by day", format!("{}&group_by=day", days(730))),
        (
            "two years, by direction of the largest site",
            format!("{}&group_by=direction&site=most", days(730)),
        ),
        (
            "two years, by extension of the largest site",
            format!("{}&group_by=extension&site=most", days(730)),
        ),
        ("two years, by day of the largest site", format!("{}&group_by=day&site=most", days(730))),
        ("two years, by queue of a device", format!("{}&group_by=queue&device=pbx-0", days(730))),
    ];
    println!("\n| /statistics of | lines | p50 | p95 |\n| --- | --- | --- | --- |");
    for (name, query) in statistics {
        let (items, p50, p95) = time(&client, &format!("{base}/statistics?{query}")).await?;
        println!("| {name} | {items} | {:.1} ms | {:.1} ms |", ms(p50), ms(p95));
    }
    service.stop();
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
