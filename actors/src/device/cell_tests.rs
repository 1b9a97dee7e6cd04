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
        if name == "KILL" && self.0.kills.fetch_update(SeqCst, SeqCst, kill).is_ok() {
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
    async fn report(&self, name: &str, facts: Vec<Fact>) {
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
        self.gate.pass(arrived).await;
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
    s.report("BUSY", busy("200")).await;
    s.logged(1).await;
    s.report("KILL", busy("201")).await;
    for number in ["202", "203", "204"] {
        s.report("BUSY", busy(number)).await;
    }
    s.logged(5).await;
    assert_eq!(s.busy().await, ["200", "201", "202", "203", "204"]);
    assert_eq!((s.world.deaths.load(SeqCst), s.world.set_aside.load(SeqCst)), (1, 0));
    assert_eq!(s.world.outcomes.lock().expect("not poisoned").as_slice(), [Outcome::Accepted; 5]);
}

#[actix::test]
async fn a_report_that_kills_twice_is_set_aside() {
    let s = setup(usize::MAX).await;
    s.report("BUSY", busy("200")).await;
    s.logged(1).await;
    s.report("KILL", busy("201")).await;
    s.until(|| s.world.set_aside.load(SeqCst) == 1).await;
    s.report("BUSY", busy("202")).await;
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
    s.report("RING", vec![Fact::Call(Box::new(ring))]).await;
    s.logged(1).await;
    let calls =
        |addr: Addr<super::Device>| async move { addr.send(GetCalls(None)).await.expect("it answers") };
    let before = calls(s.handle.addr().expect("it lives")).await;
    s.report("KILL", busy("201")).await;
    s.logged(2).await;
    assert_eq!(s.busy().await, ["201"]);
    let after = calls(s.handle.addr().expect("it lives")).await;
    assert_eq!(before.len(), 1);
    assert_eq!((before[0].id, &before[0].legs[0].id), (after[0].id, &after[0].legs[0].id));
}
