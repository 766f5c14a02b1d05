//! The tree checks itself: floors, rooms, doors, file sizes, opening lines, and words that must not stay.
//!
//! Decides nothing about behaviour, and asks of `tests/` only size and opening lines. Reads source text with a small
//! scanner of its own (`tidy/scan.rs`).

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use poolproof::op::OracleName;
use rooms::{DOORS, EDGES, FLOORS, ONE_ROOM, UNSAFE};
use scan::{code_of, heads, rooms_named, tokens};

#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/scan.rs"]
mod scan;

const LONGEST: usize = 400;

#[derive(Debug)]
struct Complaint {
    path: String,
    line: usize,
    text: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.text)
    }
}

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(floor, _)| *floor)
}

/// Checks one file; `path` is relative to the repository, with forward slashes.
fn check(path: &str, source: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut complain = |line: usize, text: String| complaints.push(Complaint { path: path.to_owned(), line, text });
    let lines = source.lines().count();
    if lines > LONGEST {
        complain(LONGEST, format!("{lines} lines: at most {LONGEST}, split it by meaning"));
    }
    if !source.starts_with("//!") {
        complain(1, "does not open with `//!`: say what it decides and what it does not".to_owned());
    }
    if path.starts_with("tests/") || path.contains("/examples/") {
        return complaints;
    }
    for (number, line) in (1..).zip(source.lines()) {
        if let Some(word) = ["TODO", "FIXME"].into_iter().find(|word| line.contains(word)) {
            complain(number, format!("`{word}`: do it, or write it into the issue"));
        }
    }
    let tokens = tokens(&code_of(source));
    for (i, (line, text)) in tokens.iter().enumerate() {
        let bang = tokens.get(i + 1).is_some_and(|(_, next)| next == "!");
        let holds = |at: usize, word: &str| tokens.get(i + at).is_some_and(|(_, text)| text == word);
        if text == "Other" && holds(1, "(") && holds(2, "String") {
            complain(*line, "`Other(String)`: an error says with fields what went wrong".to_owned());
        }
        if bang && matches!(text.as_str(), "todo" | "unimplemented") {
            complain(*line, format!("`{text}!`"));
        }
        let starts = text == "process" && holds(1, "::") && heads(&tokens, i + 2).iter().any(|(_, h)| *h == "Command");
        if starts && !path.starts_with("src/child/") {
            complain(*line, "`std::process::Command`: other programs are started by `child`".to_owned());
        }
        if text == "unsafe" && !UNSAFE.contains(&path) {
            complain(*line, "`unsafe` outside the allow-list of tests/tidy.rs".to_owned());
        }
    }
    let Some((room, depth)) = room_of(path) else { return complaints };
    let Some(own) = floor(room) else {
        complain(1, format!("unknown room `{room}`: give it a floor in tests/tidy.rs and ARCHITECTURE.md"));
        return complaints;
    };
    let sees = EDGES.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, sees)| sees);
    for (line, named) in rooms_named(&tokens, depth) {
        match floor(&named) {
            _ if named == room => {}
            None if ONE_ROOM.contains(&room) => {} // a module of its own
            None => complain(line, format!("`crate::{named}` is not a room")),
            Some(other) if other >= own => {
                complain(line, format!("`{room}` (floor {own}) sees `{named}` (floor {other})"))
            }
            Some(_) if is_test(path) || sees.contains(&named.as_str()) => {}
            Some(_) => complain(line, format!("`{room}` does not see `{named}`: tests/tidy.rs has the edges")),
        }
    }
    if !path.ends_with("src/lib.rs")
        && let Some((line, name)) = tokens.iter().find(|(_, text)| text.starts_with("poolproof_"))
    {
        complain(*line, format!("`{name}`: other crates are named in lib.rs alone, their rooms by `crate::`"));
    }
    if !is_test(path) {
        complaints.extend(doors(path, room, &tokens));
    }
    complaints
}

/// The room that a file is of, and how many modules deep it lies; `None` for the roots of crates with several rooms.
fn room_of(path: &str) -> Option<(&str, usize)> {
    let (home, inside) = match path.strip_prefix("crates/").and_then(|below| below.split_once("/src/")) {
        Some(found) => found,
        None => ("", path.strip_prefix("src/").unwrap_or(path)),
    };
    let place = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    let is_root = matches!(inside, "lib.rs" | "main.rs");
    let depth = if is_root { 0 } else { place.split('/').count() };
    match (ONE_ROOM.contains(&home), is_root) {
        (true, _) => Some((home, depth)),
        (false, true) => None,
        (false, false) => Some((place.split('/').next().unwrap_or(place), depth)),
    }
}

/// Whether a file holds nothing but tests: `tests.rs`, anything in a folder `tests`, `name_test.rs`.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_test.rs") || path.contains("/tests/")
}

