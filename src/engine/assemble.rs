//! The record of a run, from what its scenarios came to; also while some have not ended.
//!
//! Decides the order of scenarios and findings, and their names. What an outcome is, `outcome` says.

use std::path::Path;

use crate::op::{TargetInfo, Versions};
use crate::spec::Scenario;
use crate::target::TargetName;
use crate::verdict::record::{EndedBy, RunRecord, RunStamp, ScenarioRecord, TargetRecord};
use crate::verdict::{Finding, Outcome};

use super::case::Tally;
use super::failure::Caught;
use super::run::RunOptions;
use super::{command, outcome, regressions};

/// What a scenario has come to, at least for now.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) record: ScenarioRecord,
    caught: Vec<Caught>,
    info: Option<TargetInfo>,
    versions: Versions,
    /// It broke, and the sequence was kept.
    broke: bool,
}

impl Ended {
    /// `by` says why a scenario is not finished, if it is not.
    pub(super) fn of(scenario: &Scenario, tally: &Tally, by: EndedBy) -> Self {
        Ended {
            record: outcome::record(scenario, tally, by),
            caught: outcome::findings(tally).cloned().collect(),
            info: tally.info.clone(),
            versions: tally.versions.clone(),
            broke: tally.crash.as_ref().is_some_and(|c| c.reproducer.is_some()),
        }
    }

    /// Adds what failing device calls led to.
    pub(super) fn push(&mut self, caught: Caught) {
        if self.caught.is_empty() {
            self.record.outcome = Outcome::Fail;
            self.record.reason = Some(caught.violation.message.clone());
        }
        self.caught.push(caught);
    }
}

/// Where a sequence that broke is kept.
pub(super) fn broken_file(id: &str) -> String {
    format!("broken/{}.json", regressions::slug(id))
}

/// The record of what has ended, by the plan's order; `None` for what has not. Its stamp is blank.
pub(super) fn record(options: &RunOptions, ended: &[Option<Ended>]) -> RunRecord {
    let launcher = command::launcher();
    let mut scenarios = Vec::with_capacity(ended.len());
    let mut findings: Vec<Finding> = Vec::new();
    for (entry, ended) in options.plan.entries.iter().zip(ended) {
        let scenario = &entry.scenario;
        if let Some(reason) = &entry.left_out {
            scenarios.push(outcome::left_out(scenario, reason));
            continue;
        }
        let Some(ended) = ended else { continue };
        let mut record = ended.record.clone();
        if let (true, Some(reason)) = (ended.broke, &mut record.reason) {
            let again = command::replay(launcher, &options.out.join(broken_file(&scenario.id)));
            reason.en.push_str(&format!("; `{again}` repeats it"));
            reason.zh.push_str(&format!("；可用 `{again}` 复现"));
        }
        scenarios.push(record);
        for caught in &ended.caught {
            let id = format!("F{:02}", findings.len() + 1);
            let file = format!("findings/{id}-{}.json", regressions::slug(&scenario.id));
            findings.push(Finding {
                scenario: scenario.id.clone(),
                requirement: caught.requirement,
                severity: scenario.severity,
                effort_days: scenario.effort_days,
                violation: caught.violation.clone(),
                reproducer: caught.reproducer.clone(),
                transcript: caught.transcript.clone(),
                reproduced: caught.reproduced,
                original_steps: caught.original_steps,
                command: command::replay(launcher, &Path::new(&options.out).join(&file)),
                id,
                file,
            });
        }
    }
    let selection = selection(options);
    RunRecord {
        format: RunRecord::FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        target: describe(&options.target, ended),
        seed: options.seed,
        selection,
        ended: EndedBy::Complete,
        scenarios,
        findings,
        sweep: None,
        kill_matrix: None,
        expectations: Vec::new(),
        stamp: RunStamp::default(),
    }
}

fn selection(options: &RunOptions) -> Vec<String> {
    let mut all = options.plan.selection.clone();
    all.extend(options.time.map(|t| format!("--time {}", humantime::format_duration(t))));
    all.extend(options.cases.map(|n| format!("--cases {n}")));
    all
}

/// The target as it was in the largest world of the run.
fn describe(name: &TargetName, ended: &[Option<Ended>]) -> TargetRecord {
    let infos = ended.iter().flatten().filter_map(|e| e.info.as_ref());
    // The first of the largest, so that the order of scenarios alone decides.
    let largest = infos.rev().max_by_key(|info| info.devices.len());
    let planted = name.options.iter().find(|(key, _)| key == "defect").and_then(|(_, value)| value.clone());
    TargetRecord {
        name: name.to_string(),
        devices: largest.map_or_else(Vec::new, |info| info.devices.clone()),
        capabilities: largest.map_or_else(Vec::new, |info| info.capabilities.iter().map(ToString::to_string).collect()),
        planted,
        versions: ended.iter().flatten().map(|e| &e.versions).find(|v| !v.is_unknown()).cloned().unwrap_or_default(),
    }
}
