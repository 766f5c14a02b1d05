//! Two runs held against each other, as a page in either language; what is printed of it is in `terminal`.
//!
//! Decides how a comparison reads. What is new, fixed or worse, `verdict::comparison` says.

mod findings;
mod terminal;
mod words;

use super::Language;
use super::page::{Page, code, escape, numbers, plural, thousands, words as text};
use super::words as common;
use crate::op::Text;
use crate::verdict::Outcome;
use crate::verdict::comparison::{
    CameTo, Comparison, Difference, ExpectationRow, FindingKind, RequirementRow, ScenarioRow, Side, Worse,
};
use crate::verdict::record::{EndedBy, RunRecord};

pub use terminal::comparison_text;

/// Scenarios of one kind that are named in the list; the JSON has all.
const NAMED: usize = 12;

/// The name of the page beside `compare.json`.
#[must_use]
pub fn comparison_file(language: Language) -> &'static str {
    language.pick("compare.md", "compare.zh.md")
}

/// The page.
#[must_use]
pub fn comparison_page(comparison: &Comparison, language: Language) -> String {
    let mut page = Page::new(language);
    let (old, new) = (code(&comparison.old.target), code(&comparison.new.target));
    page.heading(1, &format!("{new} against {old}"), &format!("{new} 与 {old} 的对比"));
    let (en, zh) = headline(comparison);
    page.say(en, zh);
    page.heading(2, "The two runs", "两次运行");
    runs(&mut page, comparison);
    page.heading(2, "Findings", "问题");
    findings::write(&mut page, comparison);
    page.heading(2, "Requirements and scenarios", "需求与用例");
    requirements(&mut page, comparison);
    scenarios(&mut page, comparison);
    expectations(&mut page, comparison);
    page.heading(2, "Figures", "数值");
    figures(&mut page, comparison);
    page.finish()
}

/// What it comes to, in a paragraph.
fn headline(comparison: &Comparison) -> (String, String) {
    let of = |kind| comparison.with_kind(kind).count();
    let (new, first, changed) = (of(FindingKind::New), of(FindingKind::FirstSeen), of(FindingKind::Changed));
    let (fixed, not_shown, still) = (of(FindingKind::Fixed), of(FindingKind::NotShown), of(FindingKind::Still));
    let counts_en = format!(
        "Findings: {new} new, {first} only in the new run, {changed} changed, {fixed} fixed, {not_shown} not shown by the new run, \
         {still} still failing."
    );
    let counts_zh = format!(
        "问题：新出现 {new}，仅见于新运行 {first}，有变化 {changed}，已修复 {fixed}，新运行未能展现 {not_shown}，仍然存在 {still}。"
    );
    let shared = comparison.shared;
    match comparison.came_to {
        CameTo::Worse => {
            let (en, zh) = worse(&comparison.worse);
            (format!("**Worse**: {en}. {counts_en}"), format!("**变差**：{zh}。{counts_zh}"))
        }
        CameTo::NothingWorse => (
            format!(
                "**Nothing is worse** in what both runs show ({} with a verdict in both). {counts_en}",
                plural(shared, "scenario")
            ),
            format!("**没有变差**：就两次运行共同展现的部分而言（{shared} 个用例在两次运行中均有结论）。{counts_zh}"),
        ),
        CameTo::NothingCompared => (
            format!("**Nothing to compare**: no scenario came to a verdict in both runs. {counts_en}"),
            format!("**无可对比**：没有用例在两次运行中均有结论。{counts_zh}"),
        ),
    }
}

/// What is worse, counted by kind.
fn worse(all: &[Worse]) -> (String, String) {
    let count = |is: fn(&Worse) -> bool| all.iter().filter(|w| is(w)).count();
    let findings = count(|w| matches!(w, Worse::Finding { .. }));
    let lost = count(|w| matches!(w, Worse::RequirementLost { .. }));
    let fails = count(|w| matches!(w, Worse::ScenarioFails { .. }));
    let breaks = count(|w| matches!(w, Worse::ScenarioBreaks { .. }));
    let (mut en, mut zh) = (Vec::new(), Vec::new());
    if findings > 0 {
        en.push(format!("{} that the old run does not have", plural(findings, "finding")));
        zh.push(format!("{findings} 个旧运行没有的问题"));
    }
    if lost > 0 {
        en.push(format!("{} without the verdict that the old run came to", plural(lost, "requirement")));
        zh.push(format!("{lost} 项需求失去了旧运行已有的结论"));
    }
    if fails > 0 {
        en.push(format!("{} that passed and now come upon a known finding", plural(fails, "scenario")));
        zh.push(format!("{fails} 个原本通过的用例出现已知问题"));
    }
    if breaks > 0 {
        en.push(format!("{} that had a verdict and now break", plural(breaks, "scenario")));
        zh.push(format!("{breaks} 个原有结论的用例执行中断"));
    }
    (en.join("; "), zh.join("；"))
}

