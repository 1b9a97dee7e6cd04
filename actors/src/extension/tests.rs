use switchroom_domain::fact::LineStatus;
use switchroom_domain::id::{CallId, IdSeed, LegId, Minter};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{Basis, ExtensionState as Shown};

use super::state::ExtensionState;
use crate::entity::{Deadline, Doubt, Phase, Reply, Told};

struct Bench {
    state: ExtensionState,
    now: i64,
    call: CallId,
    leg: LegId,
}

impl Bench {
    fn new() -> Self {
        let mut ids = Minter::new(IdSeed { at: Timestamp(1_000_000), entropy: 1 });
        let (call, leg) = (CallId(ids.mint()), LegId(ids.mint()));
        Self { state: ExtensionState::new("200".into()), now: 1_000_000, call, leg }
    }

    fn told(&mut self, after: i64, told: Told) -> Reply {
        self.now += after;
        self.state.apply(Timestamp(self.now), &Doubt::default(), told)
    }

    fn line(&mut self, after: i64, status: LineStatus) -> Reply {
        self.told(after, Told::LineReported { status, address: None })
    }

    fn leg(&mut self, after: i64, phase: Phase) -> Reply {
        let (call, leg) = (self.call, self.leg);
        self.told(after, Told::LegMoved { call, leg, phase, basis: Basis::Observed })
    }

    fn shows(&self) -> Shown {
        self.state.view(Timestamp(0)).state
    }
}

#[test]
fn follows_its_line() {
    let mut b = Bench::new();
    assert_eq!(b.shows(), Shown::Unknown);
    for (status, shown) in [
        (LineStatus::Busy, Shown::Busy),
        (LineStatus::Idle, Shown::Idle),
        (LineStatus::Offline, Shown::Offline),
        (LineStatus::Online, Shown::Idle),
        (LineStatus::Busy, Shown::Busy),
    ] {
        b.line(5000, status);
        assert_eq!(b.shows(), shown, "after {status:?}");
    }
}

#[test]
fn what_its_offline_overtook_does_not_bring_it_back() {
    for overtaken in [LineStatus::Idle, LineStatus::Busy] {
        let mut b = Bench::new();
        b.line(5000, LineStatus::Online);
        b.line(5000, LineStatus::Busy);
        b.line(5000, LineStatus::Offline);
        b.line(400, overtaken);
        assert_eq!(b.shows(), Shown::Offline, "{overtaken:?}");
        b.line(5000, LineStatus::Idle);
        assert_eq!(b.shows(), Shown::Idle, "its ONLINE was lost");
    }
}

#[test]
fn an_idle_of_the_call_before_does_not_end_the_next() {
    let mut b = Bench::new();
    b.line(0, LineStatus::Busy);
    b.leg(10, Phase::Talking);
    b.leg(5000, Phase::Gone);
    b.leg(200, Phase::Ringing);
    let reply = b.line(100, LineStatus::Idle);
    assert_eq!((b.shows(), reply.deadline), (Shown::Ringing, Deadline::Unchanged));
    // And the same IDLE again.
    let reply = b.line(300, LineStatus::Idle);
    assert_eq!((b.shows(), reply.deadline), (Shown::Ringing, Deadline::Unchanged));
}

#[test]
fn an_idle_that_nothing_explains_makes_the_leg_suspect() {
    let mut b = Bench::new();
    b.line(0, LineStatus::Busy);
    b.leg(10, Phase::Talking);
    let reply = b.line(60_000, LineStatus::Idle);
    assert!(matches!(reply.deadline, Deadline::At(_)));
    assert_eq!(b.shows(), Shown::Busy, "the call's own end may be on its way");
    let reply = b.told(1500, Told::DoubtExpired);
    assert_eq!(reply.suspects, vec![(b.call, b.leg)]);
}

#[test]
fn a_busy_overtaken_by_its_idle_leaves_no_ghost() {
    let mut b = Bench::new();
    b.leg(0, Phase::Ringing);
    b.leg(300, Phase::Gone);
    b.line(10, LineStatus::Idle);
    b.line(100, LineStatus::Busy);
    assert_eq!(b.shows(), Shown::Idle);
    b.line(5000, LineStatus::Busy);
    assert_eq!(b.shows(), Shown::Busy);
}

#[test]
fn the_end_of_its_last_leg_is_the_end_of_busy() {
    let mut b = Bench::new();
    b.line(0, LineStatus::Busy);
    b.leg(10, Phase::Alerting);
    b.leg(4000, Phase::Gone);
    assert_eq!(b.shows(), Shown::Idle);
}

#[test]
fn says_only_what_changed() {
    let mut b = Bench::new();
    assert_eq!(b.line(0, LineStatus::Busy).drafts.len(), 1);
    assert_eq!(b.line(5, LineStatus::Busy).drafts.len(), 0);
    assert_eq!(b.leg(5, Phase::Alerting).drafts.len(), 0);
}

#[test]
fn what_was_heard_long_ago_is_stale() {
    let mut b = Bench::new();
    b.line(0, LineStatus::Busy);
    assert_eq!(b.state.view(Timestamp(b.now)).basis, Basis::Observed);
    assert_eq!(b.state.view(Timestamp(b.now + 1)).basis, Basis::Stale);
}
