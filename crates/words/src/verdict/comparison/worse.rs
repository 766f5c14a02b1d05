//! What is worse in the new run.
//!
//! Decides what the exit code goes by: what nobody announced, and no choice of the user's.

use super::{FindingKind, FindingRow, Pair, RequirementRow, ScenarioRow, Worse, says};
use crate::verdict::{Finding, Outcome};

/// Each thing once: findings, promises, scenarios.
pub(super) fn all(
    pair: &Pair<'_>,
    findings: &[FindingRow],
    requirements: &[RequirementRow],
    scenarios: &[ScenarioRow],
) -> Vec<Worse> {
    let mut all = Vec::new();
    let mut fresh: Vec<&Finding> = Vec::new();
    for row in findings.iter().filter(|row| matches!(row.kind, FindingKind::New | FindingKind::FirstSeen)) {
        let Some(new) = &row.new else { continue };
        fresh.extend(pair.new.findings.iter().find(|f| f.id == new.id));
        if !new.expected {
            all.push(Worse::Finding { id: new.id.clone() });
        }
    }
    let lost = requirements.iter().filter(|row| row.is_lost());
    all.extend(lost.map(|row| Worse::RequirementLost { requirement: row.requirement }));
    for row in scenarios {
        let fails = row.old == Some(Outcome::Pass) && row.new == Some(Outcome::Fail) && !row.drawn_anew;
        // What a new finding is about is said once.
        if fails && !fresh.iter().any(|f| f.concerns(&row.scenario)) {
            all.push(Worse::ScenarioFails { scenario: row.scenario.clone() });
        }
        if row.old.is_some_and(says) && row.new == Some(Outcome::Broken) {
            all.push(Worse::ScenarioBreaks { scenario: row.scenario.clone() });
        }
    }
    all
}
