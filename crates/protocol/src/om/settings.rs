//! The settings of an extension, as assignments and statuses write them (chapters 2.1.1.2 and 2.1.2.1).

use std::str::FromStr;

use switchroom_domain::Text;
use switchroom_domain::command::{Distribution, ExtensionSettings, Forward, ForwardType, WakeUp};

use super::tree::Element;

/// What an element without text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Empty {
    /// That the value is to be empty: an assignment.
    IsAValue,
    /// Nothing: a status.
    IsAbsent,
}

/// The settings that an `<ext>` holds, and the first of its values that makes no sense, which is left out.
pub(super) fn read(ext: &Element, empty: Empty) -> (ExtensionSettings, Option<String>) {
    let mut reader = Reader { ext, empty, problem: None };
    let settings = ExtensionSettings {
        id: reader.text("id"),
        staff_id: reader.text("staffid"),
        mobile: reader.text("mobile"),
        email: reader.text("email"),
        groups: reader.groups(),
        voice_file: reader.text("voicefile"),
        call_restriction: reader.parsed("Call_Restriction", |text| text.parse().ok()),
        call_pickup: reader.parsed("Call_Pickup", yes),
        do_not_disturb: reader.parsed("No_Disturb", yes),
        forward: reader.forward(),
        fork: reader.text("Fork"),
        wake_up: reader.parsed("WAKEUP", wake_up),
        record: reader.parsed("record", yes),
        auto_answer: reader.parsed("autoAnswer", yes),
        api: reader.parsed("api", bits),
    };
    (settings, reader.problem)
}

struct Reader<'a> {
    ext: &'a Element,
    empty: Empty,
    problem: Option<String>,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<Text> {
        let text = self.ext.child(name)?.trimmed();
        (self.empty == Empty::IsAValue || !text.is_empty()).then_some(text)
    }

    fn parsed<T>(&mut self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.ext.text_of(name)?;
        let value = parse(&text);
        if value.is_none() {
            self.problem.get_or_insert_with(|| format!("{name} cannot be {text:?}"));
        }
        value
    }

    /// `<group>1</group>` in an assignment and its answer, `<group id="1"/>` in the answer to a query.
    fn groups(&mut self) -> Option<Vec<u16>> {
        let mut groups = None;
        for id in self.ext.all("group").filter_map(Element::id) {
            match id.parse() {
                Ok(group) => groups.get_or_insert_with(Vec::new).push(group),
                Err(_) => drop(self.problem.get_or_insert_with(|| format!("group cannot be {id:?}"))),
            }
        }
        groups
    }

    fn forward(&mut self) -> Option<Forward> {
        let kind = self.parsed("Fwd_Type", |text| match text {
            "0" => Some(ForwardType::Off),
            "1" => Some(ForwardType::All),
            "2" => Some(ForwardType::BusyOrNoAnswer),
            _ => None,
        });
        let number = self.text("Fwd_Number");
        (kind.is_some() || number.is_some()).then_some(Forward { kind, number })
    }
}

/// A switch. Each has its own pair of words, and the vendor's examples confuse them.
fn yes(text: &str) -> Option<bool> {
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["yes", "on", "1", "true"]) { Some(true) } else { is(["no", "off", "0", "false"]).then_some(false) }
}

/// A time, or 00:00 for none.
#[expect(clippy::option_option, reason = "what is no time, no alarm, and a time are three things")]
fn wake_up(text: &str) -> Option<Option<WakeUp>> {
    let time = WakeUp::from_str(text).ok()?;
    Some((time != WakeUp { hour: 0, minute: 0 }).then_some(time))
}

/// `7`, or `0x07` as the parameter is written.
fn bits(text: &str) -> Option<u8> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u8::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// How a group spreads its calls, by the device's word.
pub(super) fn distribution(text: &str) -> Option<Distribution> {
    let all = [Distribution::Sequential, Distribution::Circular, Distribution::Group];
    all.into_iter().find(|how| how.as_str().eq_ignore_ascii_case(text))
}
