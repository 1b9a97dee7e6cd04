//! Which device understands which command: the vendor's manual marks what came with which firmware, and a
//! device that is too old for a command says nothing useful. So the manual is asked first.

use std::fmt;
use std::str::FromStr;

use switchroom_domain::Text;
use switchroom_domain::command::{Command, PartyRef};

use super::parameters;

/// A version of the firmware, `Rev 2.1.5.111`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision([u32; PARTS]);

/// Parts of a version that are kept; the manual has five (`2.1.5.113.2`).
const PARTS: usize = 6;

impl Revision {
    /// Parts that are always written.
    const WRITTEN: usize = 4;

    /// `Rev 2.1.5.build`: all that the manual speaks of.
    #[must_use]
    pub const fn of(build: u32) -> Self {
        Self([2, 1, 5, build, 0, 0])
    }

    const fn of_patch(build: u32, patch: u32) -> Self {
        Self([2, 1, 5, build, patch, 0])
    }

    /// Reads what a device says of itself (2.1.1.1): `Rev 2.1.5.111`, with or without the `Rev` or a `V`, and
    /// whatever follows after a blank. None when there is no version in it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let start = text.find(|c: char| c.is_ascii_digit())?;
        if !["", "rev", "v", "ver", "version"]
            .iter()
            .any(|word| text[..start].trim_end_matches([' ', '.', ':']).eq_ignore_ascii_case(word))
        {
            return None;
        }
        let version = &text[start..];
        let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
        let mut parts = [0; PARTS];
        let mut count = 0;
        for part in version[..end].trim_end_matches('.').split('.') {
            *parts.get_mut(count)? = part.parse().ok()?;
            count += 1;
        }
        (count >= 2).then_some(Self(parts))
    }

    /// Has it this feature?
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        *self >= feature.since()
    }
}

impl FromStr for Revision {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or("a revision is written Rev 2.1.5.111")
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.iter().rposition(|part| *part != 0).map_or(0, |at| at + 1);
        f.write_str("Rev ")?;
        for (at, part) in self.0.iter().take(last.max(Self::WRITTEN)).enumerate() {
            let dot = if at == 0 { "" } else { "." };
            write!(f, "{dot}{part}")?;
        }
        Ok(())
    }
}

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident, $since:expr, $what:literal;)*) => {
        /// What came with a certain firmware.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Feature { $($(#[$doc])* $name,)* }

        impl Feature {
            /// All of them, oldest first.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The first firmware that has it.
            #[must_use]
            pub const fn since(self) -> Revision {
                match self { $(Self::$name => $since,)* }
            }

            /// What it is, for a person; fits before "needs".
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)* }
            }
        }
    };
}

features! {
    /// 4.8: one parameter allows connecting two outside parties. Before, it takes other settings and a restart.
    OutboundTransfer, Revision::of(92), "the parameter that lets two outside parties be connected";
    /// 4.6: bit 0x08 of an extension's `api` reports single keys. Before, it was the monitoring mode.
    SingleKeys, Revision::of(94), "reporting an extension's single keys (api bit 0x08)";
    /// 1.4.1, 4.4.2: commands may be signed. Before, a device knows applications by their address only.
    SignedCommands, Revision::of(99), "signed commands";
    /// 4.14.2: browsers of other origins can be let in. Only on OM20 and OM50.
    CrossOrigin, Revision::of(100), "access from web pages of another origin";
    /// 3.6.2, 5.5: dialling out over a certain trunk. A callback names its trunks another way.
    TrunkById, Revision::of(109), "dialling out over a trunk by its number";
    /// 3.8: voice files are fetched from a server that makes them of text.
    SpokenText, Revision::of_patch(109, 18), "fetching spoken text from a server";
    /// 2.5.4, 4.6: a call that the application leaves alone goes to the operator. Before, it hears nothing until it ends.
    FallbackToOperator, Revision::of(112), "handing calls that nobody handles to the operator";
    /// 2.2.1.3, 3.9: an eleventh voice file that does not exist is no error of the whole command any more.
    ManyVoiceFiles, Revision::of_patch(113, 2), "leaving out the eleventh voice file";
    /// 2.2.2.1: who waits for an extension without music hears the busy tone. Before, silence.
    BusyToneInQueue, Revision::of(114), "the busy tone for waiting callers";
    /// 1.4.2, 4.5: reports may be signed.
    SignedReports, Revision::of(116), "signed reports";
    /// 2.2.1.12, 3.14, 4.13: playing a voice file to one side of a call that goes on.
    Announcements, Revision::of(117), "playing to one side of a call";
    /// 3.15: moving a call to a menu that asks how satisfied the caller is, on the extension's key.
    Survey, Revision::of(117), "asking callers how satisfied they are";
    /// 2.5.7: a full ring group is reported, if it was set up on the web pages.
    QueueReports, Revision::of(118), "reports of waiting callers";
    /// 3.12: a menu asks an extension off the hook what it wants to dial.
    DialControl, Revision::of_patch(118, 5), "checking what an extension dials";
    /// 2.1.5.2, 2.1.5.3: from listening to speaking and back.
    TalkAndListen, Revision::of(119), "changing between listening and speaking";
    /// 3.13: monitoring, speaking and clearing as one scheme, with keys.
    Supervision, Revision::of_patch(119, 1), "supervising calls with keys of the telephone";
    /// 2.3: listing and removing voice files.
    VoiceFiles, Revision::of(124), "listing and removing voice files";
}

