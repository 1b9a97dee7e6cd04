//! The recordings that an OM's server gives out (4.9): under one folder, by the names in the records, to who has the
//! password, whole or from a place on. Each is a WAV file of A-law that plays as long as its call was talked in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::boa::{self, Request};
use crate::config::RecordingConfig;

/// How the next downloads of a device go wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingFault {
    /// They do not.
    #[default]
    None,
    /// There is no file.
    Missing,
    /// The connection ends in the middle of what was asked for.
    Cut,
}

/// The name of the recording that is asked for, decoded; none if it is not in the folder.
pub(crate) fn name(config: &RecordingConfig, path: &str) -> Option<String> {
    let name = path.strip_prefix('/')?.strip_prefix(config.folder.as_str())?.strip_prefix('/')?;
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| byte == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether the request comes with the name and password.
pub(crate) fn may(config: &RecordingConfig, request: &Request) -> bool {
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", config.user, config.password)));
    request.field("authorization") == Some(basic.as_str())
}

/// The answer, and how much of it is sent: all, unless it is cut off.
pub(crate) fn answer(plays: u64, request: &Request, fault: RecordingFault, unix_ms: u64) -> (Vec<u8>, usize) {
    let file = wav(plays);
    let size = file.len();
    let from = request.field("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    let from = from.and_then(|from| from.parse::<usize>().ok());
    let (answer, body) = match from {
        None => (boa::file(200, "Content-Type: audio/x-wav\r\n", &file, unix_ms), size),
        Some(from) if from < size => {
            let range = format!("Content-Range: bytes {from}-{}/{size}\r\n", size - 1);
            (boa::file(206, &range, &file[from..], unix_ms), size - from)
        }
        Some(_) => (boa::file(416, &format!("Content-Range: bytes */{size}\r\n"), b"", unix_ms), 0),
    };
    let length = answer.len();
    (answer, if fault == RecordingFault::Cut { length - body / 2 } else { length })
}

/// A WAV file of A-law, 8000 samples a second, that plays so many milliseconds.
fn wav(plays: u64) -> Vec<u8> {
    let samples = u32::try_from(plays.saturating_mul(8)).unwrap_or(u32::MAX / 2);
    let mut file = Vec::with_capacity(44 + samples as usize);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + samples + samples % 2).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt \x10\0\0\0\x06\0\x01\0");
    file.extend_from_slice(&8000_u32.to_le_bytes());
    file.extend_from_slice(&8000_u32.to_le_bytes());
    file.extend_from_slice(b"\x01\0\x08\0data");
    file.extend_from_slice(&samples.to_le_bytes());
    // A tone that comes and goes.
    let sample =
        |n: u32| if (n / 4000).is_multiple_of(2) { 0xD5 } else { [0xD5, 0x90, 0xB5, 0x10][n as usize % 4] };
    file.extend((0..samples).map(sample));
    if samples % 2 == 1 {
        file.push(0);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_and_stay_in_the_folder() {
        let config = RecordingConfig::default();
        assert_eq!(name(&config, "/mcc/Recorder/2017/%2B86_cd.wav").as_deref(), Some("2017/+86_cd.wav"));
        assert_eq!(name(&config, "/mcc/Recorder/a%2").as_deref(), Some("a%2"));
        assert_eq!(name(&config, "/usb/builtin/Recorder/a"), None);
        assert_eq!(name(&config, "/mcc/RecorderX/a"), None);
    }

    #[test]
    fn a_file_is_as_long_as_its_head_says() {
        for plays in [0, 1, 1001] {
            let file = wav(plays);
            let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
            assert_eq!((word(4) + 8, word(40)), (file.len(), plays as usize * 8));
        }
    }
}
