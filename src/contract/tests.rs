//! The worker's lines, a worker that has nothing to say, and failures that were expected.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use jiff::civil::date;

use super::*;
use crate::spec::expect as expected;
use crate::verdict::expectation::Standing;

const FACTS: &str = r#"{"facts": {"devices": 1, "torch": "2.11.0+cu130", "cuda": "13.0", "python": "3.12.1", "backend": "native", "names": ["a card"], "total": [1024], "kernels": true, "capture": true, "async": false, "numpy": true, "pynvml": false}}"#;

#[derive(Default)]
struct Seen(RefCell<Vec<String>>);

impl Watched for Seen {
    fn begin(&self, rows: usize) {
        self.0.borrow_mut().push(format!("{rows} rows"));
    }

    fn row(&self, id: &str, outcome: RowOutcome) {
        self.0.borrow_mut().push(format!("{id} {}", outcome.name()));
    }
}

fn rows(ids: &[&str]) -> Vec<Row> {
    let all = crate::spec::contract::built_in().expect("they are right");
    ids.iter().map(|id| all.iter().find(|row| row.id == *id).expect("there is such a row").clone()).collect()
}

/// A program in the interpreter's place that says these lines.
fn judged(lines: &[&str], expected: Option<(&Expectations, Vec<String>)>) -> (Result<Contract, ContractError>, Seen) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("python");
    let said: Vec<String> = lines.iter().map(|line| format!("cat <<'END'\n{line}\nEND\n")).collect();
    fs::write(&path, format!("#!/bin/sh\n{}", said.concat())).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("allowed");
    let options = Options {
        python: path.display().to_string(),
        rows: rows(&["memory_stats/device-float", "memory_stats/device-negative"]),
        selection: Vec::new(),
        jobs: 1,
        limit: 1,
        expected,
        stop: Stop::default(),
        command: "x".to_owned(),
    };
    let seen = Seen::default();
    // While another test forks, its child holds what is being written here open for a moment.
    let is_busy = |e: &io::Error| e.kind() == io::ErrorKind::ExecutableFileBusy;
    loop {
        match run(&options, &seen) {
            Err(ContractError::NotStarted { source, .. }) if is_busy(&source) => {}
            result => return (result, seen),
        }
    }
}

const FLOAT: &str = r#"{"id": "memory_stats/device-float", "outcome": "broken", "observed": "returned {}", "expected": "raises TypeError", "broken": [{"clause": "answer", "what": "it returned"}], "seconds": 0.1}"#;
const NEGATIVE: &str = r#"{"id": "memory_stats/device-negative", "outcome": "crashed", "observed": "SIGSEGV", "expected": "raises ValueError", "broken": [{"clause": "crashed", "what": "SIGSEGV"}], "seconds": null}"#;

fn expectations(text: &str) -> Expectations {
    let entry = "reason: { en: known, zh: 已知 }\n    owner: us\n    expires: 2030-01-31";
    expected::parse("x.yaml", &format!("target: torch-contract@*\nexpect:\n{}", text.replace("ENTRY", entry)))
        .expect("it is well formed")
}

#[test]
fn what_the_worker_says_becomes_the_record() {
    let (contract, seen) = judged(&[FACTS, NEGATIVE, FLOAT], None);
    let contract = contract.expect("there is one");
    assert!(contract.complete && contract.machine.torch == "2.11.0+cu130");
    let outcomes: Vec<RowOutcome> = contract.rows.iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes, [RowOutcome::Broken, RowOutcome::Crashed], "in the order of the files");
    assert_eq!(contract.rows[0].call, "torch.cuda.memory_stats(1.5)");
    assert!(contract.rows[0].place.starts_with("specs/contract/torch-cuda-memory/devices-memory_stats.yaml:"));
    assert!(!contract.is_as_expected());
    let told = ["2 rows", "memory_stats/device-negative crashed", "memory_stats/device-float broken"];
    assert_eq!(seen.0.into_inner(), told);
}

#[test]
fn a_worker_that_ends_early_leaves_rows_that_were_not_run() {
    let contract = judged(&[FACTS, FLOAT], None).0.expect("there is one");
    assert!(!contract.complete);
    assert_eq!(contract.rows[1].outcome, RowOutcome::NotRun);
}

#[test]
fn what_cannot_be_judged_says_why() {
    let told = |lines: &[&str]| judged(lines, None).0.expect_err("nothing was judged").to_string();
    assert!(told(&[]).ends_with("it ended before it said what there is here"));
    assert!(told(&[r#"{"failed": "torch finds no GPU"}"#]).ends_with("cannot judge anything here: torch finds no GPU"));
    assert!(told(&["hello"]).starts_with("the worker said `hello`, which means nothing"));
}

#[test]
fn expected_failures_are_excused_and_surprises_are_told() {
    let ids = || vec!["memory_stats/device-float".to_owned(), "memory_stats/device-negative".to_owned()];
    let kept = FLOAT.replace("broken\", \"obs", "kept\", \"obs");
    let apply = |text: &str, lines: &[&str]| {
        let mut contract = judged(lines, None).0.expect("there is one");
        expect(&mut contract, &expectations(text), &ids(), date(2026, 12, 1));
        contract
    };
    let both = apply("  - scenario: 'memory_stats/device-*'\n    ENTRY\n", &[FACTS, FLOAT, NEGATIVE]);
    assert_eq!(both.expectations[0].standing, Standing::Met);
    assert!(both.is_as_expected(), "{both:?}");
    let one = apply("  - scenario: 'memory_stats/device-*'\n    ENTRY\n", &[FACTS, &kept, NEGATIVE]);
    assert_eq!(one.expectations[0].standing, Standing::UnexpectedPass);
    assert!(!one.is_as_expected());
    let sometimes = apply("  - scenario: '*'\n    sometimes: true\n    ENTRY\n", &[FACTS, &kept, NEGATIVE]);
    assert!(sometimes.is_as_expected());
    let standing = |text: &str| apply(text, &[FACTS, FLOAT, NEGATIVE]).expectations[0].standing;
    assert_eq!(standing("  - scenario: no/such\n    ENTRY\n"), Standing::Stale);
    assert_eq!(standing("  - scenario: '*'\n    ENTRY\n    scope: { allocator: '>=2.12' }\n"), Standing::OutOfScope);
    let expired = "  - scenario: '*'\n    reason: { en: a, zh: b }\n    owner: us\n    expires: 2026-01-31\n";
    assert_eq!(standing(expired), Standing::Expired);
}

#[test]
fn what_comes_along_speaks_of_rows_that_there_are() {
    let file = expected::built_in("torch-contract", "cuda").expect("it is well formed");
    let ids: Vec<String> =
        crate::spec::contract::built_in().expect("they are right").into_iter().map(|row| row.id).collect();
    for entry in file.iter().flat_map(|file| &file.entries) {
        let expected::About::Scenario(glob) = &entry.about else { panic!("line {}: rows have no numbers", entry.line) };
        assert!(ids.iter().any(|id| glob.is_match(id)), "line {}: {}", entry.line, glob.glob());
    }
}
