//! The load benchmarks, each beside its comparison in the same run.
//!
//! `cargo bench --bench load -- ingest|stores|latency|memory|hostile` runs one, without a word all. The server under test is
//! a process of its own (this program again), so that its processor time can be read apart from the load's.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use switchroom::devices::{Connection, DeviceSettings};
use switchroom_domain::id::DeviceId;
use switchroom_protocol::Dialect;
use switchroom_simulator::{FleetConfig, Requests, script};
use switchroom_test_support::{Service, TOKEN};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulated devices whose calls make the load.
const DEVICES: usize = 1000;
/// Connections at a time.
const WORKERS: usize = 32;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    match word(0) {
        "serve-bare" => serve_bare(),
        "serve-switchroom" => serve_switchroom(Path::new(word(1)), word(2)),
        "ingest" => ingest(),
        "stores" => stores(),
        "latency" => latency(),
        "memory" => memory(),
        "scrape" => scrape(),
        "hostile" => hostile(),
        _ => {
            ingest()?;
            latency()?;
            hostile()?;
            memory()
        }
    }
}

// ---- the servers -------------------------------------------------------------------------------------

/// A handler that reads the body and answers 200, on as many threads as ours.
fn serve_bare() -> Result<()> {
    use actix_web::{App, HttpResponse, HttpServer, web};
    actix::System::new().block_on(async {
        let app =
            || App::new().default_service(web::to(|_: web::Bytes| async { HttpResponse::Ok().finish() }));
        let server = HttpServer::new(app).workers(threads()).bind("127.0.0.1:0")?;
        let address = server.addrs()[0];
        say(address, address)?;
        server.run().await.context("the bare server")
    })
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn say(reports: SocketAddr, api: SocketAddr) -> Result<()> {
    println!("{reports} {api}");
    std::io::stdout().flush().context("stdout")
}

/// The service with its devices in place; `mode` says how many and how their connections are treated.
fn serve_switchroom(folder: &Path, mode: &str) -> Result<()> {
    let began = Instant::now();
    let service = Service::start_in(folder, |config| config.metrics.per_device = mode == "scrape")?;
    let (count, connection) = match mode {
        "long" => (DEVICES, Connection::Long),
        "memory" | "scrape" => (5000, Connection::Long),
        _ => (DEVICES, Connection::Auto),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for n in 1..=count {
        let id = format!("sim-{n}");
        if service.services.registry.get(&DeviceId::new(&id)?).is_none() {
            let change = |settings: &mut DeviceSettings| settings.connection = connection;
            runtime.block_on(service.add_with(&id, Dialect::Om, Default::default(), change))?;
        }
    }
    eprintln!("    ({count} devices ready after {:.1} s)", began.elapsed().as_secs_f64());
    say(service.reports, service.api)?;
    // Until the parent closes our input.
    std::io::stdin().lines().for_each(drop);
    Ok(())
}

struct Server {
    child: Child,
    reports: SocketAddr,
    api: SocketAddr,
}

impl Server {
    fn start(words: &[&str]) -> Result<Self> {
        Self::start_with(words, &[])
    }

    fn start_with(words: &[&str], variables: &[(&str, &str)]) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(words)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
        let mut addresses = line.split_whitespace().map(str::parse);
        let reports = addresses.next().context("the server said nothing")??;
        let api = addresses.next().context("the server said nothing")??;
        Ok(Self { child, reports, api })
    }

    /// Processor time of all its threads so far, in seconds.
    fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(ticks as f64 / 100.0)
    }

    /// Processor time of all processes that it started, and of those that these did.
    fn cpu_of_others(&self) -> Result<f64> {
        let mut all = Vec::new();
        for process in std::fs::read_dir("/proc")? {
            // It may have ended meanwhile, or be no process.
            let Ok(stat) = std::fs::read_to_string(process?.path().join("stat")) else { continue };
            let Some((head, rest)) = stat.rsplit_once(')') else { continue };
            let id: u32 = head.split(' ').next().context("stat")?.parse()?;
            let fields: Vec<u64> =
                rest.split_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
            let Some(&[parent, ..]) = fields.get(..1) else { continue };
            all.push((id, u32::try_from(parent)?, stat));
        }
        let mut ours = vec![self.child.id()];
        let mut ticks = 0;
        while let Some(parent) = ours.pop() {
            for (id, _, stat) in all.iter().filter(|(_, of, _)| *of == parent) {
                ours.push(*id);
                let fields: Vec<&str> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
                // With what its own processes took that have ended.
                for field in &fields[11..15] {
                    ticks += field.parse::<u64>()?;
                }
            }
        }
        Ok(ticks as f64 / 100.0)
    }

    /// Proportional set size in bytes.
    fn memory(&self) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let line = text.lines().find(|line| line.starts_with("Pss:")).context("no Pss")?;
        Ok(line.split_whitespace().nth(1).context("Pss")?.parse::<u64>()? * 1024)
    }

    fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        if self.child.stdout.is_none() {
            // The bare server has no input to watch.
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn wait(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        self.child.wait()?;
        Ok(())
    }
}

