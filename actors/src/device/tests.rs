//! What the cell makes of the calls that the vendor's document describes, in order and out of it.

use switchroom_domain::Text;
use switchroom_domain::event::{Event, EventKind};
use switchroom_domain::fact::{
    CallFact, CdrFact, Fact, Happening, LineStatus, OutsideParty, Party, QueueMention,
};
use switchroom_domain::id::{DeviceId, IdSeed};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{CallState, CallView, Direction, ExtensionState, TrunkState};

use super::offline::OfflineCell;
use super::state::Effects;
use crate::entity::Doubt;

pub(crate) struct Cell {
    pub(crate) offline: OfflineCell,
    now: i64,
    entropy: u64,
    pub(crate) events: Vec<Event>,
}

impl Cell {
    pub(crate) fn new() -> Self {
        let id = DeviceId::new("om-1").expect("a device id");
        Self {
            offline: OfflineCell::new(id, Doubt::default()),
            now: 1_000_000,
            entropy: 0,
            events: Vec::new(),
        }
    }

    pub(crate) fn after(&mut self, ms: i64, fact: impl Into<Fact>) -> Effects {
        let seed = self.seed(ms);
        let effects = self.offline.apply(seed, vec![fact.into()]);
        self.events.extend(effects.events.clone());
        effects
    }

    fn seed(&mut self, ms: i64) -> IdSeed {
        self.now += ms;
        self.entropy += 1;
        IdSeed { at: Timestamp(self.now), entropy: self.entropy }
    }

    fn wait(&mut self, ms: i64) {
        let seed = self.seed(ms);
        let effects = self.offline.tick(seed);
        self.events.extend(effects.events);
    }

    fn calls(&self) -> Vec<CallView> {
        let state = &self.offline.state;
        state.calls().iter().map(|call| call.view(state.id(), Timestamp(0))).collect()
    }

    fn only_call(&self) -> CallView {
        let mut calls = self.calls();
        assert_eq!(calls.len(), 1, "{calls:#?}");
        calls.remove(0)
    }

    fn extension(&self, number: &str) -> ExtensionState {
        self.offline.extensions.get(number).map_or(ExtensionState::Unknown, |e| e.view(Timestamp(0)).state)
    }

    fn trunk(&self, number: &str) -> TrunkState {
        self.offline.trunks.get(number).map_or(TrunkState::Unknown, |t| t.view(Timestamp(0)).state)
    }

    fn kinds(&self) -> Vec<&'static str> {
        let call =
            |e: &&Event| e.kind.matches("call.*") || e.kind.matches("queue.*") || e.kind.matches("gap.*");
        self.events.iter().filter(call).map(|e| e.kind.as_str()).collect()
    }
}

struct F(Fact);

impl From<F> for Fact {
    fn from(f: F) -> Self {
        f.0
    }
}

fn ext(number: &str) -> Party {
    Party::extension(number)
}

fn visitor() -> Party {
    visitor_of("22", "13012345678")
}

fn visitor_of(id: &str, from: &str) -> Party {
    Party::Visitor(OutsideParty {
        id: Some(id.into()),
        from: Some(from.into()),
        to: Some("888".into()),
        callid: Some("16408".into()),
        ..OutsideParty::default()
    })
}

fn outer(id: &str, to: &str, callid: &str) -> Party {
    Party::Outer(OutsideParty {
        id: Some(id.into()),
        to: Some(to.into()),
        trunk: Some("888".into()),
        callid: Some(callid.into()),
        ..OutsideParty::default()
    })
}

fn call(happening: Happening, parties: Vec<Party>) -> F {
    F(Fact::Call(Box::new(CallFact::new(happening, parties))))
}

fn line(number: &str, status: LineStatus) -> F {
    F(Fact::ExtensionStatus(switchroom_domain::fact::ExtensionStatus {
        extension: number.into(),
        status,
        address: None,
    }))
}

