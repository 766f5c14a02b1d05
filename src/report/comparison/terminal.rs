//! A comparison as plain text: what is printed.
//!
//! Decides its lines. What they say is the page's, shorter.

use super::super::Language;
use super::super::page::thousands;
use super::super::table::{Cell, aligned};
use super::super::words as common;
use super::{by, headline, words};
use crate::verdict::Outcome;
use crate::verdict::comparison::{Comparison, FindingKind, FindingRow, ScenarioRow};

/// Characters of a message at most.
const MESSAGE: usize = 100;

/// The comparison in lines, the last of which says what it comes to.
#[must_use]
pub fn comparison_text(comparison: &Comparison, language: Language) -> String {
    let parts = [
        part(language.pick("differs", "不同之处"), &differences(comparison, language)),
        part(language.pick("findings", "问题"), &findings(comparison, language)),
        part(language.pick("requirements", "需求"), &requirements(comparison, language)),
        part(language.pick("scenarios", "用例"), &scenarios(comparison, language)),
        part(language.pick("expected failures", "预期失败"), &expectations(comparison, language)),
        part(language.pick("figures", "数值"), &figures(comparison, language)),
    ];
    let (en, zh) = headline(comparison);
    let end = language.pick(en, zh).replace("**", "");
    let mut text: String = parts.concat();
    if let Some(why) = comparison.no_pace {
        let (en, zh) = words::no_pace(why);
        text += &language
            .pick(format!("operations a second are not compared: {en}\n\n"), format!("未对比每秒操作数：{zh}\n\n"));
    }
    text + &end + "\n"
}

fn part(name: &str, rows: &[Vec<Cell>]) -> String {
    if rows.is_empty() { String::new() } else { format!("{name}\n{}\n", aligned(rows)) }
}

fn line<const N: usize>(cells: [String; N]) -> Vec<Cell> {
    cells.into_iter().map(Cell::Words).collect()
}

fn differences(comparison: &Comparison, language: Language) -> Vec<Vec<Cell>> {
    let told = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let row = |d: &crate::verdict::comparison::Difference| {
        let (en, zh) = words::aspect(d.aspect);
        line([language.pick(en, zh).to_owned(), format!("{} -> {}", told(&d.old), told(&d.new))])
    };
    comparison.differences.iter().map(row).collect()
}

fn findings(comparison: &Comparison, language: Language) -> Vec<Vec<Cell>> {
    let row = |row: &FindingRow| {
        let (en, zh) = words::kind(row.kind);
        let side = row.new.as_ref().or(row.old.as_ref());
        let id = match (&row.old, &row.new) {
            (Some(old), Some(new)) if old.id != new.id => format!("{} -> {}", old.id, new.id),
            _ => side.map_or_else(String::new, |side| side.id.clone()),
        };
        let (severity_en, severity_zh) = common::severity(row.severity);
        let mut what = side.map_or_else(String::new, |side| {
            let text = language.pick(&side.message.en, &side.message.zh).replace('\n', " ");
            let short: String = text.chars().take(MESSAGE).collect();
            if short.len() < text.len() { format!("{short} …") } else { short }
        });
        let remarks = row.changed.iter().map(words::changed).chain(row.because.as_ref().map(words::because));
        let remarks: Vec<String> = remarks.map(|(en, zh)| language.pick(en, zh).replace('`', "")).collect();
        if !remarks.is_empty() {
            let remarks = remarks.join(language.pick("; ", "；"));
            what = match row.kind {
                FindingKind::Changed | FindingKind::FirstSeen | FindingKind::NotShown => remarks,
                _ => format!("{what} ({remarks})"),
            };
        }
        line([
            language.pick(en, zh).to_owned(),
            id,
            language.pick(severity_en, severity_zh).to_owned(),
            side.map_or_else(String::new, |side| side.scenario.clone()),
            what,
        ])
    };
    comparison.findings.iter().map(row).collect()
}

fn requirements(comparison: &Comparison, language: Language) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for row in &comparison.requirements {
        let ((old_en, old_zh), (new_en, new_zh)) = (words::state(row.old), words::state(row.new));
        let lost = if row.is_lost() { language.pick(", coverage lost", "，失去覆盖") } else { "" };
        let told = format!("{} -> {}{lost}", language.pick(old_en, old_zh), language.pick(new_en, new_zh));
        rows.push(line([row.requirement.to_string(), told]));
    }
    rows
}

/// How many scenarios moved in each way, and the first of each.
fn scenarios(comparison: &Comparison, language: Language) -> Vec<Vec<Cell>> {
    type Moved = (Option<Outcome>, Option<Outcome>);
    let mut moves: Vec<(Moved, Vec<&ScenarioRow>)> = Vec::new();
    for row in &comparison.scenarios {
        let key = (row.old, row.new);
        match moves.iter_mut().find(|(known, _)| *known == key) {
            Some((_, rows)) => rows.push(row),
            None => moves.push((key, vec![row])),
        }
    }
    let name = |outcome: Option<Outcome>| {
        let (en, zh) = outcome.map_or(("not in the plan", "不在计划中"), common::outcome);
        language.pick(en, zh)
    };
    let row = |((old, new), rows): &(_, Vec<&ScenarioRow>)| {
        let first = rows.first().map_or("", |row| row.scenario.as_str());
        let more = rows.len() - 1;
        let list = match more {
            0 => first.to_owned(),
            _ => language.pick(format!("{first} and {more} more"), format!("{first} 等 {} 个", rows.len())),
        };
        vec![
            Cell::Words(format!("{} -> {}", name(*old), name(*new))),
            Cell::Number(thousands(rows.len())),
            Cell::Words(list),
        ]
    };
    moves.iter().map(row).collect()
}

fn expectations(comparison: &Comparison, language: Language) -> Vec<Vec<Cell>> {
    let told = |standing: Option<_>| {
        let (en, zh) = standing.map_or(("no entry", "无此条目"), common::standing);
        language.pick(en, zh)
    };
    let rows = comparison.expectations.iter();
    rows.map(|row| line([row.about.clone(), format!("{} -> {}", told(row.old), told(row.new))])).collect()
}

fn figures(comparison: &Comparison, language: Language) -> Vec<Vec<Cell>> {
    let row = |row: &crate::verdict::comparison::FigureRow| {
        let (en, zh) = words::measure(row.measure);
        vec![
            Cell::Words(language.pick(en, zh).to_owned()),
            Cell::Number(thousands(row.old)),
            Cell::Words("->".to_owned()),
            Cell::Number(thousands(row.new)),
            Cell::Number(by(row.old, row.new)),
        ]
    };
    comparison.figures.iter().map(row).collect()
}
