//! In section 5: which values of abstract states came together, of those that can.

use super::super::facts::Facts;
use super::super::page::{Page, code, numbers, thousands, words as text};
use super::super::words;
use super::{codes, join};
use crate::op::Dimension;
use crate::op::together::Share;
use crate::verdict::states::{PairsRecord, StatesRecord};

/// Lines of missed pairs at most: a part of a run misses most.
const MOST_MISSED: usize = 60;

pub(super) fn write(page: &mut Page, facts: &Facts<'_>) {
    let Some(states) = &facts.record.states else { return };
    let (pairs, triples) = (states.in_pairs(), states.in_triples());
    page.lead(
        &format!("States: {} pairs of values reached", of(pairs)),
        &format!("状态：取值对已到达 {}", share(pairs)),
    );
    page.say(
        format!(
            "What each step came to, and in which conditions, is read off operations, replies and figures; every pair of values of two dimensions counts as reachable unless the target cannot show it or a rule excludes it (`poolproof list states`). Of chosen triples, {} were reached. A defect that needs a combination that was missed cannot have shown.",
            of(triples)
        ),
        format!(
            "每一步的结果及其所处条件均由操作、应答与统计数据读出；除目标无法呈现或规则排除者外（见 `poolproof list states`），两个维度的任意取值对均视为可到达。所选三元组已到达 {}。依赖未到达组合的缺陷不可能在本次运行中显现。",
            share(triples)
        ),
    );
    matrix(page, states);
    let mut missed = missed(page, states);
    if !missed.is_empty() {
        if let Some(rest) = missed.len().checked_sub(MOST_MISSED).filter(|&n| n > 0) {
            missed.truncate(MOST_MISSED);
            missed.push(page.t(
                format!("{} more values with what they did not come with stand in `run.json`", thousands(rest)),
                format!("另有 {} 个取值未到达的组合，见 `run.json`", thousands(rest)),
            ));
        }
        let left = pairs.reachable.saturating_sub(pairs.reached);
        page.folded(
            &format!("Pairs that were missed ({})", thousands(left)),
            &format!("未到达的取值对（{}）", thousands(left)),
            &missed,
        );
    }
    let mut items = Vec::new();
    if !states.hidden.is_empty() {
        let list = codes(page, states.hidden.iter().map(String::as_str));
        items.push(page.t(
            format!("Not shown by this target, and so in no figure above: {list}"),
            format!("本目标无法呈现，故未计入以上数字：{list}"),
        ));
    }
    if !states.contradicted.is_empty() {
        let pairs: Vec<String> = states.contradicted.iter().map(|[a, b]| code(&format!("{a} + {b}"))).collect();
        let list = join(page, &pairs);
        items.push(page.t(
            format!("Came about although a rule says that it cannot, which is a mistake of the rule or of the target's figures: {list}"),
            format!("规则认定不可能却仍出现，说明规则或目标的统计数据有误：{list}"),
        ));
    }
    if !items.is_empty() {
        page.bullets(&items);
    }
}

/// `12 of 34`.
fn of(share: Share) -> String {
    format!("{} of {}", thousands(share.reached), thousands(share.reachable))
}

fn share(share: Share) -> String {
    format!("{}/{}", thousands(share.reached), thousands(share.reachable))
}

/// Dimension by dimension, `reached/reachable`.
fn matrix(page: &mut Page, states: &StatesRecord) {
    let known = |name: &str| Dimension::named(name);
    let mut across: Vec<Dimension> = states.pairs.iter().filter_map(|p| known(&p.other)).collect();
    across.sort_unstable();
    across.dedup();
    let mut down: Vec<Dimension> = states.pairs.iter().filter_map(|p| known(&p.one)).collect();
    down.dedup();
    let cell = |one: Dimension, other: Dimension| {
        let found = states.pairs.iter().find(|p| p.one == one.name() && p.other == other.name());
        found.map_or_else(String::new, |p| share(Share { reached: p.reached, reachable: p.reachable }))
    };
    let name = |page: &Page, d: Dimension| {
        let (en, zh) = words::dimension(d);
        page.t(en, zh).to_owned()
    };
    let rows: Vec<Vec<String>> = down
        .iter()
        .map(|&one| std::iter::once(name(page, one)).chain(across.iter().map(|&other| cell(one, other))).collect())
        .collect();
    let mut columns = vec![text("Pairs of", "取值对")];
    columns.extend(across.iter().map(|&d| {
        let (en, zh) = words::dimension(d);
        numbers(en, zh)
    }));
    page.table(&columns, &rows);
}

/// What was missed, a line a value.
fn missed(page: &Page, states: &StatesRecord) -> Vec<String> {
    let line = |pairs: &PairsRecord, value: &String, with: &Vec<String>| {
        let list = codes(page, with.iter().map(String::as_str));
        let (one, other) = (format!("{}: {value}", pairs.one), &pairs.other);
        page.t(format!("{} with {other} {list}", code(&one)), format!("{} 与 {other} {list}", code(&one)))
    };
    let of = |pairs| {
        let pairs: &PairsRecord = pairs;
        pairs.missed.iter().map(|(value, with)| line(pairs, value, with)).collect::<Vec<_>>()
    };
    states.pairs.iter().flat_map(of).collect()
}
