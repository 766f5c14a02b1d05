//! The run as JUnit XML: one suite a target, one case a scenario.
//!
//! Decides how outcomes map to what CI systems know: a failure is the target's, an error is the harness's
//! or a test that could not tell, and everything that did not run is skipped with its reason.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{ReportError, words};
use crate::verdict::conclusion::Conclusion;
use crate::verdict::expectation::ExpectationRecord;
use crate::verdict::record::{RunRecord, ScenarioRecord};
use crate::verdict::{Finding, Outcome, Reproduced};

/// The run as JUnit XML.
///
/// # Errors
/// `Xml` where the record holds text that XML cannot.
pub fn junit(record: &RunRecord) -> Result<String, ReportError> {
    let mut suite = TestSuite::new(record.target.name.as_str());
    suite.timestamp = record.stamp.started.parse().ok();
    suite.time = duration(record.stamp.seconds);
    suite.add_property(("seed", record.seed.to_string().as_str()));
    suite.add_property(("poolproof", record.version.as_str()));
    for scenario in &record.scenarios {
        suite.add_test_case(case(record, scenario));
    }
    for entry in record.outdated() {
        suite.add_test_case(outdated(record, entry));
    }
    suite.add_test_cases(beside(record));
    suite.add_test_cases(whole(record));
    let mut report = Report::new("poolproof");
    report.time = suite.time;
    report.timestamp = suite.timestamp;
    report.add_test_suite(suite);
    report.to_string().map_err(|source| ReportError::Xml { source })
}

fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

fn case(record: &RunRecord, scenario: &ScenarioRecord) -> TestCase {
    let findings: Vec<&Finding> = record.findings.iter().filter(|f| f.concerns(&scenario.id)).collect();
    let mut case = TestCase::new(scenario.id.as_str(), status(scenario, &findings));
    case.set_classname(record.target.name.as_str());
    case.time = duration(scenario.stamp.seconds);
    case.add_property(("requirement", scenario.requirement.to_string().as_str()));
    case.add_property(("title", scenario.title.en.as_str()));
    case.add_property(("operations", scenario.operations.to_string().as_str()));
    case
}

/// An expectation that has to be put right fails as a case of its own.
fn outdated(record: &RunRecord, entry: &ExpectationRecord) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    let note = entry.note.as_ref().map_or_else(|| format!("its last day was {}", entry.expires), |n| n.en.clone());
    status.set_message(format!("{} expectation of {}: {note}", entry.standing.name(), entry.about()));
    status.set_type(entry.standing.name());
    let mut case = TestCase::new(format!("expectation {}", entry.place), status);
    case.set_classname(record.target.name.as_str());
    case
}

fn status(scenario: &ScenarioRecord, findings: &[&Finding]) -> TestCaseStatus {
    let mut status = match scenario.outcome {
        Outcome::Pass => return TestCaseStatus::success(),
        Outcome::Fail | Outcome::UnexpectedPass => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Broken | Outcome::Inconclusive => TestCaseStatus::non_success(NonSuccessKind::Error),
        Outcome::ExpectedFail | Outcome::Blocked | Outcome::NotApplicable | Outcome::NotSelected | Outcome::Skipped => {
            TestCaseStatus::skipped()
        }
    };
    let reason = scenario.reason.as_ref().map(|r| r.en.as_str());
    let message = match (findings.first(), reason) {
        (Some(finding), _) if scenario.outcome == Outcome::Fail => {
            let unsteady = words::comes_and_goes(finding).map_or_else(String::new, |(en, _)| format!(" ({en})"));
            format!("{}: {}{unsteady}", finding.id, own_message(finding, scenario))
        }
        (_, Some(reason)) => format!("{}: {reason}", scenario.outcome.name()),
        (_, None) => scenario.outcome.name().to_owned(),
    };
    status.set_message(message);
    status.set_type(scenario.outcome.name());
    // The whole finding stands once, with the scenario that its sequence comes from.
    let own: Vec<&&Finding> = findings.iter().filter(|f| f.scenario == scenario.id).collect();
    if !own.is_empty() {
        let each: Vec<String> = own.iter().map(|f| description(f)).collect();
        status.set_description(each.join("\n\n"));
    }
    status
}

/// What the scenario itself saw of a finding.
fn own_message<'a>(finding: &'a Finding, scenario: &ScenarioRecord) -> &'a str {
    let own = finding.folded.iter().find(|f| f.scenario == scenario.id).filter(|_| finding.scenario != scenario.id);
    own.map_or(finding.violation.message.en.as_str(), |folded| folded.message.en.as_str())
}

/// Findings by which no scenario fails: what departs from the policy that is claimed breaks no promise of theirs.
fn beside(record: &RunRecord) -> Vec<TestCase> {
    let fails = |id: &&str| record.scenario(id).is_some_and(|s| s.outcome == Outcome::Fail);
    let alone = record.open_findings().filter(|f| !f.scenarios().iter().any(&fails));
    let case = |finding: &Finding| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(format!("{}: {}", finding.id, finding.violation.message.en));
        status.set_type(Outcome::Fail.name());
        status.set_description(description(finding));
        let mut case = TestCase::new(format!("finding {}", finding.id), status);
        case.set_classname(record.target.name.as_str());
        case
    };
    alone.map(case).collect()
}

/// How a run as a whole ended, where that is not what its cases say one by one: cut short, or too thin.
fn whole(record: &RunRecord) -> Option<TestCase> {
    let text = match Conclusion::of(record) {
        Conclusion::Interrupted => "the run was interrupted: what it had come to by then is no verdict on the target",
        Conclusion::OutOfTime => "time ran out before every requirement that applies had a verdict",
        Conclusion::Nothing => "no scenario came to a verdict",
        Conclusion::Thin => "too few requirements of level must have a verdict (--min-coverage)",
        _ => return None,
    };
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(text);
    status.set_type("incomplete");
    let mut case = TestCase::new("the run as a whole", status);
    case.set_classname(record.target.name.as_str());
    Some(case)
}

/// The finding as a person reads it in a CI's test view.
fn description(finding: &Finding) -> String {
    let violation = &finding.violation;
    let mut lines =
        vec![format!("{} {} ({}): {}", finding.id, finding.requirement, violation.oracle.name(), violation.message.en)];
    let listing = finding.transcript.iter().map(|line| {
        let mark = if line.added { '+' } else { ' ' };
        format!("{mark} {} -> {}", line.asked, line.answered)
    });
    lines.extend(listing);
    let often = |r: Reproduced| {
        format!("reproduced: {} of {}{}", r.times, r.of, if r.is_partial() { ", comes and goes" } else { "" })
    };
    lines.extend(finding.reproduced.map(often));
    lines.extend(violation.evidence.iter().map(|e| format!("{}: {}", e.label.en, e.value)));
    lines.push(finding.command.clone());
    lines.join("\n")
}
