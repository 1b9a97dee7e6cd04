//! OM bytes to typed reports, with a pull parser: no tree, no maps, one pass.
//!
//! One body may hold several documents one after another, each with or without an XML declaration, and an
//! `<Auth>` before or after each; a validating parser would refuse that. Entities beyond the five predefined
//! and the numeric ones are kept as they are written, and a DOCTYPE is passed over: nothing ever expands.

use std::borrow::Cow;

use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Error, Reader};
use switchroom_domain::Text;

use super::report::{
    EventKind, OmCdr, OmDivert, OmEvent, OmFailure, OmMessage, OmOutside, OmParty, OmReport, OmWaiting,
};
use crate::error::DecodeError;
use crate::limits::{MAX_DEPTH, MAX_DOCUMENTS, MAX_EXTRAS, MAX_PARTIES};
use crate::sign::Auth;
use crate::text::{UNNAMED, bom_length, decode_body, value};

/// Reads all messages of a body, in order.
///
/// # Errors
/// When the body is not well-formed XML, holds no message, or exceeds a limit.
pub fn decode(body: &[u8]) -> Result<Vec<OmMessage>, DecodeError> {
    let text = decode_body(body);
    let mut reader = Reader::from_str(&text);
    reader.config_mut().allow_dangling_amp = true;
    Decoder { reader, before: bom_length(body) }.messages()
}

struct Decoder<'a> {
    reader: Reader<&'a [u8]>,
    /// Bytes of the body before the text that the reader sees.
    before: usize,
}

/// What is known inside the document that is being read.
struct Document {
    report: OmReport,
    mac: Option<Text>,
    auth: Option<Auth>,
}

/// What a root element starts.
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack; nearly always the large one")]
enum Root {
    Auth(Auth),
    Document(Document),
}

impl<'a> Decoder<'a> {
    fn messages(mut self) -> Result<Vec<OmMessage>, DecodeError> {
        let mut messages = Vec::with_capacity(1);
        let mut auth = None;
        loop {
            let offset = self.offset();
            match self.next()? {
                Event::Start(start) => self.document(&start, true, &mut messages, &mut auth)?,
                Event::Empty(start) => self.document(&start, false, &mut messages, &mut auth)?,
                Event::Text(text) if is_blank(&text) => {}
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                    return Err(DecodeError::new(offset, "text outside of a document"));
                }
                Event::Eof if messages.is_empty() => {
                    return Err(DecodeError::new(offset, "the body holds no document"));
                }
                Event::Eof => return Ok(messages),
                Event::End(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => {}
            }
        }
    }

    /// Reads one document and puts it, or its `<Auth>`, where it belongs: an `<Auth>` goes to the message
    /// before it, and to the next one when there is none or it has its own.
    fn document(
        &mut self,
        start: &BytesStart<'_>,
        has_content: bool,
        messages: &mut Vec<OmMessage>,
        waiting_auth: &mut Option<Auth>,
    ) -> Result<(), DecodeError> {
        let offset = self.offset();
        let mut root = root(start).map_err(|e| self.attribute_error(&e))?;
        if has_content {
            self.content(&mut root)?;
        }
        match root {
            Root::Auth(auth) => match messages.last_mut() {
                Some(OmMessage { auth: place @ None, .. }) => *place = Some(auth),
                _ => *waiting_auth = Some(auth),
            },
            Root::Document(_) if messages.len() >= MAX_DOCUMENTS => {
                return Err(DecodeError::new(offset, format!("more than {MAX_DOCUMENTS} documents")));
            }
            Root::Document(Document { report, mac, auth }) => {
                messages.push(OmMessage { report, mac, auth: auth.or_else(|| waiting_auth.take()) });
            }
        }
        Ok(())
    }

