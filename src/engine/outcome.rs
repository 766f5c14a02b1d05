//! What the counts of a scenario mean: its outcome, with a reason wherever it is not a pass.
//!
//! Decides that nothing is silently green. Knows nothing of how the sequences ran.

use crate::op::{Milestone, Text};
use crate::spec::{Body, Scenario};
use crate::verdict::Outcome;
use crate::verdict::record::{ScenarioRecord, ScenarioStamp};

use super::case::Tally;
use super::failure::Caught;
use super::premise;

/// The record of a scenario that was run, or tried.
pub(super) fn record(scenario: &Scenario, tally: &Tally) -> ScenarioRecord {
    let (outcome, reason) = judge(scenario, tally);
    ScenarioRecord {
        outcome,
        reason,
        sequences: tally.sequences,
        operations: tally.operations,
        dropped: tally.dropped,
        pairs: tally.pairs,
        reached: tally.reached.clone(),
        stamp: ScenarioStamp { seconds: tally.seconds, regressions: tally.regressions },
        ..blank(scenario)
    }
}

/// The record of a scenario that was left out.
pub(super) fn left_out(scenario: &Scenario, reason: &Text) -> ScenarioRecord {
    ScenarioRecord { outcome: Outcome::Skipped, reason: Some(reason.clone()), ..blank(scenario) }
}

/// The failures to report: what a plain run finds comes before what a stored sequence shows, so that two
/// runs with one seed say the same; then what a fault sweep found beside it.
pub(super) fn findings(tally: &Tally) -> impl Iterator<Item = &Caught> {
    tally.caught.as_ref().or(tally.caught_again.as_ref()).into_iter().chain(&tally.swept)
}

/// The record of a scenario whose end a report of a run under way does not know.
pub(super) fn unfinished(scenario: &Scenario) -> ScenarioRecord {
    let reason = Text::new(
        "the run was interrupted before this scenario ended; a run that is left to end includes it",
        "运行在本场景结束之前被中断；完整运行即可包含本场景",
    );
    ScenarioRecord { reason: Some(reason), ..blank(scenario) }
}

fn blank(scenario: &Scenario) -> ScenarioRecord {
    ScenarioRecord {
        id: scenario.id.clone(),
        requirement: scenario.requirement,
        title: scenario.title.clone(),
        severity: scenario.severity,
        effort_days: scenario.effort_days,
        outcome: Outcome::Inconclusive,
        reason: None,
        generated: matches!(scenario.body, Body::Generate(_)),
        sequences: 0,
        operations: 0,
        dropped: 0,
        pairs: 0,
        oracles: scenario.oracles.iter().copied().collect(),
        must_reach: scenario.must_reach.iter().copied().collect(),
        reached: std::collections::BTreeMap::new(),
        stamp: ScenarioStamp::default(),
    }
}

fn judge(scenario: &Scenario, tally: &Tally) -> (Outcome, Option<Text>) {
    if !tally.missing.is_empty() {
        return (Outcome::NotApplicable, Some(lacks(&tally.missing)));
    }
    if let Some(caught) = findings(tally).next() {
        return (Outcome::Fail, Some(caught.violation.message.clone()));
    }
    if let Some(crash) = &tally.crash {
        return (Outcome::Broken, Some(crash.text.clone()));
    }
    if tally.cut_short {
        return (Outcome::Skipped, Some(out_of_time(tally)));
    }
    if let Some(reason) = tally.elsewhere.as_ref().filter(|_| tally.sequences == 0) {
        return (Outcome::NotApplicable, Some(reason.clone()));
    }
    if let Some(reason) = beyond_this_world(scenario, tally) {
        return (Outcome::NotApplicable, Some(reason));
    }
    match shortcoming(scenario, tally) {
        Some(reason) => (Outcome::Inconclusive, Some(reason)),
        None => (Outcome::Pass, None),
    }
}

/// What a scenario demands and did not reach on a target with so many devices as this one has.
fn missed(scenario: &Scenario, tally: &Tally) -> Vec<Milestone> {
    let devices = tally.info.as_ref().map_or(usize::MAX, |info| info.devices.len());
    let demanded = scenario.must_reach.iter().filter(|m| m.devices() <= devices);
    demanded.filter(|m| !tally.reached.contains_key(m)).copied().collect()
}

/// Why this world has no place for what a generated scenario missed, if it has none.
fn beyond_this_world(scenario: &Scenario, tally: &Tally) -> Option<Text> {
    let missed = Some(missed(scenario, tally)).filter(|m| !m.is_empty() && !tally.blind)?;
    premise::out_of_reach(scenario, tally.info.as_ref()?, &missed)
}

/// Why a scenario in which nothing failed has shown nothing all the same.
fn shortcoming(scenario: &Scenario, tally: &Tally) -> Option<Text> {
    if tally.blind {
        return Some(Text::new(
            "the target shows no device, so nothing could be observed",
            "目标未提供任何可观测的设备，无法得出结论",
        ));
    }
    if tally.judged == 0 {
        return Some(Text::new("no step was executed", "没有执行任何步骤"));
    }
    if tally.dropped > 0 && matches!(scenario.body, Body::Steps(_)) {
        return Some(Text::new(
            format!("{} of its steps could not be asked: the block they name was not there", tally.dropped),
            format!("有 {} 个步骤无法执行：所涉及的块不存在", tally.dropped),
        ));
    }
    let missed: Vec<String> = missed(scenario, tally).into_iter().map(Milestone::name).collect();
    if missed.is_empty() {
        return None;
    }
    let names = missed.join(", ");
    if matches!(scenario.body, Body::Steps(_)) {
        return Some(Text::new(
            format!("its steps never reached: {names}; another target may"),
            format!("其步骤均未到达：{names}；换用其他目标或可到达"),
        ));
    }
    let count = tally.sequences;
    Some(Text::new(
        format!("never reached in {count} sequences: {names}; more sequences (--cases) may reach it"),
        format!("{count} 个序列均未到达：{names}；增加序列数（--cases）或可到达"),
    ))
}

fn lacks(missing: &[String]) -> Text {
    let names = missing.join(", ");
    Text::new(
        format!("the target lacks {names}; a target that offers it can be tested"),
        format!("目标不具备 {names}；具备该能力的目标可执行本场景"),
    )
}

fn out_of_time(tally: &Tally) -> Text {
    let (done, planned) = (tally.sequences, tally.planned);
    if done == 0 {
        return Text::new(
            "the time limit was used up before its turn; a longer --time includes it",
            "轮到本场景之前时间已用尽；延长 --time 即可执行",
        );
    }
    Text::new(
        format!(
            "the time limit ended it after {done} of {planned} sequences, none of which failed; a longer --time finishes it"
        ),
        format!("时间限制使其在 {planned} 个序列中的第 {done} 个之后终止，其间无失败；延长 --time 即可完成"),
    )
}
