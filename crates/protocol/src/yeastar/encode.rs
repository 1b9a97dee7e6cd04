//! Typed reports to Yeastar bytes, in the form of any generation: the pair of [`decode`](super::decode()).

use switchroom_domain::Text;

use super::report::{CallReport, Record, YeastarMessage, YeastarOutside, YeastarParty, YeastarReport};
use crate::object::write_json_string;

/// How a generation writes the parties of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `"ext":{…},"ext":{…}`: first generation, no well-formed JSON.
    RepeatedKeys,
    /// `"call":[{"ext":{…}},{"ext":{…}}]`: by `"version":"1.0.2"` at login.
    CallList,
    /// `"ext":{"extid":["106","101"]}`: extensions in a row share one object.
    ExtidList,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RepeatedKeys, Self::CallList, Self::ExtidList];
}

/// Writes a report. `form` only matters for calls; `CallStatus` has a form of its own.
#[must_use]
pub fn encode(message: &YeastarMessage, form: Form) -> Vec<u8> {
    let mut json = Json { out: String::with_capacity(192), needs_comma: false };
    json.open(b'{');
    let name_key = if message.is_v2 { "event" } else { "action" };
    let field = |json: &mut Json, key: &str, text: &Option<Text>| json.field(key, text.as_ref());
    match &message.report {
        YeastarReport::BootUp => json.text(name_key, "BootUp"),
        YeastarReport::ConfigChange(change) => {
            json.text(name_key, "ConfigChange");
            field(&mut json, "type", &change.kind);
            field(&mut json, "trunkname", &change.name);
            field(&mut json, "operation", &change.operation);
        }
        YeastarReport::ExtensionStatus { extension, status } => {
            json.text(name_key, "ExtensionStatus");
            field(&mut json, "extension", extension);
            field(&mut json, "status", status);
        }
        YeastarReport::Call(report) => json.call(name_key, report, form),
        YeastarReport::CallStatus { callid, members } => {
            json.text(name_key, "CallStatus");
            field(&mut json, "callid", callid);
            json.list("members", members, Json::member);
        }
        YeastarReport::NewCdr(record) => {
            json.text(name_key, "NewCdr");
            json.record(record);
        }
        YeastarReport::Noted { name } | YeastarReport::Other { name } => json.text(name_key, name),
    }
    json.field("sn", message.sn.as_ref());
    json.close(b'}');
    json.out.into_bytes()
}

struct Json {
    out: String,
    needs_comma: bool,
}

impl Json {
    fn call(&mut self, name_key: &str, report: &CallReport, form: Form) {
        self.text(name_key, report.action.as_str());
        self.field("callid", report.callid.as_ref());
        match form {
            Form::CallList => self.list("call", &report.parties, Self::party),
            Form::RepeatedKeys => report.parties.iter().for_each(|party| self.party(party)),
            Form::ExtidList => self.grouped(&report.parties),
        }
        self.field("info", report.info.as_ref());
        self.field("reason", report.reason.as_ref());
        self.field("prompt", report.prompt.as_ref());
        self.field("surveyresult", report.survey_result.as_ref());
    }

    fn grouped(&mut self, parties: &[YeastarParty]) {
        let both_extensions = |a: &YeastarParty, b: &YeastarParty| {
            matches!((a, b), (YeastarParty::Ext { status: None, .. }, YeastarParty::Ext { status: None, .. }))
        };
        for group in parties.chunk_by(both_extensions) {
            if let [one] = group {
                self.party(one);
                continue;
            }
            self.key("ext");
            self.open(b'{');
            self.key("extid");
            self.open(b'[');
            for party in group {
                if let YeastarParty::Ext { number, .. } = party {
                    self.comma();
                    write_json_string(&mut self.out, number);
                    self.needs_comma = true;
                }
            }
            self.close(b']');
            self.close(b'}');
        }
    }

    fn list(&mut self, key: &str, parties: &[YeastarParty], write: fn(&mut Self, &YeastarParty)) {
        self.key(key);
        self.open(b'[');
        for party in parties {
            self.comma();
            self.open(b'{');
            write(self, party);
            self.close(b'}');
        }
        self.close(b']');
    }

    /// A party as v1 names its parts.
    fn party(&mut self, party: &YeastarParty) {
        match party {
            YeastarParty::Ext { number, status } => self.ext("extid", number, status.as_ref()),
            YeastarParty::Inbound(outside) => self.outside("inbound", "trunk", "inboundid", outside),
            YeastarParty::Outbound(outside) => self.outside("outbound", "trunk", "outboundid", outside),
        }
    }

    /// A party as v2 names its parts.
    fn member(&mut self, party: &YeastarParty) {
        match party {
            YeastarParty::Ext { number, status } => self.ext("number", number, status.as_ref()),
            YeastarParty::Inbound(outside) => self.outside("inbound", "trunkname", "channelid", outside),
            YeastarParty::Outbound(outside) => self.outside("outbound", "trunkname", "channelid", outside),
        }
    }

    fn ext(&mut self, id_key: &str, number: &Text, status: Option<&Text>) {
        self.key("ext");
        self.open(b'{');
        self.text(id_key, number);
        self.field("memberstatus", status);
        self.close(b'}');
    }

    fn outside(&mut self, key: &str, trunk_key: &str, id_key: &str, party: &YeastarOutside) {
        self.key(key);
        self.open(b'{');
        self.field("from", party.from.as_ref());
        self.field("to", party.to.as_ref());
        self.field(trunk_key, party.trunk.as_ref());
        self.field(id_key, party.id.as_ref());
        self.field("memberstatus", party.status.as_ref());
        self.close(b'}');
    }

    fn record(&mut self, record: &Record) {
        let fields = [
            ("cdrid", &record.cdrid),
            ("callid", &record.callid),
            ("timestart", &record.time_start),
            ("callfrom", &record.from),
            ("callto", &record.to),
            ("srctrunkname", &record.source_trunk),
            ("desttrunkname", &record.destination_trunk),
            ("callduraction", &record.call_duration),
            ("talkduraction", &record.talk_duration),
            ("status", &record.status),
            ("type", &record.kind),
            ("recording", &record.recording),
        ];
        for (key, text) in fields {
            self.field(key, text.as_ref());
        }
        for (key, text) in &record.extra {
            self.text(key, text);
        }
    }

    fn field(&mut self, key: &str, text: Option<&Text>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        write_json_string(&mut self.out, text);
        self.needs_comma = true;
    }

    fn key(&mut self, key: &str) {
        self.comma();
        write_json_string(&mut self.out, key);
        self.out.push(':');
        self.needs_comma = false;
    }

    fn comma(&mut self) {
        if self.needs_comma {
            self.out.push(',');
        }
        self.needs_comma = false;
    }

    fn open(&mut self, bracket: u8) {
        self.out.push(char::from(bracket));
        self.needs_comma = false;
    }

    fn close(&mut self, bracket: u8) {
        self.out.push(char::from(bracket));
        self.needs_comma = true;
    }
}
