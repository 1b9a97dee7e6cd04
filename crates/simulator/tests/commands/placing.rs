//! Calls that commands place, and what is told of them.

use switchroom_simulator::FleetConfig;

use crate::support::{Scene, quiet};

#[tokio::test]
async fn the_callee_rings_first_and_both_are_joined() {
    let scene = Scene::patient(quiet()).await;
    assert_eq!(scene.connect("<ext id=\"200\"/><ext id=\"208\"/>").await, "");
    scene.until_told("ANSWERED 200 208").await;
    let truth = scene.truth();
    assert_eq!((truth.rings["200"], truth.rings["208"]), (1, 1));
    let asked = scene.query("<ext id=\"208\"/>").await;
    assert!(asked.contains("<ext id=\"200\">\n      <state>talk</state>\n    </ext>"), "{asked}");
    scene.command("Control", "Clear", "<ext id=\"200\"/>").await;
    scene.until_quiet().await;
    let told = scene.told();
    let first = ["RING 208 200", "BUSY 208", "ALERT 200 208", "RING 200 208", "BUSY 200", "ANSWER 200 208"];
    assert_eq!(told[..6], first, "{told:?}");
    assert_eq!(told[6..8], ["ANSWER 208 200", "ANSWERED 200 208"], "{told:?}");
    for end in ["IDLE 200", "IDLE 208", "Cdr LO/IC", "Cdr IN/IC"] {
        assert_eq!(told.iter().filter(|told| *told == end).count(), 1, "{end} in {told:?}");
    }
}

#[tokio::test]
async fn the_caller_rings_first_if_the_device_is_set_so() {
    let scene = Scene::quiet().await;
    scene.web("method=gw.config.set&id978=yes").await;
    scene.connect("<ext id=\"200\"/><ext id=\"208\"/>").await;
    scene.until_quiet().await;
    let told = scene.told();
    let first = ["RING 200", "BUSY 200", "ANSWER 200", "RING 208 200", "BUSY 208", "ALERT 200 208"];
    assert_eq!(told[..6], first, "{told:?}");
    let reports = scene.reports.lock().unwrap();
    assert!(reports[0].contains("<ext id=\"200\" />\n  <visitor from=\"\" />"), "{}", reports[0]);
}

