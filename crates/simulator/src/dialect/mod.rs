//! What the vendors write. Each dialect is templates only: a happening in, the bytes of the
//! vendor's reports out, in the vendor's order. Nothing is decided here, and nothing is shared with
//! the code that reads such reports: both were made from the vendors' documents and from captured
//! traffic, so that each checks the other.

pub(crate) mod om;
#[cfg(test)]
mod tests;
mod yeastar;
mod zycoo;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{Dialect, FleetConfig};
use crate::engine::call::Call;
use crate::engine::{Happening, Local, Zone};

pub(crate) use om::Om;
pub(crate) use yeastar::{Generation, Yeastar};
pub(crate) use zycoo::Zycoo;

/// How a body is written, as far as HTTP headers know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// XML; an OM sends no content type.
    Xml,
    /// JSON.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// A JavaScript object literal, as the vendor's document prints it; sent as text.
    Script,
}

/// One report as it leaves the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the vendor calls it: `RING`, `Cdr`, `NewCdr`, `dialbegein`.
    pub kind: &'static str,
    /// The whole body.
    pub body: Vec<u8>,
    /// How the body is written.
    pub content: Content,
    /// Whether it is a record of a call.
    pub is_cdr: bool,
    /// The record's id on the wire.
    pub wire_id: Option<String>,
}

/// What templates need besides the happening.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    /// Now, in the device's local time.
    pub(crate) local: Local,
    /// Now, in virtual milliseconds.
    pub(crate) millis: u64,
    /// Where the device is.
    pub(crate) zone: Zone,
    pub(crate) call: Option<&'a Call>,
}

impl Frame<'_> {
    /// The local time of another moment.
    pub(crate) fn at(&self, millis: u64) -> Local {
        self.zone.local(millis)
    }
}

/// One device's way of reporting.
#[derive(Debug)]
pub(crate) enum Voice {
    Om(Om),
    Yeastar(Yeastar),
    Zycoo(Zycoo),
}

impl Voice {
    pub(crate) fn new(config: &FleetConfig, index: usize) -> Self {
        match config.dialect {
            Dialect::Om => Self::Om(Om::new(config, index)),
            Dialect::Yeastar => Self::Yeastar(Yeastar::new(index)),
            Dialect::Zycoo => Self::Zycoo(Zycoo::new(index)),
        }
    }

    /// Heeds the device's system parameters; only an OM has any.
    pub(crate) fn configure(&mut self, mac: bool, password: &str, quiet: bool, records: bool) {
        if let Self::Om(om) = self {
            om.configure(mac, password, quiet, records);
        }
    }

    /// Says nothing more of what these extensions do; only an OM has such a switch.
    pub(crate) fn silence(&mut self, extensions: BTreeSet<Arc<str>>) {
        if let Self::Om(om) = self {
            om.silenced = extensions;
        }
    }

    /// Says in reports what happened.
    pub(crate) fn report(&self, frame: &Frame<'_>, happening: &Happening<'_>, out: &mut dyn FnMut(Report)) {
        match self {
            Self::Om(om) => om.report(frame, happening, out),
            Self::Yeastar(yeastar) => yeastar.report(frame, happening, out),
            Self::Zycoo(zycoo) => zycoo.report(frame, happening, out),
        }
    }
}

/// The generation of a Yeastar device, which its HTTP headers follow too.
pub(crate) fn generation(index: usize) -> Generation {
    Yeastar::new(index).generation
}