// ---- the load ----------------------------------------------------------------------------------------

/// Requests of legal call sequences, split so that each device's stay in order on one worker.
fn requests(count: usize) -> Result<Vec<Vec<Vec<u8>>>> {
    let config = FleetConfig {
        devices: DEVICES,
        extensions: 20,
        trunks: 4,
        calls_per_minute: DEVICES as f64 * 20.0,
        seed: 42,
        boot_reports: false,
        admin: None,
        ..FleetConfig::default()
    };
    let maker = Requests::new(&config)?;
    let mut by_worker = vec![Vec::new(); WORKERS];
    for emission in script(&config, count)? {
        by_worker[emission.device % WORKERS].push(maker.bytes(&emission));
    }
    Ok(by_worker)
}

/// Sends a slice of each worker's requests; one connection a report, or one kept connection a worker.
fn send_all(
    address: SocketAddr,
    load: &Arc<Vec<Vec<Vec<u8>>>>,
    part: usize,
    parts: usize,
    kept: bool,
) -> Result<usize> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for worker in 0..WORKERS {
            let load = Arc::clone(load);
            tasks.spawn(async move {
                let mine = &load[worker];
                let (from, to) = (mine.len() * part / parts, mine.len() * (part + 1) / parts);
                if kept {
                    send_kept(address, &mine[from..to]).await
                } else {
                    send_each(address, &mine[from..to]).await
                }
            });
        }
        let mut sent = 0;
        while let Some(result) = tasks.join_next().await {
            sent += result??;
        }
        Ok(sent)
    })
}

async fn send_each(address: SocketAddr, requests: &[Vec<u8>]) -> Result<usize> {
    let mut answer = Vec::with_capacity(512);
    for request in requests {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        answer.clear();
        // A device closes once it has its answer; a server that keeps the connection is not waited for.
        while !answer.windows(4).any(|w| w == b"\r\n\r\n") {
            ensure!(stream.read_buf(&mut answer).await? > 0, "no answer");
        }
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    Ok(requests.len())
}

async fn send_kept(address: SocketAddr, requests: &[Vec<u8>]) -> Result<usize> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut answer = Vec::with_capacity(512);
    for request in requests {
        stream.write_all(request).await?;
        answer.clear();
        while !answer.windows(4).any(|w| w == b"\r\n\r\n") {
            ensure!(stream.read_buf(&mut answer).await? > 0, "the connection was closed");
        }
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    Ok(requests.len())
}

/// A subscriber of the event stream that reads everything; gives how many bytes it has read.
fn subscribe(api: SocketAddr) -> Result<Arc<AtomicUsize>> {
    let mut stream = std::net::TcpStream::connect(api)?;
    write!(stream, "GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n")?;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(read) = std::io::Read::read(&mut stream, &mut buffer) {
            if read == 0 {
                return;
            }
            counted.fetch_add(read, Relaxed);
        }
    });
    Ok(count)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Reports for each second of the server's processor time, ours against a bare handler, interleaved.
