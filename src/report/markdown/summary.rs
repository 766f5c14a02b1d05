//! Section 1: the verdict in one paragraph, then what a reader must know before anything else.

use super::super::facts::Facts;
use super::super::page::{Page, code, plural, thousands};
use super::super::words;
use super::{reason, requirement_ids, scenario_ids, thin, title};
use crate::op::OracleName;
use crate::requirement::{Area, Severity};
use crate::verdict::Outcome;
use crate::verdict::conclusion::Conclusion;
use crate::verdict::record::{EndedBy, RunRecord};

/// Findings, and ids of anything, that are listed here before the reader is sent to another section.
const LISTED: usize = 10;

pub(super) fn write(page: &mut Page, facts: &Facts<'_>) {
    page.heading(2, "1. Executive summary", "1. 执行摘要");
    let (en, zh) = headline(facts);
    page.say(en, zh);
    exercised(page, facts);
    page.lead("Key findings and blockers", "关键发现/阻塞项");
    let mut items = open(page, facts);
    items.extend(caveats(page, facts));
    page.bullets(&items);
}

/// What the run comes to, as the exit code says it.
pub(super) fn headline(facts: &Facts<'_>) -> (String, String) {
    let target = code(&facts.record.target.name);
    let musts = facts.musts();
    let (judged, applying, all, open) = (musts.judged, musts.applying, musts.all, musts.open.len());
    let executed = facts.executed();
    let count = |outcome| facts.record.count(outcome);
    let Expected { violation, wrong, beyond, kept, .. } = Expected::of(facts);
    match facts.conclusion() {
        Conclusion::Failed => failed(facts, &target),
        Conclusion::Broken => {
            let n = count(Outcome::Broken);
            (
                format!(
                    "**Incomplete.** No {violation} was found on {target}, but {} broke before a verdict: the run does not show conformance.",
                    plural(n, "scenario")
                ),
                format!(
                    "**测试未完成。** 在 {target} 上未发现{wrong}，但有 {n} 个用例在得出结论前中断，本次运行不能证明其符合要求。"
                ),
            )
        }
        Conclusion::Interrupted | Conclusion::OutOfTime => cut_short(facts, &target),
        Conclusion::Nothing => (
            format!("**Nothing was tested.** No scenario came to a verdict on {target}."),
            format!("**未执行任何测试。** 在 {target} 上没有用例得出结论。"),
        ),
        Conclusion::Thin => thin::headline(&musts, facts.record.min_coverage, &target, violation, wrong),
        Conclusion::Inconclusive => {
            let n = count(Outcome::Inconclusive);
            (
                format!(
                    "**Inconclusive.** No {violation} was found on {target}, but {} never reached what it was to test, and {open} of the {applying} requirements of level must that apply have no verdict.",
                    plural(n, "scenario")
                ),
                format!(
                    "**结论不完整。** 在 {target} 上未发现{wrong}，但有 {n} 个用例未进入其要检验的情形，适用的 {applying} 项“必须”级需求中有 {open} 项没有结论。"
                ),
            )
        }
        Conclusion::Selected => selected(facts, &target, executed),
        Conclusion::Passed => (
            format!(
                "**Passed.** {target} broke no requirement{beyond} in what this run executed: {judged} of {all} requirements of level must have a verdict, which is every one that applies to it."
            ),
            format!(
                "**测试通过。** 在本次执行的范围内，{target} {kept}任何需求：{all} 项“必须”级需求中有 {judged} 项得出结论，即适用于该目标的全部。"
            ),
        ),
    }
}

/// How a headline speaks of violations: those that were expected are no news, and are not denied.
struct Expected {
    /// `n` where `violation` begins with a vowel.
    n: &'static str,
    violation: &'static str,
    wrong: &'static str,
    beyond: String,
    kept: String,
}

impl Expected {
    fn of(facts: &Facts<'_>) -> Expected {
        let count = facts.record.count(Outcome::ExpectedFail);
        if count == 0 {
            let (violation, wrong, kept) = ("violation", "违规", "未违反".to_owned());
            return Expected { n: "", violation, wrong, beyond: String::new(), kept };
        }
        let (violation, wrong) = ("unexpected violation", "预期之外的违规");
        let beyond = format!(" beyond {} that failed as expected", plural(count, "scenario"));
        let kept = format!("除 {count} 个按预期失败的用例外未违反");
        Expected { n: "n", violation, wrong, beyond, kept }
    }
}