/// What differs beside the results comes before them, with what was not executed.
fn runs(page: &mut Page, comparison: &Comparison) {
    if comparison.differences.is_empty() {
        page.say(
            "Target, versions, devices, settings, seed and selection are the same in both records.",
            "两份记录中的目标、版本、设备、配置、种子与选择范围均相同。",
        );
    } else {
        page.say(
            "The two differ in these, and any of them may be why results differ:",
            "两次运行在以下方面不同，结果的差异可能由此而来：",
        );
        let rows: Vec<Vec<String>> = comparison.differences.iter().map(|d| difference(page, d)).collect();
        page.table(&[text("What", "方面"), text("Old", "旧"), text("New", "新")], &rows);
    }
    let columns = [
        text("Run", "运行"),
        text("Ended", "结束方式"),
        numbers("Scenarios with a verdict", "有结论的用例"),
        numbers("of the plan", "计划"),
        numbers("cut short", "未完成"),
        numbers("Requirements with a verdict", "有结论的需求"),
        numbers("Findings", "问题数"),
    ];
    let row = |name: &str, side: &Side| {
        let (en, zh) = ended(side.ended);
        let mut cells = vec![format!("{name} {}", code(&side.target)), page.t(en, zh).to_owned()];
        cells.extend([side.executed, side.scenarios, side.unfinished, side.judged, side.findings].map(thousands));
        cells
    };
    let rows = [row(page.t("old", "旧"), &comparison.old), row(page.t("new", "新"), &comparison.new)];
    page.table(&columns, &rows);
    let mut notes = Vec::new();
    for (en, zh, side) in [("old", "旧", &comparison.old), ("new", "新", &comparison.new)] {
        if !side.selection.is_empty() {
            let selection = code(&side.selection.join(" "));
            notes.push(
                page.t(format!("The {en} run was narrowed: {selection}"), format!("{zh}运行缩小了范围：{selection}")),
            );
        }
        if side.format == RunRecord::FORMAT_1 {
            notes.push(page.t(
                format!("The record of the {en} run is of format 1: its findings are numbered, and are matched by promise and judge alone"),
                format!("{zh}运行的记录为格式 1：其问题按序编号，仅按需求与判定器匹配"),
            ));
        }
    }
    if !notes.is_empty() {
        page.bullets(&notes);
    }
}

fn difference(page: &Page, difference: &Difference) -> Vec<String> {
    let (en, zh) = words::aspect(difference.aspect);
    let told = |value: &Option<String>| {
        value.as_ref().map_or_else(|| page.t("none, or not recorded", "无或未记录").to_owned(), |value| code(value))
    };
    vec![page.t(en, zh).to_owned(), told(&difference.old), told(&difference.new)]
}

fn ended(ended: EndedBy) -> common::Pair {
    match ended {
        EndedBy::Complete => ("complete", "完整"),
        EndedBy::TimeUp => ("**time was up**", "**时间已到**"),
        EndedBy::Interrupted => ("**interrupted**", "**被中断**"),
        EndedBy::Killed => ("**killed, or still under way**", "**被终止或仍在进行**"),
        EndedBy::Hung => ("**a call never returned**", "**调用未返回**"),
    }
}

fn requirements(page: &mut Page, comparison: &Comparison) {
    if comparison.requirements.is_empty() {
        page.say("Every requirement stands as it did.", "所有需求的状态均未变化。");
        return;
    }
    let row = |row: &RequirementRow| {
        let ((old_en, old_zh), (new_en, new_zh)) = (words::state(row.old), words::state(row.new));
        let lost = page.t(" (coverage lost)", "（失去覆盖）");
        let new = page.t(new_en, new_zh);
        let new = if row.is_lost() { format!("**{new}**{lost}") } else { new.to_owned() };
        let promise = row.requirement.get();
        let title = escape(page.t(promise.en, promise.zh));
        vec![format!("{}: {title}", row.requirement), page.t(old_en, old_zh).to_owned(), new]
    };
    let rows: Vec<Vec<String>> = comparison.requirements.iter().map(row).collect();
    page.table(&[text("Requirement", "需求"), text("Old", "旧"), text("New", "新")], &rows);
}

