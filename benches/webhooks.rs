//! Benchmarks of webhooks, each beside its comparison in the same run.
//!
//! `cargo bench --bench webhooks -- rate|isolation` runs one, without a word both. Service, sender and receivers share this
//! process, on threads of their own; all deliveries are made by one thread of the service.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use switchroom::devices::{Connection, DeviceSecrets, DeviceSettings};
use switchroom_protocol::Dialect;
use switchroom_test_support::{Receiver, Reply, Service, TOKEN, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Only a failing run waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    switchroom::link::tls::install_provider();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match words.first().map_or("", String::as_str) {
            "rate" => rate().await,
            "isolation" => isolation().await,
            _ => {
                rate().await?;
                isolation().await
            }
        }
    })
}

struct House {
    service: Service,
    client: reqwest::Client,
}

impl House {
    async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let service = Service::start_in(folder.path(), |config| {
            config.metrics.per_device = false;
            config.model.overtake_ms = 0;
            if let Ok(loopback) = "127.0.0.0/8".parse() {
                config.outward.allow = vec![loopback];
            }
        })?;
        // The store lies in it for as long as the process lives.
        let _ = folder.keep();
        let kept = |settings: &mut DeviceSettings| settings.connection = Connection::Long;
        service.add_with("om", Dialect::Om, DeviceSecrets::default(), kept).await?;
        Ok(Self { service, client: reqwest::Client::new() })
    }

    async fn subscribe(&self, url: &str) -> Result<String> {
        let body = json!({"url": url, "kinds": ["extension.state_changed"]}).to_string();
        let to = format!("http://{}/api/v1/webhooks", self.service.api);
        let made =
            self.client.post(to).bearer_auth(TOKEN).header("Content-Type", "application/json").body(body);
        let made: Value = serde_json::from_str(&made.send().await?.text().await?)?;
        made["id"].as_str().map(str::to_owned).with_context(|| format!("no webhook: {made}"))
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let url = format!("http://{}/api/v1/webhooks/{id}", self.service.api);
        let status = self.client.delete(url).bearer_auth(TOKEN).send().await?.status();
        ensure!(status == 204, "{status}");
        Ok(())
    }
}

/// Sends reports over one connection: each makes one event, of a telephone of its own.
struct Sender {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Sender {
    async fn start(house: &House) -> Result<Self> {
        let stream = TcpStream::connect(house.service.reports).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 4096] })
    }

    async fn send(&mut self, number: usize) -> Result<()> {
        let body =
            format!("<?xml version=\"1.0\"?>\n<Event attribute=\"BUSY\"><ext id=\"{number}\" /></Event>\n");
        let text = format!("POST /om HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.stream.write_all(text.as_bytes()).await?;
        let read = self.stream.read(&mut self.buffer).await?;
        ensure!(self.buffer[..read].starts_with(b"HTTP/1.1 200"), "a report was not taken");
        Ok(())
    }

    /// So many reports a second; gives when each was sent.
    async fn send_at(
        &mut self,
        per_second: u32,
        numbers: std::ops::Range<usize>,
    ) -> Result<HashMap<String, Instant>> {
        let began = tokio::time::Instant::now();
        let mut sent = HashMap::new();
        for (n, number) in (0_u32..).zip(numbers) {
            tokio::time::sleep_until(began + Duration::from_secs(1) * n / per_second).await;
            sent.insert(number.to_string(), Instant::now());
            self.send(number).await?;
        }
        Ok(sent)
    }
}

