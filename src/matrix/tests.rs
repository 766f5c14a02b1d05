//! Matrices of releases without a release: what is asked for, what changed, and the page of three records that are parts of real
//! runs.

use super::changes::changes;
use super::{Asked, Bisected, Meant, Ran, across, differing, merge, target};
use crate::engine::judged_sequence::Conviction;
use crate::engine::replay::Replayed;
use crate::op::{OracleName, Setup, Text};
use crate::report::{self, Language};
use crate::requirement::{Area, RequirementId};
use crate::verdict::record::EndedBy;
use crate::verdict::releases::{
    Answer, Breach, Cell, Change, ChangeKind, FindingOf, PromiseRow, SequenceRow, Standing,
};
use crate::verdict::{TranscriptLine, Violation};

const OOM_01: RequirementId = RequirementId::new(Area::Oom, 1);
const STAT_01: RequirementId = RequirementId::new(Area::Stat, 1);

#[test]
fn releases_are_named_by_version_and_told_the_oldest_first() {
    let read = |text: &str| text.parse::<Asked>();
    assert_eq!(read("all"), Ok(Asked::All));
    let some = read("2.15, 2.4,2.15.0").expect("known");
    assert_eq!(some, Asked::These(vec!["2.4.1", "2.15.0"]));
    assert_eq!((some.to_string().as_str(), some.releases().1.len()), ("2.4.1,2.15.0", 0));
    for wrong in ["", "2.3", "2.4,", "ALL", "2.4;2.5"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    let (there, lacking) = Asked::All.releases();
    assert_eq!(there.len() + lacking.len(), crate::target::released::RELEASES.len());
}

#[test]
fn a_release_is_a_target_that_reads_back() {
    let plain = target("2.11.0", None);
    assert_eq!(plain.to_string(), "c10@sim?torch=2.11.0");
    for config in ["expandable_segments:True", "a:1,b:[x:1, y:2]"] {
        let named = target("2.11.0", Some(config));
        assert_eq!(named.to_string().parse(), Ok(named.clone()));
        assert_ne!(named.folder(), plain.folder());
    }
}

fn breaks(requirement: RequirementId) -> Answer {
    Answer::Breaks {
        breaches: vec![Breach { requirement, oracle: OracleName::Refusal, message: Text::new("refused", "拒绝") }],
    }
}

fn beyond() -> Answer {
    Answer::NotApplicable { why: Text::new("lacks pools", "不具备 pools") }
}

fn sequence(steps: usize, answers: Vec<Answer>) -> SequenceRow {
    SequenceRow {
        of: vec![FindingOf { release: "2.4.1".to_owned(), finding: "OOM-01-d9bc".to_owned() }],
        scenario: "oom::x".to_owned(),
        requirement: OOM_01,
        minimal: true,
        file: "x/findings/OOM-01-d9bc.json".to_owned(),
        command: "poolproof replay x/findings/OOM-01-d9bc.json".to_owned(),
        setup: Setup { device_bytes: vec![1 << 30], streams: 1, config: None },
        steps: vec!["empty_cache".to_owned(); steps],
        answers,
    }
}

fn row(standings: [Standing; 2]) -> [PromiseRow; 1] {
    let cell = |standing| Cell { standing, found: Vec::new(), shown: Vec::new() };
    [PromiseRow { requirement: OOM_01, cells: standings.map(cell).to_vec() }]
}

/// What changed between two releases: kind, sequence, the release that breaks the promise, how many sequences show it.
fn changed(standings: [Standing; 2], sequences: &[SequenceRow]) -> Vec<(ChangeKind, Option<usize>, usize, u64)> {
    let told = changes(&row(standings), sequences);
    assert!(told.iter().all(|c| (c.requirement, c.older, c.newer) == (OOM_01, 0, 1)));
    told.iter()
        .map(|&Change { kind, sequence, breaks_on, shown_by, .. }| (kind, sequence, breaks_on, shown_by))
        .collect()
}

#[test]
fn fixed_and_new_take_a_sequence_that_holds_on_the_other_side() {
    use Standing::{Fail, NotApplicable, NotReached, Pass};
    let old = |steps| sequence(steps, vec![breaks(OOM_01), Answer::Holds]);
    let new = sequence(2, vec![Answer::Holds, breaks(OOM_01)]);
    assert_eq!(changed([Fail, Pass], &[old(5), old(3), old(4)]), [(ChangeKind::Fixed, Some(1), 0, 3)]);
    assert_eq!(changed([Fail, NotReached], &[old(5)]), [(ChangeKind::Fixed, Some(0), 0, 1)]);
    assert_eq!(changed([Pass, Fail], std::slice::from_ref(&new)), [(ChangeKind::New, Some(0), 1, 1)]);
    let other = sequence(1, vec![breaks(OOM_01), breaks(STAT_01)]);
    assert_eq!(changed([Fail, Pass], &[other]), [(ChangeKind::Moved, Some(0), 0, 1)], "it breaks another promise now");
    let unknown = sequence(1, vec![breaks(OOM_01), Answer::NotAsked]);
    assert_eq!(changed([Fail, Pass], &[unknown]), [(ChangeKind::Fixed, None, 0, 0)], "not verified");
    assert_eq!(changed([Fail, Pass], &[sequence(1, vec![breaks(OOM_01), beyond()])]), []);
    assert_eq!(changed([NotApplicable, Fail], &[new]), []);
    assert_eq!(changed([Pass, NotReached], &[]), []);
}

#[test]
fn a_promise_that_stays_broken_is_moved_where_sequences_tell_the_releases_apart() {
    let fail = [Standing::Fail; 2];
    let both = sequence(1, vec![breaks(OOM_01); 2]);
    assert_eq!(changed(fail, std::slice::from_ref(&both)), []);
    let (old, new) =
        (sequence(3, vec![breaks(OOM_01), Answer::Holds]), sequence(2, vec![Answer::Holds, breaks(OOM_01)]));
    let told = changed(fail, &[both, old, new]);
    assert_eq!(told, [(ChangeKind::Moved, Some(1), 0, 1), (ChangeKind::Moved, Some(2), 1, 1)]);
}

#[test]
fn the_first_release_that_answers_differently_is_named() {
    let told = |answers: Vec<Answer>| {
        let releases = ["2.4.1", "2.5.1", "2.6.0", "2.7.1"];
        let all: Vec<Bisected> = std::iter::zip(releases, answers)
            .map(|(release, answer)| Bisected { release: release.to_owned(), answer })
            .collect();
        differing(&all).into_iter().map(|d| format!("{} {}", d.older, d.newer)).collect::<Vec<_>>()
    };
    let holds = || Answer::Holds;
    assert_eq!(told(vec![holds(), holds(), breaks(OOM_01), breaks(OOM_01)]), ["2.5.1 2.6.0"]);
    assert_eq!(told(vec![breaks(OOM_01), breaks(STAT_01), holds(), holds()]), ["2.4.1 2.5.1", "2.5.1 2.6.0"]);
    assert_eq!(told(vec![beyond(), holds(), Answer::NotAsked, breaks(OOM_01)]), ["2.5.1 2.7.1"]);
    assert_eq!(told(vec![holds(), beyond(), holds(), holds()]), [""; 0]);
}

/// Parts of real runs: some scenarios, and the findings that they stumbled over.
fn runs() -> Vec<Ran> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records/releases");
    let ran = |release: &str| Ran {
        release: release.to_owned(),
        target: target(release, None),
        record: report::read(&folder.join(format!("{release}.json"))).expect("it is in the repository"),
    };
    ["2.8.0", "2.11.0", "2.15.0"].map(ran).to_vec()
}

