//! What an OM answers. Every body is a reply or an error, the same every time.
//!
//! Known exceptions: none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchroom_domain::command::{Command, Target};
use switchroom_protocol::om::decode_reply;

fuzz_target!(|body: &[u8]| {
    let hold = Command::Hold { extension: "200".into() };
    let query = Command::Query { target: Target::Device };
    let parameter = Command::ReadParameter { name: "API_MAC".into(), line_id: None };
    for command in [&hold, &query, &parameter] {
        let reply = decode_reply(command, body);
        assert_eq!(reply, decode_reply(command, body), "decoding depends on something else");
        if let Err(error) = reply {
            assert!(error.offset <= body.len() * 3, "{error}");
        }
    }
    // A question differs from other commands only in what an empty body says.
    if let Ok(answer) = decode_reply(&query, body) {
        assert_eq!(decode_reply(&hold, body), Ok(answer));
    }
});
