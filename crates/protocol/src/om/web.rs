//! What applications ask of the web interface (4.8 and chapter 6.2 of the vendor's manual), read where they ask it of
//! us instead of the device. [`parameters`](super::parameters) is the other side: it asks, and reads the answer.

use std::fmt;

use quick_xml::escape::escape;
use switchroom_domain::Text;

use super::parameters::Stat;
use crate::text::percent_decoded;

/// The most parameters of one request. A device has 17; more than that is no use of it.
pub const MOST: usize = 32;

/// What stands for the value of a parameter that the device does not know (6.2.1).
pub const NOT_DEFINED: &str = "not defined";

/// A request for parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct WebRequest {
    /// The administrator's password, as the sender has it; empty if it gave none.
    pub pass: Text,
    /// The number of the line, for parameters that each line has.
    pub line_id: Option<Text>,
    /// What is asked.
    pub asks: Asks,
}

/// What is asked of parameters; at least one, at most [`MOST`].
#[derive(Clone, PartialEq, Eq)]
pub enum Asks {
    /// The values of the parameters with these numbers.
    Get(Vec<Text>),
    /// These numbers get these values.
    Set(Vec<(Text, Text)>),
}

/// Leaves the password out.
impl fmt::Debug for WebRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("WebRequest");
        shown.field("line_id", &self.line_id).field("asks", &self.asks).finish_non_exhaustive()
    }
}

/// Leaves the values out: some are passwords.
impl fmt::Debug for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(ids) => f.debug_tuple("Get").field(ids).finish(),
            Self::Set(values) => {
                f.debug_list().entries(values.iter().map(|(id, _)| format!("Set {id}"))).finish()
            }
        }
    }
}

/// Is this the query of a URL of the web interface?
#[must_use]
pub fn is_request(query: &str) -> bool {
    query.split('&').any(|pair| pair.starts_with("method=gw.config."))
}

/// Reads the query of such a URL, `method=gw.config.get&id=1070&pass=admin`; none if it asks nothing that can be
/// asked, or for more than [`MOST`] parameters.
///
/// What is set stands as `id1070=1`, and is set whatever the method is called: 6.2.2 prints `gw.config.get` for
/// what 4.8 calls `gw.config.set`.
#[must_use]
pub fn decode_request(query: &str) -> Option<WebRequest> {
    let (mut method, mut pass, mut line_id) = (None, None, None);
    let (mut gets, mut sets) = (Vec::new(), Vec::new());
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let (name, value) = (percent_decoded(name), percent_decoded(value));
        match name.as_str() {
            "method" => drop(method.get_or_insert(value)),
            "pass" => drop(pass.get_or_insert(value)),
            "line_id" => drop(line_id.get_or_insert(value)),
            "id" => gets.push(value),
            name => {
                if let Some(id) = name.strip_prefix("id") {
                    sets.push((Text::new(id), value));
                }
            }
        }
        if gets.len().max(sets.len()) > MOST {
            return None;
        }
    }
    let asks = match method?.as_str() {
        "gw.config.get" | "gw.config.set" if !sets.is_empty() => Asks::Set(sets),
        "gw.config.get" if !gets.is_empty() => Asks::Get(gets),
        _ => return None,
    };
    Some(WebRequest { pass: pass.unwrap_or_default(), line_id, asks })
}

