//! A real cell of real actors with a store in memory: supervision, repeats, readers' questions.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use switchroom_domain::fact::{CallFact, ExtensionStatus, Fact, Happening, LineStatus, OutsideParty, Party};
use switchroom_domain::id::DeviceId;
use switchroom_domain::outcome::Outcome;
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::ExtensionState;
use tokio::sync::oneshot;

use super::DeviceSettings;
use super::messages::{GetCalls, GetExtensions};
use crate::census::Census;
use crate::directory::DeviceHandle;
use crate::ingress::{Arrived, Gate, Ingress, Limits};
use crate::ports::*;
use crate::recorder::Recorder;
use crate::supervision::{Applying, Supervise, Supervisor};

#[derive(Default)]
struct World {
    now: AtomicI64,
    records: Mutex<Vec<Record>>,
    deaths: AtomicUsize,
    set_aside: AtomicUsize,
    outcomes: Mutex<Vec<Outcome>>,
    /// How often the report named KILL still kills.
    kills: AtomicUsize,
}

struct Face(Arc<World>);

impl Clock for Face {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000 + self.0.now.fetch_add(1, SeqCst))
    }
}

impl Store for Face {
    fn submit(&self, mut record: Box<Record>) -> Result<(), Full> {
        if let Some(ack) = record.ack.take() {
            let _ = ack.send(());
        }
        self.0.records.lock().expect("not poisoned").push(*record);
        Ok(())
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }

    fn load(&self, _: DeviceId) -> BoxFuture<'static, Result<LoadedCell, StoreError>> {
        let log =
            self.0.records.lock().expect("not poisoned").iter().filter_map(|r| r.entry.clone()).collect();
        Box::pin(async { Ok(LoadedCell { snapshot: None, log }) })
    }

    fn quarantine(&self, _: &DeviceId, _: &Applying) {
        self.0.set_aside.fetch_add(1, SeqCst);
    }
}

impl Interpreter for Face {
    fn facts(&self, _: &DeviceId, report: &RawReport) -> Vec<Fact> {
        serde_json::from_slice(&report.body).expect("the test wrote it")
    }
}

impl Observer for Face {
    fn report(&self, _: &str, name: &str, outcome: Outcome) {
        // Called by the device while it applies the report: the one place where a test can make it panic.
        let kill = |n: usize| n.checked_sub(1);
        let applying = outcome != Outcome::Malformed;
        if applying && name == "KILL" && self.0.kills.fetch_update(SeqCst, SeqCst, kill).is_ok() {
            panic!("the test kills this cell");
        }
        self.0.outcomes.lock().expect("not poisoned").push(outcome);
    }

    fn restarted(&self, _: &'static str) {
        self.0.deaths.fetch_add(1, SeqCst);
    }
}

struct Setup {
    world: Arc<World>,
    gate: Gate,
    handle: Arc<DeviceHandle>,
}

async fn setup(kills: usize) -> Setup {
    let world = Arc::new(World::default());
    world.kills.store(kills, SeqCst);
    let face = Arc::new(Face(Arc::clone(&world)));
    let ports = Ports {
        clock: face.clone(),
        store: face.clone(),
        interpreter: face.clone(),
        observer: face,
        census: Arc::new(Census::default()),
        news: Arc::new(NoNews),
    };
    let recorder = Recorder::start_here(Arc::clone(&ports.store));
    let supervisor = Supervisor::start_here(ports.clone(), recorder);
    let handle = DeviceHandle::new(DeviceId::new("om-1").expect("a device id"), 0);
    let loaded = LoadedCell::default();
    let supervise = Supervise { handle: Arc::clone(&handle), settings: DeviceSettings::default(), loaded };
    supervisor.send(supervise).await.expect("the supervisor lives");
    let gate = Ingress::start_here(ports, Limits::default(), 7);
    Setup { world, gate, handle }
}

impl Setup {
    fn report(&self, name: &str, facts: Vec<Fact>) -> Option<oneshot::Receiver<()>> {
        let body = Bytes::from(serde_json::to_vec(&facts).expect("facts have a JSON form"));
        let arrived = Arrived {
            device: Arc::clone(&self.handle),
            source: "127.0.0.1".into(),
            dialect: "om",
            name: name.into(),
            content_type: None,
            body,
            facts,
            received: Instant::now(),
            ack: None,
        };
        self.gate.pass(arrived)
    }

    async fn logged(&self, count: usize) {
        self.until(|| {
            self.world.records.lock().expect("not poisoned").iter().filter(|r| r.entry.is_some()).count()
                >= count
        })
        .await;
    }

    async fn until(&self, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < deadline, "it did not come to be");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn busy(&self) -> Vec<String> {
        self.until(|| self.handle.addr().is_some_and(|addr| addr.connected())).await;
        let addr = self.handle.addr().expect("it lives");
        let all = addr.send(GetExtensions(None)).await.expect("it answers");
        all.into_iter().filter(|e| e.state == ExtensionState::Busy).map(|e| e.number.to_string()).collect()
    }
}

/// No commands here.
struct NoNews;

impl CommandNews for NoNews {
    fn booted(&self, _: &DeviceId) {}

    fn call_found(
        &self,
        _: &DeviceId,
        _: switchroom_domain::id::CommandId,
        _: switchroom_domain::id::CallId,
    ) {
    }
}