fn queue(parties: Vec<Party>, id: &str, count: u32) -> F {
    let mut fact = CallFact::new(Happening::Queued, parties);
    fact.queue = Some(QueueMention { id: id.into(), count: Some(count) });
    F(Fact::Call(Box::new(fact)))
}

fn inbound_reports() -> Vec<F> {
    vec![
        call(Happening::Incoming, vec![visitor()]),
        call(Happening::Alerting, vec![visitor(), ext("200")]),
        call(Happening::Ringing, vec![ext("200"), visitor()]),
        line("200", LineStatus::Busy),
        call(Happening::Answered, vec![ext("200"), visitor()]),
    ]
}

#[test]
fn an_inbound_call_in_order() {
    let mut cell = Cell::new();
    for fact in inbound_reports() {
        cell.after(700, fact);
    }
    let call_view = cell.only_call();
    assert_eq!((call_view.direction, call_view.state), (Direction::Inbound, CallState::Talking));
    assert_eq!((call_view.from.as_deref(), call_view.to.as_deref()), (Some("13012345678"), Some("888")));
    assert_eq!((cell.extension("200"), cell.trunk("888")), (ExtensionState::Busy, TrunkState::Active));
    cell.after(5000, call(Happening::Ended, vec![visitor(), ext("200")]));
    assert!(cell.calls().is_empty());
    assert_eq!((cell.extension("200"), cell.trunk("888")), (ExtensionState::Idle, TrunkState::Ready));
    assert_eq!(
        cell.kinds(),
        ["call.incoming", "call.alerting", "call.ringing", "call.answered", "call.ended"]
    );
}

/// Every order of the reports of an inbound call, each doubled or not, gives the same state in the end.
#[test]
fn an_inbound_call_in_every_order() {
    let orders = permutations(5);
    for (n, order) in orders.iter().enumerate() {
        let mut cell = Cell::new();
        for i in order {
            cell.after(80, inbound_reports().swap_remove(*i));
            if n % 3 == 0 {
                cell.after(5, inbound_reports().swap_remove(*i));
            }
        }
        let call_view = cell.only_call();
        assert_eq!(call_view.state, CallState::Talking, "{order:?}");
        assert_eq!(call_view.from.as_deref(), Some("13012345678"), "{order:?}");
        assert_eq!(cell.extension("200"), ExtensionState::Busy, "{order:?}");
        let answered = cell.kinds().iter().filter(|k| **k == "call.answered").count();
        assert_eq!(answered, 1, "{order:?}");
    }
}

/// Whatever comes after the BYE within the time of overtaking brings nothing back.
#[test]
fn late_reports_leave_no_ghost() {
    for held_back in 0..5 {
        let mut cell = Cell::new();
        for (i, fact) in inbound_reports().into_iter().enumerate() {
            if i != held_back {
                cell.after(60, fact);
            }
        }
        cell.after(60, call(Happening::Ended, vec![visitor(), ext("200")]));
        cell.after(10, line("200", LineStatus::Idle));
        cell.after(200, inbound_reports().swap_remove(held_back));
        cell.after(90, call(Happening::Ended, vec![visitor(), ext("200")]));
        assert!(cell.calls().is_empty(), "held back: {held_back}");
        assert_eq!(cell.extension("200"), ExtensionState::Idle, "held back: {held_back}");
        assert_eq!(cell.kinds().iter().filter(|k| **k == "call.ended").count(), 1);
    }
}

#[test]
fn an_internal_call_knows_who_called() {
    for first in 0..2 {
        let mut cell = Cell::new();
        let reports = [
            || call(Happening::Ringing, vec![ext("208"), ext("200")]),
            || call(Happening::Alerting, vec![ext("200"), ext("208")]),
        ];
        cell.after(100, reports[first]());
        cell.after(100, reports[1 - first]());
        let view = cell.only_call();
        assert_eq!((view.from.as_deref(), view.to.as_deref()), (Some("200"), Some("208")));
        assert_eq!(view.state, CallState::Ringing);
        assert_eq!(
            (cell.extension("200"), cell.extension("208")),
            (ExtensionState::Busy, ExtensionState::Ringing)
        );
        cell.after(100, call(Happening::Answered, vec![ext("208"), ext("200")]));
        cell.after(10, call(Happening::PeerAnswered, vec![ext("200"), ext("208")]));
        assert_eq!(cell.only_call().state, CallState::Talking);
        cell.after(900, call(Happening::Ended, vec![ext("200"), ext("208")]));
        assert!(cell.calls().is_empty());
    }
}

