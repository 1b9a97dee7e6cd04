use switchroom_domain::command::{Command, PartyRef};
use switchroom_domain::id::CommandId;
use switchroom_domain::reply::{ExtensionStatus, LineState, Partner, PartnerKind, Reply, Status, TalkState};
use switchroom_domain::time::{Millis, Timestamp};
use uuid::Uuid;

use super::state::{QueueState, Refusal, Settings, Step, Ticket};
use super::verify::{question, was_done};

const SETTINGS: Settings = Settings {
    capacity: 4,
    at_once: 1,
    silences: 3,
    first_pause: Millis(1000),
    longest_pause: Millis(4000),
    find_out_within: Millis(10_000),
};

fn at(ms: i64) -> Timestamp {
    Timestamp(1_000_000 + ms)
}

fn id(n: u128) -> CommandId {
    CommandId(Uuid::from_u128(n))
}

fn ticket(n: u128, urgent: bool) -> Ticket {
    Ticket { id: id(n), urgent, emergency: false, deadline: at(10_000) }
}

#[test]
fn one_at_a_time_and_the_urgent_ones_first() {
    let mut queue = QueueState::new(SETTINGS);
    for (n, urgent) in [(1, false), (2, false), (3, true)] {
        queue.submit(at(0), ticket(n, urgent)).expect("there is room");
    }
    let mut order = Vec::new();
    while let Some(Step::Send(next)) = queue.next(at(1)) {
        assert_eq!(queue.next(at(1)), None, "one is with the device");
        order.push(next);
        queue.exchanged(at(1), true);
        queue.release();
    }
    assert_eq!(order, [id(3), id(1), id(2)]);
}

#[test]
fn the_queue_is_bounded_and_lets_the_urgent_in_a_little_longer() {
    let mut queue = QueueState::new(SETTINGS);
    for n in 0..4 {
        queue.submit(at(0), ticket(n, false)).expect("there is room");
    }
    assert_eq!(queue.submit(at(0), ticket(9, false)), Err(Refusal::Full { waiting: 4 }));
    assert_eq!(queue.submit(at(0), ticket(10, true)), Ok(()));
    assert_eq!(queue.submit(at(0), ticket(11, true)), Err(Refusal::Full { waiting: 5 }));
}

#[test]
fn whose_turn_does_not_come_in_time_is_not_done() {
    let mut queue = QueueState::new(SETTINGS);
    queue.submit(at(0), ticket(1, false)).expect("there is room");
    queue.submit(at(0), ticket(2, false)).expect("there is room");
    assert_eq!(queue.next(at(0)), Some(Step::Send(id(1))));
    assert_eq!(queue.next_wake(), Some(at(10_000)));
    assert_eq!(queue.next(at(9_999)), None);
    assert_eq!(queue.next(at(10_000)), Some(Step::Expired(id(2))));
    assert_eq!(queue.next_wake(), None);
}

#[test]
fn a_silent_device_is_left_alone_and_asked_ever_more_seldom() {
    let mut queue = QueueState::new(SETTINGS);
    for n in 0..3 {
        queue.submit(at(0), ticket(n, false)).expect("not yet silent");
        assert_eq!(queue.next(at(0)), Some(Step::Send(id(n))));
        queue.exchanged(at(0), false);
        queue.release();
    }
    assert!(queue.is_open());
    assert_eq!(queue.submit(at(100), ticket(5, true)), Err(Refusal::Silent { seconds: 0, again: 1 }));
    let mut when = 0;
    for pause in [1000, 2000, 4000, 4000] {
        assert_eq!(queue.next_wake(), Some(at(when + pause)));
        assert_eq!(queue.next(at(when + pause - 1)), None);
        when += pause;
        assert_eq!(queue.next(at(when)), Some(Step::Test));
        assert_eq!(queue.next(at(when)), None, "one question at a time");
        queue.exchanged(at(when), false);
        queue.release();
    }
    assert_eq!(queue.next(at(when + 4000)), Some(Step::Test));
    queue.exchanged(at(when + 4000), true);
    queue.release();
    assert!(!queue.is_open());
    assert_eq!(queue.submit(at(when + 4001), ticket(6, false)), Ok(()));
}

#[test]
fn an_emergency_comes_first_is_always_let_in_and_has_a_silent_device_tried_at_once() {
    let emergency = |n| Ticket { emergency: true, ..ticket(n, true) };
    let mut queue = QueueState::new(SETTINGS);
    for n in 0..5 {
        queue.submit(at(0), ticket(n, true)).expect("there is room");
    }
    assert_eq!(queue.submit(at(0), ticket(5, true)), Err(Refusal::Full { waiting: 5 }));
    for n in [10, 11] {
        queue.submit(at(0), emergency(n)).expect("there always is");
    }
    assert_eq!(queue.next(at(0)), Some(Step::Send(id(10))));
    for _ in 0..3 {
        queue.exchanged(at(0), false);
    }
    queue.release();
    assert_eq!((queue.is_open(), queue.next(at(1))), (true, None));
    queue.submit(at(2), emergency(12)).expect("although it is silent");
    assert_eq!(queue.next(at(2)), Some(Step::Test));
    queue.exchanged(at(3), true);
    queue.release();
    for n in [11, 12, 0] {
        assert_eq!(queue.next(at(3)), Some(Step::Send(id(n))));
        queue.release();
    }
    for n in 20..24 {
        queue.submit(at(4), emergency(n)).expect("there is room");
    }
    assert!(matches!(queue.submit(at(4), emergency(24)), Err(Refusal::Full { .. })), "but it is bounded");
}