fn ingest() -> Result<()> {
    const RUNS: usize = 9;
    for (kept, count) in [(false, 20_000), (true, 40_000)] {
        let name = if kept { "kept connection" } else { "connection per report" };
        println!(
            "\ningest, {name}: {RUNS} interleaved runs of {count} reports, {DEVICES} devices, one subscriber"
        );
        let load = Arc::new(requests(count * RUNS)?);
        let folder = tempfile::tempdir()?;
        let path = folder.path().to_string_lossy().into_owned();
        let ours = Server::start(&["serve-switchroom", &path, if kept { "long" } else { "auto" }])?;
        let bare = Server::start(&["serve-bare"])?;
        let read = subscribe(ours.api)?;
        let (mut our_rates, mut bare_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for run in 0..RUNS {
            let rate = |server: &Server| -> Result<f64> {
                let before = server.cpu()?;
                let sent = send_all(server.reports, &load, run, RUNS, kept)?;
                // What it still has to commit and publish is its work too.
                std::thread::sleep(Duration::from_millis(300));
                Ok(sent as f64 / (server.cpu()? - before))
            };
            let (a, b) = (rate(&ours)?, rate(&bare)?);
            our_rates.push(a);
            bare_rates.push(b);
            ratios.push(a / b);
        }
        ensure!(read.load(Relaxed) > count * 100, "the subscriber heard too little");
        let spread =
            |v: &[f64]| (v.iter().copied().fold(f64::MAX, f64::min), v.iter().copied().fold(0.0, f64::max));
        let (low, high) = spread(&ratios);
        println!("  switchroom   {:>8.0} reports per CPU-second", median(our_rates));
        println!("  bare handler {:>8.0} reports per CPU-second", median(bare_rates));
        println!("  ratio        {:>8.2}  ({low:.2} to {high:.2})", median(ratios));
        ours.wait()?;
        bare.kill()?;
    }
    Ok(())
}

// ---- stores ------------------------------------------------------------------------------------------

/// Reports a second, and how long one call record waits for its answer, which is given once it is on disk: SQLite against
/// PostgreSQL on the same machine, interleaved.
fn stores() -> Result<()> {
    const RUNS: usize = 5;
    const COUNT: usize = 20_000;
    const SINGLE: usize = 200;
    let load = Arc::new(requests(COUNT * RUNS)?);
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut servers = Vec::new();
    for (store, folder) in ["sqlite", "postgres"].into_iter().zip(&folders) {
        let path = folder.path().to_string_lossy().into_owned();
        let variables = [("TEST_STORE", store), ("TEST_POSTGRES_SETTINGS", "fsync = on")];
        servers.push((store, Server::start_with(&["serve-switchroom", &path, "long"], &variables)?));
    }
    println!(
        "\nstores: {RUNS} interleaved runs of {COUNT} reports over {WORKERS} kept connections, then {SINGLE} records singly"
    );
    let mut rates = vec![(Vec::new(), Vec::new(), Vec::new(), Vec::new()); servers.len()];
    for run in 0..RUNS {
        for ((_, server), (by_time, ours, others, single)) in servers.iter().zip(&mut rates) {
            let (before, of_others) = (server.cpu()?, server.cpu_of_others()?);
            let began = Instant::now();
            let sent = send_all(server.reports, &load, run, RUNS, true)? as f64;
            by_time.push(sent / began.elapsed().as_secs_f64());
            // What it still has to commit and publish is its work too.
            std::thread::sleep(Duration::from_millis(300));
            ours.push((server.cpu()? - before) * 1e6 / sent);
            others.push((server.cpu_of_others()? - of_others) * 1e6 / sent);
            single.extend(records(server.reports, run * SINGLE, SINGLE / RUNS)?);
        }
    }
    println!("              reports/s   CPU of the service   of the database   a record's answer");
    for ((store, server), (by_time, ours, others, single)) in servers.into_iter().zip(rates) {
        println!(
            "  {store:<10} {:>10.0} {:>14.0} µs {:>13.0} µs {:>14.2} ms",
            median(by_time),
            median(ours),
            median(others),
            median(single) * 1e3
        );
        server.wait()?;
    }
    Ok(())
}

/// Call records one after the other; gives how long each waited for its answer, in seconds.
fn records(address: SocketAddr, first: usize, count: usize) -> Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut took = Vec::with_capacity(count);
        for n in first..first + count {
            let body = format!(
                "<Cdr id=\"{n}20170309162713-0\"><callid>32818</callid><TimeStart>20170309162708</TimeStart><Type>IN</Type>\
                 <Route>IP</Route><CPN>18201008888</CPN><CDPN>200</CDPN><TimeEnd>20170309162713</TimeEnd>\
                 <Duration>2</Duration><TrunkNumber>888</TrunkNumber></Cdr>\n"
            );
            let request = format!(
                "POST /sim-1 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let began = Instant::now();
            send_kept(address, &[request.into_bytes()]).await?;
            took.push(began.elapsed().as_secs_f64());
        }
        Ok(took)
    })
}

