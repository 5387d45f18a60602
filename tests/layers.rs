//! Holds the house to its picture (ARCHITECTURE.md): arrows point down, and some things are done in one room only.
//!
//! Reads the source as text, up to the tests in it: a test may look at anything.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, from the ground up. A room may look into those of lower storeys, and not into its neighbours.
const STOREYS: &[&[&str]] = &[
    &["bulletin", "error", "identity", "loopback", "text"],
    &["roster"],
    &["supervision", "process", "transport"],
    &["actors", "member"],
    &["messenger", "listener", "threads"],
    &["deputy", "remote"],
    &["context", "cluster"],
    &["reopen"],
    &["log", "schedule", "shared"],
    &["control"],
    &["axum", "run"],
    &["hatchery"],
    &["cli", "simulation"],
    &["lib"],
];

/// Rooms that use the crate as its users do.
const FACE: &[&str] = &["axum", "cli", "hatchery", "simulation"];

/// Of all the rooms below it, this one sees only these.
const NARROW: &[(&str, &[&str])] = &[("supervision", &["identity"])];

/// What only these places may say: a file, or a room when it has no ending.
const ONLY: &[(&str, &[&str])] = &[
    ("Instant::now", &["process/clock.rs"]),
    ("SystemTime::now", &["process/clock.rs"]),
    ("SystemTime", &["process/clock.rs", "member", "context.rs", "log", "schedule", "simulation"]),
    ("bincode::", &["transport/codec.rs"]),
    ("postcard::", &["transport/codec.rs"]),
    ("croner::", &["schedule/cron.rs"]),
    ("jiff::", &["log", "schedule"]),
    ("ractor::", &["actors", "cluster", "remote", "context.rs"]),
    ("rustix::", &["process", "listener/socket.rs"]),
    ("nix::", &["process"]),
    ("process::exit", &["process"]),
    ("Command::new", &["process/spawn.rs", "process/launch.rs"]),
    ("env::var", &["process", "cli/places.rs", "hatchery/settled.rs", "simulation/explore.rs"]),
    ("fs::read", &["process", "cli/logs.rs", "cli/logs/follow.rs", "log/rolling.rs"]),
    ("tracing_subscriber::", &["log"]),
    ("unsafe", &[]),
];

/// Where it is decided.
const PURE: &[&str] = &["supervision", "schedule/course.rs", "schedule/timetable.rs", "schedule/cron.rs"];

/// What those who decide do without: time and chance are its arguments, facts are its input.
const IMPURE: &[&str] = &[
    "tokio",
    "async ",
    "tracing",
    "std::io",
    "std::net",
    "std::thread",
    "Mutex",
    "Atomic",
    "std::fs",
    "std::env",
    "static ",
    "thread_local",
    "SysRng",
    "rand::rng",
    "println",
    "panic::",
];

/// A file, without its comments and its tests.
struct Source {
    /// Its path below `src`.
    path: String,
    lines: Vec<(usize, String)>,
}

impl Source {
    fn of(path: &str, text: &str) -> Source {
        let mut lines = Vec::new();
        let mut test_follows = false;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if test_follows && line.starts_with("mod ") && line.ends_with('{') || line == "pub(crate) mod tests {" {
                break;
            }
            test_follows = line == "#[cfg(test)]";
            if !line.starts_with("//") {
                lines.push((number + 1, line.to_owned()));
            }
        }
        Source { path: path.to_owned(), lines }
    }

    fn room(&self) -> &str {
        let room = self.path.split('/').next().unwrap_or_default();
        room.strip_suffix(".rs").unwrap_or(room)
    }

    /// Where this is said, as words of their own.
    fn says<'a>(&'a self, words: &'a str) -> impl Iterator<Item = String> + 'a {
        let is_part = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '\'');
        let said =
            self.lines.iter().filter(move |(_, line)| line.match_indices(words).any(|(at, _)| !is_part(&line[..at])));
        said.map(move |(number, line)| format!("{}:{number}: {line}", self.path))
    }

    /// The rooms that it looks into, and where.
    fn imports(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (number, line) in &self.lines {
            for after in line.split("crate::").skip(1) {
                let room: String = after.chars().take_while(|&c| c.is_ascii_lowercase() || c == '_').collect();
                found.push((room, format!("{}:{number}: {line}", self.path)));
            }
        }
        found
    }
}

