//! The program's manners: whatever is typed or given, it says what is wrong, and neither panics nor hangs.
//!
//! Decides nothing about what a run finds. Every case runs the program itself.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use lines::WRONG;
use tempfile::TempDir;

#[path = "manners/lines.rs"]
mod lines;

const GOOD: &str = "\
scenario: smoke
requirement: ZERO-01
title: { en: An empty request is served, zh: 空请求得到满足 }
effort_days: 0.5
steps:
  - alloc: { block: a, device: 0, bytes: 0 }
    expect: { succeeds: true }
";

fn call<S: AsRef<OsStr>>(folder: &Path, arguments: &[S]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    for variable in ["PROPTEST_CASES", "GITHUB_STEP_SUMMARY", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.output().expect("the program was built for this test")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Exit 2, a message with these parts, no panic.
#[track_caller]
fn refused<S: AsRef<OsStr> + std::fmt::Debug>(folder: &Path, arguments: &[S], parts: &[&str]) {
    let output = call(folder, arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert!(said.contains("error:") && !said.contains("panicked"), "{arguments:?}: {said}");
    for part in parts {
        assert!(said.contains(part), "{arguments:?} does not say `{part}`:\n{said}");
    }
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it is below the folder")).expect("a temporary folder");
        fs::write(path, bytes).expect("a temporary folder");
    }
    folder
}

/// The names of all files below a folder, sorted; folders may have been made for results.
fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => found.extend(files_below(&path)),
            false => found.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned()),
        }
    }
    found.sort();
    found
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(|word| if word == "''" { String::new() } else { word.to_owned() }).collect()
}

#[test]
fn wrong_command_lines_are_told_what_is_wrong() {
    let folder = folder(&[("taken", b"a file of 20 letters"), ("empty", b""), ("empty.yaml", b"")]);
    for (line, part) in WRONG {
        refused(folder.path(), &words(line), &[part]);
    }
    assert_eq!(files_below(folder.path()), ["empty", "empty.yaml", "taken"], "nothing is left behind");
}

#[test]
fn every_subcommand_has_a_wrong_line() {
    let help = call(Path::new("."), &["help"]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let (_, commands) = help.split_once("Commands:\n").expect("help lists them");
    // What a line had no room for stands further in.
    let named = |line: &&str| !line.starts_with("   ");
    let lines = commands.lines().take_while(|line| line.starts_with("  ")).filter(named);
    let names = lines.filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        assert!(WRONG.iter().any(|(line, _)| line.split(' ').next() == Some(name)), "no wrong line of `{name}`");
    }
}

#[test]
fn unknown_defects_are_guessed_by_what_they_do() {
    let folder = folder(&[]);
    let told = |name: &str| stderr(&call(folder.path(), &["run", "--target", &format!("reference@sim?defect={name}")]));
    assert!(told("double-free").contains("did you mean `double-free-releases"), "{}", told("double-free"));
    assert!(told("fraction-lost").contains("fraction-lost-early"), "{}", told("fraction-lost"));
    assert!(!told("xyz").contains("did you mean"), "{}", told("xyz"));
    let long = "x".repeat(100_000);
    assert!(told(&long).len() < 300_000 && !told(&long).contains("panicked"));
}