#[test]
fn an_outbound_call_has_two_byes_and_one_end() {
    let mut cell = Cell::new();
    let full = || outer("186", "013693848899", "20666");
    let bare = Party::Outer(OutsideParty { to: Some("013693848899".into()), ..OutsideParty::default() });
    cell.after(10, line("326", LineStatus::Busy));
    cell.after(400, call(Happening::Alerting, vec![ext("326"), bare]));
    cell.after(900, call(Happening::PeerAnswered, vec![ext("326"), full()]));
    let view = cell.only_call();
    assert_eq!((view.direction, view.state), (Direction::Outbound, CallState::Talking));
    assert_eq!((view.from.as_deref(), view.to.as_deref()), (Some("326"), Some("013693848899")));
    assert_eq!(view.legs.len(), 2, "{view:#?}");
    cell.after(9000, call(Happening::Ended, vec![ext("326"), full()]));
    cell.after(20, call(Happening::Ended, vec![full()]));
    assert!(cell.calls().is_empty());
    assert_eq!(cell.kinds(), ["call.dialed", "call.alerting", "call.answered", "call.ended"]);
}

#[test]
fn a_transfer_keeps_the_call() {
    let mut cell = Cell::new();
    for fact in inbound_reports() {
        cell.after(300, fact);
    }
    let id = cell.only_call().id;
    cell.after(4000, call(Happening::Ended, vec![ext("200"), visitor()]));
    cell.after(30, call(Happening::Ringing, vec![ext("201"), visitor()]));
    assert_eq!((cell.only_call().id, cell.only_call().state), (id, CallState::Ringing));
    cell.after(2000, call(Happening::Answered, vec![ext("201"), visitor()]));
    assert_eq!(cell.only_call().state, CallState::Talking);
    assert_eq!((cell.extension("200"), cell.extension("201")), (ExtensionState::Idle, ExtensionState::Busy));
    cell.after(900, call(Happening::Ended, vec![visitor(), ext("201")]));
    assert!(cell.calls().is_empty());
}

#[test]
fn a_telephone_that_hangs_up_ends_the_call_unless_it_was_passed_on() {
    let mut cell = Cell::new();
    for fact in inbound_reports() {
        cell.after(300, fact);
    }
    cell.after(4000, call(Happening::Ended, vec![ext("200"), visitor()]));
    assert_eq!(cell.calls().len(), 1, "it may be a transfer");
    cell.wait(1500);
    assert!(cell.calls().is_empty());
    assert_eq!(cell.kinds().last(), Some(&"call.ended"));
    assert!(!cell.kinds().contains(&"gap.detected"), "an ordinary end");
}

#[test]
fn a_queue_is_left_by_ringing_and_by_giving_up() {
    let mut cell = Cell::new();
    cell.after(10, queue(vec![visitor_of("17", "1820")], "6", 1));
    cell.after(2000, queue(vec![ext("213")], "6", 2));
    assert_eq!(cell.offline.queues["6"].view(Timestamp(0)).waiting_count, 2);
    assert_eq!(cell.calls().iter().filter(|c| c.state == CallState::Queued).count(), 2);
    // 4.12: a member rings for the extension that waits.
    cell.after(3000, call(Happening::Ringing, vec![ext("201"), ext("213")]));
    // 4.12: the visitor gives up; the group's number stands as an extension.
    cell.after(1000, call(Happening::Ended, vec![visitor_of("17", "1820"), ext("3")]));
    let view = cell.offline.queues["6"].view(Timestamp(0));
    assert_eq!((view.waiting_count, view.group), (0, Some(3)));
    let left: Vec<_> = cell.events.iter().filter(|e| e.kind == EventKind::QueueLeft).collect();
    let told: Vec<_> = left.iter().map(|e| (e.data.reason.as_deref(), e.data.wait_seconds)).collect();
    assert_eq!(told, [(Some("answered"), Some(3.0)), (Some("abandoned"), Some(6.0))]);
    assert_eq!(left.last().and_then(|e| e.data.group), Some(3));
    assert_eq!(cell.only_call().state, CallState::Ringing);
}