// ---- latency -----------------------------------------------------------------------------------------

fn probe(n: usize) -> Vec<u8> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"DTMF\">\n  <visitor id=\"4\" from=\"13012345678\" \
         to=\"02161208234\" callid=\"36868\">\n    <info>{n:08}</info>\n    <menu id=\"1\" />\n  </visitor>\n</Event>\n"
    );
    format!("GET /sim-1 HTTP/1.1\r\nHost: 127.0.0.1\r\nCache-Control: no-cache\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// When each probe was seen by a client, by its digits.
type Seen = Arc<std::sync::Mutex<HashMap<usize, Instant>>>;

fn watch(api: SocketAddr, websocket: bool) -> Result<Seen> {
    let mut stream = std::net::TcpStream::connect(api)?;
    let (path, upgrade) = if websocket {
        (
            "/api/v1/events/ws",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        )
    } else {
        ("/api/v1/events/stream", "")
    };
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{upgrade}Authorization: Bearer {TOKEN}\r\n\r\n")?;
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        let mut kept = Vec::new();
        while let Ok(read) = std::io::Read::read(&mut stream, &mut buffer) {
            if read == 0 {
                return;
            }
            let now = Instant::now();
            kept.extend_from_slice(&buffer[..read]);
            let mut from = 0;
            let mut noted = noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            while let Some(at) = memchr::memmem::find(&kept[from..], b"\"digits\":\"") {
                let start = from + at + 10;
                let Some(digits) = kept.get(start..start + 8) else { break };
                if let Some(n) = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()) {
                    noted.entry(n).or_insert(now);
                }
                from = start + 8;
            }
            let keep = kept.len().saturating_sub(32).max(from);
            kept.drain(..keep);
        }
    });
    Ok(seen)
}

fn percentile(sorted: &[f64], p: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * p) as usize]
}

/// Sends at this rate for this long; every tenth report is a probe. Gives when each probe's last byte left.
async fn paced(
    address: SocketAddr,
    load: Arc<Vec<Vec<Vec<u8>>>>,
    rate: usize,
    seconds: u64,
    first: usize,
) -> Result<Vec<(usize, Instant)>> {
    let mut tasks = tokio::task::JoinSet::new();
    let began = Instant::now();
    for worker in 0..WORKERS {
        let load = Arc::clone(&load);
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (mut sent, mut n, mut answer) = (Vec::new(), 0_usize, Vec::new());
            let each = Duration::from_secs_f64(WORKERS as f64 / rate as f64);
            while began.elapsed() < Duration::from_secs(seconds) {
                let due = began + each * (n as u32) + each.mul_f64(worker as f64 / WORKERS as f64);
                tokio::time::sleep_until(due.into()).await;
                let number = first + n * WORKERS + worker;
                let is_probe = n % 10 == 9;
                let bytes =
                    if is_probe { probe(number) } else { load[worker][n % load[worker].len()].clone() };
                stream.write_all(&bytes).await?;
                if is_probe {
                    sent.push((number, Instant::now()));
                }
                answer.clear();
                while !answer.windows(4).any(|w| w == b"\r\n\r\n") {
                    ensure!(stream.read_buf(&mut answer).await? > 0, "the connection was closed");
                }
                n += 1;
            }
            Ok(sent)
        });
    }
    let mut all = Vec::new();
    while let Some(sent) = tasks.join_next().await {
        all.extend(sent??);
    }
    Ok(all)
}

