//! Requests of applications that are passed on in their own words: what is not understood here may still mean something to
//! a device.
//!
//! They are written anew from what was read, so that a device reads nothing that was not seen here: no comments, no
//! doubled attributes, no markup that one reader takes for text and another does not.

use switchroom_domain::Text;
use switchroom_domain::command::{Command, PartyRef};

use super::encode::Xml;
use super::tree::{self, Element};

/// Attributes that name who is there already.
const IDS: [&str; 5] = ["id", "lineid", "callid", "trunk", "to"];
/// The roots that commands have.
const ROOTS: [&str; 4] = ["Control", "Transfer", "Notify", "Manage"];

/// The request that a body holds, to be passed on word for word; none when it is no request of this form.
///
/// Whatever in it might be a number to call, or names a call, is among its parties.
#[must_use]
pub fn restate_command(body: &[u8]) -> Option<Command> {
    let roots = tree::read(body).ok()?;
    let mut requests = roots.iter().filter(|root| !root.is("Auth"));
    let (Some(root), None) = (requests.next(), requests.next()) else { return None };
    if !ROOTS.iter().any(|name| root.is(name)) {
        return None;
    }
    let mut xml = Xml::bare();
    let mut parties = Vec::new();
    write(&mut xml, &mut parties, root)?;
    if root.attribute("attribute").is_some_and(|what| what.eq_ignore_ascii_case("Query")) {
        // To ask about a call is not to act on it.
        parties.retain(|party| matches!(party, PartyRef::Number { .. }));
    }
    let document = String::from_utf8(xml.into_bytes()).ok()?;
    Some(Command::Verbatim { document: document.into(), parties })
}

fn write(xml: &mut Xml, parties: &mut Vec<PartyRef>, element: &Element) -> Option<()> {
    let mut attributes: Vec<(&str, Option<&Text>)> = Vec::new();
    for (key, text) in element.attributes() {
        if !is_name(key) || !is_plain(text) {
            return None;
        }
        // Of doubled ones the last counts.
        attributes.retain(|(known, _)| !known.eq_ignore_ascii_case(key));
        attributes.push((key, Some(text)));
    }
    let text = element.trimmed();
    if !is_name(&element.name) || !is_plain(&text) {
        return None;
    }
    // A number to call, wherever it stands: nobody knows what a device makes of what is not understood here.
    let to = element.attribute("to");
    let inside =
        element.text().filter(|text| element.is("outer") || passes_on(element) || looks_callable(text));
    let beside = attributes.iter().filter(|(key, _)| !IDS.iter().any(|id| key.eq_ignore_ascii_case(id)));
    let beside = beside.filter_map(|(_, value)| *value).filter(|value| looks_callable(value)).cloned();
    let mut called: Vec<Text> = to.into_iter().chain(inside).chain(beside).collect();
    called.dedup();
    parties.extend(called.into_iter().map(PartyRef::number));
    let id = element.attribute("id");
    if element.is("visitor") {
        parties.extend(id.or_else(|| element.text()).map(|visitor| PartyRef::Visitor { visitor }));
    } else if element.is("outer") {
        parties.extend(id.map(|outer| PartyRef::Outer { outer }));
    }
    let name = element.name.as_str();
    match (element.children.is_empty(), text.is_empty()) {
        (true, true) => xml.empty(name, &attributes),
        (true, false) => xml.leaf_with(name, &attributes, &text),
        (false, true) => {
            xml.open(name, &attributes);
            for child in &element.children {
                write(xml, parties, child)?;
            }
            xml.close(name);
        }
        // No command has both.
        (false, false) => return None,
    }
    Some(())
}

/// Does it name a number to which calls are passed on?
fn passes_on(element: &Element) -> bool {
    ["Fwd_Number", "Fork", "mobile"].iter().any(|name| element.name.eq_ignore_ascii_case(name))
}

