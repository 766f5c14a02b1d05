//! Files as large or as wrong as nobody writes them: what they cost, counted in bytes that the YAML reader is given.

use super::super::{expect, locate};
use super::wrong::document;
use super::*;

/// What came of a text, and how often the YAML reader was given its length.
fn read(text: &str) -> (Result<Vec<Scenario>, Vec<SpecError>>, usize) {
    let before = locate::READ.with(std::cell::Cell::get);
    let result = parse("x.yaml", text);
    let after = locate::READ.with(std::cell::Cell::get);
    (result, (after - before).div_ceil(text.len().max(1)))
}

fn told(text: &str) -> (Vec<String>, usize) {
    let (result, times) = read(text);
    (result.expect_err("it is wrong").iter().map(ToString::to_string).collect(), times)
}

/// As many readings as mistakes that are told, and a few.
const MOST: usize = 26;

fn steps(count: usize, step: impl Fn(usize) -> String) -> String {
    let right = document("it");
    let head = right.split_once("steps:").expect("it has steps").0.to_owned();
    (0..count).fold(head + "steps:\n", |text, i| text + "  - " + &step(i) + "\n")
}

#[test]
fn mistakes_are_told_up_to_a_number_and_counted_from_there() {
    let (lines, times) = told(&steps(10_000, |i| format!("free: b{i}")));
    assert_eq!((lines.len(), times), (21, 21));
    assert_eq!(lines[0], "x.yaml:7:5: block `b0` is used before it is asked for");
    assert_eq!(lines[20], "x.yaml: … and 9,980 more");
    let few = told(&steps(20, |i| format!("free: b{i}"))).0;
    assert_eq!(few.len(), 20, "{few:?}");
}

#[test]
fn a_document_costs_no_more_for_those_around_it() {
    let many =
        |count: usize, document: &dyn Fn(usize) -> String| (0..count).map(document).collect::<Vec<_>>().join("---\n");
    let (result, times) = read(&many(3_000, &|i| document(&format!("it{i}"))));
    assert_eq!((result.map(|s| s.len()), times), (Ok(3_000), 1));
    let (lines, times) = told(&many(3_000, &|_| document("it")));
    assert_eq!((lines.len(), times), (21, 2), "{lines:?}");
    assert_eq!(lines[0], "x.yaml:9:1: there are two scenarios `zero::it`\n  hint: the first is in x.yaml");
    assert_eq!(lines[20], "x.yaml: … and 2,979 more");
    let (lines, times) = told(&many(3_000, &|_| document("it").replace("severity", "severty")));
    assert!(lines.len() == 21 && times <= MOST, "{times} readings");
    let (lines, times) = told(&"---\n".repeat(3_000));
    assert!(lines.len() == 21 && times <= MOST, "{times} readings");
}

#[test]
fn a_large_document_is_read_again_for_fewer_places() {
    let long = " ".repeat(1000);
    let (lines, times) = told(&steps(10_000, |i| format!("free: {long}b{i}")));
    assert_eq!((lines.len(), times), (2, 2));
    assert_eq!(lines[1], "x.yaml: … and 9,999 more");
}

#[test]
fn nesting_without_end_is_refused_before_it_is_read() {
    for open in ["[", "{", "a: [", "{ a: "] {
        let (lines, times) = told(&open.repeat(100_000));
        assert!(lines.len() == 1 && lines[0].contains("more than 4,000 brackets are open here"), "{lines:?}");
        assert_eq!(times, 0);
    }
    for deep in ["- ", "? "] {
        let (lines, times) = told(&deep.repeat(10_000));
        assert!(lines.len() == 1 && times <= MOST, "{lines:?}");
    }
}

#[test]
fn aliases_stand_for_no_more_than_a_file_can_hold() {
    let thousand = ["cycle_end"; 1_000].join(",");
    let body = format!("&s0 {{ repeat: {{ times: 1, steps: [{thousand}] }} }}");
    let nested = (1..6).fold(steps(1, |_| body.clone()), |text, i| {
        let tenfold = [format!("*s{}", i - 1).as_str(); 10].join(", ");
        text + &format!("  - &s{i} {{ repeat: {{ times: 1, steps: [{tenfold}] }} }}\n")
    });
    let flat = steps(1, |_| body.clone()) + &"  - *s0\n".repeat(1_000);
    for text in [nested, flat] {
        let lines = told(&text).0;
        assert!(lines[0].contains("aliases repeat more here than the whole document holds"), "{lines:?}");
    }
    let twice =
        steps(2, |i| if i == 0 { "&s { alloc: { block: $a, device: 0, bytes: 1 } }".into() } else { "*s".into() });
    assert!(read(&twice).0.is_err(), "a block's name is no variable");
    let named = steps(3, |i| ["alloc: &s { block: a, device: 0, bytes: 1 }", "free: a", "alloc: *s"][i].to_owned());
    assert!(read(&named).0.is_ok(), "{:?}", read(&named).0);
}

