//! The model against the simulator's truth.

use std::collections::{BTreeMap, HashMap};

use switchroom::app::Services;
use switchroom::storage::records::{Kind, Query};
use switchroom_actors::device::messages::{GetCalls, GetExtensions, GetGroups, GetTrunks};
use switchroom_domain::id::DeviceId;
use switchroom_domain::view::CdrView;
use switchroom_domain::view::{CallState, CallView, ExtensionView, GroupView, TrunkView};
use switchroom_protocol::Dialect;
use switchroom_simulator::{CallTruth, DeviceTruth, Truth};

/// The state of one device, in the words that model and truth share: entity → state.
pub type States = BTreeMap<String, String>;

/// What the model says of a device. Calls are entities named by their parties; a call that is there twice is
/// numbered.
///
/// # Errors
/// When the device is not there.
pub async fn model(services: &Services, id: &str) -> anyhow::Result<States> {
    let device =
        services.registry.get(&DeviceId::new(id)?).ok_or_else(|| anyhow::anyhow!("no device {id}"))?;
    let addr = device.handle.addr().ok_or_else(|| anyhow::anyhow!("{id} has no cell"))?;
    Ok(states(
        addr.send(GetExtensions(None)).await?,
        addr.send(GetTrunks(None)).await?,
        addr.send(GetGroups).await?,
        addr.send(GetCalls(None)).await?,
    ))
}

/// What the model says, from its views.
#[must_use]
pub fn states(
    extensions: Vec<ExtensionView>,
    trunks: Vec<TrunkView>,
    groups: Vec<GroupView>,
    calls: Vec<CallView>,
) -> States {
    let mut states = States::new();
    for extension in extensions {
        put(&mut states, format!("extension {}", extension.number), json(&extension.state));
    }
    for trunk in trunks {
        put(&mut states, format!("trunk {}", trunk.number), json(&trunk.state));
    }
    for group in groups {
        let waiting: Vec<_> =
            group.waiting.iter().map(|w| w.from.clone().unwrap_or_default().to_string()).collect();
        if !waiting.is_empty() {
            put(&mut states, format!("queue {}", group.queue_id), waiting.join(","));
        }
    }
    for call in calls {
        put(&mut states, call_name(&call), call_state(&call));
    }
    states
}

/// What no report decides, because none tells it; without asking the device it cannot be known.
///
/// - A caller that hears a menu is told of with the first key or the end of the announcement, not when the
///   menu begins (OM, Yeastar).
/// - A callback is told of when the first of its two outside parties answers; a call that an application lets wait for
///   one extension when that rings. Until then their trunks cannot be known to be in use either.
/// - Yeastar and ZYCOO tell nothing of queues, nor of calls between a menu and a telephone, but that the
///   telephone rings and is busy.
/// - ZYCOO tells of a call in when a telephone rings, not while it waits for an application.
/// - ZYCOO does not tell when an outside party answers, and names trunks by their span and not by number, so
///   that the number that a caller dialled is not known either. A menu that dials is a channel like a
///   telephone's, and when a call is between two outside parties the end of its first channel looks like the
///   end of the call.
#[must_use]
pub fn undecidable(dialect: Dialect, difference: &Difference) -> bool {
    let state = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    let (theirs, ours) = (state(&difference.truth), state(&difference.model));
    let is_call = difference.entity.starts_with("call ");
    let menu_not_told = theirs == "in_menu"
        && matches!(ours.as_str(), "incoming" | "invited" | "dialing" | "ringing" | "talking");
    let zycoo = dialect == Dialect::Zycoo;
    let unknown = difference.model == "-";
    let callback_not_told = difference.entity.starts_with("call callback") && theirs == "ringing" && unknown;
    let queue_not_told =
        dialect != Dialect::Om && (theirs == "queued" || difference.entity.starts_with("queue "));
    let menu_call_not_told =
        dialect != Dialect::Om && is_call && difference.truth.contains("menu:") && unknown;
    let call_in_not_told = zycoo && is_call && matches!(theirs.as_str(), "invited" | "incoming") && unknown;
    let answer_not_told =
        zycoo && difference.truth.contains("outer:") && theirs == "talking" && ours == "ringing";
    let trunk_not_named = zycoo && difference.entity.starts_with("trunk ");
    // Both outside channels run under one id, and the end of the first looks like the end of the call.
    let passed_outside = zycoo
        && (difference.truth.contains("outer:") && difference.truth.contains("visitor:")
            || difference.entity.starts_with("call callback")
            || difference.entity.starts_with("call outbound - "));
    let menu_as_telephone = zycoo && difference.entity.starts_with("extension ") && difference.truth == "-";
    let not_told = callback_not_told || queue_not_told || menu_call_not_told || call_in_not_told;
    not_told
        || (is_call && (menu_not_told || answer_not_told || passed_outside))
        || trunk_not_named
        || menu_as_telephone
}

