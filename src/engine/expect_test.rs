//! Every way for an entry of expected failures to stand.

use jiff::civil::Date;

use super::expect::{apply_on, concerns, drafted_on};
use super::tests::failing_record;
use crate::op::Versions;
use crate::spec::expect::parse;
use crate::target::TargetName;
use crate::verdict::Outcome;
use crate::verdict::expectation::Standing;
use crate::verdict::record::RunRecord;

fn day(text: &str) -> Date {
    text.parse().expect("a date")
}

/// One entry on `oom::drawn` failing with MEM-01, `frac::sound` passing and `strm::lacking` not applicable.
fn judged(about: &str, more: &str) -> (RunRecord, Standing) {
    let text = format!(
        "target: bump@test\nexpect:\n  - {about}\n    reason: {{ en: known, zh: 已知 }}\n    owner: us\n    expires: 2030-01-31\n{more}"
    );
    let file = parse("x.yaml", &text).expect("well formed");
    let mut record = failing_record();
    record.target.versions = Versions { allocator: Some("2.12.1".to_owned()), driver: None };
    apply_on(&mut record, &[&file], day("2030-01-31"));
    let standing = record.expectations[0].standing;
    (record, standing)
}

fn outcomes(record: &RunRecord) -> Vec<Outcome> {
    record.scenarios.iter().map(|s| s.outcome).collect()
}

const AS_BEFORE: [Outcome; 3] = [Outcome::Pass, Outcome::Blocked, Outcome::NotApplicable];

#[test]
fn a_failure_that_was_expected_is_excused_with_its_reason() {
    for about in ["scenario: oom::*", "requirement: MEM-01"] {
        let (record, standing) = judged(about, "    link: https://example.org/7\n");
        assert_eq!(standing, Standing::Met, "{about}");
        assert_eq!(outcomes(&record), [Outcome::Pass, Outcome::ExpectedFail, Outcome::NotApplicable]);
        let reason = record.scenarios[1].reason.clone().unwrap_or_default().en;
        assert_eq!(reason, "expected: known (us, until 2030-01-31, https://example.org/7; x.yaml:3)");
        assert_eq!(record.expectations[0].scenarios, ["oom::drawn"]);
        assert_eq!((record.outdated().count(), record.findings.len()), (0, 1));
    }
}

#[test]
fn what_comes_along_need_not_apply_under_options() {
    let text = "target: bump@test\nexpect:\n  - scenario: strm::lacking\n    reason: { en: known, zh: 已知 }\n    owner: us\n    expires: 2030-01-31\n";
    for (options, built_in, standing) in
        [("", true, Standing::Stale), ("?small", false, Standing::Stale), ("?small", true, Standing::NotRun)]
    {
        let mut file = parse("x.yaml", text).expect("well formed");
        file.built_in = built_in;
        let mut record = failing_record();
        record.target.name += options;
        apply_on(&mut record, &[&file], day("2030-01-31"));
        assert_eq!(record.expectations[0].standing, standing, "{options} {built_in}");
    }
}

#[test]
fn what_fails_sometimes_may_pass_and_need_not_apply() {
    let (record, standing) = judged("scenario: '{frac,oom}::*'", "    sometimes: true\n");
    assert_eq!(standing, Standing::Met);
    assert_eq!(outcomes(&record), [Outcome::Pass, Outcome::ExpectedFail, Outcome::NotApplicable]);
    for about in ["scenario: frac::sound", "scenario: strm::lacking"] {
        let (record, standing) = judged(about, "    sometimes: true\n");
        assert_eq!((outcomes(&record), standing), (AS_BEFORE.into(), Standing::NotRun), "{about}");
    }
}

#[test]
fn a_pass_that_was_not_expected_is_told() {
    for about in ["scenario: frac::sound", "requirement: FRAC-01", "scenario: '{frac,oom}::*'"] {
        let (record, standing) = judged(about, "");
        assert_eq!(standing, Standing::UnexpectedPass, "{about}");
        assert_eq!(record.scenarios[0].outcome, Outcome::UnexpectedPass);
        assert_eq!(record.scenarios[0].reason.clone().unwrap_or_default().en, "x.yaml:3 expects a failure: known");
    }
}

#[test]
fn a_failure_of_another_kind_is_not_excused() {
    let (record, standing) = judged("requirement: OOM-01", "");
    assert_eq!((standing, outcomes(&record)), (Standing::NotRun, AS_BEFORE.to_vec()));
}

#[test]
fn entries_that_speak_of_nothing_here_are_stale() {
    for (about, more, why) in [
        ("scenario: gone::*", "", "called so"),
        ("scenario: strm::lacking", "", "lacks"),
        ("requirement: PEAK-01", "", "called so"),
        ("scenario: oom::*", "    scope: { driver: '570' }\n", "driver version"),
    ] {
        let (record, standing) = judged(about, more);
        assert_eq!((standing, outcomes(&record)), (Standing::Stale, AS_BEFORE.to_vec()), "{about}");
        let note = record.expectations[0].note.clone().unwrap_or_default().en;
        assert!(note.contains(why), "{note}");
        assert_eq!(record.outdated().count(), 1);
    }
}

#[test]
fn scope_decides_where_an_entry_holds() {
    let (record, standing) = judged("scenario: oom::*", "    scope: { allocator: '2.11' }\n");
    assert_eq!((standing, outcomes(&record)), (Standing::OutOfScope, AS_BEFORE.to_vec()));
    let (_, standing) = judged("scenario: oom::*", "    scope: { allocator: '>=2.12', device: 'ra*' }\n");
    assert_eq!(standing, Standing::Met);
}

#[test]
fn an_expired_entry_excuses_nothing() {
    let text = "target: '*'\nexpect:\n  - scenario: oom::*\n    reason: { en: a, zh: 乙 }\n    owner: us\n    expires: 2030-01-30\n";
    let mut record = failing_record();
    apply_on(&mut record, &[&parse("x.yaml", text).expect("well formed")], day("2030-01-31"));
    assert_eq!((record.expectations[0].standing, outcomes(&record)), (Standing::Expired, AS_BEFORE.to_vec()));
    assert_eq!(record.outdated().count(), 1);
}

#[test]
fn a_scenario_that_was_left_out_makes_nothing_stale() {
    let mut record = failing_record();
    record.scenarios.iter_mut().for_each(|s| s.outcome = Outcome::Skipped);
    record.findings.clear();
    let text = "target: '*'\nexpect:\n  - scenario: oom::*\n    reason: { en: a, zh: 乙 }\n    owner: us\n    expires: 2030-02-01\n";
    apply_on(&mut record, &[&parse("x.yaml", text).expect("well formed")], day("2030-01-31"));
    assert_eq!(record.expectations[0].standing, Standing::NotRun);
}

#[test]
fn what_was_found_is_drafted_once() {
    let target: TargetName = "worker:bump@test?deadline=1s".parse().expect("well formed");
    let text = drafted_on(&failing_record(), &target, day("2030-01-31"));
    assert!(text.contains("target: \"bump@test\"") && text.contains("expires: 2030-05-01"), "{text}");
    let file = parse("x.yaml", &text.replace("owner: \"\"", "owner: us")).expect("complete");
    assert!(concerns(&file, &target));
    let mut record = failing_record();
    apply_on(&mut record, &[&file], day("2030-01-31"));
    assert_eq!(record.expectations[0].standing, Standing::Met);
    assert!(drafted_on(&record, &target, day("2030-01-31")).contains("expect: []"), "what is expected is not drafted");
}
