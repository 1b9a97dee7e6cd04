//! A small tree of elements, for commands and replies.
//!
//! Reports are read in one pass because there are many of them; commands and replies are few, and what an
//! element means depends on what is around it (`<group>` in an extension is a membership, in a status it is
//! the group itself), so they are read from a tree. It is as tolerant as the other reader, and forgives two
//! slips of the vendor's own examples: a blank in an end tag (`</ No_Disturb>`, chapter 2.1.2.1), and an end
//! tag after an element that is closed already (`<group id="1"/></group>`, chapter 5.4).

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Error, Reader};
use switchroom_domain::Text;

use super::decode::{each_attribute, is_blank, plain_name, push_reference};
use crate::error::DecodeError;
use crate::limits::{MAX_DEPTH, MAX_ELEMENTS};
use crate::text::{bom_length, decode_body, value};

/// One element, with everything inside of it.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// As written.
    pub(super) name: Text,
    attributes: Vec<(Text, Text)>,
    /// All text that stands directly in it.
    text: Text,
    pub(super) children: Vec<Self>,
}

impl Element {
    /// Its attributes as written, in order; there may be several of a name.
    pub(super) fn attributes(&self) -> &[(Text, Text)] {
        &self.attributes
    }

    /// Has it this name? Case does not matter.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The attribute as written; of repeated ones the last counts.
    pub(super) fn raw_attribute(&self, name: &str) -> Option<&str> {
        let mut found = self.attributes.iter().rev();
        found.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, text)| text.as_str())
    }

    /// The attribute, trimmed; absent when nothing is left.
    pub(super) fn attribute(&self, name: &str) -> Option<Text> {
        value(self.raw_attribute(name)?)
    }

    /// Its text, trimmed; absent when nothing is left.
    pub(super) fn text(&self) -> Option<Text> {
        value(&self.text)
    }

    /// Its text, trimmed, which may be nothing.
    pub(super) fn trimmed(&self) -> Text {
        Text::new(self.text.trim())
    }

    /// The first element in it with this name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is(name))
    }

    /// The elements in it with this name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Self> {
        self.children.iter().filter(move |child| child.is(name))
    }

    /// The text of the first element in it with this name that has any.
    pub(super) fn text_of(&self, name: &str) -> Option<Text> {
        self.all(name).find_map(Self::text)
    }

    /// What identifies it: its `id`, or its text, as assignments write members and groups.
    pub(super) fn id(&self) -> Option<Text> {
        self.attribute("id").or_else(|| self.text())
    }
}

/// Reads all root elements of a body, in order; none when it holds nothing but blanks and comments.
///
/// # Errors
/// When the body is not well-formed XML, or exceeds a limit.
pub(super) fn read(body: &[u8]) -> Result<Vec<Element>, DecodeError> {
    let text = decode_body(body);
    let mut reader = Reader::from_str(&text);
    let config = reader.config_mut();
    config.allow_dangling_amp = true;
    config.allow_unmatched_ends = true;
    config.check_end_names = false;
    Builder { reader, before: bom_length(body), roots: Vec::new(), open: Vec::new(), elements: 0 }.roots()
}

struct Builder<'a> {
    reader: Reader<&'a [u8]>,
    /// Bytes of the body before the text that the reader sees.
    before: usize,
    roots: Vec<Element>,
    /// Elements that have not ended yet, the root first.
    open: Vec<Element>,
    elements: usize,
}

impl Builder<'_> {
    fn roots(mut self) -> Result<Vec<Element>, DecodeError> {
        loop {
            let event = self.reader.read_event().map_err(|error| {
                let offset = usize::try_from(self.reader.error_position()).unwrap_or(usize::MAX);
                DecodeError::new(self.before.saturating_add(offset), error.to_string())
            })?;
            match event {
                Event::Start(start) => {
                    let element = self.element(&start)?;
                    if self.open.len() >= MAX_DEPTH {
                        return Err(self.error(format!("elements nested deeper than {MAX_DEPTH}")));
                    }
                    self.open.push(element);
                }
                Event::Empty(start) => {
                    let element = self.element(&start)?;
                    self.put(element);
                }
                Event::End(end) => self.end(plain_name(end.name().as_ref().trim()))?,
                Event::Text(part) => self.text(&part)?,
                Event::CData(part) => self.text(&part)?,
                Event::GeneralRef(entity) => match self.open.last_mut() {
                    Some(element) => push_reference(&mut element.text, &entity),
                    None => return Err(self.error("text outside of a document")),
                },
                Event::Eof if self.open.is_empty() => return Ok(self.roots),
                Event::Eof => return Err(self.error("the body ends inside a document")),
                Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => {}
            }
        }
    }

    fn element(&mut self, start: &BytesStart<'_>) -> Result<Element, DecodeError> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(self.error(format!("more than {MAX_ELEMENTS} elements")));
        }
        let mut element =
            Element { name: Text::new(plain_name(start.name().as_ref())), ..Element::default() };
        let read: Result<(), Error> = each_attribute(start, |key, text| {
            element.attributes.push((Text::new(key), Text::new(text)));
        });
        read.map_err(|error| self.error(format!("in the attributes before: {error}")))?;
        Ok(element)
    }

    fn end(&mut self, name: &str) -> Result<(), DecodeError> {
        match self.open.last() {
            Some(element) if element.name == name => {
                if let Some(element) = self.open.pop() {
                    self.put(element);
                }
                Ok(())
            }
            // The second end of an element that was over already.
            open if open
                .map_or(&self.roots, |element| &element.children)
                .last()
                .is_some_and(|last| last.name == name) =>
            {
                Ok(())
            }
            Some(element) => {
                let reason = format!("`</{name}>` where `</{}>` was expected", element.name);
                Err(self.error(reason))
            }
            None => Err(self.error(format!("`</{name}>` closes nothing"))),
        }
    }

    fn text(&mut self, part: &str) -> Result<(), DecodeError> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(part),
            None if is_blank(part) => {}
            None => return Err(self.error("text outside of a document")),
        }
        Ok(())
    }

    fn put(&mut self, element: Element) {
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.roots.push(element),
        }
    }

    fn error(&self, reason: impl Into<String>) -> DecodeError {
        let position = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        DecodeError::new(self.before.saturating_add(position), reason)
    }
}
