//! The measure of the model: it equals the truth of the simulated devices.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use switchroom::devices::DeviceSecrets;
use switchroom_protocol::Dialect;
use switchroom_simulator::{Faults, Fleet, FleetConfig};
use switchroom_test_support::truth::{self, Difference, States};
use switchroom_test_support::{Service, eventually};

/// A setting by environment, for runs by hand.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

struct Run {
    service: Service,
    fleet: Fleet,
}

async fn run(dialect: Dialect, simulated: switchroom_simulator::Dialect, faults: Faults, asked: bool) -> Run {
    let devices = setting("TRUTH_DEVICES", 8);
    let service = Service::start().expect("the service starts");
    for n in 1..=devices {
        service.add(&format!("sim-{n}"), dialect).await.expect("a device is added");
    }
    let config = FleetConfig {
        dialect: simulated,
        devices: devices as usize,
        extensions: 20,
        trunks: 4,
        calls_per_minute: setting("TRUTH_CALLS", 300) as f64,
        report_to: format!("http://{}", service.reports),
        admin: None,
        seed: setting("TRUTH_SEED", 42),
        talk: Duration::from_secs(5),
        phones_fail_every: Some(Duration::from_secs(10)),
        faults,
        listen: asked.then(|| "127.0.0.1:0".parse().expect("an address")),
        ..FleetConfig::default()
    };
    let fleet = Fleet::start(config).await.expect("the fleet starts");
    for n in 1..=devices {
        let id = format!("sim-{n}");
        let Some(address) = fleet.command_address(&id) else { continue };
        let put = service.add_with(&id, dialect, DeviceSecrets::default(), |settings| {
            settings.address = Some(format!("http://{address}"));
        });
        put.await.expect("the device has an address");
    }
    Run { service, fleet }
}

fn states_of(run: &Run, dialect: Dialect) -> BTreeMap<String, States> {
    let truth = run.fleet.truth();
    let states = |device| truth::comparable(dialect, truth::truth(device));
    truth.devices.iter().map(|(id, device)| (id.clone(), states(device))).collect()
}

/// Samples truth and model while calls go on, and compares what has not changed in the truth for two
/// seconds.
async fn sample(run: &Run, dialect: Dialect, length: Duration) -> (usize, Vec<Difference>) {
    let began = Instant::now();
    let mut past: Vec<BTreeMap<String, States>> = Vec::new();
    let (mut compared, mut wrong) = (0, Vec::new());
    while began.elapsed() < length {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = states_of(run, dialect);
        let mut models = BTreeMap::new();
        for id in now.keys() {
            let model = truth::model(&run.service.services, id).await.expect("the device answers");
            models.insert(id, truth::comparable(dialect, model));
        }
        // What changed while the model was asked did not stand.
        let then = states_of(run, dialect);
        for (id, states) in &now {
            let found = truth::differences(id, states, &models[id]);
            for (entity, state) in states {
                let stood = past.len() >= 5
                    && past[past.len() - 5..].iter().all(|p| p[id].get(entity) == Some(state))
                    && then[id].get(entity) == Some(state);
                if stood {
                    compared += 1;
                    let unsettled = |d: &&Difference| d.entity == *entity && !truth::undecidable(dialect, d);
                    wrong.extend(found.iter().filter(unsettled).cloned());
                }
            }
        }
        past.push(now);
    }
    (compared, wrong)
}

