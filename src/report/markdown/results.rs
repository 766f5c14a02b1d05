//! Section 3: totals, what failed, what was expected to, and what the sequences went through.

use super::super::facts::Facts;
use super::super::page::{Page, code, escape, numbers, plural, thousands, words as text};
use super::super::words;
use super::{codes, join, reason, situations, title};
use crate::verdict::expectation::{ExpectationRecord, Standing};
use crate::verdict::{Finding, Outcome};

/// Situations named as the least reached.
const RAREST: usize = 5;

/// Scenarios of a finding that are named here.
const NAMED: usize = 6;

pub(super) fn write(page: &mut Page, facts: &Facts<'_>) {
    page.heading(2, "3. Results overview", "3. 结果概览");
    totals(page, facts);
    failures(page, facts);
    expectations(page, facts);
    reached(page, facts);
    super::sweep::write(page, facts);
}

fn totals(page: &mut Page, facts: &Facts<'_>) {
    let mut rows = Vec::new();
    for outcome in Outcome::ALL {
        let scenarios = facts.with_outcome(outcome);
        // Every run has these; of the others only what there is.
        if scenarios.is_empty() && !matches!(outcome, Outcome::Pass | Outcome::Fail | Outcome::NotApplicable) {
            continue;
        }
        let (en, zh) = words::outcome(outcome);
        rows.push(vec![
            page.t(en, zh).to_owned(),
            thousands(scenarios.len()),
            thousands(scenarios.iter().map(|s| s.sequences).sum::<u64>()),
            thousands(scenarios.iter().map(|s| s.operations).sum::<u64>()),
        ]);
    }
    rows.push(vec![
        page.t("**total**", "**总计**").to_owned(),
        thousands(facts.record.scenarios.len()),
        thousands(facts.sequences()),
        thousands(facts.operations()),
    ]);
    let columns = [
        text("Outcome", "结果"),
        numbers("Scenarios", "用例数"),
        numbers("Sequences", "序列数"),
        numbers("Operations", "操作数"),
    ];
    page.table(&columns, &rows);
}

/// Findings with the scenarios that stumbled over them, then whatever else is not a plain pass.
fn failures(page: &mut Page, facts: &Facts<'_>) {
    page.lead("Main failures", "主要失败点");
    let mut items: Vec<Vec<String>> = facts.record.findings.iter().map(|f| vec![one(page, facts, f)]).collect();
    for scenario in [Outcome::Fail, Outcome::UnexpectedPass].into_iter().flat_map(|o| facts.with_outcome(o)) {
        if facts.record.findings.iter().any(|f| f.concerns(&scenario.id)) {
            continue;
        }
        let (en, zh) = words::outcome(scenario.outcome);
        let (id, requirement, why) = (code(&scenario.id), scenario.requirement, reason(page, scenario));
        items.push(vec![
            page.t(format!("{id} ({requirement}), {en}: {why}"), format!("{id}（{requirement}），{zh}：{why}")),
        ]);
    }
    if items.is_empty() {
        page.say("None: no scenario found a violation.", "无：没有用例发现违规。");
    } else {
        page.numbered(1, &items);
    }
    if facts.folded() > 0 {
        let (all, findings) = (facts.folded() + facts.record.findings.len(), facts.record.findings.len());
        page.say(
            format!(
                "{} were put down to {}; section 4 says why for each.",
                plural(all, "violation"),
                plural(findings, "finding")
            ),
            format!("共 {all} 次违规归并为 {findings} 个问题，归并依据见第 4 节。"),
        );
    }
}

fn one(page: &Page, facts: &Facts<'_>, finding: &Finding) -> String {
    let (id, title, (severity_en, severity_zh)) =
        (&finding.id, title(page, finding), words::severity(finding.severity));
    let scenarios = finding.scenarios();
    let named = codes(page, scenarios.iter().copied().take(NAMED));
    let (more_en, more_zh) = match scenarios.len().checked_sub(NAMED).filter(|&n| n > 0) {
        Some(rest) => (format!(" and {rest} more"), format!(" 等 {} 个用例", scenarios.len())),
        None => Default::default(),
    };
    let (as_en, as_zh) =
        if facts.record.is_expected(finding) { (", as expected", "，符合预期") } else { Default::default() };
    page.t(
        format!("{id} ({severity_en}{as_en}): {title}. Seen in {named}{more_en}"),
        format!("{id}（{severity_zh}{as_zh}）：{title}。见于 {named}{more_zh}"),
    )
}

/// What was expected to fail, entry by entry; those about something else are counted.
fn expectations(page: &mut Page, facts: &Facts<'_>) {
    let entries = &facts.record.expectations;
    if entries.is_empty() {
        return;
    }
    page.lead("Expected failures", "预期失败清单");
    let (elsewhere, here): (Vec<_>, Vec<_>) = entries.iter().partition(|e| e.standing == Standing::OutOfScope);
    let row = |entry: &&ExpectationRecord| {
        let (en, zh) = words::standing(entry.standing);
        let standing = page.t(en, zh);
        let standing = if entry.standing.is_outdated() { format!("**{standing}**") } else { standing.to_owned() };
        let note = entry
            .note
            .as_ref()
            .map_or_else(String::new, |n| page.t(format!(" ({})", page.of(n)), format!("（{}）", page.of(n))));
        let link = entry.link.as_ref().map_or_else(String::new, |link| format!(" {}", escape(link)));
        let (owner, expires) = (escape(&entry.owner), escape(&entry.expires));
        vec![
            code(&entry.about()),
            format!("{standing}{note}"),
            format!("{}{link}", page.of(&entry.reason)),
            page.t(format!("{owner}, until {expires}"), format!("{owner}，至 {expires}")),
            code(&entry.place),
        ]
    };
    if !here.is_empty() {
        let rows: Vec<Vec<String>> = here.iter().map(row).collect();
        let columns = [
            text("Entry", "条目"),
            text("Standing", "状态"),
            text("Reason", "原因"),
            text("Owner", "负责人"),
            text("Place", "位置"),
        ];
        page.table(&columns, &rows);
    }
    if !elsewhere.is_empty() {
        let n = elsewhere.len();
        page.say(
            format!(
                "{} about other options, versions or devices.",
                if n == 1 { "1 entry is".to_owned() } else { format!("{n} entries are") }
            ),
            format!("另有 {n} 条涉及其他选项、版本或设备。"),
        );
    }
}

/// What the sequences went through, so that a pass means something.
fn reached(page: &mut Page, facts: &Facts<'_>) {
    let reached = facts.situations();
    if reached.is_empty() {
        page.say("No known situation was reached.", "未到达任何已知情形。");
        return;
    }
    let never = facts.never_reached();
    let mut rarest: Vec<_> = reached.iter().map(|(&milestone, &(sequences, _))| (sequences, milestone)).collect();
    rarest.sort_unstable();
    let each: Vec<String> = rarest
        .iter()
        .take(RAREST)
        .map(|&(sequences, milestone)| {
            let (en, zh) = words::situation(milestone);
            page.t(format!("{en} ({})", thousands(sequences)), format!("{zh}（{}）", thousands(sequences)))
        })
        .collect();
    let (list, n, all) = (join(page, &each), reached.len(), reached.len() + never.len());
    page.say(
        format!("**Situations reached**: {n} of {all}. Least often, in so many sequences: {list}."),
        format!("**到达的情形**：{n}/{all}。到达次数最少者（括号内为序列数）：{list}。"),
    );
    if !never.is_empty() {
        let list = situations(page, &never);
        page.say(format!("**Never reached**: {list}."), format!("**从未到达**：{list}。"));
    }
}