/// No violation, but the run did not come to its end.
fn cut_short(facts: &Facts<'_>, target: &str) -> (String, String) {
    let musts = facts.musts();
    let (judged, applying) = (musts.judged, musts.applying);
    let Expected { violation, wrong, .. } = Expected::of(facts);
    if facts.conclusion() == Conclusion::OutOfTime {
        return (
            format!(
                "**Time ran out.** No {violation} was found on {target}, but only {judged} of the {applying} requirements of level must that apply have a verdict: a longer `--time` goes on."
            ),
            format!(
                "**时间用尽。** 在 {target} 上未发现{wrong}，但适用的 {applying} 项“必须”级需求中只有 {judged} 项得出结论；延长 `--time` 可继续。"
            ),
        );
    }

    let (en, zh) = stopped(facts.record.ended);
    (
        format!(
            "**Interrupted.** {en} Until then no {violation} was found on {target}: {judged} of the {applying} requirements of level must that apply had a verdict. This does not show conformance."
        ),
        format!(
            "**运行被中断。** {zh}在此之前，在 {target} 上未发现{wrong}：适用的 {applying} 项“必须”级需求中有 {judged} 项得出结论。本次运行不能证明其符合要求。"
        ),
    )
}

/// What was selected, and that it passed; a run of a part says nothing of the whole.
fn selected(facts: &Facts<'_>, target: &str, executed: usize) -> (String, String) {
    let all = facts.record.scenarios.len();
    let Expected { n, violation, wrong, .. } = Expected::of(facts);
    let not_applicable = facts.record.count(Outcome::NotApplicable);
    let (rest_en, rest_zh) = if not_applicable > 0 {
        (
            format!(" {} of the selection did not apply.", plural(not_applicable, "scenario")),
            format!("选中的用例中有 {not_applicable} 个不适用。"),
        )
    } else {
        Default::default()
    };
    if facts.record.scope.generated_only {
        return (
            format!(
                "**No {violation} in generated sequences.** {target} was asked {} of {}; explicit steps were not run, so this is no verdict on the target as a whole.{rest_en}",
                plural(facts.sequences(), "sequence"),
                plural(executed, "scenario")
            ),
            format!(
                "**生成式序列中未发现{wrong}。** 在 {target} 上执行了 {executed} 个用例的 {} 条序列；未执行显式步骤，因此不构成对该目标的整体结论。{rest_zh}",
                thousands(facts.sequences())
            ),
        );
    }
    (
        format!(
            "**What was selected passed.** {executed} of {} came to a verdict on {target}, and none found a{n} {violation}. The run was narrowed, so it says nothing of the rest.{rest_en}",
            plural(all, "scenario")
        ),
        format!(
            "**所选用例通过。** {all} 个用例中有 {executed} 个在 {target} 上得出结论，均未发现{wrong}。本次运行范围受限，不涉及其余部分。{rest_zh}"
        ),
    )
}

fn stopped(ended: EndedBy) -> (&'static str, &'static str) {
    match ended {
        EndedBy::Killed => (
            "The run has not written its end: it is under way still, or was killed, and this is what it had come to.",
            "本次运行尚未写入结束标记：仍在进行或已被强制终止，以下为当时的结果。",
        ),
        EndedBy::Hung => ("A call that never returned ended the run.", "有调用未返回，运行因此结束。"),
        _ => ("A signal ended the run.", "运行被信号终止。"),
    }
}