#[test]
fn a_callback_joins_two_outside_calls() {
    let mut cell = Cell::new();
    cell.after(10, call(Happening::Alerting, vec![outer("4", "13012345678", "20484")]));
    cell.after(2000, call(Happening::PeerAnswered, vec![outer("4", "13012345678", "20484")]));
    cell.after(500, call(Happening::Alerting, vec![outer("5", "02167103750", "20484")]));
    cell.after(2000, call(Happening::PeerAnswered, vec![outer("5", "02167103750", "20484")]));
    let view = cell.only_call();
    assert_eq!((view.direction, view.state), (Direction::Callback, CallState::Talking));
    assert_eq!((view.from.as_deref(), view.to.as_deref()), (Some("13012345678"), Some("02167103750")));
    cell.after(900, call(Happening::Ended, vec![outer("4", "13012345678", "20484")]));
    cell.after(20, call(Happening::Ended, vec![outer("5", "02167103750", "20484")]));
    assert!(cell.calls().is_empty());
}

#[test]
fn a_recycled_id_is_another_call() {
    let mut cell = Cell::new();
    for fact in inbound_reports() {
        cell.after(300, fact);
    }
    let first = cell.only_call().id;
    // Its BYE was lost; the id comes back with another caller.
    cell.after(60_000, call(Happening::Ringing, vec![ext("201"), visitor_of("22", "02167103750")]));
    let view = cell.only_call();
    assert_ne!(view.id, first);
    assert_eq!(view.from.as_deref(), Some("02167103750"));
    assert_eq!(
        (cell.extension("200"), cell.extension("201")),
        (ExtensionState::Idle, ExtensionState::Ringing)
    );
    assert!(cell.kinds().contains(&"gap.detected"));
}

#[test]
fn a_lost_bye_is_made_up_for_by_idle() {
    let mut cell = Cell::new();
    for fact in inbound_reports() {
        cell.after(300, fact);
    }
    cell.after(60_000, line("200", LineStatus::Idle));
    assert_eq!(cell.calls().len(), 1);
    cell.wait(2000);
    assert!(cell.calls().is_empty());
    assert_eq!(cell.extension("200"), ExtensionState::Idle);
    assert!(cell.kinds().contains(&"gap.detected"));
}

#[test]
fn one_answers_and_the_others_stop_ringing() {
    let mut cell = Cell::new();
    for number in ["200", "201", "202"] {
        cell.after(50, call(Happening::Ringing, vec![ext(number), visitor()]));
    }
    cell.after(3000, call(Happening::Answered, vec![ext("201"), visitor()]));
    let states = ["200", "201", "202"].map(|n| cell.extension(n));
    assert_eq!(states, [ExtensionState::Idle, ExtensionState::Busy, ExtensionState::Idle]);
}

#[test]
fn a_caller_that_hangs_up_while_several_ring_ends_the_call() {
    let mut cell = Cell::new();
    for number in ["200", "201", "202"] {
        cell.after(0, call(Happening::Ringing, vec![ext(number), ext("208")]));
        cell.after(0, call(Happening::Alerting, vec![ext("208"), ext(number)]));
    }
    assert_eq!(cell.only_call().legs.len(), 4);
    cell.after(3000, call(Happening::Ended, vec![ext("208"), ext("200")]));
    assert!(cell.calls().is_empty());
    for number in ["200", "201", "202", "208"] {
        assert_eq!(cell.extension(number), ExtensionState::Idle, "{number}");
    }
}

