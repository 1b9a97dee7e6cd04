//! Yeastars that report only while somebody is logged in.

use std::time::Duration;

use serde_json::Value;
use switchroom::devices::DeviceSecrets;
use switchroom_actors::device::messages::{DeviceStatus, GetStatus};
use switchroom_domain::id::DeviceId;
use switchroom_protocol::Dialect;
use switchroom_simulator::{self as simulator, DeviceAction, Fleet, FleetConfig, Mix};
use switchroom_test_support::{Service, TOKEN, eventually, truth::model};

const SOON: Duration = Duration::from_secs(30);
/// Not the path of the fleet's own: only who logs in can say it.
const PATH: &str = "a-path-of-its-own";

/// A service, and one Yeastar with many short calls that it does not know yet.
async fn start(silence: u32) -> (Service, Fleet, tempfile::TempDir) {
    start_with(silence, 1).await
}

async fn start_with(silence: u32, timeout: u32) -> (Service, Fleet, tempfile::TempDir) {
    switchroom::link::tls::install_provider();
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_in(folder.path(), |config| {
        config.commands.connect_seconds = 1;
        config.commands.timeout_seconds = timeout;
        config.commands.yeastar_silence_seconds = silence;
    })
    .expect("the service starts");
    let fleet = Fleet::start(FleetConfig {
        dialect: simulator::Dialect::Yeastar,
        devices: 1,
        calls_per_minute: 240.0,
        talk: Duration::from_secs(1),
        mix: Mix::plain(1, 1, 1),
        report_to: format!("http://{}", service.reports),
        listen: Some("127.0.0.1:0".parse().expect("an address")),
        require_login: true,
        web_password: "s3cret".into(),
        ..FleetConfig::default()
    });
    (service, fleet.await.expect("the fleet starts"), folder)
}

/// Adds the device, or changes its password.
async fn put(service: &Service, fleet: &Fleet, password: &str) {
    let address = fleet.command_address("sim-1").expect("it can be logged in to");
    let secrets = DeviceSecrets { web_password: Some(password.into()), ..DeviceSecrets::default() };
    let put = service.add_with("sim-1", Dialect::Yeastar, secrets, |s| {
        s.address = Some(format!("http://{address}"));
        s.report_path = PATH.into();
        s.report_url = Some(format!("http://{}/{PATH}", service.reports));
    });
    put.await.expect("the device is added");
}

fn dropped(fleet: &Fleet) -> u64 {
    fleet.truth().devices["sim-1"].reports_dropped
}

fn logins(fleet: &Fleet) -> u64 {
    fleet.logins("sim-1").expect("it can be logged in to").0
}

async fn status(service: &Service) -> DeviceStatus {
    let id = DeviceId::new("sim-1").expect("an id");
    let device = service.services.registry.get(&id).expect("it is there");
    device.handle.addr().expect("it has a cell").send(GetStatus).await.expect("it answers")
}

/// What the API says at this path.
async fn said(service: &Service, path: &str) -> String {
    let url = format!("http://{}{path}", service.api);
    let answer = reqwest::Client::new().get(url).bearer_auth(TOKEN).send().await.expect("the API answers");
    answer.text().await.expect("a body")
}

/// How it stands with the login, as the API says; null for a device that is not logged in to.
async fn login(service: &Service) -> Value {
    let device = said(service, "/api/v1/devices/sim-1").await;
    serde_json::from_str::<Value>(&device).expect("JSON")["login"].clone()
}

/// What the gauge says, if there is one.
async fn gauge(service: &Service) -> Option<String> {
    let metrics = said(service, "/metrics").await;
    let series = "switchroom_device_logged_in{device=\"sim-1\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(series)).map(str::to_owned)
}

/// Whether somebody is logged in, as the device knows it.
fn is_logged_in(fleet: &Fleet) -> bool {
    fleet.is_logged_in("sim-1").expect("it can be logged in to")
}

