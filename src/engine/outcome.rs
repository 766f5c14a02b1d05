//! What the counts of a scenario mean: its outcome, with a reason wherever it is not a pass.
//!
//! Decides that nothing is silently green. Knows nothing of how the sequences ran.

use std::collections::BTreeSet;

use crate::op::{Capability, Text};
use crate::requirement::Area;
use crate::spec::{Body, Scenario};
use crate::verdict::record::{CombinationRecord, EndedBy, LeftOut, ScenarioRecord, ScenarioStamp};
use crate::verdict::{Finding, Outcome};

use super::caught::Caught;
use super::demand::Demand;
use super::premise;
use super::tally::Tally;

/// The record of a scenario that was run, or tried, or was to be; `by` says why it is not finished, if it is not.
pub(super) fn record(scenario: &Scenario, tally: &Tally, by: EndedBy) -> ScenarioRecord {
    let (outcome, reason) = judge(scenario, tally, by);
    let left_out = (outcome == Outcome::Skipped).then_some(match by {
        EndedBy::Complete | EndedBy::TimeUp => LeftOut::Time,
        EndedBy::Interrupted | EndedBy::Killed | EndedBy::Hung => LeftOut::Interrupted,
    });
    ScenarioRecord {
        outcome,
        left_out,
        missing: tally.missing.clone(),
        reason,
        sequences: tally.sequences,
        planned: if tally.missing.is_empty() { tally.planned.saturating_sub(tally.inapplicable) } else { 0 },
        unfinished: tally.is_unfinished(),
        operations: tally.operations,
        dropped: tally.dropped,
        pairs: tally.pairs,
        reached: tally.reached.clone(),
        combined: combined(scenario, tally),
        stamp: ScenarioStamp { seconds: tally.seconds, regressions: tally.regressions },
        ..blank(scenario)
    }
}

/// The record of a scenario that the user's selection leaves out.
pub(super) fn left_out(scenario: &Scenario, why: LeftOut) -> ScenarioRecord {
    let reason = match why {
        LeftOut::Share => Text::new(
            "in another share than --shard asks for; the other shares run it",
            "不属于 --shard 指定的分片；由其他分片执行",
        ),
        LeftOut::NoExact => Text::new(
            "left out by --no-exact; a run without it includes this scenario",
            "已被 --no-exact 排除；去掉该选项即可执行",
        ),
        _ => Text::new(
            "not selected by --scenario; a run without it includes this scenario",
            "未被 --scenario 选中；去掉该选项即可执行",
        ),
    };
    ScenarioRecord { outcome: Outcome::NotSelected, left_out: Some(why), reason: Some(reason), ..blank(scenario) }
}

/// The failures to report: what a plain run finds comes before what a stored sequence shows, so that two
/// runs with one seed say the same; then what a fault sweep found beside it.
pub(super) fn findings(tally: &Tally) -> impl Iterator<Item = &Caught> {
    tally.caught.as_ref().or(tally.caught_again.as_ref()).into_iter().chain(&tally.swept)
}

/// What becomes of a scenario that stumbled over violations, once these are findings: it fails by its own promise, or
/// another's violation stopped it.
pub(super) fn after_findings(record: &mut ScenarioRecord, findings: &[Finding]) {
    let of_its_own = |f: &&Finding| f.requirements().contains(&record.requirement);
    let concerning = || findings.iter().filter(|f| f.concerns(&record.id));
    if record.outcome != Outcome::Fail || concerning().any(|f| of_its_own(&f)) || concerning().next().is_none() {
        return;
    }
    record.outcome = Outcome::Blocked;
    record.blocked_by = concerning().map(|f| f.id.clone()).collect();
    let ids = record.blocked_by.join(", ");
    record.reason = Some(Text::new(
        format!("{ids} stopped it before it could say anything of its own requirement; once that is repaired, it can"),
        format!("被 {ids} 阻断，未能对自身的需求得出结论；修复后即可得出"),
    ));
}

fn blank(scenario: &Scenario) -> ScenarioRecord {
    ScenarioRecord {
        id: scenario.id.clone(),
        requirement: scenario.requirement,
        title: scenario.title.clone(),
        severity: scenario.severity,
        effort_days: scenario.effort_days,
        outcome: Outcome::Inconclusive,
        left_out: None,
        missing: Vec::new(),
        blocked_by: Vec::new(),
        reason: None,
        generated: matches!(scenario.body, Body::Generate(_)),
        sequences: 0,
        planned: 0,
        unfinished: false,
        operations: 0,
        dropped: 0,
        pairs: 0,
        oracles: scenario.oracles.iter().copied().collect(),
        must_reach: scenario.must_reach.iter().copied().collect(),
        reached: std::collections::BTreeMap::new(),
        combined: combined(scenario, &Tally::default()),
        stamp: ScenarioStamp::default(),
    }
}

/// The combinations that a scenario demands, and in how many sequences each came about.
fn combined(scenario: &Scenario, tally: &Tally) -> Vec<CombinationRecord> {
    let sequences = |place: usize| tally.combined.get(place).copied().unwrap_or(0);
    let all = scenario.must_combine.iter().enumerate();
    all.map(|(place, c)| CombinationRecord { of: c.names(), sequences: sequences(place) }).collect()
}

