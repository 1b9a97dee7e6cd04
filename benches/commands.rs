//! Benchmarks of commands, each beside its comparison in the same run.
//!
//! `cargo bench --bench commands -- overhead|isolation|invite` runs one, without a word all. Service and simulated devices
//! share this process, on threads of their own; what is measured is a ratio or a difference.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use serde_json::{Value, json};
use switchroom::devices::DeviceSecrets;
use switchroom_protocol::Dialect;
use switchroom_simulator::{CommandFault, DeviceAction, DeviceFault, Fleet, FleetConfig, Mix};
use switchroom_test_support::{Service, TOKEN};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    switchroom::link::tls::install_provider();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match words.first().map_or("", String::as_str) {
            "overhead" => overhead().await,
            "isolation" => isolation().await,
            "invite" => invite().await,
            _ => {
                overhead().await?;
                isolation().await?;
                invite().await
            }
        }
    })
}

struct House {
    service: Service,
    fleet: Fleet,
    client: reqwest::Client,
}

impl House {
    async fn start(devices: usize, change: impl FnOnce(&mut FleetConfig)) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let service = Service::start_in(folder.path(), |config| {
            config.metrics.per_device = false;
            config.commands.reconcile = false;
            config.commands.timeout_seconds = 2;
            config.commands.find_out_seconds = 1;
            config.commands.wait_seconds = 30;
        })?;
        // The store lies in it for as long as the process lives.
        let _ = folder.keep();
        let mut config = FleetConfig {
            devices,
            extensions: 4,
            trunks: 2,
            calls_per_minute: 1.0,
            mix: Mix::none(),
            report_to: format!("http://{}", service.reports),
            listen: Some("127.0.0.1:0".parse()?),
            phones_fail_every: None,
            boot_reports: false,
            talk: Duration::from_secs(3600),
            ..FleetConfig::default()
        };
        change(&mut config);
        let fleet = Fleet::start(config).await?;
        for n in 1..=devices {
            let id = format!("sim-{n}");
            let address = fleet.command_address(&id).context("an OM takes commands")?;
            let set = |settings: &mut switchroom::devices::DeviceSettings| {
                settings.address = Some(format!("http://{address}"));
            };
            service.add_with(&id, Dialect::Om, DeviceSecrets::default(), set).await?;
        }
        Ok(Self { service, fleet, client: reqwest::Client::new() })
    }

    /// Posts a command and waits for its end; how long that took.
    async fn command(&self, device: &str, body: &Value) -> Result<(Duration, Value)> {
        let url = format!("http://{}/api/v1/devices/{device}/commands", self.service.api);
        let request = self.client.post(url).bearer_auth(TOKEN).header("Prefer", "wait=20").json(body);
        let began = Instant::now();
        let answer = request.send().await?;
        let body = answer.json().await?;
        Ok((began.elapsed(), body))
    }
}

fn percentile(times: &mut [Duration], of: f64) -> f64 {
    times.sort();
    let at = ((times.len() as f64 * of) as usize).min(times.len() - 1);
    times[at].as_secs_f64() * 1000.0
}

/// Through REST, supervisor and link, beside the same request by a plain client to the same simulated device.
async fn overhead() -> Result<()> {
    let house = House::start(1, |_| {}).await?;
    let address = house.fleet.command_address("sim-1").context("an address")?;
    println!("overhead: one device, alternating");
    let query = json!({"command": "query", "target": {"extension": "200"}});
    let mute = json!({"command": "mute", "extension": "200"});
    for (name, command, body) in [
        ("query", query, "<Control attribute=\"Query\"><ext id=\"200\"/></Control>"),
        ("mute", mute, "<Control attribute=\"Mute\"><ext id=\"200\"/></Control>"),
    ] {
        let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n{body}");
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        let plain = reqwest::Client::new();
        for n in 0..600 {
            let began = Instant::now();
            let answer = plain.post(format!("http://{address}/xml")).body(body.clone()).send().await?;
            answer.bytes().await?;
            let straight = began.elapsed();
            let (through, answer) = house.command("sim-1", &command).await?;
            ensure!(answer["settled_at"].is_string(), "{answer}");
            if n >= 100 {
                bare.push(straight);
                ours.push(through);
            }
        }
        let (ours50, bare50) = (percentile(&mut ours, 0.5), percentile(&mut bare, 0.5));
        let (ours99, bare99) = (percentile(&mut ours, 0.99), percentile(&mut bare, 0.99));
        println!(
            "  {name}: ours p50 {ours50:.2} ms, bare {bare50:.2} ms, {:+.2} ms; p99 {ours99:.2} / {bare99:.2} ms",
            ours50 - bare50
        );
    }
    house.fleet.stop().await;
    Ok(())
}

