//! The record of a run, from what its scenarios came to; also while some have not ended.
//!
//! Decides the order of scenarios and findings, and the names of findings. What an outcome is, `outcome` says; which
//! violations are one finding, `fold` does.

use std::path::Path;

use crate::op::together::Reach;
use crate::op::{TargetInfo, Together, Versions};
use crate::requirement::{Area, RequirementId, Severity};
use crate::spec::Scenario;
use crate::target::TargetName;
use crate::verdict::record::{EndedBy, RunRecord, RunStamp, ScenarioRecord, TargetOption, TargetRecord};
use crate::verdict::states::StatesRecord;
use crate::verdict::{Finding, Folded, Outcome};

use super::caught::Caught;
use super::conditions;
use super::fold::{self, Group, Suspect};
use super::keep::broken_file;
use super::opener::{Named, Opener, Same};
use super::options::RunOptions;
use super::plan::Planned;
use super::stamp::Clock;
use super::tally::Tally;
use super::{command, outcome};

/// A scenario that has ended, at least for now.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) record: ScenarioRecord,
    caught: Vec<Caught>,
    departed: Option<Caught>,
    info: Option<TargetInfo>,
    versions: Versions,
    together: Together,
    /// It broke, and the sequence was kept.
    broke: bool,
}

impl Ended {
    /// `by` says why a scenario is not finished, if it is not.
    pub(super) fn of(scenario: &Scenario, tally: &Tally, by: EndedBy) -> Self {
        Ended {
            record: outcome::record(scenario, tally, by),
            caught: outcome::findings(tally).cloned().collect(),
            departed: tally.departed.clone(),
            info: tally.info.clone(),
            versions: tally.versions.clone(),
            together: tally.together.clone(),
            broke: tally.crash.as_ref().is_some_and(|c| c.reproducer.is_some()),
        }
    }

