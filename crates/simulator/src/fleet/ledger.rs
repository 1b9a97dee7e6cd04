//! What became of each report. Every report that a device emits is counted once: it left the
//! device, or it did not, or it is still on its way.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::http::Target;
use crate::dialect::Report;
use crate::engine::DeviceTruth;

/// Ids of records that are remembered for each device; the counts go on beyond.
const REMEMBERED: usize = 500_000;

/// A report on its way, once or (doubled by the faults) twice.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) report: Report,
    /// By POST; heeded by an OM, whose method can be set while it runs.
    pub(crate) post: bool,
    /// On a kept connection; an OM heeds what that is set to when it boots.
    pub(crate) long: bool,
    /// Where it goes, if a login said so.
    pub(crate) to: Option<Arc<Target>>,
    /// A copy of it was written to a socket.
    left: AtomicBool,
    /// Copies whose fate is open.
    open: AtomicU8,
}

impl Parcel {
    pub(crate) fn new(report: Report, copies: u8, post: bool) -> Self {
        Self {
            report,
            post,
            long: false,
            to: None,
            left: AtomicBool::new(false),
            open: AtomicU8::new(copies),
        }
    }
}

/// One device's counts.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: u64,
    doubled: u64,
    repeated: u64,
    dropped: u64,
    pending: u64,
    cdrs_sent: u64,
    cdrs: Vec<String>,
    cdrs_dropped: Vec<String>,
}

impl Ledger {
    /// Counts only: a panic elsewhere cannot have left them half changed.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A report is going to be sent.
    pub(crate) fn accepted(&self) {
        self.lock().pending += 1;
    }

    /// A report that nobody tries to send.
    pub(crate) fn lost(&self, report: &Report) {
        let mut counts = self.lock();
        counts.lose(report);
    }

    /// One copy was written to a socket for the first time.
    pub(crate) fn sent(&self, parcel: &Parcel) {
        let mut counts = self.lock();
        counts.sent += 1;
        if parcel.left.swap(true, Ordering::Relaxed) {
            counts.doubled += 1;
        } else {
            counts.pending = counts.pending.saturating_sub(1);
            if let Some(id) = &parcel.report.wire_id {
                counts.cdrs_sent += 1;
                remember(&mut counts.cdrs, id);
            }
        }
        parcel.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// A copy was written once more, because no 200 had come back.
    pub(crate) fn repeated(&self) {
        let mut counts = self.lock();
        counts.sent += 1;
        counts.repeated += 1;
    }

    /// One copy could not be sent. The report is lost if no other copy was or may yet be.
    pub(crate) fn failed(&self, parcel: &Parcel) {
        let mut counts = self.lock();
        let last = parcel.open.fetch_sub(1, Ordering::Relaxed) == 1;
        if last && !parcel.left.load(Ordering::Relaxed) {
            counts.pending = counts.pending.saturating_sub(1);
            counts.lose(&parcel.report);
        }
    }

    pub(crate) fn reports_sent(&self) -> u64 {
        self.lock().sent
    }

    /// Fills in the part of the truth that only the sender knows.
    pub(crate) fn fill(&self, truth: &mut DeviceTruth) {
        let counts = self.lock();
        truth.reports_sent = counts.sent;
        truth.reports_doubled = counts.doubled;
        truth.reports_repeated = counts.repeated;
        truth.reports_dropped = counts.dropped;
        truth.reports_pending = counts.pending;
        truth.cdrs_sent = counts.cdrs_sent;
        truth.cdrs.clone_from(&counts.cdrs);
        truth.cdrs_dropped.clone_from(&counts.cdrs_dropped);
    }
}

impl Counts {
    fn lose(&mut self, report: &Report) {
        self.dropped += 1;
        if let Some(id) = &report.wire_id {
            remember(&mut self.cdrs_dropped, id);
        }
    }
}

fn remember(ids: &mut Vec<String>, id: &str) {
    if ids.len() < REMEMBERED {
        ids.push(id.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Content;

    fn cdr() -> Report {
        let wire_id = Some("1-0".to_owned());
        Report { kind: "Cdr", body: Vec::new(), content: Content::Xml, is_cdr: true, wire_id }
    }

    #[test]
    fn a_report_is_lost_only_when_every_copy_is() {
        let ledger = Ledger::default();
        let (saved, lost) = (Parcel::new(cdr(), 2, false), Parcel::new(cdr(), 2, false));
        ledger.accepted();
        ledger.accepted();
        ledger.failed(&saved);
        ledger.sent(&saved);
        ledger.failed(&lost);
        ledger.failed(&lost);
        let counts = ledger.lock();
        assert_eq!((counts.sent, counts.dropped, counts.pending, counts.doubled), (1, 1, 0, 0));
        assert_eq!((counts.cdrs.len(), counts.cdrs_dropped.len(), counts.cdrs_sent), (1, 1, 1));
    }
}