/// What a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// The first firmware that has it.
    pub revision: Revision,
    /// What the firmware must have, for a person.
    pub what: &'static str,
}

impl From<Feature> for Requirement {
    fn from(feature: Feature) -> Self {
        Self { revision: feature.since(), what: feature.what() }
    }
}

/// What firmware a command needs; none for what all have.
///
/// Connecting two outside parties needs none: firmware before Rev 2.1.5.92 does it too when it is set up for it
/// (4.8), and only the parameter for it is younger.
#[must_use]
pub fn needs(command: &Command) -> Option<Requirement> {
    let feature = match command {
        // 2.1.5.2, 2.1.5.3.
        Command::Talk { .. } | Command::Listen { .. } => Feature::TalkAndListen,
        // 2.2.1.12.
        Command::Announce { .. } => Feature::Announcements,
        // 2.3.1, 2.3.2.
        Command::QueryVoiceFiles {} | Command::RemoveVoiceFiles { .. } => Feature::VoiceFiles,
        // 3.6.2; a callback names the trunk by `display`, which is older.
        Command::Connect { from, to: PartyRef::Number { trunk: Some(_), .. }, .. }
            if !matches!(from, PartyRef::Number { .. }) =>
        {
            Feature::TrunkById
        }
        // 4.6.
        Command::AssignExtension { settings, .. } if settings.api.is_some_and(|api| api & 0x08 != 0) => {
            Feature::SingleKeys
        }
        // 4.4.2, 4.5, 4.8.
        Command::ReadParameter { name, .. } | Command::WriteParameter { name, .. } => {
            let parameter = parameters::find(name)?;
            return Some(Requirement { revision: parameter.since?, what: parameter.name });
        }
        _ => return None,
    };
    Some(feature.into())
}

/// Why a device is not asked at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its firmware is too old.
    #[error("{what} needs {needed} or later; the device has {has}")]
    TooOld {
        /// What it would need it for.
        what: &'static str,
        /// The first firmware that would do.
        needed: Revision,
        /// The device's.
        has: Revision,
    },
    /// It is an MX (5.8).
    #[error("{model} takes no commands; of the vendor's devices only the OM series does")]
    NoInterface {
        /// What it is.
        model: Text,
    },
    /// It runs the vendor's call centre, which takes over (3.11).
    #[error("the device runs the built-in call centre, and takes no control commands while it does")]
    CallCentre,
}

/// Why a device of this firmware and model cannot take `command`; none when it can, as far as is known. What
/// is not known refuses nothing.
#[must_use]
pub fn refusal(command: &Command, revision: Option<&Revision>, model: Option<&str>) -> Option<Refusal> {
    if let Some(model) = model.filter(|model| is_mx(model)) {
        return Some(Refusal::NoInterface { model: Text::new(model.trim()) });
    }
    let (has, needed) = (*revision?, needs(command)?);
    (has < needed.revision).then_some(Refusal::TooOld { what: needed.what, needed: needed.revision, has })
}

/// Why a device that runs the built-in call centre cannot take `command`: it only sends records and states then
/// (3.11). Questions, and parameters, which go through the web interface, are let through.
#[must_use]
pub const fn call_centre_refusal(command: &Command) -> Option<Refusal> {
    match command {
        Command::WriteParameter { .. } => None,
        asking if asking.only_asks() => None,
        _ => Some(Refusal::CallCentre),
    }
}

/// `MX8A`, `Rev 6.0.0 MX60E`: a word that starts with `MX` and goes on with digits.
fn is_mx(model: &str) -> bool {
    model.split([' ', '-', '/']).any(|word| {
        let (Some(start), Some(next)) = (word.get(..2), word.as_bytes().get(2)) else { return false };
        start.eq_ignore_ascii_case("MX") && next.is_ascii_digit()
    })
}