    /// How many violations it came to, departures from the policy aside.
    pub(super) fn violations(&self) -> usize {
        self.caught.len()
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

/// The record of what has ended, by the plan's order; `None` for what has not. Its stamp is blank. With an opener,
/// sequences are run to see which violations come of one mistake; a report of a run under way does without.
pub(super) fn record(options: &RunOptions, ended: &[Option<Ended>], open: Option<&Opener<'_>>) -> RunRecord {
    let findings = findings(options, ended, open);
    let mut scenarios = Vec::with_capacity(ended.len());
    for (entry, ended) in options.plan.entries.iter().zip(ended) {
        let mut record = match (entry.left_out, ended) {
            (Some(why), _) => outcome::left_out(&entry.scenario, why),
            (None, Some(ended)) => ended.record.clone(),
            (None, None) => continue,
        };
        if let (Some(true), Some(reason)) = (ended.as_ref().map(|e| e.broke), &mut record.reason) {
            let again = command::replay(command::launcher(), &options.out.join(broken_file(&entry.scenario.id)));
            reason.en.push_str(&format!("; `{again}` repeats it"));
            reason.zh.push_str(&format!("；可用 `{again}` 复现"));
        }
        outcome::after_findings(&mut record, &findings);
        scenarios.push(record);
    }
    RunRecord {
        format: RunRecord::FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        target: describe(&options.target, ended),
        seed: options.seed,
        selection: selection(options),
        scope: options.plan.scope.clone(),
        min_coverage: options.plan.min_coverage,
        ended: EndedBy::Complete,
        scenarios,
        findings,
        states: states(ended),
        sweep: None,
        kill_matrix: None,
        expectations: Vec::new(),
        stamp: RunStamp::default(),
    }
}

/// The findings, worst first.
fn findings(options: &RunOptions, ended: &[Option<Ended>], open: Option<&Opener<'_>>) -> Vec<Finding> {
    let entries = options.plan.entries.iter().zip(ended);
    let of = |(entry, ended)| {
        let (entry, ended): (&super::plan::Planned, &Option<Ended>) = (entry, ended);
        let caught = ended.iter().flat_map(|e| &e.caught);
        caught.map(|caught| Suspect { scenario: &entry.scenario, caught }).collect::<Vec<_>>()
    };
    let mut suspects: Vec<Suspect<'_>> = entries.flat_map(of).collect();
    // Where nothing is run, nothing can show that a departure comes of the same mistake as what breaks a promise.
    if suspects.is_empty() || open.is_some() {
        suspects.extend(departures(options, ended));
    }
    let own = options.target.to_string();
    // Of somebody else's allocator each sequence may cost a process, and violations are many.
    let clock = Clock::start();
    let in_time = || !clock.is_past(Some(options.minimise.longest)) && !options.stop.is_asked();
    let named = |name: &str| open.filter(|_| in_time()).and_then(|open| opener(open, &own, name));
    let groups = fold::fold(&suspects, open.map(|_| &named as &fold::OpenNamed<'_>));
    let mut findings: Vec<Finding> = groups.iter().map(|group| finding(options, &suspects, group, &named)).collect();
    findings.sort_by_key(|f| (f.severity, !f.requirement.get().corrupts)); // stable: the best shown first within
    name_all(options, &mut findings);
    findings
}

/// Departures from the policy that the target claims: the shortest stands for all, beside those of the scenarios that are
/// about the policy.
fn departures<'a>(options: &'a RunOptions, ended: &'a [Option<Ended>]) -> Vec<Suspect<'a>> {
    let entries = options.plan.entries.iter().zip(ended);
    let of = |(entry, ended): (&'a Planned, &'a Option<Ended>)| {
        Some(Suspect { scenario: &entry.scenario, caught: ended.as_ref()?.departed.as_ref()? })
    };
    let all: Vec<Suspect<'a>> = entries.filter_map(of).collect();
    let shortest = (0..all.len()).min_by_key(|&i| (all[i].caught.reproducer.steps.len(), i));
    let is_about = |s: &Suspect<'_>| s.scenario.requirement.area() == Area::Exact;
    all.into_iter().enumerate().filter(|(i, s)| Some(*i) == shortest || is_about(s)).map(|(_, s)| s).collect()
}

/// Opens a target by the name in a reproducer: the one under test, or a sibling of it.
fn opener<'a>(open: &'a Opener<'a>, own: &str, name: &str) -> Option<Box<Opener<'a>>> {
    if name == own {
        return Some(Box::new(Same(open)));
    }
    let sibling: TargetName = name.parse().ok()?;
    Some(Box::new(Named(sibling)))
}

fn finding(options: &RunOptions, suspects: &[Suspect<'_>], group: &Group, open: &fold::OpenNamed<'_>) -> Finding {
    let Suspect { scenario, caught } = suspects[group.lead];
    let folded = group.folded.iter().map(|&(other, because)| {
        let Suspect { scenario, caught } = suspects[other];
        Folded {
            scenario: scenario.id.clone(),
            requirement: caught.requirement,
            oracle: caught.violation.oracle,
            message: caught.violation.message.clone(),
            steps: caught.reproducer.steps.len() as u64,
            because,
        }
    });
    Finding {
        id: String::new(),
        scenario: scenario.id.clone(),
        requirement: caught.requirement,
        severity: severity(scenario, caught.requirement),
        effort_days: effort(options, scenario, caught.requirement),
        violation: caught.violation.clone(),
        conditions: conditions::of(caught, open),
        minimal: caught.minimal,
        ran_out: caught.ran_out,
        reproducer: caught.reproducer.clone(),
        transcript: caught.transcript.clone(),
        reproduced: caught.reproduced,
        original_steps: caught.original_steps,
        folded: folded.collect(),
        file: String::new(),
        command: String::new(),
        standalone: None,
    }
}

/// The promise's severity, raised by its scenario if that is about the same promise.
fn severity(scenario: &Scenario, requirement: RequirementId) -> Severity {
    let promised = requirement.get().severity;
    if scenario.requirement == requirement { promised.min(scenario.severity) } else { promised }
}

/// What a repair costs by the scenario that is about the promise, or else by the one that stumbled over it.
fn effort(options: &RunOptions, scenario: &Scenario, requirement: RequirementId) -> f64 {
    let own = scenario.requirement == requirement;
    let about = || options.plan.entries.iter().map(|e| &e.scenario).find(|s| s.requirement == requirement);
    if own { scenario.effort_days } else { about().unwrap_or(scenario).effort_days }
}

/// Names findings by what they are, so that the same mistake has the same name in every run and share.
fn name_all(options: &RunOptions, findings: &mut [Finding]) {
    let launcher = command::launcher();
    let mut taken: Vec<String> = Vec::new();
    for finding in findings {
        let judged = format!("{} {}", finding.requirement, finding.violation.oracle.name());
        let mut id = format!("{}-{:04x}", finding.requirement, digits(&judged));
        if taken.contains(&id) {
            let calls: Vec<&str> =
                finding.reproducer.steps.iter().filter_map(|s| Some(s.op.as_ref()?.name())).collect();
            id = format!("{id}-{:04x}", digits(&calls.join(" ")));
        }
        while taken.contains(&id) {
            id.push('+');
        }
        taken.push(id.clone());
        finding.file = format!("findings/{id}.json");
        finding.command = command::replay(launcher, &Path::new(&options.out).join(&finding.file));
        finding.id = id;
    }
}

/// Sixteen bits of a text, the same on every machine and in every version (FNV-1a, folded).
fn digits(text: &str) -> u16 {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    u16::try_from((hash >> 16) ^ (hash & 0xffff)).unwrap_or(0)
}

fn selection(options: &RunOptions) -> Vec<String> {
    let mut all = options.plan.selection.clone();
    all.extend(options.time.map(|t| format!("--time {}", humantime::format_duration(t))));
    all.extend(options.cases.map(|n| format!("--cases {n}")));
    all
}

/// What the target says of itself in the largest world of the run.
fn largest(ended: &[Option<Ended>]) -> Option<&TargetInfo> {
    let infos = ended.iter().flatten().filter_map(|e| e.info.as_ref());
    // The first of the largest, so that the order of scenarios alone decides.
    infos.rev().max_by_key(|info| info.devices.len())
}

/// Which abstract states came together, over all scenarios; `None` if nothing ran.
fn states(ended: &[Option<Ended>]) -> Option<StatesRecord> {
    let mut seen = Together::default();
    ended.iter().flatten().for_each(|e| seen.merge(&e.together));
    let info = largest(ended).filter(|_| !seen.is_empty())?;
    Some(StatesRecord::of(&Reach::of(info, &seen), &seen))
}

/// The target as it was in the largest world of the run.
fn describe(name: &TargetName, ended: &[Option<Ended>]) -> TargetRecord {
    let largest = largest(ended);
    let planted = name.options.iter().find(|(key, _)| key == "defect").and_then(|(_, value)| value.clone());
    let options = name.options.iter().map(|(key, value)| TargetOption { key: key.clone(), value: value.clone() });
    TargetRecord {
        name: name.to_string(),
        allocator: name.allocator.clone(),
        place: name.place.clone(),
        options: options.collect(),
        simulated: Some(name.place == "sim"),
        devices: largest.map_or_else(Vec::new, |info| info.devices.clone()),
        capabilities: largest.map_or_else(Vec::new, |info| info.capabilities.iter().map(ToString::to_string).collect()),
        planted,
        versions: ended.iter().flatten().map(|e| &e.versions).find(|v| !v.is_unknown()).cloned().unwrap_or_default(),
    }
}