/// Crates and modules that the room has no business with.
fn doors(path: &str, room: &str, tokens: &[(usize, String)]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for i in 0..tokens.len() {
        let starts_path = tokens.get(i + 1).is_some_and(|(_, next)| next == "::");
        let goes_on = i > 0 && tokens[i - 1].1 == "::";
        if !starts_path || goes_on {
            continue;
        }
        for (door, module, rooms) in
            DOORS.iter().filter(|(door, _, rooms)| *door == tokens[i].1 && !rooms.contains(&room))
        {
            if module.is_empty() || heads(tokens, i + 2).iter().any(|(_, head)| head == module) {
                let name = if module.is_empty() { (*door).to_owned() } else { format!("{door}::{module}") };
                let text = format!("`{name}` belongs to {}", rooms.join(", "));
                complaints.push(Complaint { path: path.to_owned(), line: tokens[i].0, text });
            }
        }
    }
    complaints
}

/// The rooms of the floor table in ARCHITECTURE.md against `FLOORS`.
fn check_table(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, rooms) in FLOORS {
        let row = text.lines().find(|line| line.starts_with(&format!("| {number} |")));
        let Some(cell) = row.and_then(|line| line.split('|').nth(2)) else {
            complaints.push(format!("ARCHITECTURE.md has no row for floor {number}"));
            continue;
        };
        let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        for room in rooms.iter().filter(|room| !named.contains(room)) {
            complaints.push(format!("ARCHITECTURE.md does not name `{room}` on floor {number}"));
        }
        for room in named.iter().filter(|room| !rooms.contains(room)) {
            complaints.push(format!("ARCHITECTURE.md names `{room}` on floor {number}, tests/tidy.rs does not"));
        }
    }
    complaints
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source, by its path from the root.
fn tree() -> Vec<(String, String)> {
    let mut files = Vec::new();
    ["src", "crates", "tests"].iter().for_each(|folder| sources(&root().join(folder), &mut files));
    assert!(files.len() > FLOORS.len(), "the sources were not found");
    let read = |file: PathBuf| {
        let path = file.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
        let source = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{path}: {e}"));
        (path, source)
    };
    files.into_iter().map(read).collect()
}