/// What no question brings back once its report was lost: an extension that waits in a group. The device tells the
/// visitors that wait (OM 2.1.1.6), and of an extension no more than that it is busy.
#[must_use]
pub fn lost_for_good(difference: &Difference, all: &[Difference]) -> bool {
    let waits = |of: &Difference| {
        let inside = of.device == difference.device && of.entity.starts_with("call internal ");
        let number = of.truth.strip_prefix("queued extension:").filter(|_| inside && of.model == "-")?;
        Some(number.to_owned())
    };
    if waits(difference).is_some() {
        return true;
    }
    let missing: Vec<String> = all.iter().filter_map(waits).collect();
    let numbers = |text: &str| -> Vec<String> {
        let named = text.split(',').filter(|number| !number.is_empty() && *number != "-");
        named.filter(|number| !missing.iter().any(|gone| gone == number)).map(str::to_owned).collect()
    };
    difference.entity.starts_with("queue ") && numbers(&difference.truth) == numbers(&difference.model)
}

/// For ZYCOO, on both sides: the dialled number of an inbound call is not told, so it is left out; a telephone
/// that passes its calls on to the outside is not named at all, only who calls and the number outside, so such
/// a call goes by these.
#[must_use]
pub fn comparable(dialect: Dialect, states: States) -> States {
    if dialect != Dialect::Zycoo {
        return states;
    }
    let mut renamed = States::new();
    for (name, state) in states {
        let outside = state.split(' ').find_map(|leg| leg.strip_prefix("outer:"));
        let name = match (name.split_once(" -> "), outside) {
            (Some((from, _)), _) if name.starts_with("call inbound") => format!("{from} -> *"),
            (Some((from, _)), Some(number)) if name.starts_with("call internal") => {
                format!("{} -> {number}", from.replace("call internal", "call outbound"))
            }
            _ => name,
        };
        put(&mut renamed, name, state);
    }
    renamed
}

/// What the truth says of a device, in the same words.
#[must_use]
pub fn truth(device: &DeviceTruth) -> States {
    let mut states = States::new();
    for (number, state) in &device.extensions {
        put(&mut states, format!("extension {number}"), state.clone());
    }
    for (number, state) in &device.trunks {
        let holders = || device.calls.iter().filter(|call| call.trunk.as_ref() == Some(number));
        // A callback's second trunk is not named.
        let callback = || device.calls.iter().any(|call| is_callback(call) && untold(device, call));
        let told = holders().any(|call| !untold(device, call)) || (holders().count() == 0 && !callback());
        let state = if state == "active" && !told { UNTOLD.to_owned() } else { state.clone() };
        put(&mut states, format!("trunk {number}"), state);
    }
    for (queue, waiting) in &device.queues {
        if !waiting.is_empty() {
            put(&mut states, format!("queue {queue}"), waiting.join(","));
        }
    }
    // A call that waits for one extension: no report tells (2.2.2.1).
    for call in device.calls.iter().filter(|call| call.waits_for.is_none()) {
        put(&mut states, truth_call_name(call), truth_call_state(call));
    }
    states
}

/// The state of a trunk that only calls hold of which no report has told yet.
const UNTOLD: &str = "held by an untold call";

fn is_callback(call: &CallTruth) -> bool {
    json(&call.direction) == "callback"
}

/// Has no report told of this call yet? See [`undecidable`].
fn untold(device: &DeviceTruth, call: &CallTruth) -> bool {
    let queues_are_told = device.dialect == switchroom_simulator::Dialect::Om;
    call.waits_for.is_some()
        || (!queues_are_told && call.state == "queued")
        || (is_callback(call) && matches!(call.state.as_str(), "ringing" | "dialing"))
}

fn put(states: &mut States, name: String, state: String) {
    let mut unique = name.clone();
    let mut n = 2;
    while states.contains_key(&unique) {
        unique = format!("{name} #{n}");
        n += 1;
    }
    states.insert(unique, state);
}

fn call_name(call: &CallView) -> String {
    let text = |number: &Option<switchroom_domain::Text>| number.as_deref().unwrap_or("-").to_owned();
    format!("call {} {} -> {}", call.direction.as_str(), text(&call.from), text(&call.to))
}

fn call_state(call: &CallView) -> String {
    let mut legs: Vec<_> = call
        .legs
        .iter()
        .filter(|leg| leg.state != CallState::Ended)
        .map(|leg| format!("{}:{}", json(&leg.kind), leg.number.as_deref().unwrap_or("-")))
        .collect();
    legs.sort();
    format!("{} {}", call.state.as_str(), legs.join(" "))
}