fn measure(
    reports: SocketAddr,
    load: &Arc<Vec<Vec<Vec<u8>>>>,
    seen: &[(&str, &Seen)],
    rate: usize,
    seconds: u64,
    first: usize,
) -> Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let sent = runtime.block_on(paced(reports, Arc::clone(load), rate, seconds, first))?;
    std::thread::sleep(Duration::from_millis(500));
    let mut p99 = Vec::new();
    for (name, seen) in seen {
        let seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut times: Vec<f64> = sent
            .iter()
            .filter_map(|(n, at)| seen.get(n).map(|seen| seen.duration_since(*at).as_secs_f64() * 1000.0))
            .collect();
        times.sort_by(f64::total_cmp);
        ensure!(times.len() == sent.len(), "{name}: {} of {} probes seen", times.len(), sent.len());
        println!(
            "  {name:<10} p50 {:>6.2} ms   p99 {:>6.2} ms   max {:>6.2} ms   ({} probes)",
            percentile(&times, 0.5),
            percentile(&times, 0.99),
            times[times.len() - 1],
            times.len()
        );
        p99.push(percentile(&times, 0.99));
    }
    Ok(p99)
}

/// From a report's last byte to the event at an SSE and a WebSocket client, at 5,000 reports a second.
fn latency() -> Result<()> {
    println!("\ntime to publish at 5,000 reports a second, 20 s");
    let load = Arc::new(requests(200_000)?);
    let folder = tempfile::tempdir()?;
    let server = Server::start(&["serve-switchroom", &folder.path().to_string_lossy(), "long"])?;
    let (sse, ws) = (watch(server.api, false)?, watch(server.api, true)?);
    measure(server.reports, &load, &[("SSE", &sse), ("WebSocket", &ws)], 5000, 20, 0)?;
    server.wait()
}

// ---- a hostile minute --------------------------------------------------------------------------------

/// Bad messages and held connections beside normal traffic.
fn hostile() -> Result<()> {
    println!(
        "\na hostile minute: 10,000 bad messages and 2,000 held connections beside 1,000 reports a second"
    );
    let load = Arc::new(requests(100_000)?);
    let folder = tempfile::tempdir()?;
    let server = Server::start(&["serve-switchroom", &folder.path().to_string_lossy(), "long"])?;
    let sse = watch(server.api, false)?;
    println!("  alone:");
    let alone = measure(server.reports, &load, &[("SSE", &sse)], 1000, 20, 0)?[0];
    let memory = server.memory()?;
    let outcomes_before = outcomes(server.api)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (address, told) = (server.reports, Arc::clone(&stop));
    let attack = std::thread::spawn(move || attack(address, &told));
    println!("  beside it:");
    let beside = measure(server.reports, &load, &[("SSE", &sse)], 1000, 60, 40_000_000)?[0];
    stop.store(true, Relaxed);
    let bad = attack.join().map_err(|_| anyhow::anyhow!("the attack panicked"))??;
    let outcomes = outcomes(server.api)?;
    let of = |name: &str| outcomes.get(name).unwrap_or(&0) - outcomes_before.get(name).unwrap_or(&0);
    let refused = of("malformed") + of("unauthorized") + of("unadopted");
    println!(
        "  {bad} bad messages: malformed {}, unadopted {}, unauthorized {}",
        of("malformed"),
        of("unadopted"),
        of("unauthorized")
    );
    println!(
        "  p99 {:.2} times that without; memory {:.0} MiB before, {:.0} MiB after",
        beside / alone,
        memory as f64 / 1048576.0,
        server.memory()? as f64 / 1048576.0
    );
    ensure!(refused >= bad as u64, "only {refused} of {bad} bad messages were counted");
    server.wait()
}

