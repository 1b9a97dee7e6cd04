//! What a body looks like, before it is decoded: for senders that nobody knows yet, and for the commands that
//! OM applications send to the port of the reports.

use crate::object::Object;
use crate::{Dialect, zycoo};

/// The roots of an OM application's commands (chapter 2, `Control`, `Transfer`, `Notify`, `Manage`).
const COMMANDS: [&[u8]; 4] = [b"Control", b"Transfer", b"Notify", b"Manage"];

/// Whether the body is a command by an OM application and no report of a device: whether its root, after
/// blanks, byte order mark, declaration and `<Auth>`, is one that commands have.
#[must_use]
pub fn is_om_command(body: &[u8]) -> bool {
    let mut rest = body;
    while let Some(tag) = next_tag(rest) {
        let name = tag_name(tag);
        if !name.eq_ignore_ascii_case(b"Auth") {
            return COMMANDS.iter().any(|command| command.eq_ignore_ascii_case(name));
        }
        rest = after_auth(tag);
    }
    false
}

/// What follows an `<Auth>` element, of which `tag` is all after its first `<`.
fn after_auth(tag: &[u8]) -> &[u8] {
    let content = after_tag(tag);
    if tag[..tag.len() - content.len()].ends_with(b"/>") {
        return content;
    }
    let mut ends = memchr::memmem::find_iter(content, b"</");
    let end = ends.find(|at| tag_name(&content[at + 2..]).eq_ignore_ascii_case(b"Auth"));
    end.map_or(&[], |at| after_tag(&content[at..]))
}

/// The dialect that a message looks like, by its first bytes and then by its keys; the content type only
/// decides where the body leaves it open. `None` when it looks like none.
#[must_use]
pub fn sniff(content_type: Option<&str>, body: &[u8]) -> Option<Dialect> {
    if next_tag(body).is_some() {
        return Some(Dialect::Om);
    }
    match zycoo::objects(body) {
        Ok(objects) => objects.first().and_then(by_keys),
        // What cannot be read has no dialect either, except XML that says so and is broken at its very start.
        Err(_) => content_type.filter(|kind| kind.to_ascii_lowercase().contains("xml")).map(|_| Dialect::Om),
    }
}

/// Yeastar names its reports by `action`, or in v2 by `event` as ZYCOO does; then the names differ, but for
/// the extension's status, which has other keys.
fn by_keys(object: &Object) -> Option<Dialect> {
    if object.get("action").is_some() {
        return Some(Dialect::Yeastar);
    }
    let event = object.text("event")?;
    if object.get("exten").is_some() || object.get("statustext").is_some() || object.get("mac").is_some() {
        return Some(Dialect::Zycoo);
    }
    const YEASTAR_ONLY: [&str; 4] = ["members", "callid", "sn", "extension"];
    if YEASTAR_ONLY.iter().any(|key| object.get(key).is_some()) {
        return Some(Dialect::Yeastar);
    }
    const ZYCOO: [&str; 7] = ["dialbegein", "dialbegin", "dialend", "hangup", "ivr", "cc_cdr", "cdr"];
    const YEASTAR: [&str; 4] = ["BootUp", "ConfigChange", "NewCdr", "CallStatus"];
    let is = |known: &&str| known.eq_ignore_ascii_case(&event);
    if ZYCOO.iter().any(is) {
        Some(Dialect::Zycoo)
    } else {
        YEASTAR.iter().any(is).then_some(Dialect::Yeastar)
    }
}

/// What follows the `<` of the first element, past blanks, declarations, comments and a DOCTYPE.
fn next_tag(body: &[u8]) -> Option<&[u8]> {
    let mut rest = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    loop {
        rest = rest.trim_ascii_start().strip_prefix(b"<")?;
        match rest.first()? {
            b'?' => rest = &rest[memchr::memmem::find(rest, b"?>")? + 2..],
            b'!' if rest.starts_with(b"!--") => rest = &rest[memchr::memmem::find(rest, b"-->")? + 3..],
            b'!' => rest = after_tag(rest),
            first if first.is_ascii_alphabetic() || *first >= 0x80 || *first == b'_' => return Some(rest),
            _ => return None,
        }
    }
}

fn tag_name(tag: &[u8]) -> &[u8] {
    let end = tag.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'));
    &tag[..end.unwrap_or(tag.len())]
}

fn after_tag(tag: &[u8]) -> &[u8] {
    memchr::memchr(b'>', tag).map_or(&[], |end| &tag[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_by_their_root() {
        for body in [
            "<Control attribute=\"Query\"><DeviceInfo/></Control>",
            "  <?xml version=\"1.0\"?>\n<Transfer attribute=\"Connect\"/>",
            "\u{feff}<?xml version=\"1.0\"?><!-- x --><Auth>\n<nonce>1</nonce></Auth>\n<Notify/>",
            "<auth/><manage>",
            "<Auth><a></Authority></Auth ><Control/>",
        ] {
            assert!(is_om_command(body.as_bytes()), "{body}");
        }
        for body in [
            "",
            "<",
            "Control",
            "<Event attribute=\"Control\"/>",
            "<Controls/>",
            "<Auth><nonce/>",
            "<Auth></Auth>",
            "<Cdr id=\"1\"><Control/></Cdr>",
            "<?xml",
            "<!-- <Control/>",
        ] {
            assert!(!is_om_command(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn dialects_are_known_by_their_looks() {
        for (body, dialect) in [
            ("\n<Event attribute=\"RING\"/>", Some(Dialect::Om)),
            ("<?xml version='1.0'?><Cdr/>", Some(Dialect::Om)),
            (r#"{"action":"RING","callid":"1"}"#, Some(Dialect::Yeastar)),
            (r#"{"event":"CallStatus","members":[]}"#, Some(Dialect::Yeastar)),
            (r#"{"event":"ExtensionStatus","extension":1,"status":"Idle"}"#, Some(Dialect::Yeastar)),
            (r#"{"event":"BootUp"}"#, Some(Dialect::Yeastar)),
            ("{event: 'extensionstatus', exten: '808'}", Some(Dialect::Zycoo)),
            ("{event: 'dialbegein'}", Some(Dialect::Zycoo)),
            ("event=hangup&uniqueid=1", Some(Dialect::Zycoo)),
            ("{event: 'new', mac: '68:69:2e:03:8b:3e'}", Some(Dialect::Zycoo)),
            ("{event: 'new'}", None),
            ("{}", None),
            ("{", None),
            ("hello", None),
            ("", None),
        ] {
            assert_eq!(sniff(None, body.as_bytes()), dialect, "{body}");
        }
        assert_eq!(sniff(Some("text/XML"), b"\0<Event/>"), Some(Dialect::Om));
    }
}