#[test]
fn a_menu_and_its_keys() {
    let mut cell = Cell::new();
    cell.after(10, call(Happening::Incoming, vec![visitor()]));
    let mut digits = CallFact::new(Happening::Digits, vec![visitor(), Party::Menu { id: "1".into() }]);
    digits.digits = Some("1".into());
    for _ in 0..2 {
        cell.after(2000, F(Fact::Call(Box::new(digits.clone()))));
    }
    assert_eq!(cell.only_call().state, CallState::InMenu);
    assert_eq!(cell.kinds(), ["call.incoming", "call.digits_received", "call.digits_received"]);
    cell.after(2000, call(Happening::Ringing, vec![ext("200"), visitor()]));
    assert_eq!(cell.only_call().state, CallState::Ringing);
    // A key that was overtaken by the ringing does not bring the menu back.
    cell.after(300, F(Fact::Call(Box::new(digits))));
    assert_eq!(cell.only_call().state, CallState::Ringing);
}

#[test]
fn a_dial_for_an_extension_rings_it_first() {
    let mut cell = Cell::new();
    cell.after(10, call(Happening::Ringing, vec![ext("200"), Party::Visitor(OutsideParty::default())]));
    cell.after(2000, call(Happening::Ringing, vec![ext("201"), ext("200")]));
    cell.after(5, call(Happening::Alerting, vec![ext("200"), ext("201")]));
    let view = cell.only_call();
    assert_eq!((view.from.as_deref(), view.to.as_deref()), (Some("200"), Some("201")));
}

#[test]
fn a_restart_ends_everything() {
    let mut cell = Cell::new();
    for fact in inbound_reports() {
        cell.after(300, fact);
    }
    cell.after(10, queue(vec![visitor_of("17", "1820")], "6", 1));
    cell.after(10, line("210", LineStatus::Busy));
    let effects = cell.after(5000, F(Fact::DeviceBooted));
    let left: Vec<_> = effects.events.iter().filter(|e| e.kind == EventKind::QueueLeft).collect();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].data.reason.as_deref(), left[0].data.wait_seconds), (Some("unknown"), Some(5.01)));
    assert!(cell.calls().is_empty());
    assert_eq!((cell.extension("200"), cell.extension("210")), (ExtensionState::Idle, ExtensionState::Idle));
    assert_eq!(
        (cell.trunk("888"), cell.offline.queues["6"].view(Timestamp(0)).waiting_count),
        (TrunkState::Ready, 0)
    );
    cell.after(100, F(Fact::DeviceBooted));
    assert_eq!(cell.offline.state.boots(), 1, "the same restart, reported twice");
}

#[test]
fn a_record_joins_its_call_and_comes_once() {
    let mut cell = Cell::new();
    for fact in inbound_reports() {
        cell.after(300, fact);
    }
    let id = cell.only_call().id;
    cell.after(5000, call(Happening::Ended, vec![visitor(), ext("200")]));
    let record = || {
        F(Fact::Cdr(Box::new(CdrFact {
            wire_id: "2820170309162713-0".into(),
            visitor: Some("22".into()),
            from: Some("13012345678".into()),
            to: Some("200".into()),
            kind: "IN".into(),
            ..CdrFact::default()
        })))
    };
    let effects = cell.after(50, record());
    assert_eq!(effects.cdrs.len(), 1);
    assert_eq!(effects.cdrs[0].cdr.call, Some(id));
    let again = cell.after(300, record());
    assert!(again.duplicate && again.cdrs.is_empty() && again.events.is_empty());
}

