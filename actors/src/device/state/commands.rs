//! Commands and their calls: what a command makes happen carries its id.
//!
//! That a command goes out is noted before it does, so that the call is known by whom it is to have, whichever of its
//! reports comes first.

use serde::{Deserialize, Serialize};
use switchroom_domain::event::{EventData, EventKind};
use switchroom_domain::fact::{CommandSent, CommandSettled};
use switchroom_domain::id::CallId;
use switchroom_domain::time::{Millis, Timestamp};
use switchroom_domain::view::LegKind;

use super::CellState;
use crate::device::call::Call;

/// How long after a command went out its call is waited for: a telephone may be rung for a while before it is
/// reported, and a queue of commands may be before it at the device.
const EXPECT: Millis = Millis::from_secs(60);
/// How many commands are waited for at most.
const EXPECTED: usize = 64;

/// A command on its way whose call is not there yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Expected {
    sent: CommandSent,
    at: Timestamp,
}

impl CellState {
    pub(super) fn command_sent(&mut self, sent: CommandSent) {
        if sent.makes_call {
            let now = self.now;
            self.expected.retain(|expected| now.since(expected.at) <= EXPECT);
            if self.expected.len() >= EXPECTED {
                self.expected.pop_front();
            }
            self.expected.push_back(Expected { sent, at: now });
            return;
        }
        if let Some(call) = self.calls.iter_mut().rev().find(|call| is_about(call, &sent)) {
            call.command = Some(sent.command);
            if sent.ends_call {
                call.story.cleared();
            }
            self.pending.commands.push((sent.command, call.id));
        }
    }

    pub(super) fn command_settled(&mut self, settled: CommandSettled) {
        let id = settled.command;
        if settled.state == "failed" {
            self.expected.retain(|expected| expected.sent.command != id);
        }
        let call = self.calls.iter().chain(&self.ended).rev().find(|call| call.command == Some(id));
        let data = EventData {
            call: call.map(|call| call.id),
            command: Some(compact_str::format_compact!("{id}")),
            state: Some(settled.state),
            code: settled.code,
            reason: settled.reason,
            ..EventData::default()
        };
        self.emit(EventKind::CommandCompleted, compact_str::format_compact!("commands/{id}"), data);
    }

    /// Is this new call one that a command was to make?
    pub(super) fn find_command(&mut self, i: usize) {
        let call = &mut self.calls[i];
        if call.command.is_some() || self.expected.is_empty() {
            return;
        }
        let made = |expected: &Expected| call.started_at >= expected.at && fits(call, &expected.sent);
        let Some(found) = self.expected.iter().position(made) else { return };
        if let Some(Expected { sent, .. }) = self.expected.remove(found) {
            call.command = Some(sent.command);
            let found: (_, CallId) = (sent.command, call.id);
            self.pending.commands.push(found);
        }
    }
}

/// Is the call one that has the visitor, outer or extension that a command names?
fn is_about(call: &Call, sent: &CommandSent) -> bool {
    let has = |kind, id: &Option<switchroom_domain::Text>| {
        id.is_some() && call.live_legs().any(|leg| leg.kind == kind && leg.wire_id == *id)
    };
    has(LegKind::Visitor, &sent.visitor)
        || has(LegKind::Outer, &sent.outer)
        || sent.extensions.iter().any(|number| call.live_extension(number).is_some())
}

/// Has the call nobody but whom the command named, and at least one of them?
fn fits(call: &Call, sent: &CommandSent) -> bool {
    let mut legs = call.legs.iter().filter(|leg| leg.kind != LegKind::Menu).peekable();
    let named = |kind, number: &str| match kind {
        LegKind::Extension => sent.extensions.iter().any(|n| n == number),
        LegKind::Outer => sent.numbers.iter().any(|n| n == number),
        LegKind::Visitor | LegKind::Menu => false,
    };
    legs.peek().is_some()
        && legs.all(|leg| leg.number.as_deref().is_some_and(|number| named(leg.kind, number)))
}