/// Scenarios by how they moved; all of one move in a line.
fn scenarios(page: &mut Page, comparison: &Comparison) {
    if comparison.scenarios.is_empty() {
        page.say("Every scenario ended as it did.", "所有用例的结果均未变化。");
        return;
    }
    let mut moves: Vec<(Option<Outcome>, Option<Outcome>, Option<&Text>)> = Vec::new();
    for row in &comparison.scenarios {
        let key = (row.old, row.new, row.reason.as_ref().filter(|_| row.is_lost()));
        if !moves.contains(&key) {
            moves.push(key);
        }
    }
    page.lead("Scenarios that ended otherwise", "结果有变化的用例");
    let items: Vec<String> = moves
        .iter()
        .map(|&(old, new, reason)| {
            let is_of = |row: &&ScenarioRow| {
                (row.old, row.new, row.reason.as_ref().filter(|_| row.is_lost())) == (old, new, reason)
            };
            let of: Vec<&ScenarioRow> = comparison.scenarios.iter().filter(is_of).collect();
            let drawn = of.iter().filter(|row| row.drawn_anew).count();
            let named: Vec<String> = of.iter().take(NAMED).map(|row| code(&row.scenario)).collect();
            let more = of.len().saturating_sub(NAMED);
            let list = named.join(page.t(", ", "、"));
            let list = match more {
                0 => list,
                _ => page.t(format!("{list} and {more} more"), format!("{list} 等 {} 个", of.len())),
            };
            let name = |outcome: Option<Outcome>| outcome.map_or(("not in the plan", "不在计划中"), common::outcome);
            let ((old_en, old_zh), (new_en, new_zh)) = (name(old), name(new));
            let (drawn_en, drawn_zh) = match drawn {
                0 => Default::default(),
                n => (
                    format!(" ({n} with sequences drawn from another seed)"),
                    format!("（其中 {n} 个由另一种子生成序列）"),
                ),
            };
            let (why_en, why_zh) = reason.map_or_else(Default::default, |reason| {
                (format!(". Why: {}", escape(&reason.en)), format!("。原因：{}", escape(&reason.zh)))
            });
            page.t(
                format!("{old_en} → {new_en}, {}: {list}{drawn_en}{why_en}", of.len()),
                format!("{old_zh} → {new_zh}，{} 个：{list}{drawn_zh}{why_zh}", of.len()),
            )
        })
        .collect();
    page.bullets(&items);
}

fn expectations(page: &mut Page, comparison: &Comparison) {
    if comparison.expectations.is_empty() {
        return;
    }
    page.lead("Expected failures that moved", "状态变化的预期失败");
    let row = |row: &ExpectationRow| {
        let told = |standing: Option<_>| {
            let (en, zh) = standing.map_or(("no entry", "无此条目"), common::standing);
            page.t(en, zh).to_owned()
        };
        vec![code(&row.about), told(row.old), told(row.new), page.of(&row.reason)]
    };
    let rows: Vec<Vec<String>> = comparison.expectations.iter().map(row).collect();
    let columns = [text("Entry", "条目"), text("Old", "旧"), text("New", "新"), text("Reason", "原因")];
    page.table(&columns, &rows);
}

fn figures(page: &mut Page, comparison: &Comparison) {
    if comparison.figures.is_empty() {
        page.say("None moved.", "均未变化。");
    } else {
        let rows: Vec<Vec<String>> = comparison
            .figures
            .iter()
            .map(|row| {
                let (en, zh) = words::measure(row.measure);
                vec![page.t(en, zh).to_owned(), thousands(row.old), thousands(row.new), by(row.old, row.new)]
            })
            .collect();
        let columns = [text("What", "项目"), numbers("Old", "旧"), numbers("New", "新"), numbers("Moved by", "变化")];
        page.table(&columns, &rows);
    }
    if let Some(why) = comparison.no_pace {
        let (en, zh) = words::no_pace(why);
        page.say(format!("Operations a second are not compared: {en}."), format!("未对比每秒操作数：{zh}。"));
    }
}

/// How far a figure moved, with its sign.
fn by(old: u64, new: u64) -> String {
    if new >= old { format!("+{}", thousands(new - old)) } else { format!("-{}", thousands(old - new)) }
}
