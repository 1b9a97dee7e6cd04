//! The files of recordings: which there are, and how long each plays. What is in them is nobody's words.

use super::device::Device;

/// How many files a device keeps; the oldest goes when there are more.
const KEPT: usize = 1000;

/// The file of a recording.
#[derive(Debug)]
pub(crate) struct Recorded {
    name: String,
    ended: u64,
    /// How long it plays, in milliseconds.
    plays: u64,
}

impl Device {
    /// A call that was recorded from `since` on is over.
    pub(crate) fn keep_recording(&mut self, name: String, since: u64, now: u64) {
        if self.recordings.len() >= KEPT {
            self.recordings.pop_front();
        }
        self.recordings.push_back(Recorded { name, ended: now, plays: now.saturating_sub(since) });
    }

    /// How long the recording of this name plays, in milliseconds, if its file is there by now.
    pub(crate) fn recorded(&self, name: &str, now: u64, ready_after: u64) -> Option<u64> {
        let ready = |recorded: &&Recorded| now >= recorded.ended.saturating_add(ready_after);
        self.recordings.iter().find(|recorded| recorded.name == name).filter(ready).map(|found| found.plays)
    }
}
