//! Commands of OM applications. What was understood is written and read back the same.
//!
//! Known exceptions: none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchroom_protocol::om::{OmCommand, decode_command, encode_command};

fuzz_target!(|body: &[u8]| match decode_command(body) {
    Ok(OmCommand { command: Ok(command), auth, .. }) => {
        let _ = command.check();
        let written = encode_command(&command, auth.as_ref()).expect("it came over /xml");
        let read = decode_command(&written).expect("well formed");
        assert_eq!((read.command.as_ref(), read.auth), (Ok(&command), auth));
    }
    Ok(_) => {}
    Err(error) => assert!(error.offset <= body.len() * 3, "{error}"),
});
