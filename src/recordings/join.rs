//! Joining the two halves of a G.729 recording: a device leaves them as they are (4.9), and only a decoder can play
//! them. Where `ffmpeg` is installed it makes one WAV of both.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Bytes a second of G.729.
pub const G729_RATE: f64 = 1000.0;
/// How long joining may take.
const WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked whether it is done: `std` has no wait with an end.
const LOOK: Duration = Duration::from_millis(20);

/// Is `ffmpeg` here? Looked for once.
pub fn is_possible() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let mut command = Command::new("ffmpeg");
        command.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// What `ffmpeg` is told: both halves heard at once, as 16-bit WAV.
fn arguments(halves: &[&Path], to: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        ["-nostdin", "-v", "error", "-y"].into_iter().map(OsString::from).collect();
    for half in halves {
        arguments.extend(["-f", "g729", "-i"].map(OsString::from));
        arguments.push(half.as_os_str().to_owned());
    }
    if halves.len() > 1 {
        let mix = format!("amix=inputs={}:duration=longest", halves.len());
        arguments.extend(["-filter_complex".into(), mix.into()]);
    }
    arguments.extend(["-c:a", "pcm_s16le", "-ar", "8000", "-f", "wav"].map(OsString::from));
    arguments.push(to.as_os_str().to_owned());
    arguments
}

/// Makes one WAV of the halves that are there. Blocks.
///
/// # Errors
/// Says what `ffmpeg` said.
pub fn join(halves: &[&Path], to: &Path) -> Result<(), String> {
    let mut command = Command::new("ffmpeg");
    command.args(arguments(halves, to)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let cannot = |error| format!("ffmpeg cannot be run: {error}");
    let mut child = command.spawn().map_err(cannot)?;
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(cannot)? {
            Some(status) => break status,
            None if began.elapsed() > WITHIN => {
                // It has ended by itself otherwise.
                let _ = child.kill();
                let _ = child.wait();
                return Err("ffmpeg took too long".into());
            }
            None => std::thread::sleep(LOOK),
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(stderr) = child.stderr {
        // What cannot be read is not worth another error.
        let _ = stderr.take(4096).read_to_string(&mut said);
    }
    let said: String = said.lines().next_back().unwrap_or_default().chars().take(200).collect();
    Err(format!("ffmpeg could not join the halves: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_heard_and_one_alone_as_well() {
        let text = |halves: &[&Path]| {
            let arguments = arguments(halves, Path::new("out"));
            arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        let both = text(&[Path::new("s"), Path::new("r")]);
        assert!(
            both.contains("-f g729 -i s -f g729 -i r -filter_complex amix=inputs=2:duration=longest"),
            "{both}"
        );
        assert!(!text(&[Path::new("s")]).contains("amix"));
        assert!(both.ends_with("-f wav out"), "{both}");
    }
}
