//! What goes to stdout. A reader that has gone (`| head`) is an error like any other, which ends the command
//! quietly.

use std::io::Write;

/// Writes a line.
pub(super) fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