/// Processor time of this process so far, in seconds.
fn processor_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|text| text.parse::<f64>().ok()).context("no such field");
    // utime and stime, in hundredths of a second.
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// Deliveries a second, and what they cost beside the same reports without a webhook.
async fn rate() -> Result<()> {
    const EVENTS: usize = 20_000;
    const PER_SECOND: u32 = 2_000;
    let house = House::start().await?;
    let mut sender = Sender::start(&house).await?;
    let before = processor_seconds()?;
    sender.send_at(PER_SECOND, 100_000..100_000 + EVENTS).await?;
    let without = processor_seconds()? - before;

    let receiver = Receiver::start().await?;
    house.subscribe(&receiver.url()).await?;
    let (before, began) = (processor_seconds()?, Instant::now());
    sender.send_at(PER_SECOND, 200_000..200_000 + EVENTS).await?;
    let reported = began.elapsed();
    let there = eventually(PATIENCE, async || receiver.count() >= EVENTS).await;
    ensure!(there, "{} of {EVENTS} came", receiver.count());
    let (wall, with) = (began.elapsed(), processor_seconds()? - before);
    println!(
        "rate: {EVENTS} events reported at {:.0} a second, delivered at {:.0} a second; {:.0} µs of processor time each, the \
         receiver's share included ({with:.1} s with, {without:.1} s without)",
        EVENTS as f64 / reported.as_secs_f64(),
        EVENTS as f64 / wall.as_secs_f64(),
        (with - without) / EVENTS as f64 * 1e6,
    );

    // And as fast as it goes: they wait in the log while the webhook is disabled.
    let receiver = Receiver::start().await?;
    let id = house.subscribe(&receiver.url()).await?;
    let known = house.service.services.webhooks.get(&id).context("it is known")?;
    known.enable(false).await?;
    for number in 300_000..300_000 + EVENTS {
        sender.send(number).await?;
    }
    let began = Instant::now();
    known.enable(true).await?;
    let there = eventually(PATIENCE, async || receiver.count() >= EVENTS).await;
    ensure!(there, "{} of {EVENTS} came", receiver.count());
    println!("rate: {:.0} a second from the log, 8 at a time", EVENTS as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

/// p99 from report to delivery of 50 webhooks, with and without one that hangs; alternately.
async fn isolation() -> Result<()> {
    const WEBHOOKS: usize = 50;
    const ROUNDS: usize = 5;
    let house = House::start().await?;
    let mut receivers = Vec::new();
    for _ in 0..WEBHOOKS {
        let receiver = Receiver::start().await?;
        house.subscribe(&receiver.url()).await?;
        receivers.push(receiver);
    }
    let hanging = Receiver::start().await?;
    hanging.reply(|_| Reply::Hang);
    let mut sender = Sender::start(&house).await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut next = 100_000;
    // The first round warms up.
    for round in 0..=ROUNDS {
        let calm = latency(&mut sender, &receivers, &mut next).await?;
        let id = house.subscribe(&hanging.url()).await?;
        let beside = latency(&mut sender, &receivers, &mut next).await?;
        house.remove(&id).await?;
        if round > 0 {
            without.push(calm);
            with.push(beside);
        }
    }
    ensure!(hanging.count() > 0, "nothing was sent to the one that hangs");
    let (without, with) = (median(without), median(with));
    println!(
        "isolation: p99 of {WEBHOOKS} webhooks {:.2} ms without and {:.2} ms with one that hangs: {:.2} times",
        without * 1000.0,
        with * 1000.0,
        with / without
    );
    Ok(())
}

/// The 99th percentile from report to delivery, in seconds.
async fn latency(sender: &mut Sender, receivers: &[Receiver], next: &mut usize) -> Result<f64> {
    const EVENTS: usize = 100;
    const PER_SECOND: u32 = 25;
    let before: Vec<usize> = receivers.iter().map(Receiver::count).collect();
    let sent = sender.send_at(PER_SECOND, *next..*next + EVENTS).await?;
    *next += EVENTS;
    let all = || receivers.iter().zip(&before).all(|(receiver, before)| receiver.count() >= before + EVENTS);
    ensure!(eventually(PATIENCE, async || all()).await, "not all came");
    let mut times = Vec::new();
    for (receiver, before) in receivers.iter().zip(&before) {
        for heard in receiver.heard().iter().skip(*before) {
            let event = heard.json();
            let number = event["data"]["extension"].as_str().context("an extension")?;
            let sent = sent.get(number).context("an event of this round")?;
            times.push(heard.at.duration_since(*sent).as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().context("nothing was measured")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
