//! What must add up inside a device at any moment, however its calls came about.

use crate::engine::Engine;
use crate::engine::call::Stage;
use crate::engine::device::{Device, Phone};

impl Engine {
    pub(crate) fn check_books(&self) {
        self.devices.iter().for_each(check);
    }

    /// Ends a pause, with nobody calling any more.
    pub(crate) fn resume_without_load(&mut self) {
        for device in &mut self.devices {
            device.habits.arrival_ms = None;
            device.habits.phones_fail_ms = None;
        }
        self.resume();
    }
}

fn check(device: &Device) {
    let wires = device.calls.values().map(|call| call.outers.len() + usize::from(call.visitor.is_some()));
    let lines: usize = device.trunks.iter().map(|trunk| trunk.active).sum();
    assert_eq!(device.ids.in_use(), lines, "ids are in use as long as lines are");
    assert_eq!(wires.sum::<usize>(), lines, "lines are taken by calls, each by one");
    assert_eq!(device.calls.values().map(|call| call.trunks.len()).sum::<usize>(), lines);
    for (index, extension) in device.extensions.iter().enumerate() {
        for id in extension.call.into_iter().chain(extension.held) {
            let call = device.calls.get(&id);
            assert!(call.is_some(), "{} is in a call that is over: {extension:?}", extension.number);
            let in_it =
                call.is_some_and(|call| call.called().any(|one| one == index) || call.caller == Some(index));
            assert!(in_it, "{} is not in its call: {extension:?} {call:?}", extension.number);
        }
        let reserved = extension.phone == Phone::Idle && extension.call.is_some();
        assert!(
            extension.phone != Phone::Ringing || extension.call.is_some(),
            "{extension:?} rings for nobody"
        );
        assert!(!reserved || extension.held.is_none(), "{extension:?}");
    }
    for call in device.calls.values() {
        assert!(call.beside.is_empty() || call.stage == Stage::Ringing, "one answers: {call:?}");
        for index in call.called().chain(call.caller) {
            let extension = &device.extensions[index];
            let in_it = extension.call == Some(call.id) || extension.held == Some(call.id);
            assert!(in_it, "a call has {} that is not in it: {call:?} {extension:?}", extension.number);
        }
    }
    for group in &device.groups {
        for id in &group.waiting {
            assert!(device.calls.contains_key(id), "a call that is over waits for a group");
        }
    }
}