#[cfg(unix)]
#[test]
fn words_that_are_no_text_are_shown_and_file_names_need_be_none() {
    use std::os::unix::ffi::OsStrExt;
    let odd = OsStr::from_bytes(b"caf\xe9 \n'x'");
    let files = folder(&[("s/a.yaml", GOOD.as_bytes())]);
    for flag in ["--scenario", "--target", "--seed", "--time", "--cases"] {
        refused(files.path(), &[OsStr::new("run"), OsStr::new(flag), odd], &["caf"]);
    }
    refused(files.path(), &[odd], &["caf"]);
    refused(files.path(), &[OsStr::new("check"), odd], &["cannot be read"]);
    refused(files.path(), &[OsStr::new("replay"), odd], &["No such file"]);
    let run = ["run", "--specs", "s", "--target", "reference@sim?defect=zero-size-refused", "--out"].map(OsStr::new);
    let output = call(files.path(), &[&run[..], &[odd]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let results = files.path().join(odd).join("reference@sim_defect_zero-size-refused");
    let report = fs::read_to_string(results.join("report.md")).expect("it was written");
    assert!(report.contains(r"$'caf\351 \n\'x\''"), "the command is on one line and reads back:\n{report}");
}

#[test]
fn a_reader_that_goes_away_ends_nothing_badly() {
    let files = folder(&[("s/a.yaml", GOOD.as_bytes())]);
    for line in ["list defects", "schema run", "help run", "run --specs s --target reference@sim", "doctor --python x"]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
        command.args(line.split(' ')).current_dir(files.path()).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program was built");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{line}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{line}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).and_then(|()| packed.finish()).expect("memory")
}

#[test]
fn a_file_that_is_something_else_is_named() {
    const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n";
    let packed = gzip(b"{\"format\":\"poolproof-seq/1\"}");
    let utf16: Vec<u8> = "\u{feff}{\"format\": 1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let kinds: [(&str, &[u8], &str, &str); 8] = [
        ("pointer", POINTER, "a Git LFS pointer", "git lfs pull"),
        ("zip", b"PK\x03\x04\x14\0\0\0archive/data.pkl", "a zip archive", "torch"),
        ("empty", b"", "an empty file", ""),
        ("page", b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "an HTML page", "fetch the raw file"),
        ("utf16", &utf16, "text in UTF-16", "save it as UTF-8"),
        ("zstd", b"\x28\xb5\x2f\xfd\x04\x00", "compressed with zstd", "unpack"),
        ("picture", b"\x89PNG\r\n\x1a\n", "a PNG picture", ""),
        ("twice", &gzip(&packed), "a gzip file", "gunzip"),
    ];
    for (name, bytes, is, hint) in kinds {
        let files = folder(&[(name, bytes), ("s.yaml", GOOD.as_bytes())]);
        refused(files.path(), &["replay", name], &[name, is, hint]);
        refused(files.path(), &["report", name], &[name, if name == "twice" { "a gzip file" } else { is }]);
        if name != "empty" {
            refused(files.path(), &["check", name], &[name, if name == "twice" { "a gzip file" } else { is }]);
            refused(files.path(), &["run", "--specs", "s.yaml", "--expect", name], &[name]);
        }
    }
    let cut = &packed[..packed.len() - 12];
    let files = folder(&[("cut.gz", cut), ("bad.gz", b"\x1f\x8b\x08\0nothing that was packed"), ("notes", b"hello")]);
    refused(files.path(), &["replay", "cut.gz"], &["its gzip ends in the middle"]);
    refused(files.path(), &["replay", "bad.gz"], &["bad.gz", "gzip"]);
    refused(files.path(), &["replay", "notes"], &["line 1 column 1", "hint: replay takes"]);
    refused(files.path(), &["report", "notes"], &["notes:1:1:", "hint: report takes"]);
}

#[test]
fn of_several_files_all_are_tried() {
    let good = folder(&[("b.yaml", GOOD.as_bytes()), ("a.yaml", b"scenario: [\n"), ("c.yaml", b"nothing: here\n")]);
    refused(good.path(), &["check", "nowhere", "a.yaml", "b.yaml", "c.yaml"], &["nowhere", "a.yaml:", "c.yaml:"]);
    let wrong =
        GOOD.replace("succeeds: true", "refused: out_of_memory").replace("steps:", "requires: [oom_typed]\nsteps:");
    let files = folder(&[("s/a.yaml", wrong.as_bytes()), ("junk", b"hello")]);
    call(files.path(), &["run", "--specs", "s", "--target", "reference@sim", "--out", "o"]);
    let finding = fs::read_dir(files.path().join("o/reference@sim/findings")).expect("a finding");
    let finding = finding.map(|e| e.expect("readable").path().display().to_string()).next().expect("a finding");
    let output = call(files.path(), &["replay", "nowhere.json", "junk", &finding]);
    let (said, printed) = (stderr(&output), String::from_utf8_lossy(&output.stdout).into_owned());
    assert!(said.contains("nowhere.json") && said.contains("junk"), "{said}");
    assert!(printed.contains("violation of ZERO-01"), "{printed}");
    assert_eq!(output.status.code(), Some(1), "a finding is what needs attention first");
    assert_eq!(call(files.path(), &["replay", "junk", "nowhere.json"]).status.code(), Some(2));
}

#[test]
fn kept_sequences_lie_where_they_were_before_or_below_the_results() {
    const TARGET: &str = "reference@sim?defect=free-lost-now-and-then";
    let run = |folder: &Path, more: &[&str]| {
        let usual = ["run", "--target", TARGET, "--scenario", "mem::*", "--cases", "8", "--out", "o"];
        let output = call(folder, &[&usual[..], more].concat());
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    };
    let kept = |folder: &Path| fs::read_dir(folder).map_or(0, Iterator::count);
    let empty = folder(&[]);
    run(empty.path(), &[]);
    assert!(!empty.path().join("proptest-regressions").exists(), "the user's folder is left alone");
    assert_eq!(kept(&empty.path().join("o/proptest-regressions")), 1);
    run(empty.path(), &["--regressions", "mine/of/them"]);
    assert_eq!(kept(&empty.path().join("mine/of/them")), 1);

    let before = folder(&[("proptest-regressions/README", b"kept")]);
    run(before.path(), &[]);
    assert_eq!(kept(&before.path().join("proptest-regressions")), 2);
    assert!(!before.path().join("o/proptest-regressions").exists());

    let off = folder(&[("proptest-regressions/README", b"kept")]);
    run(off.path(), &["--no-regressions"]);
    assert_eq!(kept(&off.path().join("proptest-regressions")), 1);
    assert!(!off.path().join("o/proptest-regressions").exists());

    let file = folder(&[("proptest-regressions", b"a file")]);
    run(file.path(), &[]);
    assert_eq!(kept(&file.path().join("o/proptest-regressions")), 1);
}

#[test]
fn a_draft_is_well_formed_wherever_it_lies_and_names_its_target() {
    const TARGET: &str = "reference@sim?defect=zero-size-refused";
    let files = folder(&[("s/a.yaml", GOOD.as_bytes())]);
    let run = |arguments: &[&str]| {
        call(files.path(), &[&["run", "--specs", "s", "--out", "o", "--target"], arguments].concat())
    };
    let drafted = run(&[TARGET, "--write-expect", "s/known.yaml"]);
    assert_eq!(drafted.status.code(), Some(1), "{}", stderr(&drafted));
    let path = files.path().join("s/known.yaml");
    let draft = fs::read_to_string(&path).expect("it was drafted");
    assert!(draft.contains(TARGET), "{draft}");
    let check = call(files.path(), &["check", "s/known.yaml"]);
    let printed = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success() && printed.contains("a draft: it does not count"), "{printed}{}", stderr(&check));
    refused(files.path(), &["run", "--specs", "s", "--expect", "s/known.yaml"], &["s/known.yaml:", "`owner` is empty"]);
    fs::write(&path, draft.replace("owner: \"\"", "owner: us")).expect("it is writable");
    for what in ["s", "s/known.yaml"] {
        let check = call(files.path(), &["check", what]);
        let printed = String::from_utf8_lossy(&check.stdout).into_owned();
        assert!(check.status.success() && printed.contains("1 expected failures: ok"), "{printed}{}", stderr(&check));
    }
    let known = run(&[TARGET, "--expect", "s/known.yaml"]);
    assert_eq!(known.status.code(), Some(0), "{}", stderr(&known));
    let sound = run(&["reference@sim", "--expect", "s/known.yaml"]);
    assert_eq!(sound.status.code(), Some(0), "it is of another target: {}", String::from_utf8_lossy(&sound.stdout));
}

#[test]
fn a_snapshot_is_written_into_a_folder_that_is_not_there_yet() {
    let files = folder(&[("taken", b"a file")]);
    let recording = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/default.jsonl.gz");
    let written = call(files.path(), &["replay", recording, "--snapshot", "new/folder/s.pickle"]);
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    assert!(files.path().join("new/folder/s.pickle").is_file());
    refused(
        files.path(),
        &["replay", recording, "--snapshot", "taken/s.pickle"],
        &["taken/s.pickle: cannot be written"],
    );
    refused(files.path(), &["replay", recording, "--snapshot", "."], &["cannot be written"]);
}
