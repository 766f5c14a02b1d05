//! The kill matrix as a page in either language.
//!
//! Decides how it reads; every sentence is computed from the matrix.

use std::collections::BTreeSet;

use super::Language;
use super::page::{Page, code, escape, numbers, plural, thousands, words as text};
use super::words;
use crate::op::OracleName;
use crate::verdict::matrix::{DefectRow, KillMatrix, VariationRow};
use crate::verdict::record::EndedBy;

/// The page: what was found by whom, and what legal policies were convicted of.
#[must_use]
pub fn matrix_page(matrix: &KillMatrix, language: Language) -> String {
    let mut page = Page::new(language);
    page.heading(1, "Kill matrix", "缺陷检出矩阵");
    body(&mut page, matrix, 2);
    page.finish()
}

/// What was found by whom and what legal policies were convicted of, under headings of that level.
pub(super) fn body(page: &mut Page, matrix: &KillMatrix, level: usize) {
    summary(page, matrix);
    page.heading(level, "Planted defects", "植入的缺陷");
    defects(page, matrix);
    page.heading(level, "Who found them", "由谁检出");
    oracles(page, matrix);
    page.heading(level, "Legal variations of policy", "合法的策略变体");
    variations(page, matrix);
}

/// What was not tried, before any figure of what was.
fn interruption(page: &mut Page, matrix: &KillMatrix) {
    if matrix.ended == EndedBy::Complete {
        return;
    }
    let (defects, variations) = (matrix.untried_defects, matrix.untried_variations);
    page.say(
        format!(
            "**Interrupted**: {} and {} not tried to the end; nothing is said of them.",
            plural(defects, "defect"),
            plural(variations, "variation")
        ),
        format!("**运行被中断**：{defects} 个缺陷与 {variations} 个变体未执行完毕，本页不包含其结果。"),
    );
}

fn summary(page: &mut Page, matrix: &KillMatrix) {
    interruption(page, matrix);
    let (killed, all, alarms) = (matrix.killed(), matrix.defects.len(), matrix.alarms());
    let (base, seed, scenarios) = (code(&matrix.base), matrix.seed, matrix.scenarios);
    let copied = matrix.defects.iter().filter(|d| d.copies.contains(" #")).count();
    page.say(
        format!(
            "{killed} of {all} planted defects were found by {scenarios} scenarios on {base} (seed {seed}); {copied} of \
             them copy a public report of a real allocator. {} in {} of legal policies.",
            plural(alarms, "false alarm"),
            plural(matrix.variations.len(), "variation")
        ),
        format!(
            "{scenarios} 个用例在 {base} 上（种子 {seed}）检出 {all} 个植入缺陷中的 {killed} 个，其中 {copied} 个复现真实分配器的公开报告。\
             {} 个合法策略变体共产生 {alarms} 次误报。",
            matrix.variations.len()
        ),
    );
    let mut operations: Vec<u64> = matrix.defects.iter().filter_map(|d| Some(d.kill.as_ref()?.operations)).collect();
    operations.sort_unstable();
    let mut steps: Vec<u64> = matrix.defects.iter().filter_map(|d| Some(d.kill.as_ref()?.minimal_steps)).collect();
    steps.sort_unstable();
    let middle = |all: &[u64]| all.get(all.len() / 2).copied().unwrap_or(0);
    let most = |all: &[u64]| all.last().copied().unwrap_or(0);
    page.say(
        format!(
            "Operations until the first violation: median {}, most {}. Steps of the shortest sequence: median {}, most {}.",
            thousands(middle(&operations)),
            thousands(most(&operations)),
            middle(&steps),
            most(&steps)
        ),
        format!(
            "首次定罪前的操作数：中位数 {}，最多 {}。最短序列的步数：中位数 {}，最多 {}。",
            thousands(middle(&operations)),
            thousands(most(&operations)),
            middle(&steps),
            most(&steps)
        ),
    );
}

