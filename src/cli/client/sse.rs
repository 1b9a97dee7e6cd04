//! Reading server-sent events: bytes in, events out.

use anyhow::ensure;

/// An event may be so long at most.
const LONGEST: usize = 4 * 1024 * 1024;

/// One event of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// Its `event:` field; `message` when absent.
    pub(super) name: Option<String>,
    /// Its data.
    pub(super) data: String,
}

/// Cuts a stream into events, however it is split.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    message: Message,
    has_data: bool,
    after_return: bool,
    /// The last id that was given; what a resumed stream goes on after.
    pub(super) last_id: Option<String>,
}

impl Reader {
    /// Takes more bytes, gives the events that are complete with them.
    pub(super) fn push(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Message>> {
        let mut messages = Vec::new();
        for &byte in bytes {
            let second_of_pair = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            match byte {
                b'\n' if second_of_pair => {}
                b'\n' | b'\r' => {
                    let line = String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned();
                    messages.extend(self.line(&line));
                }
                other => self.buffer.push(other),
            }
            ensure!(
                self.buffer.len() + self.message.data.len() <= LONGEST,
                "an event of the stream has no end"
            );
        }
        Ok(messages)
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return std::mem::take(&mut self.has_data).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
                self.has_data = true;
            }
            "event" => self.message.name = Some(value.to_owned()),
            "id" => self.last_id = Some(value.to_owned()),
            // A comment keeps the connection alive, and may tell how far the stream has come: with a filter that
            // is further than its last event.
            "" => {
                if let Some(cursor) = value.strip_prefix("cursor ") {
                    self.last_id = Some(cursor.to_owned());
                }
            }
            // What is unknown is for others.
            _ => {}
        }
        None
    }

    /// Drops what is half read: the connection broke.
    pub(super) fn start_again(&mut self) {
        *self = Self { last_id: self.last_id.take(), ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str =
        ": hello\n\nid: 7\nevent: call\ndata: {\"a\":\ndata: 1}\n\nid:8\r\ndata:x\r\n\r\nid: 9\ndata: half";

    #[test]
    fn events_are_read_however_the_stream_is_split() {
        for size in 1..STREAM.len() {
            let mut reader = Reader::default();
            let mut messages = Vec::new();
            for part in STREAM.as_bytes().chunks(size) {
                messages.extend(reader.push(part).expect("it reads"));
            }
            let data: Vec<&str> = messages.iter().map(|message| message.data.as_str()).collect();
            assert_eq!(data, ["{\"a\":\n1}", "x"], "in parts of {size}");
            assert_eq!(messages[0].name.as_deref(), Some("call"));
        }
    }

    #[test]
    fn a_broken_stream_is_taken_up_where_it_was() {
        let mut reader = Reader::default();
        reader.push(b"id: 7\ndata: x\n\n: cursor 12\n\ndata: ha").expect("it reads");
        reader.start_again();
        assert_eq!(reader.last_id.as_deref(), Some("12"));
        assert_eq!(reader.push(b"data: y\n\n").expect("it reads")[0].data, "y");
    }

    #[test]
    fn a_stream_without_end_is_not_kept() {
        let mut reader = Reader::default();
        assert!(reader.push(&vec![b'x'; LONGEST + 1]).is_err());
    }
}