/// A record of a file names the same telephones, even the same wire id, as a call that lives: that one goes on.
#[test]
fn a_record_of_a_file_ends_nothing_that_lives() {
    let mut cell = Cell::new();
    for fact in inbound_reports() {
        cell.after(300, fact);
    }
    let live = cell.only_call().id;
    let filed = |id: &str, call| {
        let cdr = CdrFact {
            wire_id: id.into(),
            visitor: Some("22".into()),
            from: Some("13012345678".into()),
            to: Some("200".into()),
            kind: "IN".into(),
            direction: Some(Direction::Inbound),
            started_at: Some(Timestamp(-90_000_000)),
            ended_at: Some(Timestamp(-80_000_000)),
            duration: Some(7),
            closes_call: true,
            ..CdrFact::default()
        };
        F(Fact::CdrFiled { cdr: Box::new(cdr), call })
    };
    let effects = cell.after(10, filed("old-0", None));
    let of = effects.cdrs[0].cdr.call.expect("it stands for a call of its own");
    assert_ne!(of, live);
    assert!(cell.after(10, filed("old-0", None)).duplicate);
    let known = switchroom_domain::id::CallId(uuid::Uuid::from_u128(7));
    assert_eq!(cell.after(10, filed("old-1", Some(known))).cdrs[0].cdr.call, Some(known));
    // Long enough for a record to be taken for the end of its call.
    cell.wait(10_000);
    assert_eq!(cell.only_call().id, live);
    let is_told =
        |event: &&Event| event.kind == EventKind::ConversationCompleted && event.data.call == Some(of);
    assert_eq!(cell.events.iter().filter(is_told).count(), 1);
}

fn timed(id: &str, (from, to): (i64, i64), seconds: u32) -> CdrFact {
    CdrFact {
        wire_id: id.into(),
        from: Some("13012345678".into()),
        to: Some("200".into()),
        kind: "IN".into(),
        direction: Some(Direction::Inbound),
        started_at: Some(Timestamp(from)),
        ended_at: Some(Timestamp(to)),
        duration: Some(seconds),
        ..CdrFact::default()
    }
}

fn conversation_of(cell: &Cell) -> switchroom_domain::conversation::Conversation {
    let told = cell.events.iter().filter(|event| event.kind == EventKind::ConversationCompleted);
    let all: Vec<_> = told.filter_map(|event| event.data.conversation.as_deref().cloned()).collect();
    <[_; 1]>::try_from(all).map(|[only]| only).expect("one conversation")
}

/// What a record of a file is of was over when it says, not when the file came.
#[test]
fn a_record_of_a_file_tells_when_its_call_was_answered() {
    let mut cell = Cell::new();
    let cdr = Box::new(timed("old-0", (-90_000_000, -89_940_000), 45));
    cell.after(10, F(Fact::CdrFiled { cdr, call: None }));
    cell.wait(5_000);
    let conversation = conversation_of(&cell);
    assert_eq!(conversation.started_at, Timestamp(-90_000_000));
    assert_eq!(conversation.answered_at, Some(Timestamp(-89_985_000)));
    assert_eq!(conversation.ended_at, Timestamp(-89_940_000));
    assert_eq!(conversation.talk_seconds, Some(45.0));
}

