//! Yeastar. What was read is written in the form of each generation and read back the same.
//!
//! Known exceptions: none.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use switchroom_protocol::Dialect;
use switchroom_protocol::yeastar::{Form, decode, encode};

fuzz_target!(|body: &[u8]| {
    common::check(Dialect::Yeastar, body);
    for form in Form::ALL {
        if let Ok(messages) = decode(body) {
            let written: Vec<u8> = messages.iter().flat_map(|message| encode(message, form)).collect();
            assert_eq!(decode(&written).as_ref(), Ok(&messages));
        }
    }
});