fn busy(number: &str) -> Vec<Fact> {
    vec![Fact::ExtensionStatus(ExtensionStatus {
        extension: number.into(),
        status: LineStatus::Busy,
        address: None,
    })]
}

#[actix::test]
async fn a_cell_that_dies_comes_back_as_it_was_and_takes_the_report_again() {
    let s = setup(1).await;
    drop(s.report("BUSY", busy("200")));
    s.logged(1).await;
    drop(s.report("KILL", busy("201")));
    for number in ["202", "203", "204"] {
        drop(s.report("BUSY", busy(number)));
    }
    s.logged(5).await;
    assert_eq!(s.busy().await, ["200", "201", "202", "203", "204"]);
    assert_eq!((s.world.deaths.load(SeqCst), s.world.set_aside.load(SeqCst)), (1, 0));
    assert_eq!(s.world.outcomes.lock().expect("not poisoned").as_slice(), [Outcome::Accepted; 5]);
}

#[actix::test]
async fn a_report_that_kills_twice_is_set_aside() {
    let s = setup(usize::MAX).await;
    drop(s.report("BUSY", busy("200")));
    s.logged(1).await;
    drop(s.report("KILL", busy("201")));
    s.until(|| s.world.set_aside.load(SeqCst) == 1).await;
    drop(s.report("BUSY", busy("202")));
    s.logged(2).await;
    assert_eq!(s.busy().await, ["200", "202"]);
    assert_eq!(s.world.deaths.load(SeqCst), 2);
}

#[actix::test]
async fn a_live_call_keeps_its_id_over_a_death() {
    let s = setup(1).await;
    let visitor = OutsideParty {
        id: Some("22".into()),
        from: Some("130".into()),
        to: Some("888".into()),
        ..OutsideParty::default()
    };
    let ring = CallFact::new(Happening::Ringing, vec![Party::extension("200"), Party::Visitor(visitor)]);
    drop(s.report("RING", vec![Fact::Call(Box::new(ring))]));
    s.logged(1).await;
    let calls =
        |addr: Addr<super::Device>| async move { addr.send(GetCalls(None)).await.expect("it answers") };
    let before = calls(s.handle.addr().expect("it lives")).await;
    drop(s.report("KILL", busy("201")));
    s.logged(2).await;
    assert_eq!(s.busy().await, ["201"]);
    let after = calls(s.handle.addr().expect("it lives")).await;
    assert_eq!(before.len(), 1);
    assert_eq!((before[0].id, &before[0].legs[0].id), (after[0].id, &after[0].legs[0].id));
}

#[actix::test]
async fn what_a_cell_cannot_take_waits_in_order_and_who_sent_it_hears_of_it() {
    let s = setup(0).await;
    assert!(s.report("BUSY", busy("200")).is_none(), "it is taken at once");
    let addr = s.handle.addr();
    s.handle.set(None);
    let count = 700;
    let words: Vec<_> = (0..count).map(|n| s.report("BUSY", busy(&(300 + n).to_string()))).collect();
    s.handle.set(addr);
    // One that comes while others wait does not overtake them.
    let last = s.report("BUSY", busy("299"));
    for word in words.into_iter().chain([last]) {
        word.expect("it had to wait").await.expect("it was taken");
    }
    s.logged(count + 2).await;
    let records = s.world.records.lock().expect("not poisoned");
    let order: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.entry {
            Some(Entry::Report(raw)) => {
                let facts: Vec<Fact> = serde_json::from_slice(&raw.body).expect("facts");
                match facts.into_iter().next() {
                    Some(Fact::ExtensionStatus(status)) => Some(status.extension.to_string()),
                    _ => None,
                }
            }
            _ => None,
        })
        .collect();
    let expected = (0..count).map(|n| (300 + n).to_string());
    let expected: Vec<_> = ["200".to_owned()].into_iter().chain(expected).chain(["299".to_owned()]).collect();
    assert_eq!(order, expected);
}

#[actix::test]
async fn a_mailbox_takes_no_more_than_its_bound() {
    let s = setup(0).await;
    // The cell does not run meanwhile.
    let count = super::MAILBOX + 88;
    let words: Vec<_> = (0..count).map(|n| s.report("BUSY", busy(&n.to_string()))).collect();
    assert_eq!(words.iter().filter(|word| word.is_some()).count(), 88);
    assert_eq!(s.handle.depth(), count);
    for word in words.into_iter().flatten() {
        word.await.expect("it was taken");
    }
    s.logged(count).await;
    assert_eq!(s.handle.depth(), 0);
}

#[actix::test]
async fn what_waits_too_long_or_beside_too_many_is_shed_and_counted() {
    let s = setup(0).await;
    let _alive = s.handle.addr();
    s.handle.set(None);
    let bound = Limits::default().waiting;
    let words: Vec<_> = (0..bound + 3).filter_map(|_| s.report("BUSY", busy("200"))).collect();
    assert_eq!(words.len(), bound + 3);
    let shed = || s.world.outcomes.lock().expect("not poisoned").len();
    assert_eq!(shed(), 3, "the line is full");
    for word in words {
        assert!(word.await.is_err(), "it was shed");
    }
    assert_eq!(shed(), bound + 3);
}
