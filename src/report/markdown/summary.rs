//! Section 1: the verdict in one paragraph, then what a reader must know before anything else.

use super::super::facts::{Facts, Verdict};
use super::super::page::{Page, code, plural, thousands};
use super::super::words;
use super::{reason, requirement_ids, scenario_ids, situations};
use crate::requirement::{Level, Severity};
use crate::verdict::Outcome;

/// Findings listed here before the reader is sent to section 4.
const LISTED: usize = 10;

/// Situations named as the least reached.
const RAREST: usize = 3;

pub(super) fn write(page: &mut Page, facts: &Facts<'_>) {
    page.heading(2, "1. Executive summary", "1. 执行摘要");
    verdict(page, facts);
    exercised(page, facts);
    page.lead("Key findings and blockers", "关键发现/阻塞项");
    let mut items = open(page, facts);
    items.extend(caveats(page, facts));
    page.bullets(&items);
}

fn verdict(page: &mut Page, facts: &Facts<'_>) {
    let target = code(&facts.record.target.name);
    let count = |outcome| facts.record.count(outcome);
    match facts.verdict() {
        Verdict::Violated => violated(page, facts, &target),
        Verdict::Broken => {
            let n = count(Outcome::Broken);
            page.say(
                format!(
                    "**Incomplete.** No violation was found on {target}, but {} broke before a verdict: the run does not show conformance.",
                    plural(n, "scenario")
                ),
                format!("**测试未完成。** 在 {target} 上未发现违规，但有 {} 个用例在得出结论前中断，本次运行不能证明其符合要求。", thousands(n)),
            );
        }
        Verdict::Inconclusive => {
            let n = count(Outcome::Inconclusive);
            page.say(
                format!(
                    "**Inconclusive.** No violation was found on {target}, but {} never reached the situation to be tested.",
                    plural(n, "scenario")
                ),
                format!("**结论不完整。** 在 {target} 上未发现违规，但有 {} 个用例未进入其要检验的情形。", thousands(n)),
            );
        }
        Verdict::Nothing => page.say(
            format!("**Nothing was tested.** No scenario was executed on {target}."),
            format!("**未执行任何测试。** 在 {target} 上没有用例被执行。"),
        ),
        Verdict::Clean => page.say(
            format!("**Passed.** No promise was broken by {target} in what this run executed."),
            format!("**测试通过。** 在本次执行的范围内，{target} 未违反任何需求。"),
        ),
    }
}

fn violated(page: &mut Page, facts: &Facts<'_>, target: &str) {
    let [high, medium, low] = [Severity::High, Severity::Medium, Severity::Low].map(|s| facts.open_with(s));
    let broken = facts.standings.iter().filter(|s| s.findings.iter().any(|f| !facts.is_expected(f))).count();
    let unexpected = facts.record.count(Outcome::UnexpectedPass);
    let failed = facts.record.count(Outcome::Fail);
    let outdated = facts.record.outdated().count();
    let (mut also_en, mut also_zh) = if unexpected > 0 {
        (
            format!(" {} passed although a failure was expected.", plural(unexpected, "scenario")),
            format!("另有 {} 个预期失败的用例意外通过。", thousands(unexpected)),
        )
    } else {
        Default::default()
    };
    if outdated > 0 {
        also_en += &format!(" {outdated} of the expected failures no longer stand (stale or expired).");
        also_zh += &format!("另有 {outdated} 条预期失败已失效或过期。");
    }
    page.say(
        format!(
            "**Failed.** {target} broke {}: {} ({high} high, {medium} medium, {low} low) in {}.{also_en}",
            plural(broken, "requirement"),
            plural(facts.open_findings().len(), "finding"),
            plural(failed, "failed scenario"),
        ),
        format!(
            "**测试未通过。** {target} 违反 {} 项需求，共 {} 个问题（高 {high}、中 {medium}、低 {low}），失败用例 {} 个。{also_zh}",
            thousands(broken),
            thousands(facts.open_findings().len()),
            thousands(failed),
        ),
    );
}

