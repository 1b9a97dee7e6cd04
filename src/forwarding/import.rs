//! Files in which a device has kept its records, cut into records. Pure.
//!
//! The vendor does not say how records stand in a file, only that they are those that were to be sent. So whatever stands
//! between them is passed over: a record is what lies between `<Cdr` and `</Cdr>`.

use switchroom_domain::Text;
use switchroom_domain::fact::{CdrFact, Fact};
use switchroom_protocol::{DecodeContext, Dialect};

/// The most records of one file.
pub const MOST: usize = 200_000;
/// The longest record.
const LONGEST: usize = 64 * 1024;

/// A record of a file.
#[derive(Debug, Clone)]
pub struct Filed {
    /// As it would have been sent.
    pub body: Vec<u8>,
    /// What it states.
    pub facts: Vec<Fact>,
    /// The device's id of it.
    pub wire_id: Text,
    /// Its day, `yyyymmdd` in the device's local time; by its end, or by its begin if it has none.
    pub day: Option<u32>,
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// Its records, in order.
    pub records: Vec<Filed>,
    /// Pieces that begin like a record and cannot be read: where, in bytes, and why. The first few.
    pub unreadable: Vec<(usize, String)>,
    /// How many there are of these.
    pub unreadable_count: usize,
}

/// So many pieces that cannot be read are named.
const NAMED: usize = 20;

/// Cuts a file into records.
#[must_use]
pub fn read(file: &[u8], zone: &jiff::tz::TimeZone) -> Contents {
    const OPEN: &[u8] = b"<Cdr";
    const CLOSE: &[u8] = b"</Cdr>";
    let mut contents = Contents::default();
    let finder = memchr::memmem::Finder::new(OPEN);
    let mut at = 0;
    while let Some(start) = finder.find(&file[at..]).map(|start| at + start) {
        let rest = &file[start..];
        let next = finder.find(&rest[OPEN.len()..]).map_or(rest.len(), |next| next + OPEN.len());
        let end = memchr::memmem::find(&rest[..next], CLOSE).map(|end| end + CLOSE.len());
        at = start + end.unwrap_or(next);
        let record = match end {
            None => Err("it has no end".to_owned()),
            Some(end) if end > LONGEST => Err(format!("it is longer than {LONGEST} bytes")),
            Some(_) if contents.records.len() >= MOST => Err(format!("a file has at most {MOST} records")),
            Some(end) => record(&rest[..end], zone),
        };
        match record {
            Ok(record) => contents.records.push(record),
            Err(why) => {
                contents.unreadable_count += 1;
                if contents.unreadable.len() < NAMED {
                    contents.unreadable.push((start, why));
                }
            }
        }
    }
    contents
}

fn record(body: &[u8], zone: &jiff::tz::TimeZone) -> Result<Filed, String> {
    let decoded = switchroom_protocol::decode(Dialect::Om, None, body, &DecodeContext { time_zone: zone });
    let facts: Vec<Fact> = decoded
        .map_err(|error| error.to_string())?
        .into_iter()
        .flat_map(|decoded| decoded.statement.facts)
        .collect();
    let cdr = |fact: &Fact| match fact {
        Fact::Cdr(cdr) => Some(cdr.clone()),
        _ => None,
    };
    let cdr = facts.iter().find_map(cdr).ok_or("it is no call record")?;
    let (wire_id, day) = (cdr.wire_id.clone(), day(&cdr));
    if wire_id.is_empty() {
        return Err("it has no id".to_owned());
    }
    if cdr.started_at.or(cdr.ended_at).is_none() {
        return Err("neither its TimeStart nor its TimeEnd is a time as 20261121081201".to_owned());
    }
    let mut bytes = b"<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n".to_vec();
    bytes.extend_from_slice(body);
    bytes.push(b'\n');
    Ok(Filed { body: bytes, facts, wire_id, day })
}

fn day(cdr: &CdrFact) -> Option<u32> {
    let local = cdr.ended_at_local.as_ref().or(cdr.started_at_local.as_ref())?;
    let digits: String = local.chars().filter(char::is_ascii_digit).take(8).collect();
    (digits.len() == 8).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cdr(id: &str) -> String {
        format!(
            "<Cdr id=\"{id}\">\n<callid>1</callid><TimeStart>20261120235901</TimeStart><Type>IN</Type>\
             <CPN>13012345678</CPN><CDPN>200</CDPN><TimeEnd>20261121000112</TimeEnd><Duration>11</Duration>\n</Cdr>"
        )
    }

    #[test]
    fn records_are_found_whatever_stands_between_them() {
        let utc = jiff::tz::TimeZone::UTC;
        let file = format!(
            "{}\r\n<?xml version=\"1.0\" ?>\n{}2026-11-21 00:01:12|{}\n\n",
            cdr("a-0"),
            cdr("b-0"),
            cdr("c-0")
        );
        let contents = read(file.as_bytes(), &utc);
        let ids: Vec<&str> = contents.records.iter().map(|record| record.wire_id.as_str()).collect();
        assert_eq!(ids, ["a-0", "b-0", "c-0"]);
        assert_eq!(contents.records[0].day, Some(20_261_121), "by its end");
        assert_eq!(contents.unreadable_count, 0);
    }

    #[test]
    fn what_cannot_be_read_is_named_and_keeps_nothing_else() {
        let utc = jiff::tz::TimeZone::UTC;
        let file =
            format!("{}<Cdr id=\"cut\"><callid>{}<Cdr id=\"c\"><callid></Cdr>", cdr("a-0"), cdr("b-0"));
        let contents = read(file.as_bytes(), &utc);
        let ids: Vec<&str> = contents.records.iter().map(|record| record.wire_id.as_str()).collect();
        assert_eq!((ids, contents.unreadable_count), (vec!["a-0", "b-0"], 2), "{:?}", contents.unreadable);
        assert_eq!(contents.unreadable[0].0, cdr("a-0").len());
        assert!(read(b"", &utc).records.is_empty());
    }

    #[test]
    fn a_record_without_a_time_is_none() {
        let utc = jiff::tz::TimeZone::UTC;
        let timeless = "<Cdr id=\"a\"><callid>2</callid><TimeStart>xx</TimeStart><Type>OU</Type></Cdr>";
        let contents = read(timeless.as_bytes(), &utc);
        assert!(contents.records.is_empty(), "{contents:?}");
        assert!(contents.unreadable.iter().all(|(at, why)| *at == 0 && why.contains("TimeStart")));
        assert_eq!(contents.unreadable_count, 1);
        let begun = timeless.replace("xx", "20261121081201");
        assert_eq!(read(begun.as_bytes(), &utc).records.len(), 1, "one of both will do");
    }

    proptest! {
        #[test]
        fn any_file_is_read(file in "(<Cdr|</Cdr>|<Cdr id=\"1\">|<TimeEnd>2026|[<>a-z \n]{0,6}){0,20}") {
            let contents = read(file.as_bytes(), &jiff::tz::TimeZone::UTC);
            prop_assert!(contents.records.len() + contents.unreadable_count <= file.matches("<Cdr").count());
        }
    }
}
