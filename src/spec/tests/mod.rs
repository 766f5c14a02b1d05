//! Scenario files from the outside: the built-in ones, the schema, and bytes that nobody wrote.

mod large;
mod meaning;
mod wrong;

use std::collections::BTreeSet;

use super::files::built_in_texts;
use super::*;
use crate::requirement::{self, Area};

#[test]
fn built_in_scenarios_parse_and_have_ids_of_their_own() {
    let scenarios = built_in();
    let ids: BTreeSet<&str> = scenarios.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids.len(), scenarios.len());
    assert!(scenarios.len() >= 130, "{} scenarios", scenarios.len());
    for scenario in &scenarios {
        let area = scenario.requirement.area().code().to_lowercase();
        assert!(scenario.file.starts_with(&format!("specs/{area}/")), "{} is in {}", scenario.id, scenario.file);
    }
}

#[test]
fn every_requirement_has_a_scenario() {
    let tested: BTreeSet<_> = built_in().iter().map(|s| s.requirement).collect();
    let untested: Vec<_> = requirement::ALL.iter().map(|r| r.id).filter(|id| !tested.contains(id)).collect();
    assert_eq!(untested, []);
}

#[test]
fn a_built_in_scenario_says_its_severity_only_where_it_raises_it() {
    for (file, text) in built_in_texts() {
        for document in text.split("\n---\n") {
            let value = |key: &str| document.lines().find_map(|line| line.strip_prefix(key));
            let Some(said) = value("severity: ") else { continue };
            let id: requirement::RequirementId = value("requirement: ").unwrap_or_default().parse().expect("it parsed");
            assert_ne!(said, id.get().severity.name(), "{file}: {id} says so already");
        }
    }
}

#[test]
fn every_situation_is_demanded_somewhere() {
    let demanded: BTreeSet<_> = built_in().into_iter().flat_map(|s| s.must_reach).collect();
    let idle: Vec<_> = crate::op::Milestone::ALL.iter().filter(|m| !demanded.contains(m)).collect();
    assert_eq!(idle, [&crate::op::Milestone::Oom; 0]);
}

#[test]
fn the_named_areas_have_explicit_steps_and_generated_sequences() {
    let scenarios = built_in();
    for area in [Area::Iso, Area::Frac, Area::Zero, Area::Oom, Area::Peak] {
        let of_area = || scenarios.iter().filter(|s| s.requirement.area() == area);
        assert!(of_area().any(|s| matches!(s.body, Body::Steps(_))), "{} has no explicit steps", area.code());
        assert!(of_area().any(|s| matches!(s.body, Body::Generate(_))), "{} generates nothing", area.code());
    }
}

#[test]
fn generated_scenarios_stay_within_the_time_of_a_run() {
    let is_drawn = |s: &&Scenario| matches!(&s.body, Body::Generate(g) if g.world.is_some());
    let operations = |s: &Scenario| match &s.body {
        Body::Generate(g) if g.world.is_some() => {
            // Lengths are drawn by doublings: a fourth of the longest is more than the mean.
            u64::from(g.sequences) * u64::from(*g.length.end()) / 4
        }
        Body::Generate(g) => {
            let mean = u64::from(*g.length.start()).midpoint(u64::from(*g.length.end()));
            u64::from(g.sequences) * mean * u64::from(g.cycles.max(1))
        }
        Body::Steps(variants) => variants.iter().map(|v| v.steps.len() as u64).sum(),
    };
    let (drawn, fixed): (Vec<Scenario>, Vec<Scenario>) = built_in().into_iter().partition(|s| is_drawn(&s));
    let fixed: u64 = fixed.iter().map(operations).sum();
    assert!((200_000..820_000).contains(&fixed), "about {fixed} operations in fixed worlds");
    let drawn: u64 = drawn.iter().map(operations).sum();
    assert!((200_000..4_000_000).contains(&drawn), "about {drawn} operations in drawn worlds");
}

#[test]
fn the_published_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/specs/scenario.schema.json");
    let current = serde_json::to_string_pretty(&schema()).expect("a schema is plain JSON") + "\n";
    if option_env!("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &current).expect("the source tree is writable when the schema is updated");
    }
    let published = std::fs::read_to_string(path).unwrap_or_default();
    assert!(published == current, "run `UPDATE_SCHEMA=1 cargo test --lib spec::` and commit {path}");
}

#[test]
fn folders_are_read_in_order_and_an_id_given_twice_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it is writable");
    std::fs::create_dir(folder.path().join("sub")).expect("it is writable");
    write("b.yaml", &wrong::document("second"));
    write("sub/a.yml", &wrong::document("third"));
    write("a.yaml", &wrong::document("first"));
    write("notes.txt", "not: yaml: at all");
    let ids = |found: Vec<Scenario>| found.into_iter().map(|s| s.id).collect::<Vec<_>>();
    let found = load_dir(folder.path()).expect("all three are right");
    assert_eq!(ids(found), ["zero::first", "zero::second", "zero::third"]);
    write("c.yaml", &wrong::document("first"));
    let errors = load_dir(folder.path()).expect_err("two are called `first`");
    assert_eq!((errors.len(), errors[0].line), (1, 1));
    assert_eq!(errors[0].message, "there are two scenarios `zero::first`");
    let missing = load_dir(folder.path().join("nowhere")).expect_err("there is no such folder");
    assert_eq!(missing[0].line, 0);
}

/// SplitMix64: fixed seeds, no dependency on what a random crate does next year.
struct Bits(u64);

impl Bits {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) & 0xffff_ffff).expect("32 bits fit")
    }
}

/// Reads it, and holds every answer to its form.
fn read_without_panic(text: &str) {
    match parse("x.yaml", text) {
        Ok(scenarios) => assert!(!scenarios.is_empty() || text.is_empty()),
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors.iter().filter(|e| !e.message.starts_with('…')) {
                assert!(error.line >= 1 && error.line <= text.lines().count().max(1) + 1, "{error}");
                assert!(!error.message.contains(['\u{1}', '\u{2}']) && !error.message.is_empty(), "{error}");
            }
        }
    }
}

#[test]
fn cut_files_are_told_so_without_a_panic() {
    for (_, text) in built_in_texts() {
        let cuts = text.char_indices().map(|(at, _)| at).step_by(29);
        cuts.for_each(|at| read_without_panic(&text[..at]));
    }
}

#[test]
fn changed_bytes_never_panic() {
    const BYTES: &[u8] = b"{}[]:,-$&*!|>'\"%@`#? \n\t\r0.9azA~<=\x00\x7f\xc3\xe4";
    let mut bits = Bits(7);
    for (_, text) in built_in_texts() {
        for _ in 0..40 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..=bits.next() % 3 {
                let at = bits.next() % bytes.len();
                match bits.next() % 3 {
                    0 => bytes[at] = BYTES[bits.next() % BYTES.len()],
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, BYTES[bits.next() % BYTES.len()]),
                }
            }
            read_without_panic(&String::from_utf8_lossy(&bytes));
        }
    }
}