#[tokio::test]
async fn an_extension_calls_out_over_the_trunk_that_is_asked_for() {
    let scene = Scene::patient(quiet()).await;
    let reply = scene.connect("<ext id=\"208\"/><outer to=\"9,13012345678,,1\"/>").await;
    assert!(
        reply.contains(
            "<Event attribute=\"TRANSIENT\">\n  <outer id=\"1\" from=\"208\" to=\"13012345678\" trunk=\"888\""
        ),
        "{reply}"
    );
    assert!(scene.query("<outer id=\"\"/>").await.contains("to=\"13012345678\" trunk=\"888\""));
    scene.until_told("ANSWERED 208").await;
    let trunk = scene.query("<trunk id=\"888\"/>").await;
    assert!(trunk.contains("<lineid>IPLine 21</lineid>") && trunk.contains("<state>talk</state>"), "{trunk}");
    scene.command("Control", "Clear", "<outer id=\"1\"/>").await;
    scene.until_quiet().await;
    let told = scene.told();
    assert_eq!(told[..4], ["ALERT 208", "RING 208", "BUSY 208", "ANSWER 208"], "{told:?}");
    assert!(told.contains(&"Cdr OU/IP".to_owned()), "{told:?}");

    let analog = "<ext id=\"208\"/><trunk id=\"02161208234\"/><outer to=\"13012345678\"/>";
    let reply = scene.connect(analog).await;
    assert!(reply.contains("<outer from=\"208\" to=\"13012345678\" />\n  <ext id=\"208\" />"), "{reply}");
    let busy = scene.connect("<ext id=\"201\"/><trunk id=\"02161208234\"/><outer to=\"1\"/>").await;
    assert!(busy.contains("<err code=\"5\" reason=\"no circuit\" />"), "{busy}");
    scene.until_told("TRANSIENT 208").await;
    scene.command("Control", "Clear", "<outer id=\"2\"/>").await;
    scene.until_quiet().await;
    assert!(scene.told().contains(&"Cdr OU/XO".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_code() {
    let scene = Scene::patient(quiet()).await;
    let unknown = scene.connect("<ext id=\"200\"/><ext id=\"999\"/>").await;
    assert!(unknown.contains("<err code=\"7\" reason=\"not exist\" />"), "{unknown}");
    scene.connect("<ext id=\"200\"/><ext id=\"208\"/>").await;
    let ringing = scene.connect("<ext id=\"201\"/><ext id=\"208\"/>").await;
    assert!(ringing.contains("code=\"6\" reason=\"busy\""), "{ringing}");
    scene.until_told("ANSWERED 200 208").await;
    let talking = scene.connect("<ext id=\"201\"/><ext id=\"208\"/>").await;
    assert!(
        talking.contains("<Event attribute=\"FAILED\">\n  <ext id=\"201\" />\n  <ext id=\"208\" />\n  <err code=\"4\" reason=\"other call\" />"),
        "{talking}"
    );
    assert!(scene.connect("<visitor id=\"77\"/><ext id=\"201\"/>").await.contains("code=\"7\""));
    assert!(scene.connect("<menu id=\"1\"/><ext id=\"201\"/>").await.contains("code=\"7\""));
    let outside = scene.connect("<outer to=\"1\"/><outer to=\"2\"/>").await;
    assert!(outside.contains("code=\"2\" reason=\"restricted\""), "{outside}");
    assert!(scene.command("Control", "Fly", "").await.contains("code=\"1\""));
    assert!(scene.post("<Transfer><ext").await.contains("code=\"1\""));
}

#[tokio::test]
async fn menus_call_and_outsiders_are_joined() {
    let scene = Scene::quiet().await;
    scene.web("method=gw.config.set&id1070=1").await;
    let menu = "<menu id=\"1\"><voicefile>welcome</voicefile><repeat>3</repeat><exit>#</exit></menu>";
    let assigned = scene.command("Control", "Assign", menu).await;
    assert!(assigned.contains("<voicefile>welcome</voicefile>") && assigned.contains("Empty Waiting List"));
    assert_eq!(scene.connect("<menu id=\"1\"/><ext id=\"201\"/>").await, "");
    scene.until_state("in_menu").await;
    let inside = scene.query("<menu id=\"1\"/>").await;
    assert!(inside.contains("<ext id=\"201\"/>") && !inside.contains("Empty"), "{inside}");
    scene.until_quiet().await;
    assert_eq!(scene.told()[..2], ["RING 201", "BUSY 201"]);
    let reply = scene.connect("<menu id=\"1\"/><outer to=\"13012345678\"/>").await;
    assert!(reply.contains("from=\"\" to=\"13012345678\" trunk=\"888\""), "{reply}");
    assert!(reply.contains("<menu id=\"1\" />"), "{reply}");
    scene.until_state("in_menu").await;
    scene.until_quiet().await;
    let reply = scene.connect("<outer to=\"13012345678\"/><outer to=\"02167103750\"/>").await;
    assert!(reply.contains("from=\"\" to=\"13012345678\"") && !reply.contains("02167103750"), "{reply}");
    scene.until_state("talking").await;
    scene.until_quiet().await;
    for set in ["id624=yes", "id991=yes"] {
        scene.web(&format!("method=gw.config.set&{set}")).await;
    }
    let over = "<outer to=\"1301\" display=\"889\"/><outer to=\"1302\" display=\"888\"/>";
    assert!(scene.connect(over).await.contains("trunk=\"889\""));
    scene.until_state("talking").await;
    let trunk = scene.truth().calls[0].outer[1];
    assert!(scene.query("<trunk id=\"888\"/>").await.contains(&format!("<outer id=\"{trunk}\"")));
    scene.until_quiet().await;
    assert_eq!(
        scene.told().iter().filter(|told| told.starts_with("Cdr CB/")).count(),
        4,
        "{:?}",
        scene.told()
    );
}

#[tokio::test]
async fn what_is_newer_than_the_firmware_is_refused() {
    let old = FleetConfig { firmware: "Rev 2.1.5.98".to_owned(), ..quiet() };
    let scene = Scene::new(old).await;
    assert!(scene.query("<DeviceInfo/>").await.contains("<version>Rev 2.1.5.98</version>"));
    for newer in [
        "<Manage attribute=\"Query\"><voicefile/></Manage>",
        "<Control attribute=\"Talk\"><ext id=\"200\"/></Control>",
        "<Transfer attribute=\"Connect\"><ext id=\"200\"/><voicefile>welcome</voicefile></Transfer>",
        "<Transfer attribute=\"Connect\"><ext id=\"200\"/><trunk id=\"888\"/><outer to=\"1\"/></Transfer>",
        "<Auth><nonce>1</nonce></Auth><Control attribute=\"Query\"><DeviceInfo/></Control>",
    ] {
        assert!(scene.post(newer).await.contains("<Event attribute=\"FAILED\">"), "{newer}");
    }
}
