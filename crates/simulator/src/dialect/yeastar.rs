//! Yeastar S-series: JSON in the four generations that its documents show. They differ in how two
//! parties of one kind are written, from a repeated key to a list of members.

use std::fmt::Write;

use super::{Content, Frame, Report};
use crate::engine::Happening;
use crate::engine::call::Direction;
use crate::engine::happening::{CallRecord, Called, Outcome, Party};

/// Which documents a device's reports look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// v1: two extensions are two keys of the same name.
    RepeatedKey,
    /// v1.0.2: parties are a list under `call`.
    CallList,
    /// Two extensions share one list of numbers.
    NumberList,
    /// v2: `CallStatus` with members.
    Members,
}

#[derive(Debug)]
pub(crate) struct Yeastar {
    pub(crate) generation: Generation,
    sn: String,
}

impl Yeastar {
    pub(crate) fn new(index: usize) -> Self {
        let generation = match index % 4 {
            0 => Generation::CallList,
            1 => Generation::RepeatedKey,
            2 => Generation::NumberList,
            _ => Generation::Members,
        };
        Self { generation, sn: format!("{:012}", 369_351_030_000_u64 + index as u64) }
    }

    pub(crate) fn report(&self, frame: &Frame<'_>, happening: &Happening<'_>, out: &mut dyn FnMut(Report)) {
        use Happening as H;
        let mut status = |extension: &str, status| out(self.extension_status(extension, status));
        match happening {
            H::BootedUp => out(self.bare("BootUp", "")),
            H::ConfigChanged { trunk } => {
                let trunk = json(trunk);
                let body = format!(",\"type\":\"trunk\",\"trunkname\":{trunk},\"operation\":\"modify\"");
                out(self.bare("ConfigChange", &body));
            }
            H::PhoneOnline { extension, .. } => status(extension, "Registered"),
            H::PhoneOffline { extension } => status(extension, "Unregistered"),
            H::WentOffHook { extension } => status(extension, "Busy"),
            H::WentOnHook { extension } => {
                let idle = if self.generation == Generation::Members { "Registered" } else { "Idle" };
                status(extension, idle);
            }
            H::Invited { visitor } => {
                out(self.with_parties(frame, "Invite", &[(Party::Visitor(visitor), "")], ""));
            }
            H::CameIn { visitor } => {
                out(self.with_parties(frame, "Incoming", &[(Party::Visitor(visitor), "")], ""));
            }
            H::Rings { extension, caller } => {
                out(self.extension_status(extension, "Ringing"));
                self.ring(frame, Party::Extension(extension), Some(*caller), out);
            }
            H::Answers { extension, caller } => {
                self.answer(frame, Party::Extension(extension), Some(*caller), Some(extension), out);
            }
            H::OuterRings { outer, caller } => self.ring(frame, Party::Outer(outer), *caller, out),
            H::OuterAnswers { outer, caller } => self.answer(frame, Party::Outer(outer), *caller, None, out),
            H::Transferred { by, caller } => {
                let kind = if self.generation == Generation::RepeatedKey { "Tranfer" } else { "Transfer" };
                let parties = [(Party::Extension(by), ""), (*caller, "")];
                out(self.with_parties(frame, kind, &parties, ""));
            }
            H::Digits { party, info, .. } => self.digits(frame, *party, info, out),
            H::PromptEnded { party, menu } => {
                let prompt = format!(",\"prompt\":\"prompt{menu}\"");
                out(self.with_parties(frame, "PlayPromptEnd", &[(*party, "ANSWER")], &prompt));
            }
            H::Released { first, second, .. } => self.released(frame, *first, *second, out),
            H::Failed { caller, called, code } => self.failed(frame, caller, *called, *code, out),
            H::CallRecord(record) => out(self.record(frame, record)),
            H::SentOut { .. }
            | H::LineDials { .. }
            | H::Diverted { .. }
            | H::RingsAlone { .. }
            | H::AnswersAlone { .. }
            | H::RingsToCall { .. }
            | H::PicksUp { .. }
            | H::Queued { .. }
            | H::MenuLeft { .. }
            | H::TrunkReleased { .. }
            | H::LegRecord(_) => {}
        }
    }

    /// The caller hears it ring, and the callee does.
    fn ring(
        &self,
        frame: &Frame<'_>,
        callee: Party<'_>,
        caller: Option<Party<'_>>,
        out: &mut dyn FnMut(Report),
    ) {
        let parties = [Some((callee, "RING")), caller.map(|caller| (caller, "ALERT"))];
        let parties: Vec<_> = parties.into_iter().flatten().collect();
        if self.generation == Generation::Members {
            out(self.call_status(frame, parties.iter().rev().copied()));
            return;
        }
        if let Some(caller) = caller.filter(|caller| !matches!(caller, Party::Menu(_))) {
            out(self.with_parties(frame, "ALERT", &[(caller, "")], ""));
        }
        out(self.with_parties(frame, "RING", &parties, ""));
    }