    /// Reads up to the end of the root. The text of an element is what follows the last start tag; elements
    /// that hold elements have none that matters.
    fn content(&mut self, root: &mut Root) -> Result<(), DecodeError> {
        let mut depth = 1;
        let mut leaf_depth = 0;
        let mut text = Text::default();
        loop {
            match self.next()? {
                Event::Start(start) => {
                    depth += 1;
                    if depth > MAX_DEPTH {
                        let reason = format!("elements nested deeper than {MAX_DEPTH}");
                        return Err(DecodeError::new(self.offset(), reason));
                    }
                    leaf_depth = depth;
                    text.clear();
                    root.open(&start).map_err(|e| self.attribute_error(&e))?;
                }
                Event::Empty(start) => root.open(&start).map_err(|e| self.attribute_error(&e))?,
                Event::End(end) => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                    if leaf_depth == depth + 1 {
                        if let Some(text) = value(&text) {
                            root.close(plain_name(end.name().as_ref()), text);
                        }
                        leaf_depth = 0;
                    }
                }
                Event::Text(part) if leaf_depth == depth => text.push_str(&part),
                Event::CData(part) if leaf_depth == depth => text.push_str(&part),
                Event::GeneralRef(entity) if leaf_depth == depth => push_reference(&mut text, &entity),
                Event::Eof => {
                    return Err(DecodeError::new(self.offset(), "the body ends inside a document"));
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<Event<'a>, DecodeError> {
        self.reader.read_event().map_err(|error| {
            let offset = usize::try_from(self.reader.error_position()).unwrap_or(usize::MAX);
            DecodeError::new(self.before.saturating_add(offset), error.to_string())
        })
    }

    fn offset(&self) -> usize {
        let position = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        self.before.saturating_add(position)
    }

    fn attribute_error(&self, error: &Error) -> DecodeError {
        DecodeError::new(self.offset(), format!("in the attributes before: {error}"))
    }
}

/// Nothing but blanks, byte order marks, and the zero bytes that C programs leave at the end.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c == '\0' || c == '\u{feff}')
}

/// The part of an element's name that can be one; the parser takes anything up to a blank.
pub(super) fn plain_name(name: &str) -> &str {
    let in_name =
        |b: u8| b.is_ascii_alphanumeric() || !b.is_ascii() || matches!(b, b'_' | b'-' | b'.' | b':');
    match name.bytes().position(|b| !in_name(b)) {
        Some(end) => &name[..end],
        None => name,
    }
}

fn root(start: &BytesStart<'_>) -> Result<Root, Error> {
    let name = start.name();
    let name = plain_name(name.as_ref());
    if name.eq_ignore_ascii_case("Auth") {
        return Ok(Root::Auth(Auth::default()));
    }
    let report = if name.eq_ignore_ascii_case("Event") {
        OmReport::Event(event(start)?)
    } else if name.eq_ignore_ascii_case("Cdr") {
        let id = only_attribute(start, "id")?;
        OmReport::Cdr(Box::new(OmCdr { id, ..OmCdr::default() }))
    } else {
        OmReport::Other { root: Text::new(if name.is_empty() { UNNAMED } else { name }) }
    };
    Ok(Root::Document(Document { report, mac: None, auth: None }))
}

fn event(start: &BytesStart<'_>) -> Result<OmEvent, Error> {
    let mut event = OmEvent::new(EventKind::Other(Text::const_new("Event")));
    each_attribute(start, |key, text| {
        if key.eq_ignore_ascii_case("attribute") {
            event.kind = EventKind::from_name(text);
        } else if key.eq_ignore_ascii_case("RegisterIP") {
            event.register_ip = value(text);
        }
    })?;
    Ok(event)
}

impl Root {
    /// An element inside the root starts.
    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), Error> {
        match self {
            Self::Document(Document { report: OmReport::Event(event), .. }) => open_in_event(event, start),
            Self::Document(Document { report: OmReport::Cdr(cdr), .. }) => open_in_cdr(cdr, start),
            Self::Document(_) | Self::Auth(_) => Ok(()),
        }
    }

