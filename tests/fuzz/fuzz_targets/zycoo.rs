//! ZYCOO. What was read is written in each form and read back the same.
//!
//! Known exception: several reports in one body are written one by one, because a form holds only one.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use switchroom_protocol::Dialect;
use switchroom_protocol::zycoo::{Form, decode, encode};

fuzz_target!(|body: &[u8]| {
    common::check(Dialect::Zycoo, body);
    for message in decode(body).unwrap_or_default() {
        for form in Form::ALL {
            let written = encode(&message, form);
            assert_eq!(decode(&written).as_deref(), Ok(std::slice::from_ref(&message)));
        }
    }
});