/// Might somebody be called by it?
fn looks_callable(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let dials =
        |c: char| c.is_ascii_digit() || matches!(c, '+' | '*' | '#' | ',' | '-' | '.' | '(' | ')' | ' ');
    digits >= 5 && text.chars().all(dials)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(|character| character.is_control() && !matches!(character, '\t' | '\n' | '\r'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::om::{decode_command, encode_command};
    use crate::sign::Auth;

    fn restated(body: &str) -> Option<(String, Vec<PartyRef>)> {
        match restate_command(body.as_bytes())? {
            Command::Verbatim { document, parties } => Some((document.to_string(), parties)),
            _ => None,
        }
    }

    #[test]
    fn what_is_not_understood_is_said_again_and_no_more() {
        let body = "<?xml version=\"1.0\"?>\r\n<Auth><nonce>1</nonce></Auth><Control attribute=\"Dance\"><!-- x -->\
                    <ext id='200' id=\"201\"/><step> a&amp;b </step><empty></empty></Control>";
        let (document, parties) = restated(body).expect("a request");
        assert_eq!(
            document,
            "<Control attribute=\"Dance\">\n  <ext id=\"201\" />\n  <step>a&amp;b</step>\n  <empty />\n</Control>\n"
        );
        assert_eq!(parties, []);
        let command = restate_command(body.as_bytes()).expect("a request");
        assert_eq!(command.check(), Ok(()));
        let auth = Auth { nonce: "n".into(), timestamp: "1".into(), signature: "s".into() };
        let sent = String::from_utf8(encode_command(&command, Some(&auth)).expect("a form")).expect("text");
        assert!(
            sent.starts_with("<?xml ") && sent.contains("<nonce>n</nonce>") && sent.ends_with(&document),
            "{sent}"
        );
        assert!(decode_command(sent.as_bytes()).expect("it is read").command.is_err());
    }

    #[test]
    fn every_number_that_may_be_called_is_found() {
        let numbers = |body: &str| restated(body).map(|(_, parties)| parties);
        let number = |text: &str| Some(vec![PartyRef::number(text)]);
        assert_eq!(numbers("<Transfer attribute=\"Ring\"><outer to=\"0044\"/></Transfer>"), number("0044"));
        assert_eq!(numbers("<Transfer><outer>0044</outer></Transfer>"), number("0044"));
        assert_eq!(numbers("<Transfer><a><b TO=\" 0044 \"/></a></Transfer>"), number("0044"));
        // Neither hides the other.
        let both = Some(vec![PartyRef::number("110"), PartyRef::number("0044123")]);
        assert_eq!(numbers("<Transfer><outer to=\"110\">0044123</outer></Transfer>"), both);
        let hidden = "<Control><Fwd_Number to=\"110\">0044123</Fwd_Number></Control>";
        assert_eq!(numbers(hidden), both);
        assert_eq!(numbers("<Control><outer><to>0044123</to></outer></Control>"), number("0044123"));
        assert_eq!(numbers("<Control><Off_Line_Num>0044123</Off_Line_Num></Control>"), number("0044123"));
        assert_eq!(numbers("<Control><ext line='0044123' id='20012'/></Control>"), number("0044123"));
        assert_eq!(numbers("<Control><ext id='20012'/><group>12</group></Control>"), Some(Vec::new()));
        assert_eq!(numbers("<Control attribute=\"query\"><visitor id=\"1\"/></Control>"), Some(Vec::new()));
        let of_call = numbers("<Transfer><visitor id=\"1\"/><outer id=\"2\" to=\"0044\"/></Transfer>")
            .expect("a request");
        assert!(of_call.contains(&PartyRef::Visitor { visitor: "1".into() }), "{of_call:?}");
        assert!(of_call.contains(&PartyRef::Outer { outer: "2".into() }), "{of_call:?}");
        assert!(of_call.contains(&PartyRef::number("0044")), "{of_call:?}");
    }

    #[test]
    fn what_is_no_request_is_not_passed_on() {
        for body in [
            "",
            "<Control",
            "<Event attribute=\"BUSY\"/>",
            "<Control/><Control/>",
            "<Control>text<ext id=\"1\"/></Control>",
            "<Control a\"b=\"1\"/>",
            "<Control x=\"&#1;\"/>",
        ] {
            assert_eq!(restated(body), None, "{body}");
        }
    }
}
