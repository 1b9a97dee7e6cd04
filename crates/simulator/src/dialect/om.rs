//! New Rock OM: XML. Element order, blanks and line ends follow captured reports: LF only, two
//! blanks of indent, one line end after the root that the length counts.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use super::{Content, Frame, Report};
use crate::config::FleetConfig;
use crate::engine::Happening;
use crate::engine::happening::{Called, FAILURES, LegRecord, Party, Refusal};
use crate::engine::wire::Wire;

#[derive(Debug)]
pub(crate) struct Om {
    /// Sent as `<MAC>` when the device is set so.
    mac: Option<String>,
    index: usize,
    /// Signs every report; empty: none is.
    password: String,
    /// Says nothing of the line of a telephone that a command has rung.
    quiet: bool,
    records: bool,
    /// Old firmware says nothing of the tone that a visitor hears.
    alerts_visitors: bool,
    /// Old firmware writes a blank into `"RING "` between extensions.
    blank_after_ring: bool,
    /// Names who meets a full queue by the wire id alone.
    short_when_full: bool,
    codec: &'static str,
    /// Extensions whose API switch is off.
    pub(super) silenced: BTreeSet<Arc<str>>,
}

impl Om {
    pub(crate) fn new(config: &FleetConfig, index: usize) -> Self {
        Self {
            mac: config.with_mac.then(|| mac(index)),
            index,
            password: String::new(),
            quiet: false,
            records: true,
            alerts_visitors: index % 3 != 2,
            blank_after_ring: index % 4 == 3,
            short_when_full: index % 2 == 1,
            codec: if index % 3 == 1 { "G729" } else { "PCMU" },
            silenced: BTreeSet::new(),
        }
    }

    /// What the system parameters say of reports.
    pub(crate) fn configure(&mut self, with_mac: bool, password: &str, quiet: bool, records: bool) {
        self.mac = with_mac.then(|| mac(self.index));
        password.clone_into(&mut self.password);
        self.quiet = quiet;
        self.records = records;
    }

    pub(crate) fn report(&self, frame: &Frame<'_>, happening: &Happening<'_>, out: &mut dyn FnMut(Report)) {
        self.write(frame, happening, &mut |report| {
            if self.is_silenced(&report) {
                return;
            }
            out(if self.password.is_empty() { report } else { self.signed(frame, report) });
        });
    }

    /// Whether a report is of lines whose state is not reported (4.6): of the line that it names first, and
    /// the end of a call of all that it names. Records are not meant, nor keys and the ends of announcements.
    fn is_silenced(&self, report: &Report) -> bool {
        if self.silenced.is_empty() || matches!(report.kind, "Cdr" | "DTMF" | "EndOfAnn") {
            return false;
        }
        let body = String::from_utf8_lossy(&report.body);
        let mut lines = body.lines().filter_map(|line| {
            let (kind, rest) = line.strip_prefix("  <")?.split_once(' ')?;
            let number = rest.split('"').nth(1)?;
            matches!(kind, "ext" | "visitor" | "outer" | "menu").then_some((kind, number))
        });
        let silenced = |(kind, number): (&str, &str)| kind == "ext" && self.silenced.contains(number);
        if report.kind == "BYE" { lines.all(silenced) } else { lines.next().is_some_and(silenced) }
    }

