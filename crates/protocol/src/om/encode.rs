//! Typed reports to OM bytes: the pair of [`decode`](super::decode()), laid out as devices lay it out.

use std::fmt::Write;

use switchroom_domain::Text;

use super::report::{OmCdr, OmEvent, OmMessage, OmOutside, OmParty, OmReport};
use crate::sign::Auth;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n";

/// Writes a message: declaration, document, and its `<Auth>` after it. Line ends are LF, and the last line
/// ends with one, as on the wire.
#[must_use]
pub fn encode(message: &OmMessage) -> Vec<u8> {
    let mut xml = Xml::with_declaration();
    match &message.report {
        OmReport::Event(event) => xml.event(event, message.mac.as_ref()),
        OmReport::Cdr(cdr) => xml.cdr(cdr, message.mac.as_ref()),
        OmReport::Other { root } => {
            xml.open(root, &[]);
            xml.leaf("MAC", message.mac.as_ref());
            xml.close(root);
        }
    }
    if let Some(auth) = &message.auth {
        xml.auth(auth);
    }
    xml.into_bytes()
}

/// Writes elements, each on its own line, those inside of others indented.
pub(super) struct Xml {
    out: String,
    /// How many elements are open.
    depth: usize,
}

impl Xml {
    pub(super) fn with_declaration() -> Self {
        let mut out = String::with_capacity(256);
        out.push_str(DECLARATION);
        Self { out, depth: 0 }
    }

    pub(super) fn bare() -> Self {
        Self { out: String::new(), depth: 0 }
    }

    /// What was written by a [`Self::bare`] one.
    pub(super) fn raw(&mut self, document: &str) {
        self.out.push_str(document);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out.into_bytes()
    }

    fn event(&mut self, event: &OmEvent, mac: Option<&Text>) {
        let name = event.kind.name();
        self.open("Event", &[("attribute", Some(&name)), ("RegisterIP", event.register_ip.as_ref())]);
        self.leaf("MAC", mac);
        self.empty_if("trunk", &[("id", event.trunk.as_ref())]);
        for party in &event.parties {
            match party {
                OmParty::Ext(id) => self.empty("ext", &[("id", Some(id))]),
                OmParty::Visitor(outside) => self.outside("visitor", outside),
                OmParty::Outer(outside) => self.outside("outer", outside),
                OmParty::Menu(id) => self.empty("menu", &[("id", Some(id))]),
                OmParty::Called(id) => self.empty("called", &[("id", Some(id))]),
            }
        }
        self.leaf("info", event.info.as_ref());
        if let Some(w) = &event.waiting {
            let attributes =
                [("group", w.group.as_ref()), ("count", w.count.as_ref()), ("reason", w.reason.as_ref())];
            self.empty("waiting", &attributes);
        }
        if let Some(error) = &event.error {
            self.empty("err", &[("code", error.code.as_ref()), ("reason", error.reason.as_ref())]);
        }
        if let Some(divert) = &event.divert {
            self.empty("divert", &[("from", divert.from.as_ref()), ("to", divert.to.as_ref())]);
        }
        self.leaf("recording", event.recording.as_ref());
        self.close("Event");
    }

    fn cdr(&mut self, cdr: &OmCdr, mac: Option<&Text>) {
        self.open("Cdr", &[("id", cdr.id.as_ref())]);
        self.leaf("MAC", mac);
        self.leaf("callid", cdr.callid.as_ref());
        self.empty_if("visitor", &[("id", cdr.visitor.as_ref())]);
        self.empty_if("outer", &[("id", cdr.outer.as_ref())]);
        self.leaf("TimeStart", cdr.time_start.as_ref());
        self.leaf("Type", cdr.kind.as_ref());
        self.leaf("Route", cdr.route.as_ref());
        self.leaf("CPN", cdr.cpn.as_ref());
        self.leaf("CDPN", cdr.cdpn.as_ref());
        self.leaf("TimeEnd", cdr.time_end.as_ref());
        self.leaf("Duration", cdr.duration.as_ref());
        self.leaf("TrunkNumber", cdr.trunk_number.as_ref());
        self.leaf("Recording", cdr.recording.as_ref());
        self.leaf("RecCodec", cdr.rec_codec.as_ref());
        for (name, text) in &cdr.extra {
            self.leaf(name, Some(text));
        }
        self.close("Cdr");
    }

    fn auth(&mut self, auth: &Auth) {
        self.open("Auth", &[]);
        self.leaf("nonce", Some(&auth.nonce));
        self.leaf("timestamp", Some(&auth.timestamp));
        self.leaf("signature", Some(&auth.signature));
        self.close("Auth");
    }

    fn outside(&mut self, name: &str, party: &OmOutside) {
        let attributes = [
            ("id", party.id.as_ref()),
            ("from", party.from.as_ref()),
            ("to", party.to.as_ref()),
            ("trunk", party.trunk.as_ref()),
            ("callid", party.callid.as_ref()),
        ];
        self.empty(name, &attributes);
    }

    /// Opens an element that holds elements.
    pub(super) fn open(&mut self, name: &str, attributes: &[(&str, Option<&Text>)]) {
        self.indent();
        self.tag(name, attributes);
        self.out.push_str(">\n");
        self.depth += 1;
    }

    /// An element without content; absent attributes are left out.
    pub(super) fn empty(&mut self, name: &str, attributes: &[(&str, Option<&Text>)]) {
        self.indent();
        self.tag(name, attributes);
        self.out.push_str(" />\n");
    }

    /// An empty element, unless its only attribute is absent.
    fn empty_if(&mut self, name: &str, attributes: &[(&str, Option<&Text>)]) {
        if attributes.iter().any(|(_, text)| text.is_some()) {
            self.empty(name, attributes);
        }
    }

    /// An element that holds text, unless the text is absent.
    pub(super) fn leaf(&mut self, name: &str, text: Option<&Text>) {
        if let Some(text) = text {
            self.leaf_with(name, &[], text);
        }
    }

    /// An element that holds text and has attributes.
    pub(super) fn leaf_with(&mut self, name: &str, attributes: &[(&str, Option<&Text>)], text: &Text) {
        self.indent();
        self.tag(name, attributes);
        self.out.push('>');
        self.text(text);
        self.end(name);
    }

    /// Closes the element that was opened last.
    pub(super) fn close(&mut self, name: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.indent();
        self.end(name);
    }

    fn end(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push_str(">\n");
    }

    fn indent(&mut self) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, Option<&Text>)]) {
        self.out.push('<');
        self.out.push_str(name);
        for (key, text) in attributes {
            let Some(text) = text else { continue };
            self.out.push(' ');
            self.out.push_str(key);
            self.out.push_str("=\"");
            self.text(text);
            self.out.push('"');
        }
    }

    /// Text with everything escaped that a parser would take for markup or normalise away.
    fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '&' => self.out.push_str("&amp;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&apos;"),
                '\n' | '\r' | '\t' => {
                    // Writing to a String cannot fail.
                    let _ = write!(self.out, "&#{};", u32::from(character));
                }
                other => self.out.push(other),
            }
        }
    }
}