/// What each of these releases answered each of these sequences, in the order of both.
fn answers() -> Vec<Vec<Answer>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records/releases/answers.json");
    serde_json::from_slice(&std::fs::read(path).expect("it is in the repository")).expect("as it was written")
}

#[test]
fn a_call_that_a_release_does_not_have_is_no_answer() {
    let reproducer = runs()[0].record.findings[0].reproducer.clone();
    let line = |answered: &str, added| TranscriptLine {
        asked: "set_caching off".to_owned(),
        answered: answered.to_owned(),
        added,
    };
    let replayed = |line: TranscriptLine| Replayed {
        reproducer: reproducer.clone(),
        target: "c10@sim".to_owned(),
        operations: 1,
        conviction: None,
        panic: None,
        transcript: vec![line],
    };
    let why = Text::new("`set_caching off` is not supported", "不支持 `set_caching off`");
    let unsupported = "refused (unsupported): no such call";
    assert_eq!(across::came_to(&replayed(line(unsupported, false))), Answer::NotApplicable { why });
    assert_eq!(across::came_to(&replayed(line(unsupported, true))), Answer::Holds, "the harness asked it by itself");
    assert_eq!(across::came_to(&replayed(line("done", false))), Answer::Holds);
    let lost = Replayed { panic: Some("it is lost".to_owned()), ..replayed(line("done", false)) };
    assert_eq!(across::came_to(&lost), Answer::NoAnswer { why: "it is lost".to_owned() });
    let own = Violation::new(OracleName::Expectation, None, Text::new("wrong", "错误"));
    let conviction = Some(Conviction { step: 0, violations: vec![own.clone(), own] });
    let broken = Replayed { conviction, ..replayed(line(unsupported, false)) };
    let answer = across::came_to(&broken);
    assert_eq!(answer.breaches().iter().map(|b| b.requirement).collect::<Vec<_>>(), [reproducer.requirement]);
}

#[test]
fn real_runs_become_one_page() {
    let runs = runs();
    let mut sequences: Vec<SequenceRow> = across::sequences(&runs).into_iter().map(|s| s.row).collect();
    let answers = answers();
    assert_eq!(sequences.len(), answers.len(), "each sequence once");
    for (sequence, answers) in sequences.iter_mut().zip(answers) {
        sequence.answers = answers;
    }
    let meant = Meant { left_out: Vec::new(), command: "poolproof matrix".to_owned(), ..Meant::default() };
    let matrix = merge::merged(&runs, sequences.clone(), meant.clone());
    assert_eq!(matrix.ended, EndedBy::Complete);
    insta::assert_snapshot!("page_in_english", report::releases_page(&matrix, Language::En));
    insta::assert_snapshot!("page_in_chinese", report::releases_page(&matrix, Language::Zh));
    let text = report::releases_json(&matrix).expect("plain");
    assert_eq!(
        serde_json::from_slice::<crate::verdict::releases::ReleaseMatrix>(&text).expect("it reads back"),
        matrix
    );
    sequences[0].answers[2] = Answer::NotAsked;
    let cut = merge::merged(&runs, sequences, meant);
    assert_eq!(cut.ended, EndedBy::Interrupted);
    assert!(report::releases_page(&cut, Language::En).contains("**Cut short**"));
}