fn storey(room: &str) -> Option<usize> {
    STOREYS.iter().position(|rooms| rooms.contains(&room))
}

/// What of this file runs up, or sideways.
fn arrows_up(source: &Source) -> Vec<String> {
    let room = source.room();
    let Some(own) = storey(room) else { return vec![format!("{}: a room that is not in the picture", source.path)] };
    let narrow = NARROW.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
    let mut found = Vec::new();
    for (other, place) in source.imports() {
        let below = match storey(&other) {
            Some(storey) => other == room || storey < own,
            // An item of the crate's face: who looks at the face looks up.
            None => room == "lib" || other.is_empty() && FACE.contains(&room),
        };
        let seen = narrow.is_none_or(|allowed| other == room || allowed.contains(&other.as_str()));
        if !below || !seen {
            found.push(place);
        }
    }
    found
}

fn out_of_place(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (words, places) in ONLY {
        let places = places.iter().map(|place| place.to_string());
        if !places.into_iter().any(|place| source.path == place || source.room() == place) {
            found.extend(source.says(words));
        }
    }
    if PURE.iter().any(|place| source.path == *place || source.room() == *place) {
        found.extend(IMPURE.iter().flat_map(|words| source.says(words)));
    }
    found
}

/// The files of the house, without those that are tests.
fn house() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    let texts: Vec<(PathBuf, String)> =
        paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("it is readable"))).collect();
    let tests = test_modules(&texts);
    let kept = texts.into_iter().filter(|(path, _)| !tests.iter().any(|test| path.starts_with(test)));
    kept.map(|(path, text)| {
        let below = path.strip_prefix(&root).expect("it was found there");
        Source::of(&below.to_string_lossy(), &text)
    })
    .collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it is a folder") {
        let path = entry.expect("it can be read").path();
        match path.is_dir() {
            true => collect(&path, paths),
            false => paths.push(path),
        }
    }
}

/// Files, and the folders beside them, that are declared behind `#[cfg(test)]`.
fn test_modules(texts: &[(PathBuf, String)]) -> HashSet<PathBuf> {
    let mut tests = HashSet::new();
    for (path, text) in texts {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2) {
            let name = pair[1].strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
            if let ("#[cfg(test)]", Some(name)) = (pair[0], name) {
                let folder = path.with_extension("");
                tests.insert(folder.join(format!("{name}.rs")));
                tests.insert(folder.join(name));
            }
        }
    }
    tests
}

#[test]
fn arrows_point_down() {
    let up: Vec<_> = house().iter().flat_map(arrows_up).collect();
    assert!(up.is_empty(), "arrows that run up, or to a neighbour:\n{}", up.join("\n"));
}

#[test]
fn some_things_are_done_in_one_place() {
    let found: Vec<_> = house().iter().flat_map(out_of_place).collect();
    assert!(found.is_empty(), "said where it has no place:\n{}", found.join("\n"));
}

#[test]
fn a_fault_in_the_house_is_seen() {
    let wrong = |path: &str, text: &str| {
        let source = Source::of(path, text);
        [arrows_up(&source), out_of_place(&source)].concat().len()
    };
    assert_eq!(wrong("process/spawn.rs", "use crate::identity::Slot;"), 0);
    assert_eq!(wrong("process/spawn.rs", "use crate::actors::Master;"), 1);
    assert_eq!(wrong("process/spawn.rs", "use crate::transport::Frame;"), 1, "its neighbour");
    assert_eq!(wrong("transport/line.rs", "let now = crate::process::clock::now();"), 1);
    assert_eq!(wrong("supervision/seat.rs", "use crate::roster::Roster;"), 1, "below, and yet not for this room");
    assert_eq!(wrong("supervision/seat.rs", "tokio::time::sleep(pause).await;"), 1);
    assert_eq!(wrong("supervision/seat.rs", "let now = Instant::now();"), 1);
    assert_eq!(wrong("member/enter.rs", "let bytes = bincode::serde::encode_to_vec(value, config);"), 1);
    assert_eq!(wrong("member/enter.rs", "use crate::Hatchery;"), 1, "the face is above");
    assert_eq!(wrong("attic.rs", ""), 1, "not in the picture");
    assert_eq!(wrong("member/enter.rs", "// as crate::hatchery says"), 0);
    assert_eq!(wrong("member/enter.rs", "#[cfg(test)]\nmod tests {\nuse crate::actors::Master;"), 0);
}
