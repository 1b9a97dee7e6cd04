//! Voice files: which a device has, and which a command may name (chapters 2.2.1.3, 2.3, 4.10).
//!
//! A name stands without its ending, or with `.pcm` or `.dat`; several are joined by `+`; a number is read
//! out digit by digit and needs no file. The manual says that files must exist, and not with which code a
//! device refuses what does not: it is 1 here.

use super::Desk;
use super::words::{Refused, Reply, event, status};
use super::xml::Node;
use crate::engine::device::Device;

/// Files that every device has; the manual's own list (2.3.1) is longer.
const SYSTEM: [&str; 6] = ["welcome", "NewMorning", "busy", "waiting", "connect", "silence"];
/// Files that somebody has uploaded: those that the manual's examples play (2.3.2, 3.4, 3.9, 3.14, 3.15).
const UPLOADED: [&str; 12] = [
    "user_file1",
    "user_file2",
    "user_1",
    "user_2",
    "user_3",
    "user_4",
    "user_service",
    "input_id_card_no",
    "input_wrong",
    "evaluate",
    "timeout",
    "thanks",
];
/// The most characters of a `voicefile` (4.10).
const LONGEST: usize = 256;
/// So many are played, whatever they are; of those behind them only the system's own (2.2.1.3).
const PLAYED: usize = 10;

/// The files that a device has at first.
pub(super) fn at_first() -> Vec<String> {
    SYSTEM.iter().chain(&UPLOADED).map(|name| format!("{name}.pcm")).collect()
}

impl Desk {
    /// Refuses what the device cannot play.
    pub(super) fn can_play(&self, files: &str) -> Result<(), Refused> {
        self.has_all(files, |_| false)
    }

    /// The same for what is assigned: a remote file is fetched, which always works here (4.10.2).
    pub(super) fn can_play_or_fetch(&mut self, files: &str) -> Result<(), Refused> {
        self.has_all(files, |name| remote(name).is_some())?;
        for file in files.split('+').filter_map(|name| remote(name.trim())) {
            let both = [format!("{file}.dat"), format!("{file}.pcm")];
            let fetched = if has_ending(file) { vec![file.to_owned()] } else { both.to_vec() };
            for file in fetched {
                if !self.voice_files.contains(&file) {
                    self.voice_files.push(file);
                }
            }
        }
        Ok(())
    }

    fn has_all(&self, files: &str, otherwise: impl Fn(&str) -> bool) -> Result<(), Refused> {
        if files.is_empty() {
            return Ok(());
        }
        if files.chars().count() > LONGEST {
            return Err(Refused::new(1, ""));
        }
        for (place, name) in files.split('+').map(str::trim).enumerate() {
            let plays = match place {
                0..PLAYED => self.has(name) || otherwise(name),
                // Older versions stop here, and do not look what follows.
                _ if self.since(113).is_err() => return Ok(()),
                _ => self.has(name) && !UPLOADED.contains(&without_ending(name)),
            };
            if !plays {
                return Err(Refused::new(1, ""));
            }
        }
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        let of_it = |file: &String| file == name || without_ending(file) == name;
        digits || self.voice_files.iter().any(of_it)
    }
}

fn has_ending(name: &str) -> bool {
    without_ending(name) != name
}

fn without_ending(name: &str) -> &str {
    name.strip_suffix(".pcm").or_else(|| name.strip_suffix(".dat")).unwrap_or(name)
}

/// The name of a file that is to be fetched.
fn remote(name: &str) -> Option<&str> {
    name.strip_prefix("http://")?.rsplit_once('/').map(|(_, file)| file).filter(|file| !file.is_empty())
}

impl Device {
    /// `Manage Query`.
    pub(super) fn list_voice_files(&self) -> Reply {
        self.om.since(124)?;
        let files = crate::dialect::om::escaped(&self.om.voice_files.join("|")).into_owned();
        Ok(status(&format!("<voicefile>{files}</voicefile>\n")))
    }

    /// `Manage Remove`: says OK whether or not there are such files, as the document warns.
    pub(super) fn remove_voice_files(&mut self, order: &Node) -> Reply {
        self.om.since(124)?;
        let Some(named) = order.child("voicefile") else { return Err(Refused::new(1, "")) };
        let gone: Vec<&str> = named.text().split('|').map(str::trim).collect();
        self.om.voice_files.retain(|file| !gone.contains(&file.as_str()));
        Ok(event("OK", ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FleetConfig;

    fn desk(firmware: &str) -> Desk {
        Desk::new(&FleetConfig { firmware: firmware.to_owned(), ..FleetConfig::default() }, 0)
    }

    #[test]
    fn the_manuals_own_names_are_played_and_others_are_not() {
        let desk = desk("Rev 2.1.5.124");
        for plays in [
            "",
            "welcome",
            "welcome.pcm+connect.pcm",
            " 200+welcome.pcm ",
            "silence+silence+connect",
            "user_1+2+user_2+3+user_3+5+user_4",
            "2202+user_service",
            "NewMorning",
        ] {
            assert_eq!(desk.can_play(plays), Ok(()), "{plays}");
        }
        for missing in ["none", "welcome.dat", "welcome+none", "welcome++busy", "http://tts/a.pcm", "+"] {
            assert!(desk.can_play(missing).is_err(), "{missing}");
        }
        assert!(desk.can_play(&"1".repeat(257)).is_err() && desk.can_play(&"1".repeat(256)).is_ok());
    }

    #[test]
    fn behind_the_tenth_only_the_systems_own_are_looked_for() {
        let (old, new) = (desk("Rev 2.1.5.112"), desk("Rev 2.1.5.113"));
        let ten = ["user_1"; 10].join("+");
        assert_eq!(new.can_play(&format!("{ten}+silence+7")), Ok(()));
        for last in ["user_2", "none"] {
            assert!(new.can_play(&format!("{ten}+{last}")).is_err(), "{last}");
            assert_eq!(old.can_play(&format!("{ten}+{last}")), Ok(()), "{last}");
        }
        assert!(old.can_play("none").is_err());
    }

    #[test]
    fn a_remote_file_is_fetched_when_it_is_assigned() {
        let mut desk = desk("Rev 2.1.5.124");
        let url = "http://tts.newrocktech.com:9880/wav/greeting";
        assert!(desk.can_play(url).is_err() && desk.can_play("greeting").is_err());
        assert_eq!(desk.can_play_or_fetch(&format!("{url}.pcm+welcome")), Ok(()));
        assert_eq!((desk.can_play("greeting"), desk.can_play("greeting.dat").is_err()), (Ok(()), true));
        assert_eq!(desk.can_play_or_fetch(url), Ok(()));
        assert_eq!(desk.can_play("greeting.dat"), Ok(()));
        assert_eq!(desk.voice_files.iter().filter(|file| file.starts_with("greeting")).count(), 2);
        assert!(desk.can_play_or_fetch("http://nowhere/").is_err());
        assert!(
            desk.can_play_or_fetch(&format!("{url}2+none")).is_err() && desk.can_play("greeting2").is_err()
        );
    }
}