fn exercised(page: &mut Page, facts: &Facts<'_>) {
    let (covered, all) = (facts.covered(None), facts.standings.len());
    let must = Some(Level::Must);
    let (must_covered, musts) = (facts.covered(must), facts.of_level(must).count());
    let (operations, sequences) = (facts.operations(), facts.sequences());
    let (reached, known) = (facts.situations().len(), facts.situations().len() + facts.never_reached().len());
    page.say(
        format!(
            "Verdict on {} of {}, after {} with {}. Covered: {covered} of {all} requirements ({must_covered} of {musts} at level must). Reached: {reached} of {known} known situations.",
            thousands(facts.executed()),
            plural(facts.record.scenarios.len(), "scenario"),
            plural(sequences, "sequence"),
            plural(operations, "operation"),
        ),
        format!(
            "{} 个用例得出结论（共 {} 个），执行 {} 条操作序列、{} 次操作；覆盖 {all} 项需求中的 {covered} 项（“必须”级 {musts} 项中的 {must_covered} 项）；到达 {known} 种已知情形中的 {reached} 种。",
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
    let mut findings = facts.open_findings();
    findings.sort_by_key(|f| f.severity);
    for finding in findings.iter().take(LISTED) {
        let (en, zh) = words::severity(finding.severity);
        let (id, requirement, message) = (&finding.id, finding.requirement, page.of(&finding.violation.message));
        let (unsteady_en, unsteady_zh) = words::comes_and_goes(finding)
            .map_or_else(Default::default, |(en, zh)| (format!(" ({en})"), format!("（{zh}）")));
        items.push(page.t(
            format!("{id} ({en}) {requirement}: {message}{unsteady_en}"),
            format!("{id}（{zh}）{requirement}：{message}{unsteady_zh}"),
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
    for scenario in facts.with_outcome(Outcome::Broken) {
        let (id, why) = (code(&scenario.id), reason(page, scenario));
        items.push(page.t(format!("{id} broke: {why}"), format!("{id} 执行中断：{why}")));
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
        items
            .push(page.t(format!("The run was narrowed by {selection}"), format!("本次运行的范围被缩小：{selection}")));
    }
    let inconclusive = facts.with_outcome(Outcome::Inconclusive);
    if !inconclusive.is_empty() {
        let ids = scenario_ids(page, inconclusive);
        items.push(page.t(format!("Inconclusive: {ids}"), format!("无结论：{ids}")));
    }
    let expected = facts.with_outcome(Outcome::ExpectedFail);
    if !expected.is_empty() {
        let ids = scenario_ids(page, expected);
        items.push(page.t(format!("Failed as expected: {ids}"), format!("按预期失败：{ids}")));
    }
    let uncovered = facts.uncovered();
    if !uncovered.is_empty() && uncovered.len() <= LISTED {
        let ids = requirement_ids(page, uncovered.iter().map(|s| s.requirement.id));
        items.push(page.t(format!("Not tested on this target: {ids}"), format!("未在该目标上测试：{ids}")));
    } else if !uncovered.is_empty() {
        let n = uncovered.len();
        items.push(page.t(
            format!("Not tested on this target: {n} requirements (section 2)"),
            format!("未在该目标上测试的需求：{n} 项（见第 2 节）"),
        ));
    }
    items.extend(rarest(page, facts));
    let never = facts.never_reached();
    if facts.executed() > 0 && !never.is_empty() && never.len() <= LISTED {
        let list = situations(page, &never);
        items.push(page.t(format!("Situations never reached: {list}"), format!("从未到达的情形：{list}")));
    }
    items
}

/// What was reached least: where a pass rests on the least evidence.
fn rarest(page: &Page, facts: &Facts<'_>) -> Option<String> {
    let mut reached: Vec<_> = facts.situations().into_iter().collect();
    if reached.len() <= RAREST {
        return None;
    }
    reached.sort_by_key(|&(milestone, (sequences, _))| (sequences, milestone));
    let each: Vec<String> = reached
        .into_iter()
        .take(RAREST)
        .map(|(milestone, (sequences, _))| {
            let (en, zh) = words::situation(milestone);
            page.t(
                format!("{en} ({})", plural(sequences, "sequence")),
                format!("{zh}（{} 条序列）", thousands(sequences)),
            )
        })
        .collect();
    let list = super::join(page, &each);
    Some(page.t(format!("Situations reached least: {list}"), format!("到达次数最少的情形：{list}")))
}
