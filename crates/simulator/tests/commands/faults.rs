//! Command endpoints that go wrong, settings and what a boot leaves of them.

use std::time::{Duration, Instant};

use switchroom_simulator::{CommandFault, DeviceAction, DeviceFault, FleetConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Scene, quiet, talk};

const CONNECT: &str = "<Transfer attribute=\"Connect\"><ext id=\"200\"/><ext id=\"208\"/></Transfer>";

fn fault(scene: &Scene, command: CommandFault, delay_ms: u64) {
    scene.fleet.set_device_fault("sim-1", DeviceFault { command, delay_ms, count: 1 }).unwrap();
}

/// What came back before the connection was reset, if it was.
async fn send(scene: &Scene, body: &str) -> (String, bool) {
    let mut stream = TcpStream::connect(scene.address()).await.unwrap();
    let request = format!("POST /xml HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer).await;
    (String::from_utf8(answer).unwrap(), end.is_err())
}

#[tokio::test]
async fn connections_are_reset_before_after_and_in_the_middle() {
    let scene = Scene::quiet().await;
    fault(&scene, CommandFault::ResetBefore, 0);
    assert_eq!(send(&scene, CONNECT).await, (String::new(), true));
    assert_eq!((scene.truth().commands, scene.truth().rings.len()), (0, 0));
    fault(&scene, CommandFault::ResetAfter, 0);
    assert_eq!(send(&scene, CONNECT).await, (String::new(), true));
    assert_eq!((scene.truth().commands, scene.truth().rings["208"]), (1, 1));
    fault(&scene, CommandFault::ResetMid, 0);
    let (part, reset) = send(&scene, "<Control attribute=\"Query\"><DeviceInfo/></Control>").await;
    assert!(reset && part.starts_with("HTTP/1.0 200 OK") && !part.contains("</DeviceInfo>"), "{part}");
    let (whole, reset) = send(&scene, "<Control attribute=\"Query\"><DeviceInfo/></Control>").await;
    assert!(!reset && whole.contains("</DeviceInfo>"));
}

#[tokio::test]
async fn commands_are_refused_or_slow_for_as_long_as_wanted() {
    let scene = Scene::quiet().await;
    fault(&scene, CommandFault::Unauthorized, 0);
    assert!(send(&scene, CONNECT).await.0.contains("<unauthorized/>\n<err code=\"102\""));
    fault(&scene, CommandFault::Busy, 0);
    assert!(send(&scene, CONNECT).await.0.contains("<err code=\"6\" reason=\"busy\" />"));
    assert_eq!(scene.truth().commands, 0);
    fault(&scene, CommandFault::Slow, 150);
    let asked = Instant::now();
    assert!(send(&scene, CONNECT).await.0.starts_with("HTTP/1.0 200 OK"));
    assert!(asked.elapsed() >= Duration::from_millis(150));
    assert_eq!(scene.truth().commands, 1);
}

#[tokio::test]
async fn a_hung_device_takes_connections_and_says_nothing() {
    let scene = Scene::quiet().await;
    for (down, up) in [(DeviceAction::Hang, DeviceAction::Resume), (DeviceAction::Unplug, DeviceAction::Plug)]
    {
        scene.fleet.act("sim-1", down).unwrap();
        let stuck = send(&scene, CONNECT);
        tokio::pin!(stuck);
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut stuck).await.is_err());
        scene.fleet.act("sim-1", up).unwrap();
        assert_eq!(stuck.await.0, "", "what was sent meanwhile is lost");
        assert!(scene.query("<DeviceInfo/>").await.contains("<DeviceInfo>"));
    }
    assert_eq!(scene.truth().rings.len(), 0);
}

