//! The findings of two runs: what became of each, why, and how to see it.

use super::super::page::{Page, code, escape, plural, words as text};
use super::super::words as common;
use super::words;
use crate::op::Text;
use crate::verdict::comparison::{Comparison, FindingKind, FindingRow, FindingSide};

/// Characters of a message at most: the texts of refusals are long, and stand in the run's own report.
const MESSAGE: usize = 160;

pub(super) fn write(page: &mut Page, comparison: &Comparison) {
    if comparison.findings.is_empty() {
        page.say("Neither run has a finding.", "两次运行均无问题。");
        return;
    }
    let columns = [
        text("What became of it", "状态"),
        text("Finding", "问题"),
        text("Severity", "严重程度"),
        text("What happens", "现象"),
        text("Remarks", "说明"),
    ];
    let rows: Vec<Vec<String>> = comparison.findings.iter().map(|row| finding(page, row)).collect();
    page.table(&columns, &rows);
    page.say(
        "*New*: a scenario that stumbles over it passed in the old run. *Only in the new run*: none of its scenarios passed in the old \
         run, so that it may have been there. *Fixed*: its own scenario passes in the new run, and every other that stumbled over it \
         came to a verdict. *Not shown*: the new run did not execute what would show it, which is no repair. Two findings are one if \
         their ids are the same (the promise and the judge), else if promise, judge and calls are, blocks numbered anew; the name of \
         the target, the seed and the folder are no part of it. What one run put down to another finding in the same scenario is \
         not new.",
        "“新出现”：触发该问题的某个用例在旧运行中通过。“仅见于新运行”：触发它的用例在旧运行中均未通过，问题可能早已存在。“已修复”：其自身用例在\
         新运行中通过，且其余触发过它的用例均有结论。“未能展现”：新运行未执行能展现它的内容，不等于修复。编号相同（需求与判定器相同）即为同一问题；\
         否则看需求、判定器与调用序列（块重新编号）是否相同；目标名称、种子与目录均不计入。另一次运行在同一用例中归入其他问题的，不算新出现。",
    );
    reproduce(page, comparison);
}

fn finding(page: &Page, row: &FindingRow) -> Vec<String> {
    let (en, zh) = words::kind(row.kind);
    let state = page.t(en, zh);
    let fresh = row.new.as_ref().is_some_and(|new| !new.expected);
    let state = match row.kind {
        FindingKind::New | FindingKind::FirstSeen if fresh => format!("**{state}**"),
        _ => state.to_owned(),
    };
    let (severity_en, severity_zh) = common::severity(row.severity);
    let told = row.new.as_ref().or(row.old.as_ref());
    let what = told.map_or_else(String::new, |side| message(page, &side.message));
    vec![
        state,
        ids(row),
        page.t(severity_en, severity_zh).to_owned(),
        what,
        remarks(page, row).join(page.t("; ", "；")),
    ]
}

fn ids(row: &FindingRow) -> String {
    match (&row.old, &row.new) {
        (Some(old), Some(new)) if old.id != new.id => format!("{} → {}", code(&old.id), code(&new.id)),
        (Some(side), _) | (None, Some(side)) => code(&side.id),
        (None, None) => String::new(),
    }
}

fn message(page: &Page, message: &Text) -> String {
    let text = page.t(&message.en, &message.zh);
    let short: String = text.chars().take(MESSAGE).collect();
    let more = if short.len() < text.len() { " …" } else { "" };
    format!("{}{more}", escape(&short))
}

/// Where it is seen, what is otherwise, and what is not known.
fn remarks(page: &Page, row: &FindingRow) -> Vec<String> {
    let mut all = vec![seen_in(page, row)];
    let expected = |side: &Option<FindingSide>| side.as_ref().is_some_and(|side| side.expected);
    let both = row.old.as_ref().is_none_or(|old| old.expected) && row.new.as_ref().is_none_or(|new| new.expected);
    if both && (expected(&row.old) || expected(&row.new)) {
        all.push(page.t("as expected", "符合预期").to_owned());
    }
    if row.drawn_anew {
        all.push(page.t(
            "its scenarios drew other sequences in the two runs, so that chance may be the reason".to_owned(),
            "两次运行中其用例的生成序列不同，可能出于偶然".to_owned(),
        ));
    }
    let changed = row.changed.iter().map(words::changed);
    all.extend(changed.chain(row.because.as_ref().map(words::because)).map(|(en, zh)| page.t(en, zh)));
    all
}

fn seen_in(page: &Page, row: &FindingRow) -> String {
    let told = |side: &FindingSide| {
        let (scenario, more) = (code(&side.scenario), side.scenarios.saturating_sub(1));
        let steps = side.steps;
        match more {
            0 => page.t(format!("{scenario}, {}", plural(steps, "step")), format!("{scenario}，{steps} 步")),
            _ => page.t(
                format!("{scenario} and {more} more, {}", plural(steps, "step")),
                format!("{scenario} 等 {} 个用例，{steps} 步", side.scenarios),
            ),
        }
    };
    match (&row.old, &row.new) {
        (Some(old), Some(new)) if told(old) != told(new) => format!("{} → {}", told(old), told(new)),
        (Some(side), _) | (None, Some(side)) => told(side),
        (None, None) => String::new(),
    }
}

/// The commands for what only the new run has.
fn reproduce(page: &mut Page, comparison: &Comparison) {
    let fresh = [FindingKind::New, FindingKind::FirstSeen].into_iter().flat_map(|kind| comparison.with_kind(kind));
    let commands: Vec<String> =
        fresh.filter_map(|row| row.new.as_ref()).map(|new| format!("{}   # {}", new.command, new.id)).collect();
    if !commands.is_empty() {
        page.lead(
            "To reproduce what only the new run has, from the folder that it was called in",
            "复现仅见于新运行的问题（在当时执行运行的目录下）",
        );
        page.code_block("sh", &commands.join("\n"));
    }
}