#[test]
fn the_tree_is_tidy() {
    let complaints: Vec<String> =
        tree().iter().flat_map(|(path, source)| check(path, source)).map(|c| c.to_string()).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_edge_is_needed() {
    let mut idle: BTreeSet<(&str, &str)> =
        EDGES.iter().flat_map(|(room, sees)| sees.iter().map(|seen| (*room, *seen))).collect();
    for (path, source) in tree().iter().filter(|(path, _)| !path.starts_with("tests/")) {
        let Some((room, depth)) = room_of(path) else { continue };
        let named = rooms_named(&tokens(&code_of(source)), depth);
        idle.retain(|(from, to)| *from != room || !named.iter().any(|(_, name)| name == to));
    }
    assert!(idle.is_empty(), "tests/tidy/rooms.rs allows what nobody needs: {idle:?}");
}

/// What ARCHITECTURE.md says of files: where `unsafe` may stand, and where each judge of steps is.
#[test]
fn the_files_that_are_named_are_those() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let (_, after) = text.split_once("**`unsafe`**").expect("a policy about `unsafe`");
    let named: Vec<&str> = after.split('`').filter(|word| word.contains("src/") && word.ends_with(".rs")).collect();
    assert_eq!(named, UNSAFE);
    for path in UNSAFE {
        let source = fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert!(code_of(&source).contains("unsafe"), "{path} needs no place in the list any more");
    }
    for oracle in OracleName::ALL.iter().filter(|o| !o.compares_runs()) {
        let path = format!("crates/judge/src/oracle/{}.rs", oracle.name());
        let source = fs::read_to_string(root().join(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert!(code_of(&source).contains("impl Oracle for"), "{path} holds no oracle");
        let opening: Vec<&str> = source.lines().take_while(|line| line.starts_with("//!")).collect();
        let opening = opening.join(" ").to_lowercase();
        assert!(["not cover", "not judged"].iter().any(|words| opening.contains(words)), "{path}: what not?");
    }
}

#[test]
fn the_floor_table_is_true() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let mut complaints = check_table(&text);
    for room in FLOORS.iter().flat_map(|(_, rooms)| *rooms) {
        let places = ["src", "crates/words/src", "crates/judge/src"]
            .iter()
            .flat_map(|folder| [format!("{folder}/{room}.rs"), format!("{folder}/{room}/mod.rs")])
            .chain([format!("crates/{room}/src/lib.rs")]);
        let found = places.filter(|place| root().join(place).is_file()).count();
        if found != 1 {
            complaints.push(format!("the room `{room}` is in {found} places"));
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_checker_convicts() {
    let long = format!("//! x\n{}", "// x\n".repeat(LONGEST));
    let guilty = [
        ("src/op/x.rs", "//! x\nuse crate::cli::Main;", "2: `op` (floor 0) sees `cli` (floor 6)"),
        ("src/report/x.rs", "//! x\nfn f() { crate::engine::run() }", "`report` (floor 4) sees `engine` (floor 4)"),
        (
            "src/model/mod.rs",
            "//! x\nuse crate::{op::Op,\n reference::{A, op}};",
            "3: `model` (floor 2) sees `reference`",
        ),
        ("src/spec/mod.rs", "//! x\nuse super::verdict::Finding;", "`spec` (floor 1) sees `verdict`"),
        ("src/report/x.rs", "//! x\nuse crate::spec::Scenario;", "2: `report` does not see `spec`"),
        ("crates/judge/src/oracle/x.rs", "//! x\nuse crate::reference::X;", "`oracle` does not see `reference`"),
        ("crates/device/src/sim/x.rs", "//! x\nuse crate::cuda::X;", "`device` (floor 1) sees `cuda` (floor 2)"),
        ("crates/cuda/src/lib.rs", "//! x\nuse crate::recording::X;", "2: `cuda` does not see `recording`"),
        (
            "src/op/x.rs",
            "//! x\nuse poolproof_words::op::Op;",
            "2: `poolproof_words`: other crates are named in lib.rs",
        ),
        ("src/spec/a/b.rs", "//! x\nmod tests { use super::super::super::super::cli::X; }", "sees `cli`"),
        ("src/spec/mod.rs", "//! x\nuse crate::*;", "`crate::*` is not a room"),
        ("src/attic/mod.rs", "//! x\n", "unknown room `attic`"),
        ("src/attic.rs", "//! x\n", "unknown room `attic`"),
        ("src/op/x.rs", "use std::fmt;", "1: does not open with `//!`"),
        ("src/op/x.rs", &long, "401 lines"),
        ("tests/x.rs", &long, "401 lines"),
        ("src/op/x.rs", "//! x\nfn f() { unsafe { g() } }", "`unsafe` outside"),
        ("src/lib.rs", "//! x\nunsafe fn g() {}", "`unsafe` outside"),
        ("src/op/x.rs", "//! x\npub enum E { Other(String) }", "2: `Other(String)`"),
        ("src/op/x.rs", "//! x\n// TODO later", "2: `TODO`"),
        ("src/op/x.rs", "//! x\nfn f() { todo!() }", "`todo!`"),
        ("src/op/x.rs", "//! x\nfn f() { unimplemented!(\"soon\") }", "`unimplemented!`"),
        ("src/op/x.rs", "//! x\nuse std::{env, fs};", "`std::env` belongs to cli, doctor, engine, setup"),
        ("src/engine/x.rs", "//! x\nuse std::process::{Command, Stdio};", "2: `std::process::Command`"),
        ("src/engine/x.rs", "//! x\nfn f() { std::process::Command::new(\"x\"); }", "2: `std::process::Command`"),
        ("src/engine/x.rs", "//! x\n#[derive(clap::Args)]\nstruct A;", "2: `clap` belongs to cli"),
    ];
    for (path, source, wanted) in guilty {
        let found: Vec<String> = check(path, source).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{source}: {found:?}");
        assert!(found[0].contains(wanted), "{}", found[0]);
    }
}

#[test]
fn the_checker_acquits() {
    let innocent = [
        ("src/cli/run.rs", "//! [`crate::attic`]\nuse crate::{engine::run, op::{Op, Step}};\nuse clap::Parser;"),
        ("src/op/x.rs", "//! x\n/* crate::cli /* unsafe */ */ fn f<'a>(x: &'a str) -> char { '\"' } // crate::cli\n"),
        (
            "src/op/x.rs",
            "//! x\nconst A: &str = \"crate::cli \\\" unsafe\"; const B: &str = r#\"todo!() \"crate::cli\"#;",
        ),
        ("src/report/a/b.rs", "//! x\nuse super::super::facts;\nmod tests { use super::super::super::page; }"),
        ("src/op/x.rs", "//! x\npub(crate) fn std_env() { env!(\"X\"); let r#unsafe_code = 'c'; std::env_like(); }"),
        ("src/spec/tests.rs", "//! x\nfn f() { std::env::temp_dir(); }"),
        ("src/main.rs", "//! x\nfn main() { poolproof::main() }"),
        ("crates/judge/src/lib.rs", "//! x\nuse poolproof_words::{op, requirement};\npub mod model;"),
        ("crates/device/src/sim/x.rs", "//! x\nuse crate::sim::memory;\nuse crate::op::Op;"),
        ("crates/reference/src/a/b.rs", "//! x\nuse super::super::{Settings, pool};"),
    ];
    for (path, source) in innocent {
        let found: Vec<String> = check(path, source).iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{source}: {found:?}");
    }
}

#[test]
fn a_false_floor_table_is_found() {
    let table: String = FLOORS.iter().map(|(n, rooms)| format!("| {n} | `{}` | x |\n", rooms.join("`, `"))).collect();
    assert!(check_table(&table).is_empty());
    assert_eq!(check_table(&table.replace("`model`", "`attic`")).len(), 2);
    assert_eq!(check_table("").len(), FLOORS.len());
}