#[tokio::test]
async fn the_admin_port_sets_faults_and_tells_what_commands_did() {
    let admin = Some("127.0.0.1:0".parse().unwrap());
    let scene = Scene::new(FleetConfig { admin, ..quiet() }).await;
    let address = scene.fleet.admin_addr().unwrap();
    let post = |body: &str| {
        format!("POST /devices/sim-1/fault HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let set = talk(address, &post("{\"command\": \"reset_before\", \"count\": 1}")).await;
    assert!(set.starts_with("HTTP/1.1 200 ") && set.contains("\"command\":\"reset_before\""), "{set}");
    assert!(send(&scene, CONNECT).await.1);
    assert!(talk(address, &post("{\"command\": \"odd\"}")).await.starts_with("HTTP/1.1 400 "));
    send(&scene, CONNECT).await;
    let truth = talk(address, "GET /truth HTTP/1.1\r\n\r\n").await;
    for told in
        ["\"commands\":1", "\"Transfer.Connect\":1", "\"rings\":{\"200\":1,\"208\":1}", "\"accepts\":[]"]
    {
        assert!(truth.contains(told), "{told} in {truth}");
    }
}

#[tokio::test]
async fn what_is_assigned_is_told_and_a_boot_forgets_it() {
    let scene = Scene::new(FleetConfig { boot_reports: true, ..quiet() }).await;
    let ext = "<ext lineid=\"IPPhone 4\"><staffid>1304081</staffid><group>7</group><group>8</group>\
               <No_Disturb>yes</No_Disturb><Fork>18603752802</Fork><record>on</record></ext>";
    let assigned = scene.command("Control", "Assign", ext).await;
    assert!(
        assigned.contains("<ext id=\"203\">\n    <id>203</id>\n    <staffid>1304081</staffid>"),
        "{assigned}"
    );
    assert!(assigned.contains("<group>7</group>\n    <group>8</group>"), "{assigned}");
    assert!(assigned.contains("<No_Disturb>on</No_Disturb>"), "{assigned}");
    let asked = scene.query("<ext id=\"203\"/>").await;
    assert!(asked.contains("<lineid>IPPhone 4</lineid>\n    <group id=\"7\"/>"), "{asked}");
    assert!(asked.contains("<fork>18603752802</fork>") && asked.contains("<state>ready</state>"), "{asked}");
    assert!(scene.connect("<ext id=\"200\"/><ext id=\"203\"/>").await.contains("code=\"6\""));
    let changed = "<ext lineid=\"IPPhone 4\"><group>8</group><record>off</record></ext>";
    let assigned = scene.command("Control", "Assign", changed).await;
    assert!(!assigned.contains("<group>7</group>") && assigned.contains("1304081"), "{assigned}");
    scene.command("Control", "Assign", "<group id=\"8\"><ext>201</ext></group>").await;
    assert_eq!(scene.truth().groups["8"], ["203", "201"]);
    scene.command("Control", "Assign", "<group id=\"8\"></group>").await;
    assert!(scene.truth().groups["8"].is_empty());
    let menu = "<menu id=\"3\"><voicefile>welcome</voicefile></menu>";
    scene.command("Control", "Assign", menu).await;
    assert_eq!(scene.truth().settings["203"]["record"], "off");
    assert!(scene.command("Control", "Assign", "<ext lineid=\"IPPhone 99\"/>").await.contains("code=\"7\""));

    scene.web("method=gw.config.set&id1198=0x04").await;
    boot(&scene, 2).await;
    let truth = scene.truth();
    assert!(truth.menus.contains_key("3") && truth.settings.contains_key("203"), "{truth:?}");
    scene.web("method=gw.config.set&id1198=0x00").await;
    boot(&scene, 3).await;
    let truth = scene.truth();
    assert!(truth.menus.is_empty() && truth.settings.is_empty() && !truth.groups.contains_key("8"));
}

async fn boot(scene: &Scene, times: usize) {
    scene.fleet.act("sim-1", DeviceAction::Reboot).unwrap();
    scene
        .until("it has booted", |scene| scene.told().iter().filter(|told| *told == "BOOTUP").count() == times)
        .await;
}

#[tokio::test]
async fn voice_files_are_listed_and_removed() {
    let scene = Scene::new(FleetConfig { trunk_api: Some(0x27), ..quiet() }).await;
    scene.web("method=gw.config.set&id526=120").await;
    let all = scene.command("Manage", "Query", "<voicefile/>").await;
    assert!(all.contains("<Status>\n<voicefile>welcome.pcm|") && all.contains("user_file1.pcm"), "{all}");
    let removed = scene.command("Manage", "Remove", "<voicefile>user_file1.pcm|none.pcm</voicefile>").await;
    assert!(removed.ends_with("<Event attribute=\"OK\">\n</Event>\n"), "{removed}");
    assert!(!scene.command("Manage", "Query", "<voicefile/>").await.contains("user_file1.pcm"));
    // What was removed cannot be played any more.
    for (played, refused) in [("user_file1", true), ("user_file2+12", false), ("user_file3", true)] {
        let files = format!("<voicefile>{played}</voicefile>");
        let menu = scene.command("Control", "Assign", &format!("<menu id=\"7\">{files}</menu>")).await;
        assert_eq!(menu.contains("<err code=\"1\" reason=\"temp failure\" />"), refused, "{menu}");
        let group = format!("<group id=\"7\">{files}<ext>201</ext></group>");
        let group = scene.command("Control", "Assign", &group).await;
        assert_eq!(group.contains("FAILED"), refused, "{group}");
        let extension = format!("<ext lineid=\"IPPhone 2\">{files}</ext>");
        let extension = scene.command("Control", "Assign", &extension).await;
        assert_eq!(extension.contains("FAILED"), refused, "{extension}");
    }
    let visitor = scene.visitor("888");
    let transfer =
        |file: &str| format!("<visitor id=\"{visitor}\"/><ext id=\"201\"/><voicefile>{file}</voicefile>");
    assert!(scene.connect(&transfer("user_file1")).await.contains("FAILED"));
    assert_eq!(scene.truth().extensions["201"], "idle");
    assert!(scene.connect(&transfer("user_file2")).await.contains("TRANSIENT"));
}