/// Writes an answer (6.2.3), with the values that were asked for: number and value, none for a parameter that the
/// device does not know.
#[must_use]
pub fn encode_response(stat: Stat, items: &[(Text, Option<Text>)]) -> String {
    let stat = match stat {
        Stat::Ok => "ok",
        Stat::Restart => "restart",
        Stat::Fail => "fail",
    };
    let items: String = items
        .iter()
        .map(|(id, value)| {
            let value = value.as_deref().unwrap_or(NOT_DEFINED);
            format!("  <item id=\"{}\" value=\"{}\"/>\n", escape(id.as_str()), escape(value))
        })
        .collect();
    format!("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<rsp stat=\"{stat}\">\n{items}</rsp>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::om::parameters::{self, decode_response};
    use proptest::prelude::*;

    fn get(ids: &[&str]) -> Asks {
        Asks::Get(ids.iter().copied().map(Text::new).collect())
    }

    fn set(values: &[(&str, &str)]) -> Asks {
        Asks::Set(values.iter().map(|(id, value)| (Text::new(id), Text::new(value))).collect())
    }

    #[test]
    fn requests_are_read_as_the_manual_prints_them() {
        for (query, line, asks) in [
            ("method=gw.config.get&id=1070&pass=admin", None, get(&["1070"])),
            ("method=gw.config.get&line_id=3&id=599&pass=admin", Some("3"), get(&["599"])),
            ("method=gw.config.set&id1070=1&pass=admin", None, set(&[("1070", "1")])),
            ("method=gw.config.get&id1070=1&pass=admin", None, set(&[("1070", "1")])),
            ("method=gw.config.get&line_id=3&id599=0x17&pass=admin", Some("3"), set(&[("599", "0x17")])),
            (
                "method=gw.config.set&line_id=1&id700=newrock&id703=123456&id708=O&pass=admin",
                Some("1"),
                set(&[("700", "newrock"), ("703", "123456"), ("708", "O")]),
            ),
            ("pass=admin&&x&id=349&id=1%3058&method=gw.config.get&id=", None, get(&["349", "1058", ""])),
        ] {
            let request = decode_request(query).unwrap_or_else(|| panic!("{query}"));
            let line_id = line.map(Text::new);
            assert_eq!(request, WebRequest { pass: "admin".into(), line_id, asks });
            assert!(is_request(query));
        }
        for query in [
            "",
            "method=gw.config.get&pass=admin",
            "method=gw.config.set&id=1070&pass=admin",
            "method=gw.config.del&id=1070",
            "id=1070&pass=admin",
        ] {
            assert_eq!(decode_request(query), None, "{query}");
        }
        let many = |ids: usize| format!("method=gw.config.get{}", "&id=1".repeat(ids));
        assert!(decode_request(&many(MOST)).is_some() && decode_request(&many(MOST + 1)).is_none());
    }

    #[test]
    fn what_is_asked_of_devices_is_read_back() {
        for parameter in parameters::ALL {
            let line = parameter.per_line.then_some("7");
            let password = "a&b=c +%张";
            let path = parameters::read_path(parameter, line, password).expect("it can be read");
            let read = decode_request(path.strip_prefix("/xml?").expect("a query")).expect("a request");
            let id = parameter.id.to_string();
            assert_eq!(
                read,
                WebRequest { pass: password.into(), line_id: line.map(Text::new), asks: get(&[&id]) }
            );
            let path =
                parameters::write_path(parameter, line, parameter.default, password).expect("it can be set");
            let read = decode_request(path.strip_prefix("/xml?").expect("a query")).expect("a request");
            assert_eq!(read.asks, set(&[(&id, parameter.default)]));
        }
    }

    #[test]
    fn answers_are_read_back() {
        let value = Text::new("a\"<&>b");
        let answer = encode_response(Stat::Ok, &[("1".into(), Some(value.clone()))]);
        assert_eq!(decode_response(answer.as_bytes()).expect("an answer").value, Some(value));
        let answer = encode_response(Stat::Ok, &[("9999".into(), None)]);
        assert!(decode_response(answer.as_bytes()).expect("an answer").is_unknown, "{answer}");
        for stat in [Stat::Ok, Stat::Restart, Stat::Fail] {
            let answer = encode_response(stat, &[]);
            assert_eq!(decode_response(answer.as_bytes()).expect("an answer").stat, stat);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let request = decode_request("method=gw.config.set&id1089=s3cret&pass=admin").expect("a request");
        let shown = format!("{request:?}");
        assert!(shown.contains("1089") && !shown.contains("s3cret") && !shown.contains("admin"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_query_is_read_within_the_bound(query in "(method=gw.config.(get|set)&|id=|id[0-9]{1,3}=|pass=|&|=|%|%[0-9A-F]{2}|\\PC){0,80}") {
            if let Some(request) = decode_request(&query) {
                let count = match &request.asks {
                    Asks::Get(ids) => ids.len(),
                    Asks::Set(values) => values.len(),
                };
                prop_assert!((1..=MOST).contains(&count));
            }
        }
    }
}