fn judge(scenario: &Scenario, tally: &Tally, by: EndedBy) -> (Outcome, Option<Text>) {
    if !tally.missing.is_empty() {
        return (Outcome::NotApplicable, Some(lacks(&tally.missing)));
    }
    if let Some(caught) = findings(tally).next() {
        return (Outcome::Fail, Some(caught.violation.message.clone()));
    }
    let about_policy = scenario.requirement.area() == Area::Exact;
    if let Some(departed) = tally.departed.as_ref().filter(|_| about_policy) {
        return (Outcome::Fail, Some(departed.violation.message.clone()));
    }
    if let Some(crash) = &tally.crash {
        return (Outcome::Broken, Some(crash.text.clone()));
    }
    if tally.is_unfinished() && tally.sequences == 0 {
        return (Outcome::Skipped, Some(never_reached(by)));
    }
    if let Some(reason) = tally.elsewhere.as_ref().filter(|_| tally.sequences == 0) {
        return (Outcome::NotApplicable, Some(reason.clone()));
    }
    if !tally.is_unfinished()
        && let Some(reason) = beyond_this_target(scenario, tally).or_else(|| beyond_this_world(scenario, tally))
    {
        return (Outcome::NotApplicable, Some(reason));
    }
    match shortcoming(scenario, tally, by) {
        Some(reason) => (Outcome::Inconclusive, Some(reason)),
        None => (Outcome::Pass, None),
    }
}

/// Why nothing that a scenario demands can be reached on this target, if that is so.
fn beyond_this_target(scenario: &Scenario, tally: &Tally) -> Option<Text> {
    let lacks = |d: Demand<'_>| d.ruled_out(tally.info.as_ref()).filter(|_| !d.was_reached(tally));
    let lacking: Option<BTreeSet<Capability>> = Demand::of(scenario).map(lacks).collect();
    let names: Vec<String> = lacking.filter(|all| !all.is_empty())?.iter().map(ToString::to_string).collect();
    let situations: Vec<String> = Demand::of(scenario).map(|d| d.to_string()).collect();
    let (names, situations) = (names.join(", "), situations.join(", "));
    Some(Text::new(
        format!("the target lacks {names}, and so is never in the situation that this is about: {situations}"),
        format!("目标不具备 {names}，因而从不处于本用例所涉及的情形：{situations}"),
    ))
}

/// Why this world has no place for what a generated scenario missed, if it has none.
fn beyond_this_world(scenario: &Scenario, tally: &Tally) -> Option<Text> {
    let missed = Some(Demand::missed(scenario, tally)).filter(|m| !m.is_empty() && !tally.blind)?;
    premise::out_of_reach(scenario, tally.info.as_ref()?, &missed)
}

/// Why a scenario in which nothing failed has shown nothing all the same.
fn shortcoming(scenario: &Scenario, tally: &Tally, by: EndedBy) -> Option<Text> {
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
    let missed: Vec<String> = Demand::missed(scenario, tally).iter().map(ToString::to_string).collect();
    if missed.is_empty() {
        return None;
    }
    let names = missed.join(", ");
    if tally.is_unfinished() {
        return Some(cut_short(tally, by, &names));
    }
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
        format!("目标不具备 {names}；具备该能力的目标可执行本用例"),
    )
}

/// Why a scenario never had its turn.
fn never_reached(by: EndedBy) -> Text {
    match by {
        EndedBy::Complete | EndedBy::TimeUp => Text::new(
            "the time limit was used up before its turn; a longer --time includes it",
            "轮到本用例之前时间已用尽；延长 --time 即可执行",
        ),
        EndedBy::Interrupted | EndedBy::Killed => Text::new(
            "the run was interrupted before its turn; a run that is left to end includes it",
            "轮到本用例之前运行被中断；完整运行即可包含本用例",
        ),
        EndedBy::Hung => Text::new(
            "a call that never returned ended the run before its turn; `worker:` in front of the target's name lets a run go on after such a call",
            "轮到本用例之前，有调用未返回而使运行结束；在目标名前加 `worker:` 可使运行在此类调用之后继续",
        ),
    }
}

/// Why a scenario that had a part of its sequences did not come to what it had to.
fn cut_short(tally: &Tally, by: EndedBy, missed: &str) -> Text {
    let (done, planned) = (tally.sequences, tally.planned);
    match by {
        EndedBy::Complete | EndedBy::TimeUp => Text::new(
            format!(
                "not reached in the {done} of {planned} sequences that there was time for: {missed}; a longer --time runs the others"
            ),
            format!("时间仅够执行 {planned} 个序列中的 {done} 个，其间未到达：{missed}；延长 --time 即可执行其余序列"),
        ),
        EndedBy::Interrupted | EndedBy::Killed => Text::new(
            format!(
                "not reached in {done} of {planned} sequences, after which the run was interrupted: {missed}; a run that is left to end runs the others"
            ),
            format!(
                "运行在执行 {planned} 个序列中的 {done} 个之后被中断，其间未到达：{missed}；完整运行即可执行其余序列"
            ),
        ),
        EndedBy::Hung => Text::new(
            format!(
                "not reached in {done} of {planned} sequences, after which a call that never returned ended the run: {missed}"
            ),
            format!("在执行 {planned} 个序列中的 {done} 个之后，有调用未返回而使运行结束，其间未到达：{missed}"),
        ),
    }
}