fn failed(facts: &Facts<'_>, target: &str) -> (String, String) {
    let [high, medium, low] = [Severity::High, Severity::Medium, Severity::Low].map(|s| facts.open_with(s));
    let findings = facts.open_findings();
    let mut broken: Vec<_> = findings.iter().flat_map(|f| f.requirements()).collect();
    broken.sort();
    broken.dedup();
    let all = broken.len();
    broken.retain(|id| id.area() != Area::Exact);
    let departs = broken.len() < all;
    let mut en = Vec::new();
    let mut zh = Vec::new();
    if departs && broken.is_empty() {
        en.push(format!(
            "{target} broke no promise to its callers in what this run executed, but departs from the policy that it claims."
        ));
        zh.push(format!("在本次执行的范围内，{target} 未违反对调用者的任何承诺，但偏离了其所声称的策略。"));
    } else if !findings.is_empty() {
        let n = findings.len();
        en.push(format!(
            "{target} broke {}: {} ({high} high, {medium} medium, {low} low).",
            plural(broken.len(), "requirement"),
            plural(n, "finding"),
        ));
        zh.push(format!("{target} 违反 {} 项需求，共 {n} 个问题（高 {high}、中 {medium}、低 {low}）。", broken.len()));
    }
    if departs && !broken.is_empty() {
        en.push("It also departs from the policy that it claims.".to_owned());
        zh.push("此外，它偏离了其所声称的策略。".to_owned());
    }
    let folded: usize = findings.iter().map(|f| f.folded.len()).sum();
    if folded > 0 {
        let them = if findings.len() == 1 { "it" } else { "them" };
        en.push(format!("{} came down to {them}.", plural(folded + findings.len(), "violation")));
        zh.push(format!("共观察到 {} 次违规，归并为上述问题。", folded + findings.len()));
    }
    let blocked = facts.record.count(Outcome::Blocked);
    if blocked > 0 {
        en.push(format!("{} could not be judged for it.", plural(blocked, "scenario")));
        zh.push(format!("{blocked} 个用例因此被阻断，未能得出结论。"));
    }
    more_failures(facts.record, &mut en, &mut zh);
    match facts.record.ended {
        EndedBy::Complete => {}
        EndedBy::TimeUp if facts.record.count(Outcome::Skipped) == 0 => {}
        EndedBy::TimeUp => {
            let n = facts.record.count(Outcome::Skipped);
            en.push(format!("Time ran out before {} had a verdict.", plural(n, "scenario")));
            zh.push(format!("时间用尽时尚有 {n} 个用例未得出结论。"));
        }
        ended => {
            let (more_en, more_zh) = stopped(ended);
            en.push(more_en.to_owned());
            zh.push(more_zh.to_owned());
        }
    }
    (format!("**Failed.** {}", en.join(" ")), format!("**测试未通过。** {}", zh.concat()))
}

/// What fails a run beside findings.
fn more_failures(record: &RunRecord, en: &mut Vec<String>, zh: &mut Vec<String>) {
    let unexpected = record.count(Outcome::UnexpectedPass);
    if unexpected > 0 {
        en.push(format!("{} passed although a failure was expected.", plural(unexpected, "scenario")));
        zh.push(format!("另有 {unexpected} 个预期失败的用例意外通过。"));
    }
    let outdated = record.outdated().count();
    if outdated > 0 {
        en.push(format!("{outdated} of the expected failures no longer stand (stale or expired)."));
        zh.push(format!("另有 {outdated} 条预期失败已失效或过期。"));
    }
    let broken = record.count(Outcome::Broken);
    if broken > 0 {
        en.push(format!("{} broke before a verdict.", plural(broken, "scenario")));
        zh.push(format!("另有 {broken} 个用例在得出结论前中断。"));
    }
}

fn exercised(page: &mut Page, facts: &Facts<'_>) {
    let (covered, all) = (facts.covered(None), facts.standings.len());
    let (operations, sequences) = (facts.operations(), facts.sequences());
    let (reached, known) = (facts.situations().len(), facts.situations().len() + facts.never_reached().len());
    page.say(
        format!(
            "Verdict on {} of {}, after {} with {}. Known of {covered} of {all} requirements. Reached: {reached} of {known} known situations.",
            thousands(facts.executed()),
            plural(facts.record.scenarios.len(), "scenario"),
            plural(sequences, "sequence"),
            plural(operations, "operation"),
        ),
        format!(
            "{} 个用例得出结论（共 {} 个），执行 {} 条操作序列、{} 次操作；{all} 项需求中有 {covered} 项得出结论；到达 {known} 种已知情形中的 {reached} 种。",
            thousands(facts.executed()),
            thousands(facts.record.scenarios.len()),
            thousands(sequences),
            thousands(operations),
        ),
    );
}

