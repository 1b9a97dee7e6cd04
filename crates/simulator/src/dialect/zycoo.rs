//! ZYCOO: what Asterisk says, as an object. The vendor's document prints JavaScript literals and
//! does not say what is sent, so devices differ: JSON, a form, or just such a literal. Two
//! revisions of the document exist, with more and fewer fields; devices differ in that as well.

use std::fmt::Write;

use super::{Content, Frame, Report};
use crate::engine::Happening;
use crate::engine::call::Direction;
use crate::engine::happening::{CallRecord, Outcome, Party};

/// How a device writes its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// JSON.
    Json,
    /// A form.
    Form,
    /// A JavaScript object literal with comments and a comma too many.
    Script,
}

#[derive(Debug)]
pub(crate) struct Zycoo {
    pub(crate) layout: Layout,
    /// The other revision: a status number, `cdr`, who hung up.
    pub(crate) revised: bool,
    mac: String,
}

/// Field names and values. A value marked as a number is not quoted where that can be told.
struct Fields(Vec<(&'static str, String, bool)>);

impl Fields {
    fn new(event: &'static str) -> Self {
        Self(vec![("event", event.to_owned(), false)])
    }

    fn text(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.push((name, value.into(), false));
        self
    }

    fn number(mut self, name: &'static str, value: u64) -> Self {
        self.0.push((name, value.to_string(), true));
        self
    }
}

impl Zycoo {
    pub(crate) fn new(index: usize) -> Self {
        let layout = match index % 3 {
            0 => Layout::Json,
            1 => Layout::Form,
            _ => Layout::Script,
        };
        let mac =
            format!("68:69:2e:{:02x}:{:02x}:{:02x}", (index >> 16) & 0xFF, (index >> 8) & 0xFF, index & 0xFF);
        Self { layout, revised: (index / 3) % 2 == 1, mac }
    }

    pub(crate) fn report(&self, frame: &Frame<'_>, happening: &Happening<'_>, out: &mut dyn FnMut(Report)) {
        use Happening as H;
        let mut status = |extension: &str, text, bits| out(self.status(extension, text, bits));
        match happening {
            H::PhoneOnline { extension, .. } | H::WentOnHook { extension } => status(extension, "Idle", 0),
            H::PhoneOffline { extension } => status(extension, "Unavailable", 4),
            H::WentOffHook { extension } | H::Answers { extension, .. } => status(extension, "InUse", 1),
            H::Rings { extension, caller } => {
                status(extension, "Ringing", 8);
                out(self.dial("dialbegein", frame, *caller, Party::Extension(extension)));
            }
            // An analog line's channel is told of when it is dialled on.
            H::OuterRings { outer, .. } if outer.analog => {}
            H::LineDials { outer, caller } | H::OuterRings { outer, caller } => {
                let caller = caller.unwrap_or(Party::Menu(0));
                out(self.dial("dialbegein", frame, caller, Party::Outer(outer)));
            }
            H::Released { first, second, .. } => self.released(frame, *first, *second, out),
            H::MenuLeft { caller, menu, from, digits, queue, trunk } => {
                let fields = self.ivr(frame, caller, *menu, *from, digits, *queue, trunk);
                out(self.write("ivr", fields, None));
            }
            H::CallRecord(record) => self.record(frame, record, out),
            _ => {}
        }
    }

    fn status(&self, extension: &str, text: &'static str, bits: u8) -> Report {
        let mut fields = Fields::new("extensionstatus").text("exten", extension).text("statustext", text);
        if self.revised {
            fields = fields.text("status", bits.to_string());
        }
        self.write("extensionstatus", fields, None)
    }

    /// `dialbegein` (the vendor's spelling) and `dialend`.
    fn dial(&self, event: &'static str, frame: &Frame<'_>, caller: Party<'_>, callee: Party<'_>) -> Report {
        let ended = event == "dialend";
        let full = !self.revised;
        let uniqueid = unique_id(frame);
        let leg = frame.call.map_or(0, |call| call.leg_callid);
        let mut fields = Fields::new(event)
            .text("timestamp", format!("{}.{:06}", frame.local.unix, frame.millis % 1000 * 1000))
            .text("channel", channel(caller, leg));
        if full {
            fields = fields.text("channelstate", if ended { "" } else { "6" });
        }
        fields = fields.text("calleridnum", number(caller)).text("destchannel", channel(callee, leg));
        if full {
            fields = fields.text("destchannelstate", if ended { "" } else { "0" });
        }
        fields = fields.text("destcalleridnum", number(callee));
        if full {
            fields = fields.text("destexten", "");
        }
        if ended {
            if full {
                fields = fields.text("destuniqueid", "");
            }
            fields = fields.text("uniqueid", uniqueid).text("dialstatus", "hangup");
        } else {
            fields = fields
                .text("destuniqueid", format!("{}.{leg}", frame.local.unix))
                .text("dialstring", channel(callee, leg).split('-').next().unwrap_or_default())
                .text("uniqueid", uniqueid)
                .text("mac", &*self.mac);
        }
        self.write(event, fields, None)
    }

    fn released(
        &self,
        frame: &Frame<'_>,
        first: Party<'_>,
        second: Option<Party<'_>>,
        out: &mut dyn FnMut(Report),
    ) {
        if let Some(second) = second.filter(|party| !matches!(party, Party::Menu(_) | Party::Group(_))) {
            // The dial is told from the caller's side, whoever rings off.
            let caller_second = matches!(second, Party::Visitor(_))
                || frame.call.and_then(|call| call.from.as_deref()) == Some(number(second).as_str());
            let (caller, callee) = if caller_second { (second, first) } else { (first, second) };
            out(self.dial("dialend", frame, caller, callee));
            out(self.hangup(frame, first, Some(second)));
            out(self.hangup(frame, second, Some(first)));
        } else {
            out(self.hangup(frame, first, None));
        }
    }

    fn hangup(&self, frame: &Frame<'_>, party: Party<'_>, with: Option<Party<'_>>) -> Report {
        let with = with.map(number).unwrap_or_default();
        let fields = Fields::new("hangup")
            .text("calleridnum", number(party))
            .text("calleridname", number(party))
            .text("connectedlinenum", with.clone())
            .text("connectedlinename", with)
            .text("uniqueid", unique_id(frame));
        self.write("hangup", fields, None)
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one report, each used once")]
    fn ivr(
        &self,
        frame: &Frame<'_>,
        caller: &str,
        menu: u8,
        from: u64,
        digits: &str,
        queue: Option<u32>,
        trunk: &str,
    ) -> Fields {
        Fields::new("ivr")
            .text("uuid", unique_id(frame))
            .text("caller", caller)
            .text("called", "")
            .text("callType", "IN")
            .text("queueCode", queue.map_or_else(String::new, queue_code))
            .text("startTime", frame.at(from).spaced())
            .text("endTime", frame.local.spaced())
            .text("duration", ((frame.millis - from) / 1000).to_string())
            .text("ivrId", format!("61{menu}"))
            .text("ivrName", format!("menu {menu}"))
            .text("ivrDtmf", digits.trim_end_matches('T'))
            .text("trunkNumber", if self.revised { trunk } else { "s" })
            .text("mac", if self.revised { format!("{} ", self.mac) } else { self.mac.clone() })
    }

    /// `cc_cdr` for calls with the outside; the revised kind writes `cdr` for those that met
    /// neither a queue nor a menu, and for calls inside.
    fn record(&self, frame: &Frame<'_>, record: &CallRecord, out: &mut dyn FnMut(Report)) {
        let plain = record.queue.is_none() && record.menu.is_none();
        let id = unique_id(frame);
        if self.revised && (plain || record.direction == Direction::Internal) {
            out(self.write("cdr", cdr(frame, record, &id), Some(id.clone())));
        } else if record.direction != Direction::Internal {
            let fields = self.cc_cdr(frame, record, &id);
            out(self.write("cc_cdr", fields, Some(id)));
        }
    }

    fn cc_cdr(&self, frame: &Frame<'_>, record: &CallRecord, id: &str) -> Fields {
        let inbound = record.direction == Direction::Inbound;
        let state = match (record.answered, record.queue, record.menu) {
            (Some(_), ..) => "bridged",
            (None, Some(_), _) => "queue",
            (None, None, Some(_)) => "ivr",
            (None, None, None) => "bridged",
        };
        let talking = record.answered.map_or(0, |answered| (record.ended - answered) / 1000);
        let waited = record.queue_ms / 1000;
        let missed = match (record.answered, record.queue) {
            (None, Some(_)) if waited < 10 => "MEMBER_CANCEL",
            (None, Some(_)) => "NO_AGENT_ANSWER",
            (None, None) if inbound => "NO_AGENT_ANSWER",
            _ => "",
        };
        let agent = if record.answered.is_some() { &*record.agent } else { "" };
        let mut fields = Fields::new("cc_cdr")
            .text("uuid", id)
            .text("caller", &*record.from)
            .text("called", &*record.to)
            .text("queueCode", record.queue.map_or_else(String::new, queue_code))
            .text("agentCode", if inbound { agent } else { &*record.from })
            .text("callType", if inbound { "incoming" } else { "outgoing" })
            .text("cdrState", state)
            .text("hangupCause", "ANALOG ANALOG_EVENT_ONHOOK")
            .text("startTime", frame.at(record.started).spaced())
            .text("endTime", frame.at(record.ended).spaced())
            .text("duration", ((record.ended - record.started) / 1000).to_string())
            .text("queueTime", waited.to_string())
            .text("feedbackTime", "0")
            .text(
                "ivrTime",
                if record.menu_ms > 0 { (record.menu_ms / 1000).to_string() } else { String::new() },
            )
            .text("ringTime", (record.ring_ms / 1000).to_string())
            .number("holdTime", 0)
            .number("pauseTime", 0)
            .text("talkingTime", talking.to_string())
            .text("voicemailState", "0")
            .text("ivrId", record.menu.map_or_else(String::new, |menu| format!("61{menu}")))
            .text("ivrName", record.menu.map_or_else(String::new, |menu| format!("menu {menu}")))
            .text("ivrDtmf", record.digits.trim_end_matches('T'))
            .text("fwType", "")
            .text("score", "0")
            .text("trunkNumber", &*record.source_trunk)
            .text("forwardNumber", &*record.forwarded_to)
            .text("filePath", if record.answered.is_some() { format!("{id}.wav") } else { String::new() })
            .text("missCause", missed);
        if self.revised {
            fields = fields.text("hangupSide", if record.caller_left { "caller" } else { "callee" });
        }
        fields.text("mac", &*self.mac)
    }

    fn write(&self, kind: &'static str, fields: Fields, wire_id: Option<String>) -> Report {
        let (body, content) = match self.layout {
            Layout::Json => (as_json(&fields), Content::Json),
            Layout::Form => (as_form(&fields), Content::Form),
            Layout::Script => (as_script(&fields), Content::Script),
        };
        Report { kind, body: body.into_bytes(), content, is_cdr: wire_id.is_some(), wire_id }
    }
}

fn queue_code(queue: u32) -> String {
    format!("63{queue}")
}

fn unique_id(frame: &Frame<'_>) -> String {
    frame.call.map_or_else(String::new, |call| call.channel.to_string())
}

fn number(party: Party<'_>) -> String {
    match party {
        Party::Extension(number) => number.to_owned(),
        Party::Visitor(wire) => wire.from.to_string(),
        Party::Outer(wire) => wire.to.to_string(),
        Party::Menu(0) => String::new(),
        Party::Menu(menu) => format!("61{menu}"),
        Party::Group(group) => format!("63{group}"),
    }
}

fn channel(party: Party<'_>, leg: u32) -> String {
    match party {
        Party::Extension(number) => format!("SIP/{number}-{leg:08x}"),
        Party::Visitor(wire) | Party::Outer(wire) if wire.analog => {
            format!("DAHDI/i1/{}-{:x}", number(party), wire.id)
        }
        Party::Visitor(wire) | Party::Outer(wire) => format!("SIP/{}-{:08x}", wire.trunk, wire.id),
        Party::Menu(0) => String::new(),
        Party::Menu(_) | Party::Group(_) => format!("Local/{}", number(party)),
    }
}

fn cdr(frame: &Frame<'_>, record: &CallRecord, id: &str) -> Fields {
    let time = |at: Option<u64>| at.map_or_else(String::new, |at| frame.at(at).spaced());
    let talking = record.answered.map_or(0, |answered| (record.ended - answered) / 1000);
    Fields::new("cdr")
        .text("callerid", format!("\"{0}\" <{0}>", record.from))
        .text("source", &*record.from)
        .text("destination", &*record.to)
        .text("starttime", time(Some(record.started)))
        .text("answertime", time(record.answered))
        .text("endtime", time(Some(record.ended)))
        .text(
            "disposition",
            match record.outcome {
                Outcome::Answered => "ANSWERED",
                Outcome::NoAnswer => "NO ANSWER",
                Outcome::Busy => "BUSY",
                Outcome::Failed => "FAILED",
            },
        )
        .text("duration", ((record.ended - record.started) / 1000).to_string())
        .text("billableseconds", talking.to_string())
        .text(
            "calltype",
            match record.direction {
                Direction::Inbound => "inbound",
                Direction::Outbound | Direction::Callback => "outbound",
                Direction::Internal => "",
            },
        )
        .text("recordfile", if record.answered.is_some() { format!("{id}.wav") } else { String::new() })
        .text("uniqueid", id)
}

fn as_json(fields: &Fields) -> String {
    let mut body = String::from("{");
    for (index, (name, value, bare)) in fields.0.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = if *bare {
            write!(body, "{comma}\"{name}\":{value}")
        } else {
            write!(body, "{comma}\"{name}\":{}", serde_json::Value::from(value.as_str()))
        };
    }
    body.push('}');
    body
}

fn as_form(fields: &Fields) -> String {
    let mut body = String::new();
    for (name, value, _) in &fields.0 {
        if !body.is_empty() {
            body.push('&');
        }
        body.push_str(name);
        body.push('=');
        percent_encode(value, &mut body);
    }
    body
}

fn percent_encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                into.push(char::from(byte))
            }
            b' ' => into.push('+'),
            _ => {
                let _ = write!(into, "%{byte:02X}");
            }
        }
    }
}

/// As printed: names without quotes, single quotes around text, comments, a comma at the end, and
/// none after `event: "hangup"`.
fn as_script(fields: &Fields) -> String {
    let mut body = String::from("{\n");
    for (name, value, bare) in &fields.0 {
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        let _ = match (*name, *bare) {
            ("event", _) if value == "hangup" => writeln!(body, "  event: \"hangup\""),
            ("event", _) => writeln!(body, "  event: '{value}',"),
            (_, true) => writeln!(body, "  {name}: {value},"),
            ("uniqueid" | "uuid", _) => writeln!(body, "  {name}: '{value}',    // unique id"),
            _ => writeln!(body, "  {name}: '{value}',"),
        };
    }
    body.push_str("}\n");
    body
}
