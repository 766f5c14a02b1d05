//! `poolproof explain` from outside: what it prints, what it writes, and its exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn explain(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
    command.arg("explain").args(arguments).current_dir(folder).output().expect("the program was built for this test")
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it writes UTF-8")
}

#[test]
fn the_cause_comes_first_and_the_page_is_written_in_both_languages() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(kept("explain/fragmentation.jsonl"), folder.path().join("job.jsonl")).expect("a temporary folder");
    let output = explain(folder.path(), &["job.jsonl", "--search", "--out", "why"]);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
    let text = words(&output.stdout);
    let first = text.lines().nth(1).expect("a first sentence");
    assert!(
        first.starts_with("Out of memory on device 0: request 16 (64 MiB, stream 0; line 28) was refused"),
        "{first}"
    );
    assert!(first.contains("190 MiB of 200 MiB is free in pieces that are each too short"), "{first}");
    assert!(text.contains("Setting: PYTORCH_CUDA_ALLOC_CONF=max_split_size_mb:32."), "{text}");
    for (file, has) in
        [("explain.md", "# job.jsonl"), ("explain.zh.md", "显存不足"), ("explain.json", "poolproof-explain/1")]
    {
        let written = fs::read_to_string(folder.path().join("why").join(file)).expect("it was written");
        assert!(written.contains(has), "{file}: {written}");
    }
    // The proposal's own command shows that it fits.
    let command = text.lines().find_map(|line| line.trim().strip_prefix("poolproof ")).expect("a command");
    let arguments: Vec<&str> = command.split(' ').map(|word| word.trim_matches('\'')).collect();
    let replay = Command::new(env!("CARGO_BIN_EXE_poolproof")).args(arguments).current_dir(folder.path()).output();
    let table = words(&replay.expect("the program was built for this test").stdout);
    let row = table.lines().find(|line| line.starts_with("max_split_size_mb:32")).expect("a row");
    assert!(row.ends_with("  no"), "{table}");
}

#[test]
fn figures_are_there_for_programs() {
    let path = kept("explain/graph-pool.jsonl").display().to_string();
    let output = explain(Path::new("."), &[&path, "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let account = &value["refusals"][0]["account"];
    let shares = account["shares"].as_array().expect("shares");
    let sum: u64 = shares.iter().filter_map(|share| share["bytes"].as_u64()).sum();
    assert_eq!(Some(sum), account["reserved"].as_u64());
    assert_eq!(value["refusals"][0]["verdict"]["cause"], "private_pool");
}

#[test]
fn what_cannot_be_explained_says_why() {
    let run = kept("explain/fragmentation.jsonl").display().to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sequence = r#"{"format":"poolproof-reproducer/1"}"#;
    fs::write(folder.path().join("finding.json"), sequence).expect("a temporary folder");
    for (arguments, says) in [
        (vec!["nowhere.pickle"], "nowhere.pickle"),
        (vec![run.as_str(), "--device", "7"], "no device 7 reserved anything; those that did: 0"),
        (vec!["finding.json"], "finding.json"),
    ] {
        let output = explain(folder.path(), &arguments);
        let errors = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(says) && output.stdout.is_empty(), "{errors}");
    }
}

/// `--from` and `--to`: by event, by time, with what went wrong; and a part that is kept is a snapshot of its own.
#[test]
fn a_part_of_a_snapshot_is_taken_by_event_or_by_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let job = kept("snapshots/stacks.pickle.gz").display().to_string();
    let replay = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolproof"));
        let output = command.arg("replay").args(arguments).current_dir(folder.path()).output();
        output.expect("the program was built for this test")
    };
    let output = replay(&[&job, "--from", "700", "--to", "799", "--snapshot", "part.pickle"]);
    let text = words(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", words(&output.stderr));
    assert!(text.contains(" 0 divergences") && text.contains("note: device 0: the history began late"), "{text}");
    let again = words(&replay(&["--exact", "part.pickle"]).stdout);
    assert!(again.contains(" 0 divergences"), "{again}");
    let operations =
        |text: &str| text.split(" operations").next().and_then(|t| t.rsplit(' ').next()).map(str::to_owned);
    assert_eq!(operations(&text), operations(&again));
    let table = words(&replay(&["part.pickle", "--config", "expandable_segments:True"]).stdout);
    assert!(table.contains("recorded: (none)") && table.contains("The history began late."), "{table}");
    let page = explain(folder.path(), &["part.pickle"]);
    assert_eq!(page.status.code(), Some(0), "{}", words(&page.stderr));
    let same = explain(folder.path(), &[&job, "--from", "700", "--to", "799"]);
    let without_name = |output: &Output| words(&output.stdout).lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
    let share = |lines: &[String]| lines.iter().filter(|l| l.starts_with("  reserved")).cloned().collect::<Vec<_>>();
    assert_eq!(share(&without_name(&page)), share(&without_name(&same)));
    for (arguments, said) in [
        (["--from", "800", "--to", "700"], "--from 800 is after --to 700; the trace has events 0 to 1199 of device 0"),
        (["--from", "700", "--to", "1200"], "--to 1200 is outside the trace, which has events 0 to 1199 of device 0"),
        (["--from", "+5min", "--to", "+6min"], "--from +300000000us is outside the trace"),
        (["--from", "soon", "--to", "700"], "is neither the number of an event (12000), nor a time of the trace"),
    ] {
        for output in [
            replay(&[&[job.as_str()], &arguments[..]].concat()),
            explain(folder.path(), &[&[job.as_str()], &arguments[..]].concat()),
        ] {
            let error = words(&output.stderr);
            assert!(output.status.code() == Some(2) && error.contains(said), "{error}");
        }
    }
    let help = words(&replay(&["--help"]).stdout) + &words(&explain(folder.path(), &["--help"]).stdout);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(help.matches("or a time after the first event of the file (+1.5s;").count(), 2, "{help}");
}