fn defects(page: &mut Page, matrix: &KillMatrix) {
    let full = matrix.defects.iter().any(|d| d.failing.is_some());
    let mut columns = vec![
        text("Defect", "缺陷"),
        text("Copies", "来源"),
        text("Requirement", "需求"),
        text("Oracle", "判定器"),
        text("Scenario", "用例"),
        numbers("Operations", "操作数"),
        numbers("Steps found", "原始步数"),
        numbers("Steps left", "最短步数"),
    ];
    if full {
        columns.push(numbers("Scenarios failing", "失败用例数"));
    }
    let rows: Vec<Vec<String>> = matrix.defects.iter().map(|row| defect(page, row, full)).collect();
    page.table(&columns, &rows);
}

fn defect(page: &Page, row: &DefectRow, full: bool) -> Vec<String> {
    let own = row.copies.contains(" #");
    let copies = if own { escape(&row.copies) } else { page.t("own mechanism", "自拟机制").to_owned() };
    let mut cells = vec![code(&row.name), copies];
    match &row.kill {
        Some(kill) => {
            let (en, zh) = words::oracle(kill.oracle);
            let oracle = page.t(en, zh).to_owned();
            cells.extend([kill.requirement.to_string(), oracle, code(&kill.scenario), thousands(kill.operations)]);
            cells.extend([kill.original_steps.to_string(), kill.minimal_steps.to_string()]);
        }
        None => {
            cells.push(page.t("**survives**", "**未检出**").to_owned());
            cells.extend(std::iter::repeat_n(String::new(), 5));
        }
    }
    if full {
        cells.push(row.failing.map_or_else(String::new, |n| n.to_string()));
    }
    cells
}

fn oracles(page: &mut Page, matrix: &KillMatrix) {
    let kills = || matrix.defects.iter().filter_map(|d| d.kill.as_ref());
    let mut rows: Vec<(usize, Vec<String>)> = Vec::new();
    for &oracle in OracleName::ALL {
        let by = || kills().filter(|k| k.oracle == oracle);
        let (count, areas) = (by().count(), by().map(|k| k.requirement.area().code()).collect::<BTreeSet<_>>());
        if count > 0 {
            let (en, zh) = words::oracle(oracle);
            let areas: Vec<&str> = areas.into_iter().collect();
            rows.push((count, vec![page.t(en, zh).to_owned(), count.to_string(), areas.join(", ")]));
        }
    }
    rows.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let columns =
        [text("Oracle", "判定器"), numbers("Found first", "首先检出"), text("Areas of the requirements", "涉及领域")];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(_, row)| row).collect();
    page.table(&columns, &rows);
}

fn variations(page: &mut Page, matrix: &KillMatrix) {
    let columns = [
        text("Variation", "变体"),
        text("What is done otherwise", "不同之处"),
        numbers("Seeds", "种子数"),
        numbers("Passed", "通过"),
        numbers("Not applicable", "不适用"),
        numbers("Inconclusive", "无结论"),
        numbers("Operations", "操作数"),
        numbers("False alarms", "误报"),
    ];
    let row = |v: &VariationRow| {
        let counts = [v.passed, v.not_applicable, v.inconclusive, v.operations].map(thousands);
        let mut cells = vec![code(&v.name), escape(&v.what), v.seeds.to_string()];
        cells.extend(counts);
        cells.push(v.alarms.len().to_string());
        cells
    };
    let rows: Vec<Vec<String>> = matrix.variations.iter().map(row).collect();
    page.table(&columns, &rows);
    page.say(
        "Outcomes are those of the first seed. A scenario that demands PyTorch's own policy is not applicable to a \
         variation; one that needs a situation which the policy never gets into is inconclusive.",
        "各结果取自第一个种子。要求 PyTorch 自身策略的用例不适用于变体；所需情形在该策略下不会出现的用例记为无结论。",
    );
    let mut items = Vec::new();
    for variation in &matrix.variations {
        for alarm in &variation.alarms {
            let place = format!("{} {} ({})", code(&variation.name), code(&alarm.scenario), alarm.requirement);
            items.push(format!("{place}: {}", page.of(&alarm.message)));
        }
    }
    if !items.is_empty() {
        page.lead("False alarms", "误报");
        page.bullets(&items);
    }
}