    fn answer(
        &self,
        frame: &Frame<'_>,
        callee: Party<'_>,
        caller: Option<Party<'_>>,
        busy: Option<&str>,
        out: &mut dyn FnMut(Report),
    ) {
        let callee = (callee, "ANSWER");
        let caller = caller.map(|caller| (caller, "ANSWERED"));
        let both: Vec<_> = caller.into_iter().chain([callee]).collect();
        if self.generation == Generation::Members {
            out(self.call_status(frame, both.iter().copied()));
        } else {
            let reversed: Vec<_> = both.iter().rev().copied().collect();
            out(self.with_parties(frame, "ANSWER", &reversed, ""));
        }
        if let Some(extension) = busy {
            out(self.extension_status(extension, "Busy"));
        }
        if self.generation != Generation::Members && caller.is_some() {
            out(self.with_parties(frame, "ANSWERED", &both, ""));
        }
    }

    /// Two reports: whoever rings off first, then the other.
    fn released(
        &self,
        frame: &Frame<'_>,
        first: Party<'_>,
        second: Option<Party<'_>>,
        out: &mut dyn FnMut(Report),
    ) {
        let second = second.filter(|party| !matches!(party, Party::Group(_) | Party::Menu(_)));
        if self.generation == Generation::Members {
            let stays = second.map(|second| (second, "ANSWER"));
            out(self.call_status(frame, [Some((first, "BYE")), stays].into_iter().flatten()));
            if let Some(second) = second {
                out(self.call_status(frame, [(first, "BYE"), (second, "BYE")].into_iter()));
            }
            return;
        }
        let one: Vec<_> = [Some(first), second].into_iter().flatten().map(|party| (party, "")).collect();
        out(self.with_parties(frame, "BYE", &one, ""));
        if second.is_some() {
            let other: Vec<_> = one.into_iter().rev().collect();
            out(self.with_parties(frame, "BYE", &other, ""));
        }
    }

    /// One report for each key.
    fn digits(&self, frame: &Frame<'_>, party: Party<'_>, info: &str, out: &mut dyn FnMut(Report)) {
        for key in info.chars().filter(|key| *key != 'T') {
            let info = format!(",\"info\":\"{key}\"");
            out(self.with_parties(frame, "DTMF", &[(party, "ANSWER")], &info));
        }
    }

    fn failed(
        &self,
        frame: &Frame<'_>,
        caller: &str,
        called: Option<Called<'_>>,
        code: u8,
        out: &mut dyn FnMut(Report),
    ) {
        // A call that never was has no id, and the answer to the application has told it all.
        if frame.call.is_none() {
            return;
        }
        let reason = match code {
            2 => "NO Outbound Restriction",
            4 | 6 => "User busy",
            7 => "DND",
            _ => "Line unreachable",
        };
        // A called extension is told, an outside number is not: it has no outbound id yet.
        let mut parties = vec![(Party::Extension(caller), "")];
        if let Some(Called::Extension(called)) = called {
            parties.push((Party::Extension(called), ""));
        }
        let reason = format!(",\"reason\":\"{reason}\"");
        out(self.with_parties(frame, "CallFailed", &parties, &reason));
    }

    fn extension_status(&self, extension: &str, status: &str) -> Report {
        let body = format!(",\"extension\":{},\"status\":\"{status}\"", json(extension));
        self.bare("ExtensionStatus", &body)
    }

    /// A report that is about no call.
    fn bare(&self, kind: &'static str, fields: &str) -> Report {
        self.finish(kind, format!("{{\"{}\":\"{kind}\"{fields}", self.key()))
    }

