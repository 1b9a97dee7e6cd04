//! Calls that come in and wait for an application, and commands that move calls.

use switchroom_simulator::FleetConfig;

use crate::support::{Scene, quiet};

async fn controlled(api: u8) -> Scene {
    let scene = Scene::new(FleetConfig { trunk_api: Some(api), ..quiet() }).await;
    // Six seconds on the clock on the wall.
    scene.web("method=gw.config.set&id526=120").await;
    scene
}

async fn patiently_controlled() -> Scene {
    let scene = Scene::patient(FleetConfig { trunk_api: Some(0x27), ..quiet() }).await;
    scene.web("method=gw.config.set&id526=120").await;
    scene
}

#[tokio::test]
async fn an_invited_call_waits_for_accept_and_then_for_a_transfer() {
    let scene = controlled(0x37).await;
    let id = scene.visitor("888");
    scene.until_told("INVITE").await;
    let early = scene.connect(&format!("<visitor id=\"{id}\"/><ext id=\"208\"/>")).await;
    assert!(early.contains("code=\"1\""), "{early}");
    let accepted = scene.command("Notify", "Accept", &format!("<visitor id=\"{id}\"/>")).await;
    assert_eq!(accepted, "");
    scene.until_told("INCOMING").await;
    let asked = scene.query(&format!("<visitor id=\"{id}\"/>")).await;
    assert!(asked.contains("from=\"13012345678\" to=\"888\""), "{asked}");
    let automatic = "<AutoAnswer>yes</AutoAnswer>";
    let reply = scene.connect(&format!("<visitor id=\"{id}\"/><ext id=\"208\"/>{automatic}")).await;
    assert!(
        reply.contains(&format!("TRANSIENT\">\n  <visitor id=\"{id}\" from=\"13012345678\" to=\"888\"")),
        "{reply}"
    );
    assert!(reply.contains("<ext id=\"208\" />"), "{reply}");
    scene.until_told("ANSWER 208").await;
    let truth = scene.truth();
    assert_eq!((truth.rings["208"], truth.accepts.len(), truth.accepts[0].visitor), (1, 1, id));
    scene.until_quiet().await;
    let told = scene.told();
    assert_eq!(
        told[..6],
        ["INVITE", "INCOMING", "RING 208", "BUSY 208", "ALERT 208", "ANSWER 208"],
        "{told:?}"
    );
}

#[tokio::test]
async fn a_refused_call_ends_and_an_undecided_one_goes_to_the_operator() {
    let scene = controlled(0x37).await;
    let id = scene.visitor("889");
    scene.until_told("INVITE").await;
    assert_eq!(scene.command("Control", "Clear", &format!("<visitor id=\"{id}\"/>")).await, "");
    scene.until_quiet().await;
    assert!(!scene.told().iter().any(|told| told.starts_with("RING")), "{:?}", scene.told());
    scene.web("method=gw.config.set&id526=1").await;
    let before = scene.fleet.truth();
    assert_eq!(before.devices["sim-1"].accepts.len(), 0);
    scene.visitor("889");
    scene.until_told("RING 200").await;
    scene.until_quiet().await;
}

#[tokio::test]
async fn only_the_switches_that_are_on_ask() {
    let scene = controlled(0x17).await;
    let id = scene.visitor("888");
    scene.command("Notify", "Accept", &format!("<visitor id=\"{id}\"/>")).await;
    scene.until_state("ringing").await;
    assert!(!scene.told().contains(&"INCOMING".to_owned()), "{:?}", scene.told());
    scene.fleet.set_trunk_api("sim-1", 0x27).unwrap();
    scene.visitor("888");
    scene.until_told("INCOMING").await;
    assert_eq!(scene.told().iter().filter(|told| *told == "INVITE").count(), 1);
    assert!(scene.fleet.set_trunk_api("sim-1", 0x08).is_err());
}

