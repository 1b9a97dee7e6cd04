//! No telephone rings twice for one dial, whatever is cut off when, and whenever the service is killed.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use switchroom_simulator::{CommandFault, DeviceFault, Fleet, FleetConfig, Mix};
use switchroom_test_support::{eventually, store};

/// An admin's token.
const TOKEN: &str = "0123456789abcdef";
/// Telephones of a device: ten dials each, no telephone in two of them.
const EXTENSIONS: usize = 20;

/// How many dials: a few with every test, 500 for the measure.
fn dials() -> usize {
    std::env::var("SECOND_RING_DIALS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

/// A port that is free now.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// The program itself, on ports that stay.
struct Process {
    config: PathBuf,
    api: SocketAddr,
    child: Option<Child>,
}

impl Process {
    fn new(folder: &Path, api: SocketAddr, reports: SocketAddr) -> Self {
        let config = folder.join("switchroom.toml");
        let text = format!(
            "[api]\nlisten = \"{api}\"\nadmin_token = \"{TOKEN}\"\n[reports]\nlisten = \"{reports}\"\n\
             [commands]\nreconcile = false\ntimeout_seconds = 2\nfind_out_seconds = 20\nwait_seconds = 60\n\
             {}",
            store::section(folder)
        );
        std::fs::write(&config, text).expect("it writes");
        Self { config, api, child: None }
    }

    async fn start(&mut self, client: &reqwest::Client) {
        let child = Command::new(env!("CARGO_BIN_EXE_switchroom"))
            .args(["serve", "--config"])
            .arg(&self.config)
            .env("SWITCHROOM_LOG", "error")
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.expect("the program starts"));
        let url = format!("http://{}/readyz", self.api);
        let ready = eventually(Duration::from_secs(20), async || {
            client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success())
        });
        assert!(ready.await, "it does not start");
    }

    fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is killed");
        child.wait().expect("it is gone");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Random enough, and the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// What happened to a dial.
#[derive(Debug)]
struct Dial {
    device: String,
    called: String,
    fault: Option<CommandFault>,
    killed: bool,
    key: String,
    body: Value,
    command: Option<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_telephone_rings_twice_whatever_is_cut_off() {
    switchroom::link::tls::install_provider();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
    let folder = tempfile::tempdir().expect("a folder");
    let (api, reports) = (free_port(), free_port());
    let mut process = Process::new(folder.path(), api, reports);
    process.start(&client).await;
    let count = dials();
    // So many that a device is done with one dial before it gets the next.
    let devices = count.div_ceil(4);
    let fleet = Fleet::start(FleetConfig {
        devices,
        extensions: EXTENSIONS,
        calls_per_minute: 1.0,
        mix: Mix::none(),
        report_to: format!("http://{reports}"),
        listen: Some("127.0.0.1:0".parse().expect("an address")),
        phones_fail_every: None,
        talk: Duration::from_secs(3600),
        ..FleetConfig::default()
    });
    let fleet = fleet.await.expect("the fleet starts");
    let url = |path: &str| format!("http://{api}/api/v1{path}");
    for n in 1..=devices {
        let id = format!("sim-{n}");
        let address = fleet.command_address(&id).expect("an address");
        let body =
            json!({"id": id, "dialect": "om", "report_path": id, "address": format!("http://{address}")});
        let added =
            client.post(url("/devices")).bearer_auth(TOKEN).json(&body).send().await.expect("an answer");
        assert_eq!(added.status().as_u16(), 201);
    }
    let mut dice = Dice(0x05EE_D0FD_1A15);
    let mut all = Vec::new();
    for n in 0..count {
        // One device after the other, so that a dial's fault is not another's.
        let device = format!("sim-{}", n % devices + 1);
        let pair = n / devices * 2;
        let (from, called) = (format!("{}", 200 + pair), format!("{}", 201 + pair));
        let fault = match dice.roll(8) {
            0 | 1 => Some(CommandFault::ResetBefore),
            2 | 3 => Some(CommandFault::ResetAfter),
            4 | 5 => Some(CommandFault::ResetMid),
            6 => Some(CommandFault::Slow),
            _ => None,
        };
        let delay_ms = if fault == Some(CommandFault::Slow) { dice.roll(3000) } else { dice.roll(60) };
        if let Some(command) = fault {
            fleet.set_device_fault(&device, DeviceFault { command, delay_ms, count: 1 }).expect("a fault");
        }
        let body = json!({"device": device, "from": {"extension": from}, "to": {"extension": called}});
        let mut dial = Dial {
            device,
            called,
            fault,
            killed: n % 12 == 7,
            key: format!("dial-{n}"),
            body,
            command: None,
        };
        let request = client.post(url("/calls")).bearer_auth(TOKEN).header("Idempotency-Key", &dial.key);
        let posted = tokio::spawn(request.json(&dial.body).send());
        if dial.killed {
            // Somewhere between the acceptance and the device's answer.
            tokio::time::sleep(Duration::from_millis(dice.roll(40))).await;
            process.kill();
            process.start(&client).await;
        }
        let answer = posted.await.expect("it ran").ok().filter(|answer| answer.status().is_success());
        dial.command = match answer {
            Some(answer) => {
                answer.json::<Value>().await.ok().and_then(|v| v["id"].as_str().map(str::to_owned))
            }
            // Nothing came back: it is posted again under the same key.
            None => {
                let mut id = None;
                let again = eventually(Duration::from_secs(20), async || {
                    let request =
                        client.post(url("/calls")).bearer_auth(TOKEN).header("Idempotency-Key", &dial.key);
                    let Ok(answer) = request.json(&dial.body).send().await else { return false };
                    let taken = answer.status().is_success();
                    let body = answer.json::<Value>().await.unwrap_or_default();
                    id = body["id"].as_str().map(str::to_owned).filter(|_| taken);
                    id.is_some()
                });
                assert!(again.await, "{dial:?} is never taken");
                id
            }
        };
        all.push(dial);
    }
    // Every command settles.
    let mut states: Vec<(usize, String)> = Vec::new();
    for (n, dial) in all.iter().enumerate() {
        let path = format!("/commands/{}", dial.command.as_deref().expect("an id"));
        let mut state = String::new();
        let settled = eventually(Duration::from_secs(60), async || {
            let Ok(answer) = client.get(url(&path)).bearer_auth(TOKEN).send().await else { return false };
            let body = answer.json::<Value>().await.unwrap_or_default();
            state = body["state"].as_str().unwrap_or_default().to_owned();
            matches!(state.as_str(), "succeeded" | "failed" | "unknown")
        });
        assert!(settled.await, "{dial:?} is still {state}");
        states.push((n, state));
    }
    let truth = fleet.truth();
    let rings = |dial: &Dial| truth.devices[&dial.device].rings.get(&dial.called).copied().unwrap_or(0);
    let twice: Vec<&Dial> = all.iter().filter(|dial| rings(dial) > 1).collect();
    assert!(twice.is_empty(), "rung twice: {twice:?}");
    // What is said of a dial is so.
    let of =
        |state: &str| states.iter().filter(|(_, s)| s == state).map(|(n, _)| &all[*n]).collect::<Vec<_>>();
    let wrong: Vec<&Dial> = of("failed").into_iter().filter(|dial| rings(dial) > 0).collect();
    assert!(wrong.is_empty(), "said to have failed, and rung: {wrong:?}");
    let accepted =
        |dial: &&Dial| matches!(dial.fault, Some(CommandFault::ResetAfter | CommandFault::ResetMid));
    let cut = all.iter().filter(accepted).count();
    let unknown = of("unknown").into_iter().filter(accepted).count();
    println!(
        "{count} dials, {cut} cut off after the device had accepted ({unknown} of them unknown), {} with the service killed: \
         {} succeeded, {} failed, {} unknown; rung {} telephones, none twice",
        all.iter().filter(|dial| dial.killed).count(),
        of("succeeded").len(),
        of("failed").len(),
        of("unknown").len(),
        all.iter().filter(|dial| rings(dial) == 1).count(),
    );
    assert!(unknown * 20 <= cut, "{unknown} of {cut} cut-off dials are unknown");
    fleet.stop().await;
}