async fn model_equals_truth(dialect: Dialect, simulated: switchroom_simulator::Dialect) {
    let faults = Faults { drop: 0.0, duplicate: 0.1, reorder: 0.1 };
    let run = run(dialect, simulated, faults, false).await;
    let (compared, wrong) = sample(&run, dialect, Duration::from_secs(setting("TRUTH_SECONDS", 12))).await;
    println!("under traffic: {} of {compared} entities that stood for 2 s differ", wrong.len());
    let mut kinds: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    for d in &wrong {
        let entity = d.entity.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let entity = if d.entity.starts_with("call") {
            entity
        } else {
            entity.split(' ').next().unwrap_or_default().to_owned()
        };
        *kinds
            .entry((
                entity,
                d.truth.split(' ').next().unwrap_or_default().into(),
                d.model.split(' ').next().unwrap_or_default().into(),
            ))
            .or_default() += 1;
    }
    println!("{kinds:#?}");
    if setting("TRUTH_SHOW", 0) > 0 {
        wrong.iter().for_each(|difference| println!("{difference:?}"));
    }
    run.fleet.pause();
    let reports = run.fleet.reports_sent();
    // Calls that are not to stand still end after the pause; what may be compared is a truth that no longer
    // changes.
    let at_rest = |device: &switchroom_simulator::DeviceTruth| {
        device.reports_pending == 0 && device.calls.iter().all(|call| call.standing)
    };
    let mut fleet = run.fleet.truth();
    let mut found = Vec::new();
    let quiet = eventually(Duration::from_secs(60), async || {
        fleet = run.fleet.truth();
        found = truth::compare(&run.service.services, &fleet, dialect).await.expect("the devices answer");
        let now = run.fleet.truth();
        let unchanged = fleet.devices.iter().all(|(id, d)| truth::truth(d) == truth::truth(&now.devices[id]));
        unchanged && fleet.devices.values().all(at_rest) && found.is_empty()
    })
    .await;
    let standing: usize = fleet.devices.values().map(|d| d.calls.len()).sum();
    let waiting: usize = fleet.devices.values().flat_map(|d| d.queues.values()).map(Vec::len).sum();
    let offline =
        fleet.devices.values().flat_map(|d| d.extensions.values()).filter(|s| *s == "offline").count();
    println!(
        "{reports} reports; at rest {standing} calls stand, {waiting} wait, {offline} telephones are offline"
    );
    for difference in found.iter().take(20) {
        println!("{difference:?}");
        let call = fleet.devices[&difference.device]
            .calls
            .iter()
            .find(|c| difference.entity.contains(c.from.as_deref().unwrap_or("~")));
        println!("   {call:?}");
    }
    assert!(quiet, "{} differences at rest", found.len());
    assert!(standing > 0, "nothing stands: the test shows nothing");
    let (missing, surplus) =
        truth::compare_cdrs(&run.service.services, &fleet, dialect).await.expect("the store answers");
    let sent: u64 = fleet.devices.values().map(|d| d.cdrs_sent).sum();
    println!("{sent} records sent, {} missing, {} double or unknown", missing.len(), surplus.len());
    assert!(missing.is_empty() && surplus.is_empty(), "{missing:?} {surplus:?}");
    assert!(compared > 100, "only {compared} comparisons");
    // The measure is 999 in a thousand, on a machine that does nothing else; see `./test --long`.
    let agree = setting("TRUTH_AGREE", 980) as usize;
    assert!(wrong.len() * 1000 <= compared * (1000 - agree), "{} of {compared}", wrong.len());
    run.fleet.stop().await;
}

/// One after the other: together they would measure each other.
#[tokio::test(flavor = "multi_thread")]
async fn the_model_of_every_fleet_equals_its_truth() {
    model_equals_truth(Dialect::Om, switchroom_simulator::Dialect::Om).await;
    model_equals_truth(Dialect::Yeastar, switchroom_simulator::Dialect::Yeastar).await;
    model_equals_truth(Dialect::Zycoo, switchroom_simulator::Dialect::Zycoo).await;
}

/// Step by step the same, with reports lost as well: the device is asked, and within 30 s of quiet the model is true. No
/// more is asked than two questions for each lost report and one every two seconds.
#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_true_again_after_reports_were_lost() {
    let faults = Faults { drop: 0.05, duplicate: 0.1, reorder: 0.1 };
    let run = run(Dialect::Om, switchroom_simulator::Dialect::Om, faults, true).await;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(setting("TRUTH_SECONDS", 12))).await;
    run.fleet.pause();
    let settled = |device: &switchroom_simulator::DeviceTruth| {
        device.reports_pending == 0 && device.calls.iter().all(|call| call.standing)
    };
    let over =
        eventually(Duration::from_secs(60), async || run.fleet.truth().devices.values().all(settled)).await;
    assert!(over, "the calls do not end");
    let quiet = Instant::now();
    let (mut fleet, mut found, mut for_good) = (run.fleet.truth(), Vec::new(), Vec::<Difference>::new());
    let equal = eventually(Duration::from_secs(30), async || {
        fleet = run.fleet.truth();
        let all =
            truth::compare(&run.service.services, &fleet, Dialect::Om).await.expect("the devices answer");
        let (gone, rest) = all.iter().cloned().partition(|one| truth::lost_for_good(one, &all));
        (for_good, found) = (gone, rest);
        found.is_empty()
    })
    .await;
    let lost: u64 = fleet.devices.values().map(|device| device.reports_dropped).sum();
    let asked: u64 = fleet.devices.values().map(|device| device.commands).sum();
    let calls: usize = fleet.devices.values().map(|device| device.calls.len()).sum();
    let may = 2 * lost + (began.elapsed().as_secs() / 2 + 1) * fleet.devices.len() as u64;
    println!(
        "{} reports, {lost} lost; {calls} calls stand; equal after {:.1} s of quiet; {asked} questions of {may}",
        run.fleet.reports_sent(),
        quiet.elapsed().as_secs_f64()
    );
    for difference in found.iter().chain(&for_good).take(40) {
        println!("{difference:?}");
    }
    assert!(for_good.len() <= 2 + calls / 50, "too much is said to be lost for good");
    assert!(equal, "{} differences after 30 s of quiet", found.len());
    assert!(lost > 20 && calls > 0, "nothing was lost: the test shows nothing");
    let (missing, surplus) =
        truth::compare_cdrs(&run.service.services, &fleet, Dialect::Om).await.expect("the store answers");
    assert!(missing.is_empty() && surplus.is_empty(), "{missing:?} {surplus:?}");
    assert!(asked <= may, "{asked} questions, {may} would be fair");
    run.fleet.stop().await;
}