    /// The signature is a root of its own, behind the report's.
    fn signed(&self, frame: &Frame<'_>, mut report: Report) -> Report {
        let content = report.body.iter().fold(frame.millis, |sum, &byte| {
            sum.rotate_left(5).wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        let (nonce, timestamp) = (format!("{:08X}", content as u32), frame.local.unix.to_string());
        let signature = crate::om::signature(&[&self.password, &nonce, &timestamp]);
        let mut xml = String::from("<Auth>\n");
        element(&mut xml, "nonce", &nonce);
        element(&mut xml, "timestamp", &timestamp);
        element(&mut xml, "signature", &signature);
        xml.push_str("</Auth>\n");
        report.body.extend_from_slice(xml.as_bytes());
        report
    }

    fn write(&self, frame: &Frame<'_>, happening: &Happening<'_>, out: &mut dyn FnMut(Report)) {
        use Happening as H;
        let mut event = |kind, body: String| out(self.event(kind, kind, &body));
        match happening {
            H::BootedUp => event("BOOTUP", String::new()),
            H::ConfigChanged { .. } => event("CONFIG_CHANGE", String::new()),
            H::PhoneOnline { extension, address: [a, b, c, d] } => {
                // The one report whose root has a second attribute, and a blank before its end.
                let attributes = format!("ONLINE\" RegisterIP=\"{a}.{b}.{c}.{d}");
                out(self.event("ONLINE", &attributes, &ext(extension)));
            }
            H::PhoneOffline { extension } => event("OFFLINE", ext(extension)),
            H::WentOffHook { extension } => event("BUSY", ext(extension)),
            H::WentOnHook { extension } => event("IDLE", ext(extension)),
            H::Invited { visitor } => event("INVITE", at_the_door(visitor)),
            H::CameIn { visitor } => event("INCOMING", at_the_door(visitor)),
            H::Rings { extension, caller } => {
                let quiet = self.quiet && frame.call.is_some_and(|call| call.order.commanded);
                self.rings(extension, *caller, quiet, out);
            }
            H::RingsAlone { extension } => {
                event("RING", ext(extension));
                event("BUSY", ext(extension));
            }
            H::AnswersAlone { extension } => event("ANSWER", ext(extension)),
            H::RingsToCall { extension, with } => self.rings_to_call(extension, *with, out),
            H::PicksUp { extension, with } => event("ANSWER", ext(extension) + &caller_to_be(*with)),
            H::Answers { extension, caller } => {
                event("ANSWER", ext(extension) + &party(*caller));
                if let Party::Extension(_) = caller {
                    event("ANSWERED", party(*caller) + &ext(extension));
                }
            }
            H::SentOut { outer, caller } => event("TRANSIENT", wire("outer", outer) + &ext(caller)),
            H::OuterRings { outer, caller } => event("ALERT", outer_rings(outer, *caller)),
            H::OuterAnswers { outer, caller } => event("ANSWERED", outer_answers(outer, *caller)),
            H::Diverted { caller, extension } => event("DIVERT", diverted(*caller, extension)),
            H::Queued { caller, queue, count, refused } => {
                let who = match (caller, refused) {
                    // The vendor's sample of a full queue names the visitor by its id alone.
                    (Party::Visitor(visitor), Some(Refusal::Full)) if self.short_when_full => {
                        format!("  <visitor id=\"{}\" />\n", visitor.id)
                    }
                    _ => party(*caller),
                };
                event("QUEUE", who + &waiting(*queue, *count, *refused));
            }
            H::Digits { party: who, info, with } => event("DTMF", digits(*who, info, *with)),
            H::PromptEnded { party: who, menu } => {
                event("EndOfAnn", party(*who) + &party(Party::Menu(*menu)))
            }
            H::Released { first, second, recording } => event("BYE", released(*first, *second, *recording)),
            H::TrunkReleased { outer } => event("BYE", wire("outer", outer)),
            H::Failed { caller, called, code } => event("FAILED", failed(caller, *called, *code)),
            H::LegRecord(record) if self.records => out(self.record(frame, record)),
            H::LegRecord(_) => {}
            // A transfer shows in what the parties do next; menus and whole calls are not reported.
            H::LineDials { .. } | H::Transferred { .. } | H::MenuLeft { .. } | H::CallRecord(_) => {}
        }
    }

    /// RING, then BUSY (an extension that rings is no longer idle), then what the caller hears.
    fn rings(&self, extension: &str, caller: Party<'_>, quiet: bool, out: &mut dyn FnMut(Report)) {
        let inside = matches!(caller, Party::Extension(_));
        let attribute = if inside && self.blank_after_ring { "RING " } else { "RING" };
        out(self.event("RING", attribute, &(ext(extension) + &party(caller))));
        if !quiet {
            out(self.event("BUSY", "BUSY", &ext(extension)));
        }
        let told = inside || matches!(caller, Party::Visitor(_)) && self.alerts_visitors;
        if told {
            out(self.event("ALERT", "ALERT", &(party(caller) + &ext(extension))));
        }
    }

    /// It is rung for a call of its own: whom it will talk to is told if that one rings already.
    fn rings_to_call(&self, extension: &str, with: Option<Party<'_>>, out: &mut dyn FnMut(Report)) {
        out(self.event("RING", "RING", &(ext(extension) + &caller_to_be(with))));
        out(self.event("BUSY", "BUSY", &ext(extension)));
    }

    fn event(&self, kind: &'static str, attribute: &str, body: &str) -> Report {
        let mut xml = String::with_capacity(96 + body.len());
        xml.push_str("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Event attribute=\"");
        xml.push_str(attribute);
        xml.push_str(if kind == "ONLINE" { "\" >\n" } else { "\">\n" });
        self.write_mac(&mut xml);
        xml.push_str(body);
        xml.push_str("</Event>\n");
        Report { kind, body: xml.into_bytes(), content: Content::Xml, is_cdr: false, wire_id: None }
    }

    fn write_mac(&self, xml: &mut String) {
        if let Some(mac) = &self.mac {
            element(xml, "MAC", mac);
        }
    }

    fn record(&self, frame: &Frame<'_>, record: &LegRecord) -> Report {
        let mut xml = String::with_capacity(640);
        xml.push_str("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<Cdr id=\"");
        xml.push_str(&record.id);
        xml.push_str("\">\n");
        self.write_mac(&mut xml);
        element(&mut xml, "callid", &record.callid.to_string());
        if let Some((kind, id)) = record.party {
            let _ = writeln!(xml, "  <{kind} id=\"{id}\" />");
        }
        element(&mut xml, "TimeStart", &frame.at(record.started).compact());
        element(&mut xml, "Type", record.kind);
        element(&mut xml, "Route", record.route);
        element(&mut xml, "CPN", &record.from);
        element(&mut xml, "CDPN", &record.to);
        element(&mut xml, "TimeEnd", &frame.at(record.ended).compact());
        element(&mut xml, "Duration", &record.seconds.to_string());
        element(&mut xml, "TrunkNumber", &record.trunk);
        if let Some(recording) = &record.recording {
            element(&mut xml, "Recording", recording);
            element(&mut xml, "RecCodec", self.codec);
        }
        xml.push_str("</Cdr>\n");
        let wire_id = Some(record.id.clone());
        Report { kind: "Cdr", body: xml.into_bytes(), content: Content::Xml, is_cdr: true, wire_id }
    }
}

/// A device's own address on its network.
pub(crate) fn mac(index: usize) -> String {
    format!("00:0E:A9:{:02X}:{:02X}:{:02X}", (index >> 16) & 0xFF, (index >> 8) & 0xFF, index & 0xFF)
}

pub(crate) fn element(xml: &mut String, name: &str, text: &str) {
    let _ = writeln!(xml, "  <{name}>{}</{name}>", escaped(text));
}

/// Numbers come from outside, so they are escaped like any other text.
pub(crate) fn escaped(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains(['<', '>', '&', '"']) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        text.replace('"', "&quot;").into()
    } else {
        text.into()
    }
}

pub(crate) fn ext(number: &str) -> String {
    format!("  <ext id=\"{}\" />\n", escaped(number))
}

/// The opening of a visitor or outer: all that reports know of it.
fn wire_attributes(kind: &str, wire: &Wire, to: &str) -> String {
    let (from, to) = (escaped(&wire.from), escaped(to));
    match (kind, wire.bare) {
        ("visitor", true) => format!("visitor from=\"{from}\""),
        ("visitor", false) => {
            format!("visitor id=\"{}\" from=\"{from}\" to=\"{to}\" callid=\"{}\"", wire.id, wire.callid)
        }
        (_, true) => format!("outer to=\"{to}\""),
        (_, false) => format!(
            "outer id=\"{}\" from=\"{from}\" to=\"{to}\" trunk=\"{}\" callid=\"{}\"",
            wire.id,
            escaped(&wire.trunk),
            wire.callid
        ),
    }
}

pub(crate) fn wire(kind: &str, wire: &Wire) -> String {
    format!("  <{} />\n", wire_attributes(kind, wire, &wire.to))
}

fn party(party: Party<'_>) -> String {
    match party {
        Party::Extension(number) => ext(number),
        Party::Visitor(visitor) => wire("visitor", visitor),
        Party::Outer(outer) => wire("outer", outer),
        Party::Menu(menu) => format!("  <menu id=\"{menu}\" />\n"),
        // The vendor names a group as an extension here, lest it be taken for an API group.
        Party::Group(group) => format!("  <ext id=\"{group}\" />\n"),
    }
}

/// Nobody is there yet: the document names an empty visitor.
fn caller_to_be(with: Option<Party<'_>>) -> String {
    with.map_or_else(|| "  <visitor from=\"\" />\n".to_owned(), party)
}

fn at_the_door(visitor: &Wire) -> String {
    format!("  <trunk id=\"{}\" />\n{}", escaped(&visitor.trunk), wire("visitor", visitor))
}

/// Without ids it is the caller who reports, of a number; with them the outer comes first.
fn outer_rings(outer: &Wire, caller: Option<Party<'_>>) -> String {
    match caller {
        None | Some(Party::Menu(_)) => wire("outer", outer),
        Some(visitor @ Party::Visitor(_)) => party(visitor) + &wire("outer", outer),
        Some(caller) if outer.bare => party(caller) + &wire("outer", outer),
        Some(caller) => wire("outer", outer) + &party(caller),
    }
}

fn outer_answers(outer: &Wire, caller: Option<Party<'_>>) -> String {
    match caller {
        None | Some(Party::Menu(_)) => wire("outer", outer),
        Some(visitor @ Party::Visitor(_)) => party(visitor) + &wire("outer", outer),
        Some(caller) => wire("outer", outer) + &party(caller),
    }
}

/// A visitor's `to` is then the extension that forwards.
fn diverted(caller: Party<'_>, extension: &str) -> String {
    match caller {
        Party::Visitor(visitor) => format!("  <{} />\n", wire_attributes("visitor", visitor, extension)),
        caller => party(caller),
    }
}

fn waiting(queue: u32, count: usize, refused: Option<Refusal>) -> String {
    match refused {
        None => format!("  <waiting group=\"{queue}\" count=\"{count}\" />\n"),
        Some(Refusal::Offline) => {
            format!("  <waiting group=\"{queue}\" count=\"{count}\" reason=\"offline\" />\n")
        }
        Some(Refusal::Full) => format!("  <waiting group=\"{queue}\" count=\"{count}\" reason=\"full\" />\n"),
    }
}

/// In a menu the keys stand inside the party, an extension's stand beside it.
fn digits(who: Party<'_>, info: &str, with: Party<'_>) -> String {
    let inside = |kind: &str, wire: &Wire| {
        let with = party(with);
        let attributes = wire_attributes(kind, wire, &wire.to);
        format!("  <{attributes}>\n    <info>{info}</info>\n  {with}  </{kind}>\n")
    };
    match who {
        Party::Visitor(visitor) => inside("visitor", visitor),
        Party::Outer(outer) => inside("outer", outer),
        who => format!("{}  <info>{info}</info>\n{}", party(who), party(with)),
    }
}

fn released(first: Party<'_>, second: Option<Party<'_>>, recording: Option<&str>) -> String {
    let mut body = party(first);
    if let Some(second) = second {
        body.push_str(&party(second));
    }
    if let Some(recording) = recording {
        element(&mut body, "recording", recording);
    }
    body
}

fn failed(caller: &str, called: Option<Called<'_>>, code: u8) -> String {
    let reason = FAILURES.iter().find(|(known, _)| *known == code).map_or("", |(_, reason)| reason);
    let mut body = ext(caller);
    match called {
        Some(Called::Extension(number)) => body.push_str(&ext(number)),
        Some(Called::Outside(number)) => {
            let _ = writeln!(body, "  <outer to=\"{}\" />", escaped(number));
        }
        None => {}
    }
    let _ = writeln!(body, "  <err code=\"{code}\" reason=\"{reason}\" />");
    body
}