    /// An element inside the root ended, and this was its text.
    fn close(&mut self, name: &str, text: Text) {
        match self {
            Self::Auth(auth) => {
                close_in_auth(auth, name, text);
            }
            Self::Document(Document { report, mac, auth }) => {
                if name.eq_ignore_ascii_case("MAC") {
                    mac.get_or_insert(text);
                    return;
                }
                match report {
                    OmReport::Event(event) if name.eq_ignore_ascii_case("info") => {
                        event.info.get_or_insert(text);
                    }
                    OmReport::Event(event) if name.eq_ignore_ascii_case("recording") => {
                        event.recording.get_or_insert(text);
                    }
                    OmReport::Event(_) => {
                        // An <Auth> inside of the event, which no document shows, is still an <Auth>.
                        let mut inner = auth.take().unwrap_or_default();
                        if close_in_auth(&mut inner, name, text) || inner != Auth::default() {
                            *auth = Some(inner);
                        }
                    }
                    OmReport::Cdr(cdr) => close_in_cdr(cdr, name, text),
                    OmReport::Other { .. } => {}
                }
            }
        }
    }
}

/// Takes a part of an `<Auth>`; false when it is none.
pub(super) fn close_in_auth(auth: &mut Auth, name: &str, text: Text) -> bool {
    let place = if name.eq_ignore_ascii_case("nonce") {
        &mut auth.nonce
    } else if name.eq_ignore_ascii_case("timestamp") {
        &mut auth.timestamp
    } else if name.eq_ignore_ascii_case("signature") {
        &mut auth.signature
    } else {
        return false;
    };
    *place = text;
    true
}

fn open_in_event(event: &mut OmEvent, start: &BytesStart<'_>) -> Result<(), Error> {
    let name = start.name();
    let name = plain_name(name.as_ref());
    let party = if name.eq_ignore_ascii_case("ext") {
        only_attribute(start, "id")?.map(OmParty::Ext)
    } else if name.eq_ignore_ascii_case("visitor") {
        Some(OmParty::Visitor(outside(start)?))
    } else if name.eq_ignore_ascii_case("outer") {
        Some(OmParty::Outer(outside(start)?))
    } else if name.eq_ignore_ascii_case("menu") {
        only_attribute(start, "id")?.map(OmParty::Menu)
    } else if name.eq_ignore_ascii_case("called") {
        only_attribute(start, "id")?.map(OmParty::Called)
    } else {
        return open_detail(event, start, name);
    };
    if let Some(party) = party
        && event.parties.len() < MAX_PARTIES
    {
        if event.parties.is_empty() {
            event.parties.reserve(2);
        }
        event.parties.push(party);
    }
    Ok(())
}

/// Elements of an event that are no parties.
fn open_detail(event: &mut OmEvent, start: &BytesStart<'_>, name: &str) -> Result<(), Error> {
    if name.eq_ignore_ascii_case("trunk") {
        event.trunk = only_attribute(start, "id")?;
    } else if name.eq_ignore_ascii_case("waiting") {
        let mut waiting = OmWaiting::default();
        each_attribute(start, |key, text| match key {
            _ if key.eq_ignore_ascii_case("group") => waiting.group = value(text),
            _ if key.eq_ignore_ascii_case("count") => waiting.count = value(text),
            _ if key.eq_ignore_ascii_case("reason") => waiting.reason = value(text),
            _ => {}
        })?;
        event.waiting = Some(waiting);
    } else if name.eq_ignore_ascii_case("err") || name.eq_ignore_ascii_case("error") {
        let mut failure = OmFailure::default();
        each_attribute(start, |key, text| match key {
            _ if key.eq_ignore_ascii_case("code") => failure.code = value(text),
            _ if key.eq_ignore_ascii_case("reason") => failure.reason = value(text),
            _ => {}
        })?;
        event.error = Some(failure);
    } else if name.eq_ignore_ascii_case("divert") {
        let mut divert = OmDivert::default();
        each_attribute(start, |key, text| match key {
            _ if key.eq_ignore_ascii_case("from") => divert.from = value(text),
            _ if key.eq_ignore_ascii_case("to") => divert.to = value(text),
            _ => {}
        })?;
        event.divert = Some(divert);
    }
    Ok(())
}

