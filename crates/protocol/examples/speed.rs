//! How long decoding takes, in nanoseconds per message: `cargo run --release --example speed`, with the name
//! of a dialect to measure that one alone.

use std::hint::black_box;
use std::time::Instant;

use switchroom_protocol::{DecodeContext, Dialect, decode, redact};

const RING: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"RING\">\n  <ext id=\"200\" />\n  \
<visitor id=\"22\" from=\"13012345678\" to=\"02161208234\" callid=\"16408\" />\n</Event>\n";

const YEASTAR_RING: &str = r#"{"action":"RING","callid":"1550710849.199","call":[{"ext":{"extid":"1002"}},{"ext":{"extid":"1001"}}],"sn":"369351034049"}"#;

const ZYCOO_DIAL: &str = r#"{event:"dialbegein",timestamp:"1534993059.785012",channel:"DAHDI/i1/18782985586-51",calleridnum:"18782985586",destchannel:"SIP/886-00000065",destcalleridnum:"886",uniqueid:"1534993030.626",mac:"68:69:2e:05:0f:9a"}"#;

const BATCHES: usize = 9;
const PER_BATCH: u32 = 100_000;

/// The fastest and the middle batch; the fastest is the fairest figure on a machine that is shared.
fn measure(name: &str, mut work: impl FnMut()) {
    let mut batches: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..PER_BATCH {
                work();
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(PER_BATCH)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    println!("{name:<24} best {:>6.0} ns, middle {:>6.0} ns", batches[0], batches[BATCHES / 2]);
}

fn main() {
    let cx = DecodeContext { time_zone: &jiff::tz::TimeZone::UTC };
    let samples = [
        ("om RING", Dialect::Om, RING),
        ("yeastar RING", Dialect::Yeastar, YEASTAR_RING),
        ("zycoo dialbegein", Dialect::Zycoo, ZYCOO_DIAL),
    ];
    let only = std::env::args().nth(1);
    for (name, dialect, body) in samples {
        if only.as_deref().is_some_and(|only| only != dialect.as_str()) {
            continue;
        }
        println!("{name}: {} bytes", body.len());
        measure(name, || {
            let _ = black_box(decode(dialect, None, black_box(body.as_bytes()), &cx));
        });
        measure("  redact", || {
            let _ = black_box(redact(black_box(body.as_bytes())));
        });
    }
}