const FLEET: usize = 1000;
const HANGING: usize = 100;

/// What the others' commands take while a hundred devices hang and are commanded all the same.
async fn isolation() -> Result<()> {
    let house = Arc::new(House::start(FLEET, |_| {}).await?);
    println!("isolation: {FLEET} devices, {HANGING} of them hanging and not, alternating");
    let query = json!({"command": "query", "target": {"extension": "200"}});
    // Warm connections and supervisors.
    round(&house, &query, 2).await?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        without.push(round(&house, &query, 4).await?);
        act(&house, DeviceAction::Hang)?;
        with.push(round(&house, &query, 4).await?);
        act(&house, DeviceAction::Resume)?;
        settle(&house, &query).await?;
    }
    let show = |all: &[f64]| all.iter().map(|ms| format!("{ms:.2}")).collect::<Vec<_>>().join(" ");
    println!("  p99 without: {} ms", show(&without));
    println!("  p99 with:    {} ms", show(&with));
    without.sort_by(f64::total_cmp);
    with.sort_by(f64::total_cmp);
    let (a, b) = (without[2], with[2]);
    println!("  median of p99: {a:.2} ms without, {b:.2} ms with: x{:.2}, {:+.2} ms", b / a, b - a);
    house.fleet.stop().await;
    Ok(())
}

fn act(house: &House, action: DeviceAction) -> Result<()> {
    (1..=HANGING).try_for_each(|n| house.fleet.act(&format!("sim-{n}"), action))
}

