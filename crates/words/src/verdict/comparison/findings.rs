//! What became of each finding.
//!
//! Decides when the absence of a finding means something: only where the other run executed what shows it.

use super::matching::{Matching, calls};
use super::{Changed, Ended, FindingKind, FindingRow, FindingSide, MatchedBy, NotShownBecause, Pair, passes, says};
use crate::op::{OracleName, Text};
use crate::verdict::record::{LeftOut, RunRecord};
use crate::verdict::{Finding, Outcome, Reproduced};

/// Every finding of either run, by kind, the worst first within.
pub(super) fn rows(pair: &Pair<'_>) -> Vec<FindingRow> {
    let Matching { pairs, gone, come } = Matching::of(pair);
    let (old, new) = (&pair.old.findings, &pair.new.findings);
    let mut rows: Vec<FindingRow> = come.iter().map(|&n| only_new(pair, &new[n])).collect();
    rows.extend(pairs.iter().map(|&(o, n, by)| both(pair, &old[o], &new[n], by)));
    rows.extend(gone.iter().map(|&o| only_old(pair, &old[o])));
    rows.sort_by_key(|row| (row.kind, row.severity, row.requirement)); // stable
    rows
}

fn side(record: &RunRecord, finding: &Finding) -> FindingSide {
    FindingSide {
        id: finding.id.clone(),
        oracle: finding.violation.oracle,
        scenario: finding.scenario.clone(),
        scenarios: finding.scenarios().len() as u64,
        message: finding.violation.message.clone(),
        steps: finding.reproducer.steps.len() as u64,
        expected: record.is_expected(finding),
        command: finding.command.clone(),
    }
}

fn only_new(pair: &Pair<'_>, finding: &Finding) -> FindingRow {
    let passed = |id: &&str| pair.old.scenario(id).is_some_and(passes);
    let same = |id: &&str| passed(id) && pair.asks_the_same(id);
    let because = match blind(pair.old, pair.new, finding) {
        None if finding.scenarios().iter().any(passed) => None,
        None => Some(unheard(pair.old, finding)),
        blind => blind,
    };
    FindingRow {
        kind: if because.is_none() { FindingKind::New } else { FindingKind::FirstSeen },
        requirement: finding.requirement,
        severity: finding.severity,
        old: None,
        new: Some(side(pair.new, finding)),
        matched: None,
        changed: Vec::new(),
        drawn_anew: because.is_none() && !finding.scenarios().iter().any(same),
        because,
    }
}

fn only_old(pair: &Pair<'_>, finding: &Finding) -> FindingRow {
    let own = pair.new.scenario(&finding.scenario).is_some_and(passes);
    let heard = |id: &&str| pair.new.scenario(id).is_some_and(|s| s.is_executed() && !s.unfinished);
    let because = match blind(pair.new, pair.old, finding) {
        None if own && finding.scenarios().iter().all(heard) => None,
        None => Some(unheard(pair.new, finding)),
        blind => blind,
    };
    FindingRow {
        kind: if because.is_none() { FindingKind::Fixed } else { FindingKind::NotShown },
        requirement: finding.requirement,
        severity: finding.severity,
        old: Some(side(pair.old, finding)),
        new: None,
        matched: None,
        changed: Vec::new(),
        drawn_anew: because.is_none() && !pair.asks_the_same(&finding.scenario),
        because,
    }
}

/// Why nobody in a run could have seen a finding of the other, whatever was executed.
fn blind(record: &RunRecord, other: &RunRecord, finding: &Finding) -> Option<NotShownBecause> {
    match finding.violation.oracle {
        OracleName::Exact if !judges_policy(record) => Some(NotShownBecause::PolicyNotJudged),
        OracleName::Exact | OracleName::Expectation | OracleName::Hang | OracleName::Crash | OracleName::Panic => None,
        _ => {
            let has = |name: &&String| record.target.capabilities.contains(name);
            // Devices come with the world that a scenario asks for.
            let counts = |name: &&String| !name.starts_with("devices:") && !name.starts_with("policy:");
            let missing: Vec<String> =
                other.target.capabilities.iter().filter(counts).filter(|n| !has(n)).cloned().collect();
            // Of nothing that ran, capabilities are unknown, and that nothing ran is said then.
            let known = !record.target.capabilities.is_empty();
            (known && !missing.is_empty()).then_some(NotShownBecause::Capabilities { missing })
        }
    }
}