/// The device's clock was set while the call went on: what its record spans is not believed.
#[test]
fn a_clock_that_was_set_moves_no_call_into_the_past() {
    const DECADES: i64 = 26 * 365 * 86_400_000;
    for (span, seconds, began) in [
        // Of a call that nothing else is known of, its talk is left.
        (DECADES, 1, -1_000),
        (DECADES, 800_000_000, 0),
        (-DECADES, 7, -7_000),
        (8 * 3_600_000, 7, -7_000),
        // It rang, or was talked, for long.
        (1_800_000, 7, -1_800_000),
        (90_000_000, 88_000_000 / 1000, -90_000_000),
    ] {
        let mut cell = Cell::new();
        let mut record = timed("0", (1_000_000 - span, 1_000_000), seconds);
        record.visitor = Some("22".into());
        cell.after(0, F(Fact::Cdr(Box::new(record))));
        cell.wait(3_000);
        cell.wait(3_000);
        let conversation = conversation_of(&cell);
        assert_eq!(conversation.started_at, Timestamp(1_000_000 + began), "{span} {seconds}");
        assert!(conversation.answered_at.is_some_and(|at| at >= conversation.started_at), "{span} {seconds}");
    }
    // Nor one whose reports came.
    let mut cell = Cell::new();
    for fact in inbound_reports() {
        cell.after(300, fact);
    }
    let began = cell.only_call().started_at;
    let now = cell.now;
    let mut record = timed("0", (now - DECADES, now), 1);
    record.visitor = Some("22".into());
    cell.after(300, F(Fact::Cdr(Box::new(record))));
    cell.after(10, call(Happening::Ended, vec![visitor()]));
    cell.wait(10_000);
    cell.wait(10_000);
    assert_eq!(conversation_of(&cell).started_at, began);
}

/// Random reports in random order: the state stays sane, whatever comes.
#[test]
fn any_report_at_any_time() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut dice = move |n: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % n
    };
    let mut cell = Cell::new();
    for _ in 0..30_000 {
        let number = |n: u64| Text::from(format!("20{n}"));
        let party = |dice: &mut dyn FnMut(u64) -> u64| match dice(6) {
            0 => visitor_of(&dice(4).to_string(), &dice(3).to_string()),
            1 => outer(&dice(4).to_string(), &dice(3).to_string(), &dice(5).to_string()),
            2 => Party::Menu { id: "1".into() },
            3 => Party::Visitor(OutsideParty::default()),
            _ => Party::extension(number(dice(5))),
        };
        let happenings = [
            Happening::Invited,
            Happening::Incoming,
            Happening::Ringing,
            Happening::Alerting,
            Happening::Answered,
            Happening::PeerAnswered,
            Happening::Ended,
            Happening::Ended,
            Happening::Diverted,
            Happening::Placed,
            Happening::Failed,
            Happening::Digits,
            Happening::AnnouncementEnded,
            Happening::Queued,
            Happening::QueueRefused,
            Happening::Held,
            Happening::Mentioned,
        ];
        let fact = match dice(20) {
            0 => F(Fact::DeviceBooted),
            1..=4 => {
                let status = [LineStatus::Idle, LineStatus::Busy, LineStatus::Online, LineStatus::Offline];
                line(&number(dice(5)), status[dice(4) as usize])
            }
            _ => {
                let parties = (0..dice(4)).map(|_| party(&mut dice)).collect();
                let mut fact = CallFact::new(happenings[dice(17) as usize], parties);
                fact.complete = fact.happening == Happening::Mentioned;
                if fact.happening == Happening::Queued {
                    fact.queue =
                        Some(QueueMention { id: dice(3).to_string().into(), count: Some(dice(30) as u32) });
                }
                F(Fact::Call(Box::new(fact)))
            }
        };
        cell.after(dice(400) as i64, fact);
        cell.events.clear();
        for call in cell.offline.state.calls() {
            assert!(call.live_legs().count() > 0 && !call.is_over(), "{call:#?}");
        }
        let waiting: usize = cell.offline.queues.values().map(|q| q.view(Timestamp(0)).waiting_count).sum();
        let queued = cell.offline.state.calls().iter().filter(|call| call.queue.is_some()).count();
        assert_eq!(waiting, queued);
        for (number, extension) in &cell.offline.extensions {
            let view = extension.view(Timestamp(0));
            let in_calls =
                cell.offline.state.calls().iter().filter(|c| c.live_extension(number).is_some()).count();
            assert_eq!(view.calls.len(), in_calls, "{number}");
        }
    }
    assert!(cell.offline.state.calls().len() < 40);
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in permutations(n - 1) {
        for place in 0..=shorter.len() {
            let mut longer = shorter.clone();
            longer.insert(place, n - 1);
            all.push(longer);
        }
    }
    all
}
