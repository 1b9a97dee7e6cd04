//! The ids that reports carry: `visitor` and `outer` ids that come back after 4096, callids that
//! come back too, and record numbers that count from the last boot.

use std::collections::BTreeSet;
use std::sync::Arc;

/// A call over a trunk as reports name it.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) id: u32,
    pub(crate) callid: u32,
    pub(crate) from: Arc<str>,
    pub(crate) to: Arc<str>,
    pub(crate) trunk: Arc<str>,
    /// The trunk's API switch is off: reports know neither ids nor the trunk.
    pub(crate) bare: bool,
    /// The trunk is an analog line.
    pub(crate) analog: bool,
    /// When it began, and a number of its own: what Asterisk makes its channel ids of.
    pub(crate) channel: Channel,
}

/// `1495706238.328`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) second: i64,
    pub(crate) number: u32,
}

impl std::fmt::Display for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.second, self.number)
    }
}

/// Ids from 1 to a bound, given out in turn and again when they are free.
#[derive(Debug, Clone)]
pub(crate) struct IdPool {
    last: u32,
    bound: u32,
    /// A device has few calls at a time, so this stays small.
    used: BTreeSet<u32>,
}

impl IdPool {
    pub(crate) fn new(bound: u32) -> Self {
        Self { last: 0, bound, used: BTreeSet::new() }
    }

    /// The next free id after the last one given; `None` if all are in use.
    pub(crate) fn take(&mut self) -> Option<u32> {
        if self.used.len() >= self.bound as usize {
            return None;
        }
        loop {
            self.last = self.last % self.bound + 1;
            if self.used.insert(self.last) {
                return Some(self.last);
            }
        }
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.used.len() >= self.bound as usize
    }

    pub(crate) fn give_back(&mut self, id: u32) {
        self.used.remove(&id);
    }

    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        self.used.len()
    }

    /// As after a boot: nothing in use, counting from 1.
    pub(crate) fn reset(&mut self) {
        self.last = 0;
        self.used.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_but_never_while_in_use() {
        let mut pool = IdPool::new(3);
        assert_eq!((pool.take(), pool.take(), pool.take(), pool.take()), (Some(1), Some(2), Some(3), None));
        pool.give_back(2);
        assert_eq!(pool.take(), Some(2));
        pool.give_back(1);
        pool.give_back(3);
        assert_eq!(pool.take(), Some(3));
        pool.reset();
        assert_eq!(pool.take(), Some(1));
    }
}
