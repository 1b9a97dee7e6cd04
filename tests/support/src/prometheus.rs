//! Prometheus' own programs, from Debian's package or in `PATH`.

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `promtool` with this as its input; gives what it says if it finds fault with it.
///
/// # Errors
/// What it found.
///
/// # Panics
/// When it is not installed.
pub fn promtool(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs (on Debian: apt-get install prometheus)");
    let mut stdin = child.stdin.take().expect("it has an input");
    // One that finds fault at once does not read to the end.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let ended = child.wait_with_output().expect("it ends");
    let said =
        format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    if ended.status.success() { Ok(said) } else { Err(said) }
}