/// Waits until the devices that hung answer again.
async fn settle(house: &Arc<House>, query: &Value) -> Result<()> {
    for n in 1..=HANGING {
        let device = format!("sim-{n}");
        let began = Instant::now();
        while house.command(&device, query).await?.1["state"] != "succeeded" {
            ensure!(began.elapsed() < Duration::from_secs(60), "{device} does not come back");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// Every device gets a few commands, some at a time; p99 of those that do not hang, in milliseconds.
async fn round(house: &Arc<House>, query: &Value, each: usize) -> Result<f64> {
    let stop = Arc::new(AtomicBool::new(false));
    // Whoever hangs is commanded all the time, as a careless application does.
    let careless: Vec<_> = (0..4)
        .map(|worker| {
            let (house, query, stop) = (Arc::clone(house), query.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut n = worker;
                while !stop.load(Relaxed) {
                    n += 4;
                    let device = format!("sim-{}", n % HANGING + 1);
                    let post = house.command(&device, &query);
                    let (_, pause) = tokio::join!(
                        tokio::time::timeout(Duration::from_millis(500), post),
                        tokio::time::sleep(Duration::from_millis(20))
                    );
                    let () = pause;
                }
            })
        })
        .collect();
    let jobs = (0..each).flat_map(|_| HANGING + 1..=FLEET);
    let times: Vec<Result<Duration>> = futures_util::stream::iter(jobs)
        .map(|n| {
            let (house, query) = (Arc::clone(house), query.clone());
            async move {
                let (time, answer) = house.command(&format!("sim-{n}"), &query).await?;
                ensure!(answer["state"] == "succeeded", "{answer}");
                Ok(time)
            }
        })
        .buffer_unordered(4)
        .collect()
        .await;
    stop.store(true, Relaxed);
    for task in careless {
        task.await?;
    }
    let mut times = times.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(percentile(&mut times, 0.99))
}

/// A thousand calls ask to come in within a second; a client lets each in as it sees the event, while other commands wait.
async fn invite() -> Result<()> {
    const DEVICES: usize = 100;
    const CALLS: usize = 1000;
    const WAITING: usize = 50;
    // A device's own time for a command, so that they wait: with less, this machine is busy with them alone.
    const SLOW: u64 = 25;
    let house = House::start(DEVICES, |config| {
        config.trunk_api = Some(0x17);
        config.trunks = 24;
        config.extensions = 20;
    });
    let house = Arc::new(house.await?);
    println!(
        "invite: {CALLS} calls within a second on {DEVICES} devices, {WAITING} ordinary commands waiting on each"
    );
    for n in 1..=DEVICES {
        // So that they wait, rather than being done at once.
        let fault = DeviceFault { command: CommandFault::Slow, delay_ms: SLOW, count: 0 };
        house.fleet.set_device_fault(&format!("sim-{n}"), fault)?;
    }
    let base = format!("http://{}/api/v1", house.service.api);
    let url = format!("{base}/events/stream?kind=call.invited");
    let stream = house.client.get(url).bearer_auth(TOKEN).send().await?;
    let seen = Arc::new(std::sync::Mutex::new(HashMap::<String, i64>::new()));
    let (accepting, noted) = (Arc::clone(&house), Arc::clone(&seen));
    let accept_base = base.clone();
    let client = tokio::spawn(async move {
        let (mut bytes, mut text) = (stream.bytes_stream(), String::new());
        while let Some(Ok(chunk)) = bytes.next().await {
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some(end) = text.find('\n') {
                let line: String = text.drain(..=end).collect();
                let Some(event) =
                    line.strip_prefix("data:").and_then(|d| serde_json::from_str::<Value>(d).ok())
                else {
                    continue;
                };
                let (Some(call), Some(time)) = (event["data"]["call"].as_str(), event["time"].as_str())
                else {
                    continue;
                };
                let at = time.parse::<jiff::Timestamp>().map_or(0, |t| t.as_millisecond());
                let from = event["data"]["from"].as_str().unwrap_or_default().to_owned();
                let device = event["data"]["device"].as_str().unwrap_or_default();
                if let Ok(mut seen) = noted.lock() {
                    seen.insert(format!("{device}/{from}"), at);
                }
                let url = format!("{accept_base}/calls/{call}/accept");
                let house = Arc::clone(&accepting);
                tokio::spawn(async move { house.client.post(url).bearer_auth(TOKEN).send().await });
            }
        }
    });
    // Fifty wait on each device, and are made up as they are done.
    let stop = Arc::new(AtomicBool::new(false));
    let query = json!({"command": "query", "target": {"extension": "200"}});
    let fillers: Vec<_> = (1..=DEVICES)
        .map(|n| {
            let (house, query, stop) = (Arc::clone(&house), query.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let url = format!("http://{}/api/v1/devices/sim-{n}/commands", house.service.api);
                let device = house
                    .service
                    .services
                    .registry
                    .get(&switchroom_domain::id::DeviceId::new(format!("sim-{n}"))?);
                let device = device.context("a device")?;
                while !stop.load(Relaxed) {
                    for _ in device.handle.commands_waiting()..WAITING {
                        house.client.post(&url).bearer_auth(TOKEN).json(&query).send().await?;
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Ok::<(), anyhow::Error>(())
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let trunks: Vec<String> = house.fleet.truth().devices["sim-1"].trunks.keys().cloned().collect();
    let began = Instant::now();
    for n in 0..CALLS {
        let device = format!("sim-{}", n % DEVICES + 1);
        let trunk = &trunks[n / DEVICES % trunks.len()];
        house.fleet.place_call(&device, &format!("139{n:08}"), trunk)?;
        let due = Duration::from_micros(1_000_000 * (n as u64 + 1) / CALLS as u64);
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    stop.store(true, Relaxed);
    let truth = house.fleet.truth();
    let seen = seen.lock().map_err(|_| anyhow::anyhow!("a panic"))?.clone();
    let calls = house.client.get(format!("{base}/calls?limit=1000")).bearer_auth(TOKEN).send().await?;
    let calls: Value = calls.json().await?;
    let mut reported = HashMap::new();
    for call in calls["items"].as_array().context("calls")? {
        let device = call["device"].as_str().unwrap_or_default();
        let from = call["from"].as_str().unwrap_or_default();
        let wire_id = call["legs"].as_array().into_iter().flatten().find_map(|leg| leg["wire_id"].as_str());
        if let (Some(id), Some(at)) = (wire_id, seen.get(&format!("{device}/{from}"))) {
            reported.insert(format!("{device}/{id}"), *at);
        }
    }
    let mut times = Vec::new();
    for (id, device) in &truth.devices {
        for accept in &device.accepts {
            if let Some(at) = reported.get(&format!("{id}/{}", accept.visitor)) {
                times.push(Duration::from_millis(u64::try_from(accept.at_ms as i64 - at).unwrap_or(0)));
            }
        }
    }
    let accepts: usize = truth.devices.values().map(|device| device.accepts.len()).sum();
    ensure!(!times.is_empty(), "no accept came back: {accepts} accepts, {} events", seen.len());
    let most = times.iter().max().copied().unwrap_or_default();
    println!(
        "  {} events, {accepts} accepts at the devices, {} of them matched: from report to Accept p50 {:.0} ms, p99 {:.0} ms, \
         longest {:.0} ms",
        seen.len(),
        times.len(),
        percentile(&mut times.clone(), 0.5),
        percentile(&mut times, 0.99),
        most.as_secs_f64() * 1000.0
    );
    client.abort();
    for filler in fillers {
        filler.await??;
    }
    house.fleet.stop().await;
    Ok(())
}