fn judges_policy(record: &RunRecord) -> bool {
    let claims = record.target.capabilities.iter().any(|name| name.starts_with("policy:"));
    claims && !record.scenarios.iter().any(|s| s.left_out == Some(LeftOut::NoExact))
}

/// The scenarios that said nothing of a finding.
fn unheard(record: &RunRecord, finding: &Finding) -> NotShownBecause {
    let ended = |id: &&str| Ended { scenario: (*id).to_owned(), outcome: record.scenario(id).map(|s| s.outcome) };
    let silent = |id: &&str| record.scenario(id).is_none_or(|s| !s.is_executed() || s.unfinished);
    let all = finding.scenarios();
    let scenarios: Vec<Ended> = all.iter().filter(|id| silent(id)).map(ended).collect();
    if scenarios.is_empty() {
        NotShownBecause::FailsOtherwise { scenario: finding.scenario.clone() }
    } else {
        NotShownBecause::Scenarios { scenarios }
    }
}

fn both(pair: &Pair<'_>, old: &Finding, new: &Finding, by: MatchedBy) -> FindingRow {
    let changed = changes(pair, old, new, by);
    FindingRow {
        kind: if changed.is_empty() { FindingKind::Still } else { FindingKind::Changed },
        requirement: new.requirement,
        severity: new.severity,
        old: Some(side(pair.old, old)),
        new: Some(side(pair.new, new)),
        matched: Some(by),
        changed,
        drawn_anew: false,
        because: None,
    }
}

/// What is otherwise. Of sequences that were drawn anew, other calls and figures are no difference.
fn changes(pair: &Pair<'_>, old: &Finding, new: &Finding, by: MatchedBy) -> Vec<Changed> {
    let mut all = Vec::new();
    if old.severity != new.severity {
        all.push(Changed::Severity { old: old.severity, new: new.severity });
    }
    match (pair.old.is_expected(old), pair.new.is_expected(new)) {
        (false, true) => all.push(Changed::Announced),
        (true, false) => all.push(Changed::NoLongerAnnounced),
        _ => {}
    }
    let unsteady = |f: &Finding| f.reproduced.map(Reproduced::is_partial);
    match (unsteady(old), unsteady(new)) {
        (Some(false), Some(true)) => all.push(Changed::ComesAndGoes),
        (Some(true), Some(false)) => all.push(Changed::Steady),
        _ => {}
    }
    if by == MatchedBy::Folded {
        all.push(Changed::TakenTogether);
        return all;
    }
    if old.scenario == new.scenario && pair.asks_the_same(&old.scenario) {
        if calls(old) != calls(new) {
            all.push(Changed::Calls);
        } else if bare(&old.violation.message) != bare(&new.violation.message) {
            all.push(Changed::Message);
        }
    }
    let moved = |from: &Finding, to: &Finding, record: &RunRecord| -> Vec<String> {
        let passes_there =
            |id: &str| record.scenario(id).is_some_and(|s| says(s.outcome) && s.outcome == Outcome::Pass);
        let is_moved = |id: &&str| !from.concerns(id) && passes_there(id) && pair.asks_the_same(id);
        to.scenarios().into_iter().filter(is_moved).map(str::to_owned).collect()
    };
    let (spread, receded) = (moved(old, new, pair.old), moved(new, old, pair.new));
    if !spread.is_empty() {
        all.push(Changed::Spread { scenarios: spread });
    }
    if !receded.is_empty() {
        all.push(Changed::Receded { scenarios: receded });
    }
    all
}

/// A message without its addresses: where memory lies differs from run to run on a real device.
fn bare(text: &Text) -> String {
    let mut out = String::new();
    let mut rest = text.en.as_str();
    while let Some(at) = rest.find("0x") {
        let digits = rest[at + 2..].find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len() - at - 2);
        out.push_str(&rest[..at]);
        out.push_str("0x");
        rest = &rest[at + 2 + digits..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_no_difference() {
        let text = |text: &str| bare(&Text::from(text));
        assert_eq!(text("b1 was given [0x7f00, 0x7f20), freed"), "b1 was given [0x, 0x), freed");
        assert_eq!(text("512 B at 0x7f"), "512 B at 0x");
        assert_eq!(text("none"), "none");
    }
}