async fn calls_are_seen(service: &Service) -> bool {
    eventually(SOON, async || {
        let states = model(&service.services, "sim-1").await.expect("a model");
        states.keys().any(|entity| entity.starts_with("call "))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_device_is_logged_in_to_and_stays_so() {
    let (service, fleet, _folder) = start(1).await;
    assert!(eventually(SOON, async || dropped(&fleet) > 20).await, "it makes no calls");
    assert_eq!(fleet.reports_sent(), 0, "nobody is logged in");
    put(&service, &fleet, "s3cret").await;
    assert!(calls_are_seen(&service).await, "no call is seen");

    // It forgets us, as after a restart: reports stop without a word, until we ask.
    let (before, lost) = (logins(&fleet), dropped(&fleet));
    fleet.revoke_token("sim-1").expect("it forgets");
    assert!(eventually(SOON, async || logins(&fleet) > before).await, "nobody logs in again");
    assert!(dropped(&fleet) > lost, "reports stopped in between");
    let sent = fleet.reports_sent();
    assert!(eventually(SOON, async || fleet.reports_sent() > sent + 10).await, "no report comes any more");
    assert!(calls_are_seen(&service).await, "no call is seen any more");

    // Nothing is heard of it: it counts as down, and as up once it can be logged in to again.
    fleet.act("sim-1", DeviceAction::Unplug).expect("it is unplugged");
    assert!(eventually(SOON, async || status(&service).await.unreachable).await, "it is not down");
    assert_eq!(login(&service).await["state"], "silent");
    let before = logins(&fleet);
    fleet.act("sim-1", DeviceAction::Plug).expect("it is plugged in");
    assert!(eventually(SOON, async || !status(&service).await.unreachable).await, "it is not up");
    assert!(eventually(SOON, async || logins(&fleet) > before).await, "nobody logs in again");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_follows_the_devices_settings() {
    let (service, fleet, _folder) = start(600).await;
    put(&service, &fleet, "wrong").await;
    assert!(
        eventually(SOON, async || login(&service).await["state"] == "refused").await,
        "it is not refused"
    );
    let refused = login(&service).await;
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("password")), "{refused}");
    assert_eq!(gauge(&service).await.as_deref(), Some("0"));
    assert_eq!((logins(&fleet), fleet.reports_sent()), (0, 0));
    put(&service, &fleet, "s3cret").await;
    assert!(eventually(SOON, async || logins(&fleet) > 0).await, "the right password does not help");
    assert!(calls_are_seen(&service).await, "no call is seen");
    let known = login(&service).await;
    assert_eq!((&known["state"], &known["error"]), (&"logged_in".into(), &Value::Null), "{known}");
    assert!(known["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{known}");
    assert_eq!(gauge(&service).await.as_deref(), Some("1"));
    // What does not matter to the login does not disturb it.
    let before = logins(&fleet);
    put(&service, &fleet, "s3cret").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((logins(&fleet), login(&service).await), (before, known));

    // Without a password there is no login; the old one is given back.
    put(&service, &fleet, "").await;
    assert!(eventually(SOON, async || !is_logged_in(&fleet)).await, "it was not logged out of");
    assert_eq!((login(&service).await, gauge(&service).await), (Value::Null, None));
    put(&service, &fleet, "s3cret").await;
    assert!(eventually(SOON, async || login(&service).await["state"] == "logged_in").await, "nobody logs in");
    let id = DeviceId::new("sim-1").expect("an id");
    assert!(service.services.remove_device(&id).await.expect("it is removed"));
    assert!(eventually(SOON, async || !is_logged_in(&fleet)).await, "it was not logged out of");
    assert_eq!(logins(&fleet), before + 1, "a device that was removed is left alone");
    assert_eq!(gauge(&service).await, None);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_stays_logged_in_so_that_no_report_is_lost_until_it_is_back() {
    let (mut service, fleet, _folder) = start_with(600, 30).await;
    put(&service, &fleet, "s3cret").await;
    assert!(calls_are_seen(&service).await, "no call is seen");
    tokio::task::block_in_place(|| service.stop());
    assert!(is_logged_in(&fleet), "it was logged out of");
    fleet.stop().await;
}