    fn key(&self) -> &'static str {
        if self.generation == Generation::Members { "event" } else { "action" }
    }

    /// The oldest generation leaves the serial number out, except where the report says little else.
    fn finish(&self, kind: &'static str, mut body: String) -> Report {
        if self.generation != Generation::RepeatedKey || kind == "BootUp" {
            let _ = write!(body, ",\"sn\":\"{}\"", self.sn);
        }
        body.push('}');
        Report { kind, body: body.into_bytes(), content: Content::Json, is_cdr: false, wire_id: None }
    }

    /// A report of a call and its parties, in this generation's way.
    fn with_parties(
        &self,
        frame: &Frame<'_>,
        kind: &'static str,
        parties: &[(Party<'_>, &str)],
        fields: &str,
    ) -> Report {
        let mut body = format!("{{\"{}\":\"{kind}\"", self.key());
        if let Some(call) = frame.call {
            let _ = write!(body, ",\"callid\":\"{}\"", call.channel);
        }
        let written: Vec<String> = match self.generation {
            Generation::NumberList => number_list(parties),
            Generation::Members => {
                parties.iter().filter_map(|(party, status)| member(*party, status)).collect()
            }
            _ => parties.iter().filter_map(|(party, _)| object(*party)).collect(),
        };
        if !written.is_empty() {
            let _ = match self.generation {
                Generation::CallList => write!(body, ",\"call\":[{{{}}}]", written.join("},{")),
                Generation::Members => write!(body, ",\"members\":[{{{}}}]", written.join("},{")),
                _ => write!(body, ",{}", written.join(",")),
            };
        }
        body.push_str(fields);
        self.finish(kind, body)
    }

    fn call_status<'a>(
        &self,
        frame: &Frame<'_>,
        members: impl Iterator<Item = (Party<'a>, &'a str)>,
    ) -> Report {
        let parties: Vec<_> = members.collect();
        self.with_parties(frame, "CallStatus", &parties, "")
    }

    /// The record of a call, with the vendor's spelling.
    fn record(&self, frame: &Frame<'_>, record: &CallRecord) -> Report {
        let callid = frame.call.map_or_else(String::new, |call| call.channel.to_string());
        let talk = record.answered.map_or(0, |answered| (record.ended - answered) / 1000);
        let members = self.generation == Generation::Members;
        let status = match record.outcome {
            Outcome::Answered => "ANSWERED",
            Outcome::NoAnswer if members => "NO ANSWERED",
            Outcome::NoAnswer => "NO ANSWER",
            Outcome::Busy => "BUSY",
            Outcome::Failed => "FAILED",
        };
        let kind = match record.direction {
            Direction::Inbound => "Inbound",
            Direction::Outbound => "Outbound",
            Direction::Internal => "Internal",
            Direction::Callback => "Callback",
        };
        let target = if members { "dsttrcunkname" } else { "desttrunkname" };
        let mut body = format!(
            "{{\"{}\":\"NewCdr\",\"callid\":\"{callid}\",\"timestart\":\"{}\",\"callfrom\":{},\"callto\":{},\
             \"callduraction\":\"{}\",\"talkduraction\":\"{talk}\",\"srctrunkname\":{},\"{target}\":{},\
             \"status\":\"{status}\",\"type\":\"{kind}\"",
            self.key(),
            frame.at(record.started).spaced(),
            json(&record.from),
            json(&record.to),
            (record.ended - record.started) / 1000,
            json(&record.source_trunk),
            json(&record.target_trunk),
        );
        if let Some(answered) = record.answered {
            let at = frame.at(answered).compact();
            let name = format!("{at}-{callid}-{}-{}-{kind}.wav", record.from, record.to);
            let _ = write!(body, ",\"recording\":{}", json(&name));
        }
        if record.direction == Direction::Inbound && self.generation != Generation::RepeatedKey {
            let _ = write!(body, ",\"didnumber\":{}", json(&record.source_trunk));
            let _ = write!(body, ",\"agentringtime\":\"{}\"", record.ring_ms / 1000);
        }
        let report = self.finish("NewCdr", body);
        Report { is_cdr: true, wire_id: Some(callid), ..report }
    }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `"ext":{"extid":"106"}` and the like; menus and groups are no parties here.
fn object(party: Party<'_>) -> Option<String> {
    Some(match party {
        Party::Extension(number) => format!("\"ext\":{{\"extid\":{}}}", json(number)),
        Party::Visitor(wire) => format!(
            "\"inbound\":{{\"from\":{},\"to\":{},\"trunk\":{},\"inboundid\":\"{}\"}}",
            json(&wire.from),
            json(&wire.to),
            json(&wire.trunk),
            wire.channel
        ),
        Party::Outer(wire) => format!(
            "\"outbound\":{{\"from\":{},\"to\":{},\"trunk\":{},\"outboundid\":\"{}\"}}",
            json(&wire.from),
            json(&wire.to),
            json(&wire.trunk),
            wire.channel
        ),
        Party::Menu(_) | Party::Group(_) => return None,
    })
}

/// All extensions share one key, at the place of the first.
fn number_list(parties: &[(Party<'_>, &str)]) -> Vec<String> {
    let numbers: Vec<String> = parties
        .iter()
        .filter_map(|(party, _)| match party {
            Party::Extension(number) => Some(json(number)),
            _ => None,
        })
        .collect();
    let mut written = Vec::new();
    let mut listed = false;
    for (party, _) in parties {
        match party {
            Party::Extension(_) if numbers.len() < 2 => written.extend(object(*party)),
            Party::Extension(_) => {
                if !listed {
                    written.push(format!("\"ext\":{{\"extid\":[{}]}}", numbers.join(",")));
                }
                listed = true;
            }
            other => written.extend(object(*other)),
        }
    }
    written
}

fn member(party: Party<'_>, status: &str) -> Option<String> {
    let status = if status.is_empty() { String::new() } else { format!(",\"memberstatus\":\"{status}\"") };
    let (name, wire) = match party {
        Party::Extension(number) => {
            let number = json(number);
            let channel = number.trim_matches('"');
            return Some(format!(
                "\"ext\":{{\"number\":{number},\"channelid\":\"PJSIP/{channel}-00000001\"{status}}}"
            ));
        }
        Party::Visitor(wire) => ("inbound", wire),
        Party::Outer(wire) => ("outbound", wire),
        Party::Menu(_) | Party::Group(_) => return None,
    };
    let (from, to, trunk) = (json(&wire.from), json(&wire.to), json(&wire.trunk));
    Some(format!(
        "\"{name}\":{{\"from\":{from},\"to\":{to},\"trunkname\":{trunk},\"channelid\":\"{}\"{status}}}",
        wire.channel
    ))
}