#[tokio::test]
async fn a_visitor_is_moved_on_from_wherever_it_is() {
    let scene = patiently_controlled().await;
    let menu = "<menu id=\"2\"><voicefile>welcome</voicefile><infolength>3</infolength></menu>";
    scene.command("Control", "Assign", menu).await;
    let id = scene.visitor("888");
    let visitor = format!("<visitor id=\"{id}\"/>");
    let reply = scene.connect(&format!("{visitor}<menu id=\"2\"/><voicefile>user_1+2</voicefile>")).await;
    assert!(reply.contains("<menu id=\"2\" />"), "{reply}");
    scene.until_told("EndOfAnn").await;
    assert_eq!(scene.truth().menus["2"].callers, ["13012345678"]);
    scene.connect(&format!("{visitor}<ext id=\"207\"/>")).await;
    scene.until_told("ANSWER 207").await;
    let to_outside = format!("{visitor}<outer to=\"02167103750\" display=\"1\"/>");
    assert!(scene.connect(&to_outside).await.contains("code=\"2\" reason=\"restricted\""));
    scene.web("method=gw.config.set&id1070=1").await;
    let reply = scene.connect(&to_outside).await;
    assert!(
        reply.contains(&format!("<visitor id=\"{id}\"")) && reply.contains("<outer to=\"02167103750\" />")
    );
    scene.until_told("IDLE 207").await;
    scene.until_told("ANSWERED").await;
    let joined = scene.query(&visitor).await;
    assert!(joined.contains("to=\"02167103750\" trunk=\"888\""), "{joined}");
    scene.command("Control", "Clear", &visitor).await;
    scene.until_quiet().await;
    let told = scene.told();
    assert!(told.contains(&"Cdr IN/IP".to_owned()) && told.contains(&"Cdr OU/IP".to_owned()), "{told:?}");
}

#[tokio::test]
async fn calls_go_where_an_extension_was_told_to_send_them() {
    let scene = patiently_controlled().await;
    let ext = "<ext lineid=\"IPPhone 4\"><Fwd_Type>1</Fwd_Type><Fwd_Number>205</Fwd_Number></ext>";
    scene.command("Control", "Assign", ext).await;
    let id = scene.visitor("888");
    scene.connect(&format!("<visitor id=\"{id}\"/><ext id=\"203\"/>")).await;
    scene.until_told("ANSWER 205").await;
    scene.command("Control", "Clear", "<ext id=\"205\"/>").await;
    scene.until_quiet().await;
    let ext = ext.replace("205", "13600000000");
    scene.command("Control", "Assign", &ext).await;
    scene.connect("<ext id=\"201\"/><ext id=\"203\"/>").await;
    scene.until_told("ANSWERED 201").await;
    let legs = scene.truth().calls.remove(0).legs;
    assert!(legs.iter().any(|leg| leg.number == "13600000000"), "{legs:?}");
    assert!(scene.told().contains(&"DIVERT 201".to_owned()), "{:?}", scene.told());
    scene.command("Control", "Clear", "<ext id=\"201\"/>").await;
    scene.until_quiet().await;
}

#[tokio::test]
async fn visitors_queue_for_an_extension_and_for_a_group() {
    let scene = patiently_controlled().await;
    scene.connect("<ext id=\"201\"/><ext id=\"202\"/>").await;
    scene.until_told("ANSWERED 201 202").await;
    scene.command("Control", "Hold", "<ext id=\"201\"/>").await;
    let id = scene.visitor("888");
    let reply = scene.command("Transfer", "Queue", &format!("<visitor id=\"{id}\"/><ext id=\"202\"/>")).await;
    assert!(reply.contains("<ext id=\"202\" />\n  <state>wait</state>"), "{reply}");
    assert!(scene.query(&format!("<visitor id=\"{id}\"/>")).await.contains("<state>wait</state>"));
    let group = "<group id=\"9\"><distribution>sequential</distribution><ext>201</ext><ext>202</ext></group>";
    let assigned = scene.command("Control", "Assign", group).await;
    assert!(assigned.contains("<ext id=\"201\"/>\n    <ext id=\"202\"/>"), "{assigned}");
    let reply = scene.command("Transfer", "Queue", &format!("<visitor id=\"{id}\"/><group id=\"9\"/>")).await;
    assert!(reply.contains("<group id=\"9\" />"), "{reply}");
    let asked = scene.query("<group id=\"9\"/>").await;
    assert!(asked.contains(&format!("<visitor id=\"{id}\"")) && !asked.contains("Empty"), "{asked}");
    assert!(!scene.told().contains(&"QUEUE".to_owned()), "a group made by commands does not report");
    scene.command("Control", "Clear", "<ext id=\"201\"/>").await;
    scene.until("it rings", |scene| scene.truth().rings.values().sum::<u64>() == 3).await;
}

