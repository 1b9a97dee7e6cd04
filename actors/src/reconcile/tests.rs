use switchroom_domain::fact::Correction;
use switchroom_domain::id::CallId;
use switchroom_domain::time::Timestamp;
use uuid::Uuid;

use super::state::{Next, Question, Rounds};
use crate::device::messages::Doubts;

fn at(ms: i64) -> Timestamp {
    Timestamp(1_000_000 + ms)
}

fn doubts() -> Doubts {
    Doubts { boots: 0, active: vec!["200".into()], idle: vec!["201".into()] }
}

fn ghost() -> Correction {
    Correction::CallOver { call: CallId(Uuid::from_u128(1)) }
}

/// Asks all that there is to ask now; gives the questions.
fn all(rounds: &mut Rounds, now: Timestamp, reported: Timestamp) -> Vec<Question> {
    let mut asked = Vec::new();
    loop {
        match rounds.next(now, reported) {
            Next::Look => rounds.look_through(now, doubts()),
            Next::Ask(question) => {
                rounds.asked(now, &question);
                assert_eq!(rounds.answered(now, &question, Vec::new()), []);
                asked.push(question);
            }
            Next::Wait(until) => {
                assert!(until > now);
                return asked;
            }
        }
    }
}

fn extension(number: &str) -> Question {
    Question::Extension(number.into())
}

#[test]
fn it_begins_with_everything_and_looks_again_once_something_was_heard_and_is_quiet() {
    let mut rounds = Rounds::new(at(0));
    let without_device =
        [Question::Visitors, Question::Outers, Question::Groups, extension("200"), extension("201")];
    // Four at once, the others as time goes by.
    let asked: Vec<_> = (0..3).flat_map(|n| all(&mut rounds, at(n * 2_000), at(-10_000))).collect();
    assert_eq!(asked[0], Question::Device);
    assert_eq!(asked[1..], without_device);
    assert_eq!(all(&mut rounds, at(35_000), at(-10_000)), [], "nothing was heard since");
    assert_eq!(all(&mut rounds, at(37_001), at(35_500)), without_device, "something was, and it is quiet");
    assert_eq!(all(&mut rounds, at(37_500), at(35_500)), [], "nothing more since");
    rounds.ask_everything();
    assert_eq!(all(&mut rounds, at(50_000), at(35_500))[0], Question::Device);
}

#[test]
fn under_traffic_it_asks_now_and_then_and_saves_for_when_it_is_quiet() {
    let mut rounds = Rounds::new(at(0));
    let asked: usize = (0..60_000).step_by(100).map(|ms| all(&mut rounds, at(ms), at(ms - 50)).len()).sum();
    assert!((13..=16).contains(&asked), "{asked}");
    let quiet = all(&mut rounds, at(62_000), at(59_950));
    assert_eq!(quiet.len(), 5, "all at once: {quiet:?}");
}

#[test]
fn what_contradicts_is_corrected_when_it_still_does() {
    let mut rounds = Rounds::new(at(-60_000));
    all(&mut rounds, at(0), at(-70_000));
    assert_eq!(rounds.answered(at(0), &Question::Visitors, vec![ghost()]), [], "not at once");
    assert_eq!(rounds.next(at(1_000), at(-10_000)), Next::Wait(at(1_200)));
    assert_eq!(rounds.next(at(1_200), at(-10_000)), Next::Ask(Question::Visitors));
    rounds.asked(at(1_200), &Question::Visitors);
    assert_eq!(rounds.answered(at(1_200), &Question::Visitors, vec![ghost()]), [ghost()]);
    // What has settled by itself in between is forgotten.
    assert_eq!(rounds.answered(at(2_000), &Question::Visitors, vec![ghost()]), []);
    assert_eq!(rounds.answered(at(3_200), &Question::Visitors, Vec::new()), []);
    assert_eq!(rounds.answered(at(4_000), &Question::Visitors, vec![ghost()]), []);
}

#[test]
fn a_silent_device_is_left_alone_and_then_asked_everything() {
    let mut rounds = Rounds::new(at(0));
    all(&mut rounds, at(0), at(-10_000));
    rounds.unanswered(at(100), &Question::Groups);
    assert_eq!(rounds.next(at(200), at(-10_000)), Next::Wait(at(2_100)));
    assert_eq!(rounds.next(at(2_100), at(-10_000)), Next::Look);
    rounds.look_through(at(2_100), doubts());
    assert_eq!(rounds.next(at(2_100), at(-10_000)), Next::Ask(Question::Device));
}
