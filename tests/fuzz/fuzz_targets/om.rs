//! New Rock OM. What was read is written and read back the same.
//!
//! Known exceptions: none.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use switchroom_protocol::{Dialect, om};

fuzz_target!(|body: &[u8]| {
    common::check(Dialect::Om, body);
    if let Ok(messages) = om::decode(body) {
        let written: Vec<u8> = messages.iter().flat_map(om::encode).collect();
        assert_eq!(om::decode(&written).as_ref(), Ok(&messages));
    }
});