/// What is wrong with the target, worst first.
fn open(page: &Page, facts: &Facts<'_>) -> Vec<String> {
    let mut items = Vec::new();
    let findings = facts.open_findings();
    for finding in findings.iter().take(LISTED) {
        let (en, zh) = words::severity(finding.severity);
        let (id, message) = (&finding.id, page.of(&finding.violation.message));
        let (title_en, title_zh) = if finding.violation.oracle == OracleName::Expectation {
            Default::default()
        } else {
            let title = title(page, finding);
            (format!("{title}: "), format!("{title}："))
        };
        let (unsteady_en, unsteady_zh) = words::comes_and_goes(finding)
            .map_or_else(Default::default, |(en, zh)| (format!(" ({en})"), format!("（{zh}）")));
        items.push(page.t(
            format!("**{id}** ({en}): {title_en}{message}{unsteady_en}"),
            format!("**{id}**（{zh}）{title_zh}{message}{unsteady_zh}"),
        ));
    }
    if let Some(rest) = findings.len().checked_sub(LISTED).filter(|&n| n > 0) {
        items.push(page.t(format!("{rest} more in section 4"), format!("其余 {rest} 个问题见第 4 节")));
    }
    for scenario in facts.with_outcome(Outcome::UnexpectedPass) {
        let (id, why) = (code(&scenario.id), reason(page, scenario));
        items.push(
            page.t(
                format!("{id} passed, but a failure was expected: {why}"),
                format!("{id} 通过，但预期其失败：{why}"),
            ),
        );
    }
    for entry in facts.record.outdated() {
        let ((en, zh), about, place) = (words::standing(entry.standing), code(&entry.about()), code(&entry.place));
        items.push(page.t(
            format!("The expected failure of {about} is {en}: renew or remove it ({place})"),
            format!("预期失败条目 {about} {zh}，须更新或删除（{place}）"),
        ));
    }
    let broken = facts.with_outcome(Outcome::Broken);
    for scenario in broken.iter().take(LISTED) {
        let (id, why) = (code(&scenario.id), reason(page, scenario));
        items.push(page.t(format!("{id} broke: {why}"), format!("{id} 执行中断：{why}")));
    }
    if let Some(rest) = broken.len().checked_sub(LISTED).filter(|&n| n > 0) {
        items
            .push(page.t(format!("{rest} more broke (section 5)"), format!("另有 {rest} 个用例执行中断（见第 5 节）")));
    }
    if items.is_empty() {
        items.push(page.t("No finding and no blocker", "无问题，无阻塞项").to_owned());
    }
    items
}

/// What limits the verdict.
fn caveats(page: &Page, facts: &Facts<'_>) -> Vec<String> {
    let mut items = Vec::new();
    if let Some(defect) = &facts.record.target.planted {
        let defect = code(defect);
        items.push(page.t(
            format!(
                "The defect {defect} was planted in the target on purpose: a violation is what this run should show"
            ),
            format!("目标中人为植入了缺陷 {defect}，本次运行理应发现违规"),
        ));
    }
    if !facts.record.selection.is_empty() {
        let selection = super::codes(page, facts.record.selection.iter().map(String::as_str));
        items.push(
            page.t(
                format!("The run was narrowed by {selection}"),
                format!("本次运行的范围由以下选项限定：{selection}"),
            ),
        );
    }
    for (outcome, en, zh) in
        [(Outcome::Inconclusive, "Inconclusive", "无结论"), (Outcome::ExpectedFail, "Failed as expected", "按预期失败")]
    {
        let scenarios = facts.with_outcome(outcome);
        if scenarios.len() > LISTED {
            let n = scenarios.len();
            items.push(page.t(format!("{en}: {n} scenarios (section 5)"), format!("{zh}：{n} 个用例（见第 5 节）")));
        } else if !scenarios.is_empty() {
            let ids = scenario_ids(page, scenarios);
            items.push(page.t(format!("{en}: {ids}"), format!("{zh}：{ids}")));
        }
    }
    let uncovered = facts.uncovered();
    if !uncovered.is_empty() && uncovered.len() <= LISTED {
        let ids = requirement_ids(page, uncovered.iter().map(|s| s.requirement.id));
        items.push(page.t(format!("No verdict on this target: {ids}"), format!("在该目标上没有结论：{ids}")));
    } else if !uncovered.is_empty() {
        let n = uncovered.len();
        items.push(page.t(
            format!("No verdict on this target: {n} requirements (section 2)"),
            format!("在该目标上没有结论的需求：{n} 项（见第 2 节）"),
        ));
    }
    items
}