fn attack(address: SocketAddr, stop: &AtomicBool) -> Result<usize> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let mut held = Vec::new();
        for n in 0..2000 {
            let mut stream = TcpStream::connect(address).await?;
            if n % 2 == 0 {
                stream.write_all(b"GET /sim-1 HTTP/1.1\r\nContent-Le").await?;
            }
            held.push(stream);
        }
        let mut sent = 0;
        while sent < 10_000 && !stop.load(Relaxed) {
            let bytes = bad_message(sent);
            let mut stream = TcpStream::connect(address).await?;
            // The server may close before it has read all of an oversized one.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
            sent += 1;
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        while !stop.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(held);
        Ok(sent)
    })
}

fn bad_message(n: usize) -> Vec<u8> {
    let event = "<Event attribute=\"BUSY\"><ext id=\"200\"/></Event>";
    match n % 8 {
        0 => b"GET /sim-1 HTTP/1.1\r\nContent-Length: 30\r\n\r\n<Event attribute=\"RING\"><ext".to_vec(),
        1 => format!("GET /sim-1 HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(60_000)).into_bytes(),
        2 => format!("POST /sim-1 HTTP/1.1\r\nContent-Length: 900000\r\n\r\n{}", "x".repeat(100_000))
            .into_bytes(),
        3 => vec![0xFF; 2000],
        4 => format!("GET /nobody HTTP/1.1\r\nContent-Length: {}\r\n\r\n{event}", event.len()).into_bytes(),
        5 => b"POST /sim-1 HTTP/1.1\r\nContent-Length: 9\r\n\r\n<a></b><<".to_vec(),
        6 => b"POST /sim-1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        _ => format!("POST /sim-1 HTTP/1.1\r\nContent-Length: 800\r\n\r\n{}", "<Event>".repeat(114))
            .into_bytes(),
    }
}

fn outcomes(api: SocketAddr) -> Result<HashMap<String, u64>> {
    let mut stream = std::net::TcpStream::connect(api)?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text)?;
    let mut sums = HashMap::new();
    for line in text.lines().filter(|line| line.starts_with("switchroom_reports_total{")) {
        let outcome =
            line.split("outcome=\"").nth(1).and_then(|rest| rest.split('"').next()).context("a label")?;
        let count: f64 = line.rsplit(' ').next().context("a value")?.parse()?;
        *sums.entry(outcome.to_owned()).or_default() += count as u64;
    }
    Ok(sums)
}

// ---- memory ------------------------------------------------------------------------------------------