fn truth_call_name(call: &CallTruth) -> String {
    let text = |number: &Option<String>| number.as_deref().unwrap_or("-").to_owned();
    format!("call {} {} -> {}", json(&call.direction), text(&call.from), text(&call.to))
}

fn truth_call_state(call: &CallTruth) -> String {
    let mut legs: Vec<_> = call.legs.iter().map(|leg| format!("{}:{}", leg.kind, leg.number)).collect();
    legs.sort();
    format!("{} {}", call.state, legs.join(" "))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// One thing that model and truth do not agree about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// On which device.
    pub device: String,
    /// What.
    pub entity: String,
    /// What the truth says; `-` when it knows nothing of it.
    pub truth: String,
    /// What the model says.
    pub model: String,
}

/// Compares the states of one device.
#[must_use]
pub fn differences(device: &str, truth: &States, model: &States) -> Vec<Difference> {
    let mut found = Vec::new();
    let names: std::collections::BTreeSet<_> = truth.keys().chain(model.keys()).collect();
    for name in names {
        let (theirs, ours) = (truth.get(name), model.get(name));
        // A telephone or trunk that no report has named yet, and that does nothing.
        let never_named = ours.is_none() && matches!(theirs.map(String::as_str), Some("idle" | "ready"));
        let untold = theirs.is_some_and(|state| state == UNTOLD);
        if theirs != ours && !never_named && !untold {
            let text = |state: Option<&String>| state.cloned().unwrap_or_else(|| "-".to_owned());
            found.push(Difference {
                device: device.to_owned(),
                entity: name.clone(),
                truth: text(theirs),
                model: text(ours),
            });
        }
    }
    found
}

/// Compares a whole fleet, leaving out what is undecidable.
///
/// # Errors
/// When a device is not there.
pub async fn compare(
    services: &Services,
    fleet: &Truth,
    dialect: Dialect,
) -> anyhow::Result<Vec<Difference>> {
    let mut all = Vec::new();
    for (id, device) in &fleet.devices {
        let theirs = comparable(dialect, truth(device));
        let ours = comparable(dialect, model(services, id).await?);
        all.extend(differences(id, &theirs, &ours).into_iter().filter(|d| !undecidable(dialect, d)));
    }
    Ok(all)
}

/// Every record that left a device is stored once; gives what is missing, and what is there twice or should
/// not be there.
///
/// # Errors
/// When the store cannot be read.
pub async fn compare_cdrs(
    services: &Services,
    fleet: &Truth,
    dialect: Dialect,
) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let mut stored: HashMap<(String, String), usize> = HashMap::new();
    let mut before = None;
    loop {
        let query = Query { before, limit: 1000, ..Query::default() };
        let (page, next) = services.reader.records::<CdrView>(Kind::Cdr, query, None).await?;
        before = next;
        // A ZYCOO's record of a menu goes beside the record of its call, under the same id.
        for (_, cdr) in page.into_iter().filter(|(_, cdr)| cdr.kind != "ivr") {
            *stored.entry((cdr.device.to_string(), cdr.wire_id.to_string())).or_default() += 1;
        }
        if before.is_none() {
            break;
        }
    }
    let (mut missing, mut surplus) = (Vec::new(), Vec::new());
    if dialect != Dialect::Om {
        // Their records have no id of their own on the wire; they are counted.
        for (id, device) in &fleet.devices {
            let have: usize = stored.iter().filter(|((of, _), _)| of == id).map(|(_, count)| *count).sum();
            let sent = usize::try_from(device.cdrs_sent)?;
            match have.cmp(&sent) {
                std::cmp::Ordering::Less => missing.push(format!("{id}: {have} of {sent}")),
                std::cmp::Ordering::Greater => surplus.push(format!("{id}: {have} of {sent}")),
                std::cmp::Ordering::Equal => {}
            }
        }
        return Ok((missing, surplus));
    }
    for (id, device) in &fleet.devices {
        // One call can leave two records of one wire id on dialects whose records have no id of their own.
        let mut sent: HashMap<&str, usize> = HashMap::new();
        for wire_id in &device.cdrs {
            *sent.entry(wire_id).or_default() += 1;
        }
        for (wire_id, count) in sent {
            let have = stored.remove(&(id.clone(), wire_id.to_owned())).unwrap_or(0);
            if have < count {
                missing.push(format!("{id} {wire_id}"));
            } else if have > count {
                surplus.push(format!("{id} {wire_id} x{have}"));
            }
        }
    }
    surplus.extend(
        stored.keys().filter(|(id, _)| fleet.devices.contains_key(id)).map(|(id, w)| format!("{id} {w}")),
    );
    Ok((missing, surplus))
}
