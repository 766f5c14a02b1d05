//! The program from outside: what it says to bad input, what it leaves behind, and its exit codes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

const GOOD: &str = "\
scenario: smoke
requirement: ZERO-01
title: { en: A request of 0 bytes is answered, zh: 0 字节请求得到应答 }
severity: medium
effort_days: 0.5
steps:
  - alloc: { block: a, device: 0, bytes: 0 }
    expect: { succeeds: true }
";

/// What a call of the program came to.
struct Call {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn call(folder: &Path, arguments: &[&str]) -> Call {
    call_with(folder, arguments, &[])
}

fn call_with(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Call {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    // These are about simulated devices, whatever the machine has.
    if arguments.first() == Some(&"run") && !arguments.iter().any(|a| a.starts_with("--target")) {
        command.args(["--target", "reference@sim"]);
    }
    for name in ["PROPTEST_CASES", "GITHUB_STEP_SUMMARY", "RUST_LOG", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    let output = command.output().expect("the program was built for this test");
    let text = |bytes| String::from_utf8(bytes).expect("it writes UTF-8");
    Call { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a temporary folder");
        fs::write(path, text).expect("a temporary folder");
    }
    folder
}

/// Every file and folder below, sorted.
fn everything(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a folder").path();
        found.push(path.display().to_string());
        if path.is_dir() {
            found.extend(everything(&path));
        }
    }
    found.sort();
    found
}

/// Exit 2, a message that says `parts`, no panic, nothing on stdout, nothing left behind.
#[track_caller]
fn refused(folder: &TempDir, arguments: &[&str], parts: &[&str]) {
    let before = everything(folder.path());
    let call = call(folder.path(), arguments);
    expect_refusal(&call, arguments, parts);
    assert_eq!(everything(folder.path()), before, "{arguments:?} left something");
}

#[track_caller]
fn expect_refusal(call: &Call, arguments: &[&str], parts: &[&str]) {
    assert_eq!(call.code, Some(2), "{arguments:?}: {}", call.stderr);
    for part in parts {
        assert!(call.stderr.contains(part), "{arguments:?} does not say `{part}`:\n{}", call.stderr);
    }
    assert!(!call.stderr.contains("panicked"), "{}", call.stderr);
    assert_eq!(call.stdout, "", "{arguments:?}");
}

/// `check` refuses the good scenario after one replacement.
#[track_caller]
fn misspelt(from: &str, to: &str, parts: &[&str]) {
    assert!(GOOD.contains(from), "`{from}` is not in the good scenario");
    let folder = folder(&[("bad.yaml", &GOOD.replace(from, to))]);
    refused(&folder, &["check", "bad.yaml"], parts);
}

#[test]
fn bad_scenarios_are_named_with_their_place() {
    misspelt("severity: medium", "severty: medium", &["error: bad.yaml:4:1", "severty"]);
    misspelt("severity: medium", "severity: low", &["error: bad.yaml:4:1", "ZERO-01", "hint: leave the key out"]);
    misspelt("effort_days: 0.5", "effort_days: many", &["bad.yaml:5:"]);
    misspelt("ZERO-01", "ZERO-99", &["bad.yaml:", "ZERO-99"]);
    misspelt("bytes: 0 }", "bytes: 0", &["bad.yaml:"]);
    misspelt("steps:", "for_each: { size: [] }\nsteps:", &["bad.yaml:", "for_each"]);
    let generate = "generate:\n  sequences: 1\n  length: 2..3\n  sizes: [ { weight: 1, exactly: [8] } ]\n  weights: { alloc: -1 }\n";
    let drawn = format!("{}{generate}", &GOOD[..GOOD.find("steps:").expect("it has steps")]);
    refused(&folder(&[("bad.yaml", &drawn)]), &["check", "bad.yaml"], &["bad.yaml:", "-1"]);
}

#[test]
fn files_that_are_not_there_are_named() {
    let empty = folder(&[]);
    refused(&empty, &["check", "nowhere.yaml"], &["nowhere.yaml"]);
    refused(&empty, &["run", "--specs", "nowhere"], &["nowhere"]);
    refused(&empty, &["report", "nowhere.json"], &["nowhere.json"]);
    refused(&empty, &["replay", "nowhere.json"], &["nowhere.json"]);
}

#[test]
fn two_scenarios_of_one_name_are_refused() {
    let twice = folder(&[("s/a.yaml", GOOD), ("s/b.yaml", GOOD)]);
    refused(&twice, &["check", "s"], &["zero::smoke", "a.yaml", "b.yaml"]);
}

#[test]
fn unknown_names_come_with_what_there_is() {
    let specs = folder(&[("s/a.yaml", GOOD)]);
    refused(&specs, &["run", "--specs", "s", "--target", "refrence@sim"], &["refrence@sim", "reference@sim"]);
    refused(
        &specs,
        &["run", "--specs", "s", "--target", "reference"],
        &["allocator@where", "hint: the targets here are"],
    );
    refused(&specs, &["run", "--specs", "s", "--target", "reference@sim?x=1"], &["`x`"]);
    refused(&specs, &["run", "--specs", "s", "--target", "reference@sim?defect=none-such"], &["none-such"]);
    refused(&specs, &["run", "--specs", "s", "--scenario", "zero::smoek"], &["did you mean `zero::smoke`?"]);
    refused(&specs, &["run", "--specs", "s", "--scenario", "["], &["not a glob"]);
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let specs = folder(&[("s/a.yaml", GOOD)]);
    for (flag, value) in [("--shard", "3/2"), ("--time", "soon"), ("--jobs", "0"), ("--cases", "0"), ("--seed", "-1")] {
        refused(&specs, &["run", "--specs", "s", &format!("{flag}={value}")], &[flag, value]);
    }
    let arguments = ["run", "--specs", "s"];
    let call = call_with(specs.path(), &arguments, &[("PROPTEST_CASES", "many")]);
    expect_refusal(&call, &arguments, &["PROPTEST_CASES", "many"]);
}

#[test]
fn an_out_that_cannot_be_written_is_found_out_first() {
    let specs = folder(&[("s/a.yaml", GOOD), ("taken", "a file")]);
    refused(&specs, &["run", "--specs", "s", "--out", "taken"], &["taken/reference@sim: cannot be written"]);
    assert_eq!(fs::read_to_string(specs.path().join("taken")).expect("it is still there"), "a file");
}

#[test]
fn broken_records_are_refused() {
    let run = r#"{"format":"poolproof-run/9"}"#;
    let files = folder(&[("cut.json", r#"{"format":"#), ("other.json", "{}"), ("new.json", run)]);
    refused(&files, &["report", "cut.json"], &["cut.json:1:"]);
    refused(&files, &["report", "other.json"], &["other.json"]);
    refused(&files, &["report", "new.json"], &["new.json", "poolproof-run/9"]);
}

#[test]
fn broken_sequences_are_refused() {
    let files = folder(&[("text.json", "hello"), ("other.json", r#"{"format":"x"}"#), ("zero.json.gz", "\u{1f}")]);
    fs::write(files.path().join("cut.json.gz"), [0x1f, 0x8b, 8, 0, 0]).expect("a temporary folder");
    refused(&files, &["replay", "text.json"], &["text.json", "line 1"]);
    refused(&files, &["replay", "other.json"], &["other.json"]);
    refused(&files, &["replay", "cut.json.gz"], &["cut.json.gz"]);
    refused(&files, &["replay", "zero.json.gz"], &["zero.json.gz"]);
    refused(&files, &["replay", "--exact", "text.json"], &["text.json"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = folder(&[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.args(["list", "requirements"]).current_dir(folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program was built");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn what_there_is_can_be_listed_and_read_by_programs() {
    let folder = folder(&[]);
    for what in ["scenarios", "requirements", "targets", "oracles", "defects"] {
        let plain = call(folder.path(), &["list", what]);
        let json = call(folder.path(), &["list", what, "--json"]);
        assert_eq!((plain.code, json.code), (Some(0), Some(0)), "{what}: {}{}", plain.stderr, json.stderr);
        let entries: Vec<serde_json::Value> = serde_json::from_str(&json.stdout).expect("an array");
        // What belongs to a target stands below it, set in.
        let heads = plain.stdout.lines().filter(|line| !line.is_empty() && !line.starts_with(' '));
        assert_eq!(entries.len(), heads.count(), "{what}");
        assert!(!entries.is_empty(), "{what}");
    }
    for what in ["scenario", "run", "compare", "expect", "worker"] {
        let schema = call(folder.path(), &["schema", what]);
        assert!(serde_json::from_str::<serde_json::Value>(&schema.stdout).expect("JSON").is_object(), "{what}");
    }
    let help = call(folder.path(), &["run", "--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("Examples:") && help.stdout.contains("PROPTEST_CASES"), "{}", help.stdout);
}

#[test]
fn expected_failures_are_drafted_then_excused_until_they_end() {
    let wrong =
        GOOD.replace("succeeds: true", "refused: out_of_memory").replace("steps:", "requires: [oom_typed]\nsteps:");
    let specs = folder(&[("s/a.yaml", &wrong), ("t/a.yaml", GOOD)]);
    let run = |arguments: &[&str]| {
        let all: Vec<&str> = ["run", "--out", "o", "--lang", "en"].iter().chain(arguments).copied().collect();
        call(specs.path(), &all)
    };
    let drafted = run(&["--specs", "s", "--write-expect", "known.yaml"]);
    assert_eq!(drafted.code, Some(1), "{}", drafted.stderr);
    let draft = fs::read_to_string(specs.path().join("known.yaml")).expect("it was drafted");
    expect_refusal(&run(&["--specs", "s", "--write-expect", "known.yaml"]), &["--write-expect"], &["a file already"]);
    let unowned = run(&["--specs", "s", "--expect", "known.yaml"]);
    expect_refusal(&unowned, &["--expect"], &["known.yaml:9:5: `owner` is empty", "hint: say who"]);

    let known = draft.replace("owner: \"\"", "owner: us");
    let (_, after) = known.split_once("expires: ").expect("it ends some day");
    let write = |name: &str, text: &str| fs::write(specs.path().join(name), text).expect("a temporary folder");
    write("known.yaml", &known);
    write("expired.yaml", &known.replace(after.trim(), "2020-01-01"));
    write("stale.yaml", &known.replace("zero::smoke", "gone::*"));
    write("elsewhere.yaml", &known.replace("reference@sim", "torch@cuda"));
    for (folder, file, code, says) in [
        ("s", "known.yaml", 0, ""),
        (
            "s",
            "expired.yaml",
            1,
            "expired expired.yaml:4: the expectation of `zero::smoke`: its last day was 2020-01-01",
        ),
        ("s", "stale.yaml", 1, "stale stale.yaml:4: the expectation of `gone::*`: no scenario is called so"),
        ("t", "known.yaml", 1, ""),
    ] {
        let call = run(&["--specs", folder, "--expect", file]);
        assert_eq!(call.code, Some(code), "{folder} {file}: {}{}", call.stdout, call.stderr);
        assert!(call.stdout.contains(says), "{file}: {}", call.stdout);
    }
    assert!(run(&["--specs", "t", "--expect", "known.yaml"]).stdout.contains("unexpected-pass"));
    let elsewhere = run(&["--specs", "s", "--expect", "elsewhere.yaml"]);
    expect_refusal(&elsewhere, &["--expect"], &["elsewhere.yaml: speaks of none of the targets"]);

    fs::create_dir(specs.path().join("s/expect")).expect("a temporary folder");
    write("s/expect/a.yaml", &known);
    let check = call(specs.path(), &["check", "s", "s/expect"]);
    assert_eq!(check.stdout, "1 expected failures: ok\n1 scenarios in 1 files: ok\n", "{}", check.stderr);
    write("s/expect/a.yaml", &draft);
    let drafted = call(specs.path(), &["check", "s/expect/a.yaml"]);
    assert_eq!((drafted.code, drafted.stdout.contains("a.yaml:9: a draft")), (Some(0), true), "{}", drafted.stdout);
}

/// The record without the keys that may differ between two runs.
fn unstamped(path: &Path) -> serde_json::Value {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(map) => {
                map.remove("stamp");
                map.values_mut().for_each(strip);
            }
            serde_json::Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let text = fs::read_to_string(path).expect("the run wrote it");
    let mut value = serde_json::from_str(&text).expect("it is JSON");
    strip(&mut value);
    value
}

#[test]
fn a_run_writes_its_files_and_says_the_same_twice() {
    let specs = folder(&[("s/a.yaml", GOOD)]);
    let summary = specs.path().join("summary.md").display().to_string();
    let arguments = ["run", "--specs", "s", "--out", "o"];
    let first = call_with(specs.path(), &arguments, &[("GITHUB_STEP_SUMMARY", &summary)]);
    assert_eq!(first.code, Some(0), "{}{}", first.stdout, first.stderr);
    let run = specs.path().join("o/reference@sim/run.json");
    for name in ["report.md", "report.zh.md", "junit.xml", "run.json"] {
        assert!(run.with_file_name(name).is_file(), "{name}");
    }
    assert!(fs::read_to_string(&summary).expect("it was written").contains("ZERO-01"));
    let before = unstamped(&run);
    assert_eq!(call(specs.path(), &arguments).code, Some(0));
    assert_eq!(unstamped(&run), before);

    let path = run.display().to_string();
    let printed = call(specs.path(), &["report", &path, "--lang", "zh"]);
    assert_eq!(printed.stdout, fs::read_to_string(run.with_file_name("report.zh.md")).expect("it was written"));
    let written = call(specs.path(), &["report", &path, "--format", "junit", "--out", "again.xml"]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""));
    assert!(specs.path().join("again.xml").is_file());
}

#[test]
fn a_failing_run_exits_1_and_its_command_repeats_it() {
    let wrong =
        GOOD.replace("succeeds: true", "refused: out_of_memory").replace("steps:", "requires: [oom_typed]\nsteps:");
    let specs = folder(&[("s/a.yaml", &wrong)]);
    let run = call(specs.path(), &["run", "--specs", "s", "--out", "o", "--lang", "en"]);
    assert_eq!(run.code, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("ZERO-01") && run.stdout.contains("zero::smoke"), "{}", run.stdout);
    let command = run.stdout.lines().find_map(|l| l.split_once("poolproof replay ")).expect("a command").1;
    let again = call(specs.path(), &["replay", command]);
    assert_eq!(again.code, Some(1), "{}{}", again.stdout, again.stderr);
    assert!(again.stdout.contains("violation of ZERO-01 (expectation)"), "{}", again.stdout);
    let exact = call(specs.path(), &["replay", "--exact", command]);
    expect_refusal(&exact, &["replay", "--exact"], &["only those can be compared"]);
}

#[test]
fn a_finding_calls_blocks_as_their_author_does() {
    let named = "scenario: named
requirement: STRM-02
title: { en: A recorded stream keeps its block, zh: 已记录流保有其块 }
effort_days: 1
requires: [streams, record_stream, stream_control]
steps:
  - alloc: { block: unrelated, device: 0, bytes: 512 }
  - occupy: { device: 0, stream: 1 }
  - alloc: { block: weights, device: 0, bytes: 4MiB }
  - record_stream: { block: weights, stream: 1 }
  - free: weights
  - alloc: { block: gradients, device: 0, bytes: 4MiB }
    expect: { address: { different_from: weights } }
";
    let specs = folder(&[("s/a.yaml", named)]);
    let target = "--target=reference@sim?defect=record-ignored";
    let run = call(specs.path(), &["run", "--specs", "s", "--out", "o", "--lang", "en", target]);
    assert_eq!(run.code, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("weights") && !run.stdout.contains("b0"), "{}", run.stdout);
    let command = run.stdout.lines().find_map(|l| l.split_once("poolproof replay ")).expect("a command").1;
    let again = call(specs.path(), &["replay", command.trim_matches('\'')]);
    assert!(again.stdout.contains("alloc weights: 512 B on device 0"), "{}", again.stdout);
    assert!(again.stdout.contains("gradients") && !again.stdout.contains("b1"), "{}", again.stdout);
}

#[test]
fn device_calls_fail_in_turn_where_it_is_asked_for() {
    let folder = folder(&[]);
    let trim = ["run", "--faults", "sweep", "--scenario", "trim::gives*", "--cases", "1", "--lang", "en"];
    let swept = call(folder.path(), &trim);
    assert_eq!(swept.code, Some(0), "{}{}", swept.stdout, swept.stderr);
    assert!(
        swept.stdout.contains("fault sweep on reference@sim, reference@sim?expandable_segments:True"),
        "{}",
        swept.stdout
    );
    let report = fs::read_to_string(folder.path().join("reports/latest/reference@sim/report.md")).expect("written");
    assert!(report.contains("**Device calls made to fail, one by one and in pairs**"), "{report}");
    let found =
        call(folder.path(), &[&trim[..], &["--target", "reference@sim?defect=unmap-failure-forgotten"]].concat());
    assert_eq!(found.code, Some(1), "{}{}", found.stdout, found.stderr);
    assert!(found.stdout.contains("led to a violation or a panic"), "{}", found.stdout);
}

#[test]
fn threads_share_an_allocator_and_a_target_that_cannot_be_shared_is_refused() {
    let folder = folder(&[]);
    let alone = call(folder.path(), &["stress", "--threads", "4", "--time", "1ms", "--calls", "200"]);
    assert_eq!(alone.code, Some(0), "{}{}", alone.stdout, alone.stderr);
    assert!(alone.stdout.contains("no violation"), "{}", alone.stdout);
    let nothing = call(folder.path(), &["stress", "--time", "1ms", "--calls", "50", "--device-bytes", "1MiB"]);
    assert_eq!(nothing.code, Some(4), "{}{}", nothing.stdout, nothing.stderr);
    assert!(nothing.stdout.contains("inconclusive: no block was handed out"), "{}", nothing.stdout);
    let raced = call(folder.path(), &["stress", "--race", "table-erased-late", "--device-bytes", "256MiB"]);
    assert_eq!(raced.code, Some(1), "{}{}", raced.stdout, raced.stderr);
    assert!(raced.stdout.contains("--device-bytes 268435456 --calls 2000 --seed "), "{}", raced.stdout);
    refused(&folder, &["stress", "--threads", "256", "--calls", "1000000"], &["calls in a round; the most is"]);
    refused(&folder, &["stress", "--target", "torch@cuda"], &["cannot be called from several threads"]);
    refused(&folder, &["stress", "--race", "none"], &["the planted races are stats-outside-lock"]);
}
