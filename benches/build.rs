//! Notes what the heading of the comparison names and the program cannot find out when it runs:
//! the compiler, and the exact versions of the peers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const CRATES: [&str; 11] = [
    "grmgr",
    "tokio",
    "asyncband",
    "futures-intrusive",
    "maitake-sync",
    "saa",
    "async-lock",
    "parking_lot",
    "event-listener",
    "async-executor",
    "async-io",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version = version.map_or_else(
        |_| "rustc, unknown version".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    );
    println!("cargo::rustc-env=COMPARE_RUSTC={version}");

    let versions = lock_file().map_or_else(String::new, |path| {
        println!("cargo::rerun-if-changed={}", path.display());
        fs::read_to_string(path).map_or_else(|_| String::new(), |lock| versions(&lock))
    });
    println!("cargo::rustc-env=COMPARE_VERSIONS={versions}");
}

/// The workspace's, which lies here or above.
fn lock_file() -> Option<PathBuf> {
    let here = env::var("CARGO_MANIFEST_DIR").ok()?;
    Path::new(&here).ancestors().map(|folder| folder.join("Cargo.lock")).find(|path| path.is_file())
}

/// The lock file's `name` line is followed by its `version` line. Of several versions the newest is
/// the one compared; an older one is some peer's own.
fn versions(lock: &str) -> String {
    let lines: Vec<&str> = lock.lines().collect();
    let locked = |name: &str| {
        let wanted = format!("name = \"{name}\"");
        let place = lines.iter().rposition(|line| *line == wanted)?;
        let version = lines.get(place + 1)?.strip_prefix("version = ")?;
        Some(format!("{name} {}", version.trim_matches('"')))
    };
    let found: Vec<String> = CRATES.iter().filter_map(|name| locked(name)).collect();
    found.join(", ")
}