#[tokio::test]
async fn an_outer_is_moved_and_its_caller_is_free() {
    let scene = Scene::patient(quiet()).await;
    scene.web("method=gw.config.set&id1070=1").await;
    scene.connect("<ext id=\"201\"/><outer to=\"13012345678\"/>").await;
    assert!(scene.connect("<outer id=\"1\"/><ext id=\"202\"/>").await.contains("code=\"1\""));
    scene.until_told("ANSWERED 201").await;
    let reply = scene.connect("<outer id=\"1\"/><ext id=\"202\"/>").await;
    assert!(
        reply.contains("<outer id=\"1\" from=\"201\" to=\"13012345678\"") && !reply.contains("<ext"),
        "{reply}"
    );
    scene.until_told("IDLE 201").await;
    scene.until_told("ANSWER 202").await;
    let reply = scene.connect("<outer id=\"1\"/><outer to=\"02167103750\"/>").await;
    assert!(reply.contains("<outer to=\"02167103750\" />"), "{reply}");
    scene.until_told("IDLE 202").await;
    scene.until_state("talking").await;
    scene.command("Control", "Clear", "<outer id=\"1\"/>").await;
    scene.until_quiet().await;
    let told = scene.told();
    assert_eq!(told.iter().filter(|told| *told == "Cdr OU/IP").count(), 2, "{told:?}");
}

#[tokio::test]
async fn calls_are_held_joined_heard_and_ended() {
    let scene = Scene::patient(quiet()).await;
    let about = |ext: &str| format!("<ext id=\"{ext}\"/>");
    scene.connect("<ext id=\"201\"/><ext id=\"202\"/>").await;
    assert!(scene.command("Control", "Hold", &about("201")).await.contains("code=\"1\""));
    scene.until_told("ANSWERED 201 202").await;
    assert_eq!(scene.command("Control", "Mute", &about("201")).await, "");
    assert_eq!(scene.truth().muted, ["201"]);
    assert_eq!(scene.command("Control", "Unmute", &about("201")).await, "");
    assert_eq!(scene.connect("<ext id=\"201\"/><voicefile>welcome</voicefile>").await, "");
    assert_eq!(scene.command("Control", "Hold", &about("201")).await, "");
    assert!(scene.query(&about("202")).await.contains("<state>wait</state>"));
    assert_eq!(scene.connect("<ext id=\"201\"/><ext id=\"203\"/>").await, "");
    scene.until_told("ANSWERED 201 203").await;
    assert_eq!(scene.command("Transfer", "Conference", &about("201")).await, "");
    let both = scene.query(&about("201")).await;
    assert_eq!(both.matches("<state>talk</state>").count(), 2, "{both}");
    assert_eq!(scene.command("Control", "Clear", &about("201")).await, "");
    scene.until_quiet().await;
    assert_eq!(scene.told().iter().filter(|told| *told == "IDLE 201").count(), 1, "{:?}", scene.told());

    scene.connect("<ext id=\"205\"/><outer to=\"13012345678\"/>").await;
    scene.until_told("ANSWERED 205").await;
    assert_eq!(scene.command("Control", "Monitor", "<ext id=\"206\"/><ext id=\"205\"/>").await, "");
    scene.until_told("ANSWER 206 205").await;
    assert_eq!(scene.command("Control", "Talk", &about("206")).await, "");
    let watching = |scene: &Scene| scene.truth().calls.into_iter().find(|call| call.watches.is_some());
    assert!(watching(&scene).unwrap().barges_in);
    assert_eq!(scene.command("Control", "Listen", &about("206")).await, "");
    assert!(!watching(&scene).unwrap().barges_in);
    assert!(
        scene
            .command("Control", "Bargein", "<ext id=\"207\"/><ext id=\"205\"/>")
            .await
            .contains("code=\"1\"")
    );
    assert_eq!(scene.command("Control", "Clear", "<outer id=\"1\"/>").await, "");
    scene.until_quiet().await;
    assert!(scene.told().contains(&"IDLE 206".to_owned()), "{:?}", scene.told());
}

#[tokio::test]
async fn a_held_call_comes_back_when_the_other_ends() {
    let scene = Scene::patient(quiet()).await;
    scene.connect("<ext id=\"201\"/><ext id=\"202\"/>").await;
    scene.until_told("ANSWERED 201 202").await;
    scene.command("Control", "Hold", "<ext id=\"201\"/>").await;
    scene.connect("<ext id=\"201\"/><ext id=\"203\"/>").await;
    scene.until_told("ANSWERED 201 203").await;
    scene.command("Control", "Clear", "<ext id=\"203\"/>").await;
    scene.until_told("IDLE 203").await;
    let asked = scene.query("<ext id=\"201\"/>").await;
    assert!(asked.contains("<ext id=\"202\">\n      <state>talk</state>"), "{asked}");
    scene.command("Control", "Clear", "<ext id=\"202\"/>").await;
    scene.until_quiet().await;
}