#[test]
fn an_emergency_that_comes_while_a_silent_device_is_tried_has_it_tried_again_soon() {
    let mut queue = QueueState::new(SETTINGS);
    (0..3).for_each(|_| queue.exchanged(at(0), false));
    let mut when = 0;
    for pause in [1000, 2000] {
        when += pause;
        assert_eq!(queue.next(at(when)), Some(Step::Test));
        if pause == 2000 {
            queue
                .submit(at(when), Ticket { emergency: true, ..ticket(1, true) })
                .expect("although it is silent");
        }
        queue.exchanged(at(when), false);
        queue.release();
    }
    assert_eq!(queue.next_wake(), Some(at(when + 1000)), "not four seconds");
}

#[test]
fn what_could_not_be_sent_is_the_next_of_its_kind_behind_emergencies() {
    let mut queue = QueueState::new(SETTINGS);
    let emergency = |n| Ticket { emergency: true, ..ticket(n, true) };
    for n in [1, 2] {
        queue.submit(at(0), ticket(n, false)).expect("there is room");
    }
    assert_eq!(queue.next(at(0)), Some(Step::Send(id(1))));
    queue.put_back(ticket(1, false));
    queue.release();
    queue.submit(at(0), emergency(9)).expect("there is room");
    queue.submit(at(0), ticket(5, true)).expect("there is room");
    queue.put_back(ticket(6, true));
    let order: Vec<_> = std::iter::from_fn(|| {
        let next = queue.next(at(0));
        queue.release();
        next
    })
    .collect();
    assert_eq!(order, [9, 6, 5, 1, 2].map(|n| Step::Send(id(n))));
}

#[test]
fn an_answer_in_between_forgives() {
    let mut queue = QueueState::new(SETTINGS);
    for answered in [false, false, true, false, false] {
        queue.exchanged(at(0), answered);
    }
    assert!(!queue.is_open());
    queue.exchanged(at(0), false);
    assert!(queue.is_open());
}

fn dial() -> Command {
    Command::Connect {
        from: PartyRef::extension("200"),
        to: PartyRef::number("9,13012345678,,1"),
        voice_file: Vec::new(),
        auto_answer: false,
    }
}

fn extension(state: LineState, with: Vec<Partner>) -> Reply {
    let extension =
        ExtensionStatus { number: "200".into(), state: Some(state), with, ..ExtensionStatus::default() };
    Reply::Status(Box::new(Status { extensions: vec![extension], ..Status::default() }))
}

fn outer(to: &str) -> Partner {
    Partner {
        kind: PartnerKind::Outer,
        to: Some(to.into()),
        state: Some(TalkState::Progress),
        ..Partner::default()
    }
}

#[test]
fn a_dial_is_done_if_its_caller_is_with_whom_it_was_to_be_with() {
    assert!(question(&dial()).is_some());
    let said = |state, with| was_done(&dial(), &extension(state, with));
    assert_eq!(said(LineState::Active, vec![outer("13012345678")]), Some(true));
    assert_eq!(said(LineState::Ready, Vec::new()), Some(false));
    assert_eq!(said(LineState::Offline, Vec::new()), Some(false));
    assert_eq!(said(LineState::Active, vec![outer("110")]), None, "in a call that is not recognised");
    assert_eq!(said(LineState::Progress, Vec::new()), None, "it rings, perhaps for this");
    assert_eq!(was_done(&dial(), &Reply::Done), None);
}

#[test]
fn a_call_is_cleared_if_nobody_is_in_it_any_more() {
    let clear = Command::Clear { party: PartyRef::Visitor { visitor: "7".into() } };
    let there = Partner { kind: PartnerKind::Visitor, id: Some("7".into()), ..Partner::default() };
    let status = |visitors| Reply::Status(Box::new(Status { visitors, ..Status::default() }));
    assert_eq!(was_done(&clear, &status(vec![there])), Some(false));
    assert_eq!(was_done(&clear, &status(Vec::new())), Some(true));
    assert_eq!(was_done(&clear, &Reply::Failed { code: Some(7), reason: None }), Some(true));
}

#[test]
fn what_no_question_tells_has_none() {
    assert_eq!(question(&Command::Hold { extension: "200".into() }), None);
    let monitor = Command::Monitor { extension: "200".into(), target: "201".into() };
    assert!(question(&monitor).is_some());
    let said = |state, with| was_done(&monitor, &extension(state, with));
    assert_eq!(said(LineState::Offline, Vec::new()), Some(false));
    assert_eq!(said(LineState::Active, vec![outer("130")]), None, "in a call of its own");
    let of = |number: &str| Partner { id: Some(number.into()), ..Partner::default() };
    assert_eq!(said(LineState::Active, vec![of("201")]), Some(true));
}

#[test]
fn who_was_passed_on_and_is_with_somebody_else_may_have_been_passed_on_further() {
    let transfer = Command::Connect {
        from: PartyRef::Visitor { visitor: "7".into() },
        to: PartyRef::extension("201"),
        voice_file: Vec::new(),
        auto_answer: false,
    };
    let with = |number: &str| Partner {
        kind: PartnerKind::Extension,
        id: Some(number.into()),
        ..Partner::default()
    };
    let said = |with| {
        let visitor =
            Partner { kind: PartnerKind::Visitor, id: Some("7".into()), with, ..Partner::default() };
        was_done(&transfer, &Reply::Status(Box::new(Status { visitors: vec![visitor], ..Status::default() })))
    };
    assert_eq!(said(Vec::new()), Some(false));
    assert_eq!(said(vec![with("201")]), Some(true));
    assert_eq!(said(vec![with("202")]), None, "201 has its calls forwarded, perhaps");
}
