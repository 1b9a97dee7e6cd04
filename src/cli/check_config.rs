//! `switchroom check-config`: what is wrong with a configuration file, or what it amounts to.

use std::path::{Path, PathBuf};

use crate::config::{self, Config, ConfigError, ProcessEnvironment};

/// Options of `switchroom check-config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  switchroom check-config switchroom.toml")]
pub(super) struct Args {
    /// The configuration file.
    file: PathBuf,
}

/// Prints the effective configuration, its secrets masked.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let config = load(Some(&args.file))?;
    // Beside the output, so that this can be read by a program.
    eprintln!("{} is good. In force, with the environment and the defaults:", args.file.display());
    super::output::say(config::masked(&config).trim_end())
}

/// Reads a configuration as the server does; a mistake is told in one line that names its place.
pub(super) fn load(path: Option<&Path>) -> anyhow::Result<Config> {
    config::load(path, &ProcessEnvironment).map_err(|error| anyhow::Error::msg(describe(&error, path)))
}

/// A mistake in one line, with the file and the line where it is known.
fn describe(error: &ConfigError, path: Option<&Path>) -> String {
    match error {
        ConfigError::Toml { path, error } => {
            let text = error.to_string();
            let place =
                text.lines().next().and_then(|line| line.split_once(" at ")).map_or("", |(_, place)| place);
            format!("{}: {place}: {}", path.display(), error.message())
        }
        ConfigError::Value(problem) => {
            let text = path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
            match (path, line_of(problem, &text)) {
                (Some(path), Some(line)) => format!("{}: line {line}: {problem}", path.display()),
                (Some(path), None) => format!("{}: {problem}", path.display()),
                (None, _) => problem.clone(),
            }
        }
        ConfigError::File { path, error } if error.kind() == std::io::ErrorKind::NotFound => {
            format!("{}: there is no such file; give the path of a configuration file", path.display())
        }
        other => other.to_string(),
    }
}

/// The line that a problem is about: the one that sets the key it names.
fn line_of(problem: &str, text: &str) -> Option<usize> {
    if let Some(rest) = problem.strip_prefix("device ") {
        let (id, rest) = rest.split_once(": ")?;
        let field = rest.split(':').next().unwrap_or_default();
        let start = text.lines().position(|line| sets(line, "id") && line.contains(&format!("\"{id}\"")))?;
        return Some(in_device(text, start, field).unwrap_or(start) + 1);
    }
    if let Some(id) = problem.strip_prefix("two [[device]] tables have the id ") {
        let is_id = |line: &str| sets(line, "id") && line.contains(&format!("\"{id}\""));
        return text.lines().enumerate().filter(|(_, line)| is_id(line)).nth(1).map(|(line, _)| line + 1);
    }
    let (section, key) = problem.split([' ', ':']).find_map(|word| word.split_once('.'))?;
    let mut here = "";
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = line.trim().strip_prefix('[') {
            here = name.trim_end_matches(']');
        } else if here == section && sets(line, key) {
            return Some(number + 1);
        }
    }
    None
}

/// The line in the `[[device]]` table around `start` that sets `field`.
fn in_device(text: &str, start: usize, field: &str) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let header = |line: &&str| line.trim_start().starts_with('[');
    let first = lines.get(..start)?.iter().rposition(header).map_or(0, |line| line + 1);
    let last = lines.get(start..)?.iter().position(header).map_or(lines.len(), |line| start + line);
    lines.get(first..last)?.iter().position(|line| sets(line, field)).map(|line| first + line)
}

fn sets(line: &str, key: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| name.trim() == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.toml");
        std::fs::write(&path, text).expect("it writes");
        let none: &[(&str, &str)] = &[];
        let error = config::load(Some(&path), &none).expect_err("a mistake");
        describe(&error, Some(&path))
    }

    #[test]
    fn a_mistake_is_one_line_that_names_its_place() {
        let cases = [
            ("[api]\nlisten = \"127.0.0.1:1\"\nlisen = 1\n", "line 3"),
            ("[api]\nlisten = 5\n", "line 2"),
            ("[api]\n\nlisten = \"0.0.0.0:80\"\n", "line 3"),
            ("[store]\nurl = \"mysql://x\"\n", "line 2"),
            ("[[device]]\nid = \"a\"\ndialect = \"om\"\ntimezone = \"Mars\"\n", "line 4"),
            (
                "[[device]]\nid = \"a\"\ndialect = \"om\"\n[[device]]\nid = \"a\"\ndialect = \"om\"\n",
                "line 5",
            ),
        ];
        for (text, place) in cases {
            let told = mistake(text);
            assert!(told.contains(&format!("s.toml: {place}")) && !told.contains('\n'), "{told}");
        }
    }
}
