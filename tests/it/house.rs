//! The edges between the crates, as ARCHITECTURE.md draws them.

use std::collections::BTreeSet;
use std::path::Path;

/// Crate → what of ours it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("crates/domain", &[]),
    ("crates/protocol", &["switchroom-domain"]),
    ("crates/flow", &["switchroom-domain"]),
    ("crates/simulator", &["switchroom-domain"]),
    ("actors", &["switchroom-domain", "switchroom-flow"]),
    (".", &["switchroom-domain", "switchroom-protocol", "switchroom-actors", "switchroom-simulator"]),
];

/// Crates in which a socket, a database or a clock of the outside world would be in the wrong room.
const PURE: &[(&str, &[&str])] = &[
    ("crates/domain", &["tokio", "actix", "actix-web", "rusqlite", "reqwest", "rand"]),
    ("crates/protocol", &["tokio", "actix", "actix-web", "rusqlite", "reqwest", "rand"]),
    ("crates/flow", &["tokio", "actix", "actix-web", "rusqlite", "reqwest", "rand"]),
    ("actors", &["actix-web", "rusqlite", "reqwest", "socket2"]),
];

fn dependencies(folder: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("Cargo.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let manifest: toml::Table = text.parse().expect("a manifest");
    let table = manifest.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    table.keys().cloned().collect()
}

#[test]
fn dependencies_run_one_way() {
    for (folder, allowed) in ALLOWED {
        for dependency in dependencies(folder).iter().filter(|name| name.starts_with("switchroom")) {
            assert!(allowed.contains(&dependency.as_str()), "{folder} must not depend on {dependency}");
        }
    }
}

#[test]
fn pure_crates_stay_pure() {
    for (folder, refused) in PURE {
        let found = dependencies(folder);
        for name in *refused {
            assert!(!found.contains(*name), "{folder} must not depend on {name}");
        }
    }
}
