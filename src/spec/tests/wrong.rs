//! What a wrong document is told: the first thing of poolproof that most authors meet.

use super::parse;

const HEAD: &str = "scenario: it
requirement: ZERO-01
title: { en: a, zh: 乙 }
severity: medium
effort_days: 1
";
const STEPS: &str = "steps:
  - alloc: { block: a, device: 0, bytes: 0 }
";
const GENERATE: &str = "generate:
  length: 20..30
  sizes: [ { log_uniform: [1, 1MiB] } ]
  weights: { alloc: 1 }
";

/// A right document.
pub(super) fn document(name: &str) -> String {
    format!("{HEAD}{STEPS}").replace("scenario: it", &format!("scenario: {name}"))
}

fn told(text: &str) -> String {
    match parse("x.yaml", text) {
        Ok(_) => "(nothing)".to_owned(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

/// The right document with steps instead of its own, with a part replaced, or with lines added.
fn steps(lines: &str) -> String {
    format!("{HEAD}steps:\n{lines}\n")
}

fn with(lines: &str) -> String {
    format!("{HEAD}{lines}\n{STEPS}")
}

fn changed(from: &str, to: &str) -> String {
    let right = format!("{HEAD}{STEPS}");
    assert!(right.contains(from), "{from}");
    right.replace(from, to)
}

fn generated(from: &str, to: &str) -> String {
    let right = format!("{HEAD}{GENERATE}");
    assert!(right.contains(from), "{from}");
    right.replace(from, to)
}

type Case = (&'static str, String);

/// What surrounds the body.
fn of_documents() -> Vec<Case> {
    vec![
        ("nothing", String::new()),
        ("a comment only", "# later\n".to_owned()),
        ("an empty second document", format!("{}---\n", document("it"))),
        ("no mapping", "- a\n- b\n".to_owned()),
        ("broken YAML", changed("bytes: 0 }", "bytes: 0")),
        ("a tab", changed("  - alloc", "\t- alloc")),
        ("an unknown key", with("devces: 2")),
        ("a key far from any", with("colour: red")),
        ("a key twice", with("severity: high")),
        ("a key missing", changed("effort_days: 1\n", "")),
        ("a wrong type", changed("effort_days: 1", "effort_days: soon")),
        ("an unknown requirement", changed("ZERO-01", "ZERO-09")),
        ("an unknown area", changed("ZERO-01", "FRAK-02")),
        ("an unknown severity", changed("severity: medium", "severity: lo")),
        ("a severity below its promise's", changed("severity: medium", "severity: low")),
        ("an unknown oracle", with("oracles: [peak, limits]")),
        ("an unknown capability", with("requires: [memory_fractions]")),
        ("an unknown statistic family", with("requires: [\"stats:segments\"]")),
        ("an unknown milestone", with("must_reach: [zero_serve]")),
        ("a combination of unknown names", with("must_reach: [ { step: reed, capture: none }, { stp: read } ]")),
        ("a combination of nothing", with("must_reach: [ {}, { step: [] } ]")),
        ("values that exclude each other", with("must_reach: [ { step: zero, pool: [small, large] } ]")),
        ("a combination out of reach", with("must_reach: [ { step: deferred, device: [second, later] } ]")),
        ("a title in one language", changed("{ en: a, zh: 乙 }", "{ en: a }")),
        ("an empty title", changed("zh: 乙", "zh: ''")),
        ("a name that is no name", changed("scenario: it", "scenario: Out Of_Range")),
        ("no devices", with("devices: 0")),
        ("devices the wrong way round", with("devices: 3..1")),
        ("neither body", HEAD.to_owned()),
        ("both bodies", format!("{HEAD}{STEPS}{GENERATE}")),
        ("no steps", format!("{HEAD}steps: []\n")),
        ("a second document wrong too", format!("{}---\n{}", with("devces: 2"), changed("ZERO-01", "ZERO-11"))),
        ("an id twice", format!("{}---\n{}", document("it"), document("it"))),
    ]
}

/// Steps and expectations.
fn of_steps() -> Vec<Case> {
    let a = "  - alloc: { block: a, device: 0, bytes: 1 }\n";
    let after = |lines: &str| steps(&format!("{a}{lines}"));
    vec![
        ("a decimal size", steps("  - alloc: { block: a, device: 0, bytes: 64MB }")),
        ("a size that is none", steps("  - alloc: { block: a, device: 0, bytes: large }")),
        ("a size past 64 bits", steps("  - alloc: { block: a, device: 0, bytes: 18446744073709551616 }")),
        ("an unknown operation", steps("  - aloc: { block: a, bytes: 1 }")),
        ("two operations in a step", after("  - free: a\n    empty_cache:")),
        ("a bare word", after("  - emptycache")),
        ("a bare word with an expectation", after("  - empty_cache\n    expect: { succeeds: true }")),
        ("an empty step", after("  - {}")),
        ("a block before it is asked for", after("  - free: b")),
        ("a block freed twice", after("  - free: a\n  - free: a")),
        ("a block asked for twice", after(a.trim_end())),
        ("a double free too early", after("  - free_pointer: { freed: a }")),
        ("a device that is not there", steps("  - alloc: { block: a, device: 1, bytes: 1 }")),
        ("a stream that is not there", after("  - record_stream: { block: a, stream: 4 }")),
        ("an undefined variable", steps("  - alloc: { block: a, device: 0, bytes: $size }")),
        ("an unused variable", with("for_each: { bytes: [1, 2] }")),
        ("for_each over nothing", with("for_each: { bytes: [] }")),
        (
            "a variable of the wrong type",
            format!(
                "{HEAD}for_each:\n  bytes: [1, 2MB]\nsteps:\n  - alloc: {{ block: a, device: 0, bytes: $bytes }}\n"
            ),
        ),
        ("an unknown statistic", after("  - expect: { stats: { 0: { allocated.all.current: 1 } } }")),
        ("a statistic with a slip", after("  - expect: { stats: { 0: { allocated_byte.all.current: 1 } } }")),
        ("a statistic of no device", after("  - expect: { stats: { 1: { num_ooms: 1 } } }")),
        ("an expectation of nobody", after("  - expect: { unchanged: true }")),
        ("an expectation of another", after("  - free: a\n    expect: { keys: 122, address: null }")),
        ("an expectation that says nothing", after("  - free: a\n    expect: {}")),
        (
            "bounds the wrong way round",
            after("  - expect: { stats: { 0: { num_ooms: { at_least: 2, at_most: 1 } } } }"),
        ),
        (
            "a pool before it is made",
            steps("  - pool_create: { pool: pile, device: 0 }\n  - pool_enter: { pool: pole, device: 0 }"),
        ),
        (
            "a graph that is gone",
            steps(
                "  - capture_begin: { graph: g, device: 0, stream: 1 }\n  - capture_end: g\n  - graph_reset: g\n  - graph_reset: g",
            ),
        ),
        ("a capture of the default stream", steps("  - capture_begin: { graph: g, device: 0, stream: 0 }")),
        (
            "two pools for a capture",
            steps(
                "  - pool_create: { pool: p, device: 0 }\n  - capture_begin: { graph: g, device: 0, stream: 1, pool: p, pool_of: g }",
            ),
        ),
        ("pools used and not required", steps("  - pool_create: { pool: p, device: 0 }")),
        ("a capability used and not required", after("  - set_fraction: { device: 0, to: 0.5 }")),
        ("milestones out of reach", with("must_reach: [fault_fired, two_devices_live, caller_switch]")),
        (
            "several at once",
            steps("  - free: b\n  - record_stream: { block: c, stream: 9 }\n  - expect: { stats: { 3: { x: 1 } } }"),
        ),
    ]
}

/// Generated sequences.
fn of_sequences() -> Vec<Case> {
    vec![
        ("a negative weight", generated("alloc: 1", "alloc: 1, free: -1")),
        ("weights of nothing", generated("alloc: 1", "alloc: 0, free: 0")),
        ("an unknown kind", generated("alloc: 1", "alloc: 1, fre: 1")),
        ("an empty range", generated("20..30", "30..20")),
        ("an empty size range", generated("[1, 1MiB]", "[1MiB, 1]")),
        ("a round that never repeats", generated("length", "cycles: 1\n  length")),
        ("no sizes", generated("  sizes: [ { log_uniform: [1, 1MiB] } ]\n", "")),
        ("two ways to draw a size", generated("[1, 1MiB] }", "[1, 1MiB], exactly: [1] }")),
        ("a fault that never fires", generated("length", "faults: [ { call: reserve, every: 0 } ]\n  length")),
        ("a device call that is none", generated("length", "faults: [ { call: reserv, every: 1 } ]\n  length")),
        ("no fraction", generated("length", "fractions: [0.5, 1.5]\n  length")),
        ("no weights", generated("  weights: { alloc: 1 }\n", "")),
        ("a world of another kind", generated("length", "world: draw\n  length")),
        ("a world with a strange key", generated("length", "world: { capacities: [1GiB, 2GiB] }\n  length")),
        (
            "a world without room",
            generated("length", "world: { capacity: [1KiB, 2TiB], settings: 0..9, pools: 0 }\n  length"),
        ),
        (
            "a drawn world that is fixed",
            format!("{HEAD}device_bytes: 1GiB\nconfig: expandable_segments:True\nrequires: [settings]\n{GENERATE}")
                .replace("  length", "  world: drawn\n  cycles: 3\n  length"),
        ),
        ("for_each of generated sequences", format!("{HEAD}for_each: {{ a: [1] }}\n{GENERATE}")),
    ]
}

#[test]
fn the_right_documents_are_right() {
    assert_eq!(told(&format!("{HEAD}{STEPS}")), "(nothing)");
    assert_eq!(told(&format!("{HEAD}{GENERATE}")), "(nothing)");
}

#[test]
fn wrong_documents_are_told_where_and_what() {
    let cases = [of_documents(), of_steps(), of_sequences()].concat();
    let lines: Vec<String> = cases.into_iter().map(|(name, text)| format!("# {name}\n{}\n", told(&text))).collect();
    insta::assert_snapshot!(lines.join("\n"));
}
