//! Section 3: totals, what failed, and which promise and oracle the failures come down to.

use std::collections::BTreeMap;

use super::super::facts::Facts;
use super::super::page::{Page, code, escape, numbers, plural, thousands, words as text};
use super::super::words;
use super::{reason, situation};
use crate::verdict::expectation::ExpectationRecord;
use crate::verdict::{Finding, Outcome};

pub(super) fn write(page: &mut Page, facts: &Facts<'_>) {
    page.heading(2, "3. Results overview", "3. 结果概览");
    totals(page, facts);
    failures(page, facts);
    expectations(page, facts);
    causes(page, facts);
    reached(page, facts);
    super::sweep::write(page, facts);
}

fn totals(page: &mut Page, facts: &Facts<'_>) {
    let mut rows = Vec::new();
    for outcome in Outcome::ALL {
        let scenarios = facts.with_outcome(outcome);
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

/// Everything that ran and is not a plain pass.
fn failures(page: &mut Page, facts: &Facts<'_>) {
    page.lead("Main failures", "主要失败点");
    let shown = [Outcome::Fail, Outcome::UnexpectedPass, Outcome::Broken, Outcome::Inconclusive, Outcome::ExpectedFail];
    let mut items = Vec::new();
    for scenario in shown.into_iter().flat_map(|outcome| facts.with_outcome(outcome)) {
        let (en, zh) = words::outcome(scenario.outcome);
        let (id, requirement) = (code(&scenario.id), scenario.requirement);
        let findings: Vec<&Finding> = facts.record.findings.iter().filter(|f| f.scenario == scenario.id).collect();
        let why = if findings.is_empty() || scenario.outcome == Outcome::ExpectedFail {
            reason(page, scenario)
        } else {
            let each = findings.iter().map(|f| format!("{} {}", f.id, page.of(&f.violation.message)));
            each.collect::<Vec<_>>().join(page.t("; ", "；"))
        };
        items.push(vec![
            page.t(format!("{id} - {requirement}, {en}: {why}"), format!("{id} - {requirement}，{zh}：{why}")),
        ]);
    }
    if items.is_empty() {
        page.say(
            "None: no executed scenario failed, broke or stayed inconclusive.",
            "无：已执行的用例中没有失败、中断或无结论者。",
        );
    } else {
        page.numbered(1, &items);
    }
}

/// What was expected to fail, entry by entry.
fn expectations(page: &mut Page, facts: &Facts<'_>) {
    let entries = &facts.record.expectations;
    if entries.is_empty() {
        return;
    }
    page.lead("Expected failures", "预期失败清单");
    let row = |entry: &ExpectationRecord| {
        let (en, zh) = words::standing(entry.standing);
        let standing = page.t(en, zh);
        let standing = if entry.standing.is_outdated() { format!("**{standing}**") } else { standing.to_owned() };
        let note = entry
            .note
            .as_ref()
            .map_or_else(String::new, |n| page.t(format!(" ({})", page.of(n)), format!("（{}）", page.of(n))));
        let link = entry.link.as_ref().map_or_else(String::new, |link| format!(" {}", escape(link)));
        let ids = super::codes(page, entry.scenarios.iter().map(String::as_str));
        vec![
            code(&entry.about()),
            format!("{standing}{note}"),
            ids,
            format!("{}{link}", page.of(&entry.reason)),
            escape(&entry.owner),
            escape(&entry.expires),
            code(&entry.place),
        ]
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    let columns = [
        text("Entry", "条目"),
        text("Standing", "状态"),
        text("Scenarios", "用例"),
        text("Reason", "原因"),
        text("Owner", "负责人"),
        text("Expires", "有效期至"),
        text("Place", "位置"),
    ];
    page.table(&columns, &rows);
}

fn causes(page: &mut Page, facts: &Facts<'_>) {
    if facts.record.findings.is_empty() {
        return;
    }
    page.lead("Root causes, by broken promise and oracle", "失败根因（按违反的需求与判定器归类）");
    let mut groups: BTreeMap<_, Vec<&Finding>> = BTreeMap::new();
    for finding in &facts.record.findings {
        groups.entry((finding.requirement, finding.violation.oracle)).or_default().push(finding);
    }
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|(&(requirement, oracle), findings)| {
            let about = requirement.get();
            let (en, zh) = words::oracle(oracle);
            let ids: Vec<String> = findings.iter().map(|f| f.id.clone()).collect();
            vec![
                requirement.to_string(),
                page.t(about.en, about.zh).to_owned(),
                page.t(format!("{} ({en})", code(oracle.name())), format!("{}（{zh}）", code(oracle.name()))),
                thousands(findings.len()),
                ids.join(", "),
            ]
        })
        .collect();
    let columns = [
        text("Requirement", "需求"),
        text("Promise", "内容"),
        text("Oracle", "判定器"),
        numbers("Findings", "问题数"),
        text("Ids", "编号"),
    ];
    page.table(&columns, &rows);
    let (all, kinds) = (facts.record.findings.len(), groups.len());
    page.say(
        format!("{}, {} of promise and oracle.", plural(all, "finding"), plural(kinds, "combination")),
        format!("共 {} 个问题，对应 {} 种“需求与判定器”组合。", thousands(all), thousands(kinds)),
    );
}

/// What the sequences went through, so that a pass means something.
fn reached(page: &mut Page, facts: &Facts<'_>) {
    let reached = facts.situations();
    if reached.is_empty() {
        page.say("No known situation was reached.", "未到达任何已知情形。");
        return;
    }
    page.lead("Situations reached", "到达的情形");
    let rows: Vec<Vec<String>> = reached
        .iter()
        .map(|(&milestone, &(sequences, scenarios))| {
            vec![situation(page, milestone), thousands(sequences), thousands(scenarios)]
        })
        .collect();
    let columns = [text("Situation", "情形"), numbers("Sequences", "序列数"), numbers("Scenarios", "用例数")];
    page.table(&columns, &rows);
}