#[test]
fn what_is_quoted_from_a_file_is_cut() {
    for text in [
        document(&"X".repeat(100_000)),
        document("it").replace("ZERO-01", &"Z".repeat(100_000)),
        document("it").replace("effort_days: 1", &format!("devices: {}", "9".repeat(100_000))),
        document("it").replace("severity", &"s".repeat(900)),
        document("it").replace("scenario: it", "scenario: \"a\\e[2Jb\\nc\""),
    ] {
        for line in told(&text).0 {
            assert!(line.len() < 2_000 && !line.contains('\u{1b}') && line.lines().count() <= 2, "{line}");
        }
    }
}

#[test]
fn small_texts_that_ask_for_much_are_refused_early() {
    let all: Vec<String> = (0..65).map(|i| format!("v{i}: [1]")).collect();
    let variables = document("it").replace("steps:", &format!("for_each: {{ {} }}\nsteps:", all.join(", ")));
    assert!(told(&variables).0[0].contains("more than 64 variables"));
    let values: Vec<String> = (0..4_000).map(|i| i.to_string()).collect();
    let repeated =
        steps(1, |_| "repeat: { times: 50000, steps: [ { alloc: { block: a, device: 0, bytes: $v } } ] }".into());
    let combined = repeated.replace("steps:\n", &format!("for_each: {{ v: [{}] }}\nsteps:\n", values.join(", ")));
    assert!(told(&combined).0[0].contains("more than 400000 steps in all its combinations"));
    let wrong = steps(1, |_| "repeat: { times: 4000000000, steps: [ cycle_end, { free: a }, { free: b } ] }".into());
    assert_eq!(told(&wrong).0.len(), 2);
    let endless = steps(1, |_| {
        "repeat: { times: 4000000000, steps: [ { repeat: { times: 4000000000, steps: [ cycle_end ] } } ] }".into()
    });
    assert!(told(&endless).0[0].contains("more than 100000 steps in all"));
}

#[test]
fn expected_failures_are_read_once_and_told_up_to_a_number() {
    let entry = |owner: &str, i: usize| {
        format!("  - scenario: a{i}\n    reason: {{ en: a, zh: 乙 }}\n    owner: {owner}\n    expires: 2030-01-01\n")
    };
    let file = |owner: &str| (0..1_000).fold("target: a@b\nexpect:\n".to_owned(), |text, i| text + &entry(owner, i));
    let before = locate::READ.with(std::cell::Cell::get);
    let read = expect::parse("x.yaml", &file("us")).expect("it is right");
    assert_eq!(locate::READ.with(std::cell::Cell::get) - before, 2 * file("us").len(), "for its meaning and its lines");
    let lines: Vec<usize> = read.entries.iter().map(|e| e.line).collect();
    assert_eq!(lines, (0..1_000).map(|i| 3 + 4 * i).collect::<Vec<_>>());
    let errors = expect::parse("x.yaml", &file("''")).expect_err("nobody looks after them");
    assert_eq!((errors.len(), errors[20].to_string().as_str()), (21, "x.yaml: … and 980 more"));
    let long =
        expect::parse("x.yaml", &format!("target: '{}'\nexpect: []\n", "?".repeat(100_000))).expect_err("too long");
    assert!(long[0].message.contains("a glob of more than 1000 bytes"), "{long:?}");
}

#[test]
fn files_are_told_by_their_keys_before_their_folder() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it is below")).expect("it is writable");
        std::fs::write(path, text).expect("it is writable");
    };
    let expected =
        "target: a@b\nexpect:\n- scenario: a\n  reason: { en: a, zh: 乙 }\n  owner: us\n  expires: 2030-01-01\n";
    write("known.yaml", expected);
    write("flow.yml", "{ \"target\": \"a@b\", \"expect\": [] }");
    write("expect/a.yaml", &document("in-the-folder"));
    write("a.yaml", &format!("\u{feff}{}", document("beside").replace('\n', "\r\n")));
    let checked = check(&[root.path().to_owned(), root.path().join("a.yaml")]);
    assert_eq!(checked.errors, []);
    assert_eq!((checked.scenarios.len(), checked.expectations, checked.expected), (2, 2, 1));
    assert_eq!(load_dir(root.path()).map(|s| s.len()), Ok(2));
    let only = load_dir(root.path().join("known.yaml")).expect_err("no scenario");
    assert!(only[0].to_string().contains("known.yaml: this file lists expected failures"), "{only:?}");
    write("expect/broken.yaml", "hello\n");
    let errors = check(&[root.path().join("expect"), root.path().join("nowhere.yaml")]).errors;
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(
        lines.len() == 2 && lines[0].contains("`target` and `expect`") && lines[1].contains("nowhere"),
        "{lines:?}"
    );
}