/// A million extensions on 5,000 devices, each with one report applied; and how fast they are back.
fn memory() -> Result<()> {
    println!("\nmemory: 1,000,000 extensions on 5,000 devices, each with one report applied");
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_string_lossy().into_owned();
    let server = Server::start(&["serve-switchroom", &path, "memory"])?;
    println!("  before any report {:.0} MiB", server.memory()? as f64 / 1048576.0);
    let mut load = vec![Vec::new(); WORKERS];
    for extension in 0..200 {
        for device in 1..=5000_usize {
            let body =
                format!("<Event attribute=\"IDLE\">\n  <ext id=\"{}\" />\n</Event>\n", 1000 + extension);
            let text = format!("GET /sim-{device} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            load[device % WORKERS].push(text.into_bytes());
        }
    }
    let began = Instant::now();
    send_all(server.reports, &Arc::new(load), 0, 1, true)?;
    let count = settled(server.api, 1_000_000, Duration::from_secs(60))?;
    println!("  {count} extensions after {:.0} s of reports", began.elapsed().as_secs_f64());
    // The cells are written down some 20 s after their last change.
    std::thread::sleep(Duration::from_secs(40));
    let bytes = server.memory()?;
    println!(
        "  {:.0} MiB, {:.0} bytes an extension, all told",
        bytes as f64 / 1048576.0,
        bytes as f64 / count as f64
    );
    server.wait()?;
    let began = Instant::now();
    let again = Server::start(&["serve-switchroom", &path, "memory"])?;
    let count = settled(again.api, 1_000_000, Duration::from_secs(120))?;
    println!("  started again: {count} extensions there after {:.1} s", began.elapsed().as_secs_f64());
    std::thread::sleep(Duration::from_secs(5));
    let bytes = again.memory()?;
    println!(
        "  {:.0} MiB, {:.0} bytes an extension, all told",
        bytes as f64 / 1048576.0,
        bytes as f64 / count as f64
    );
    again.stop()
}

// ---- scrape ------------------------------------------------------------------------------------------

/// What a scrape costs with 250,000 extensions on 5,000 devices, each device with its own series.
fn scrape() -> Result<()> {
    println!("\nscrape: 250,000 extensions and 10,000 trunks on 5,000 devices, with series by device");
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_string_lossy().into_owned();
    let server = Server::start(&["serve-switchroom", &path, "scrape"])?;
    let mut load = vec![Vec::new(); WORKERS];
    let request = |device: usize, body: &str| {
        format!("GET /sim-{device} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    for extension in 0..50 {
        for device in 1..=5000_usize {
            let body =
                format!("<Event attribute=\"IDLE\">\n  <ext id=\"{}\" />\n</Event>\n", 1000 + extension);
            load[device % WORKERS].push(request(device, &body));
        }
    }
    for device in 1..=5000_usize {
        for trunk in ["02161208234", "02161208235"] {
            let body = format!(
                "<Event attribute=\"INVITE\">\n  <trunk id=\"{trunk}\" />\n  <visitor id=\"{trunk}\" \
                 from=\"13012345678\" to=\"{trunk}\" callid=\"{trunk}\" />\n</Event>\n"
            );
            load[device % WORKERS].push(request(device, &body));
        }
    }
    send_all(server.reports, &Arc::new(load), 0, 1, true)?;
    let count = settled(server.api, 250_000, Duration::from_secs(60))?;
    // What is written down after the last change is written by then.
    std::thread::sleep(Duration::from_secs(30));
    let (mut times, mut bytes) = (Vec::new(), 0);
    let cpu = server.cpu()?;
    for _ in 0..50 {
        let began = Instant::now();
        bytes = scraped(server.api)?.len();
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        std::thread::sleep(Duration::from_millis(100));
    }
    let cpu = (server.cpu()? - cpu) / 50.0;
    times.sort_by(f64::total_cmp);
    println!(
        "  {count} extensions: p50 {:.1} ms, p95 {:.1} ms, longest {:.1} ms; {:.0} ms of processor time each; {:.2} MB",
        times[25],
        times[47],
        times[49],
        cpu * 1000.0,
        bytes as f64 / 1e6
    );
    server.stop()
}

fn scraped(api: SocketAddr) -> Result<String> {
    let mut stream = std::net::TcpStream::connect(api)?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text)?;
    Ok(text)
}

/// Waits until so many extension actors are there; gives how many are.
fn settled(api: SocketAddr, goal: u64, within: Duration) -> Result<u64> {
    let deadline = Instant::now() + within;
    loop {
        let text = scraped(api)?;
        let line = text
            .lines()
            .find(|line| line.starts_with("switchroom_actors{kind=\"extension\"}"))
            .context("no such metric")?;
        let count = line.rsplit(' ').next().context("a value")?.parse::<f64>()? as u64;
        if count >= goal || Instant::now() >= deadline {
            return Ok(count);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