fn open_in_cdr(cdr: &mut OmCdr, start: &BytesStart<'_>) -> Result<(), Error> {
    let name = start.name();
    let name = plain_name(name.as_ref());
    if name.eq_ignore_ascii_case("visitor") {
        cdr.visitor = cdr.visitor.take().or(only_attribute(start, "id")?);
    } else if name.eq_ignore_ascii_case("outer") {
        cdr.outer = cdr.outer.take().or(only_attribute(start, "id")?);
    }
    Ok(())
}

fn close_in_cdr(cdr: &mut OmCdr, name: &str, text: Text) {
    let fields: [(&str, &mut Option<Text>); 11] = [
        ("callid", &mut cdr.callid),
        ("TimeStart", &mut cdr.time_start),
        ("Type", &mut cdr.kind),
        ("Route", &mut cdr.route),
        ("CPN", &mut cdr.cpn),
        ("CDPN", &mut cdr.cdpn),
        ("TimeEnd", &mut cdr.time_end),
        ("Duration", &mut cdr.duration),
        ("TrunkNumber", &mut cdr.trunk_number),
        ("Recording", &mut cdr.recording),
        ("RecCodec", &mut cdr.rec_codec),
    ];
    for (known, place) in fields {
        if known.eq_ignore_ascii_case(name) {
            *place = Some(text);
            return;
        }
    }
    if cdr.extra.len() < MAX_EXTRAS && !name.is_empty() {
        cdr.extra.push((Text::new(name), text));
    }
}

fn outside(start: &BytesStart<'_>) -> Result<OmOutside, Error> {
    let mut party = OmOutside::default();
    each_attribute(start, |key, text| match key {
        _ if key.eq_ignore_ascii_case("id") => party.id = value(text),
        _ if key.eq_ignore_ascii_case("from") => party.from = value(text),
        _ if key.eq_ignore_ascii_case("to") => party.to = value(text),
        _ if key.eq_ignore_ascii_case("callid") => party.callid = value(text),
        _ if key.eq_ignore_ascii_case("trunk") => party.trunk = value(text),
        _ => {}
    })?;
    Ok(party)
}

/// The value of one attribute.
fn only_attribute(start: &BytesStart<'_>, name: &str) -> Result<Option<Text>, Error> {
    let mut found = None;
    each_attribute(start, |key, text| {
        if key.eq_ignore_ascii_case(name) {
            found = value(text);
        }
    })?;
    Ok(found)
}

/// Calls `take` for every attribute, with entities resolved. Of repeated ones the last counts.
pub(super) fn each_attribute(start: &BytesStart<'_>, mut take: impl FnMut(&str, &str)) -> Result<(), Error> {
    for attribute in start.attributes().with_checks(false) {
        let Attribute { key, value } = attribute?;
        take(key.as_ref(), &resolved(&value));
    }
    Ok(())
}

/// Text with its references resolved; unknown ones and lone `&` stay as written.
fn resolved(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'&', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut text = Text::default();
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.split_once(';') {
            Some((entity, after)) if is_reference(entity) => {
                push_reference(&mut text, entity);
                rest = after;
            }
            _ => text.push('&'),
        }
    }
    text.push_str(rest);
    Cow::Owned(text.into())
}

fn is_reference(entity: &str) -> bool {
    !entity.is_empty() && entity.bytes().all(|b| b == b'#' || b.is_ascii_alphanumeric())
}

/// Appends what `&entity;` means.
pub(super) fn push_reference(text: &mut Text, entity: &str) {
    match entity {
        "lt" => text.push('<'),
        "gt" => text.push('>'),
        "amp" => text.push('&'),
        "apos" => text.push('\''),
        "quot" => text.push('"'),
        _ => match numeric(entity) {
            Some(character) => text.push(character),
            None => {
                text.push('&');
                text.push_str(entity);
                text.push(';');
            }
        },
    }
}

fn numeric(entity: &str) -> Option<char> {
    let digits = entity.strip_prefix('#')?;
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    char::from_u32(code).filter(|character| *character != '\0')
}
