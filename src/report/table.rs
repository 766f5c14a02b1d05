//! The plain text at the end of a run: a line a target, a line a finding, a command a finding.
//!
//! Decides columns and padding. No colours: the caller owns the terminal.

use super::page::{columns_of, decimal, plural, thousands};
use super::words;
use crate::op::together::Share;
use crate::verdict::record::RunRecord;
use crate::verdict::sweep::{SweepRecord, SweptCall};
use crate::verdict::{Finding, Outcome};

/// The summary of one or more runs, ending in a line end.
#[must_use]
pub fn table(records: &[&RunRecord]) -> String {
    let mut out = aligned(&totals(records));
    out.extend(records.iter().filter_map(|record| states(record)));
    let findings: Vec<(&RunRecord, &Finding)> =
        records.iter().flat_map(|record| record.findings.iter().map(move |f| (*record, f))).collect();
    if findings.is_empty() {
        return out;
    }
    let several = records.len() > 1;
    let rows: Vec<Vec<Cell>> = findings.iter().map(|(record, finding)| row(record, finding, several)).collect();
    out += "\nfindings\n";
    out += &aligned(&rows);
    out += "\nreproduce\n";
    for (_, finding) in findings {
        out += &format!("{}  {}\n", finding.id, finding.command);
    }
    out
}

/// What a fault sweep came to: a line a kind of call, and one for all.
#[must_use]
pub fn sweep_table(sweep: &SweepRecord) -> String {
    const FIGURES: [&str; 8] =
        ["seen", "failed", "errors", "single faults", "pairs", "states checked", "sequences", "broken after it"];
    let mut rows = vec![vec![Cell::Words("device call".to_owned())]];
    rows[0].extend(FIGURES.map(|name| Cell::Number(name.to_owned())));
    let line = |name: &str, figures: [u64; 8]| -> Vec<Cell> {
        let name = Cell::Words(name.to_owned());
        std::iter::once(name).chain(figures.map(|n| Cell::Number(thousands(n)))).collect()
    };
    let figures =
        |c: &SweptCall| [c.seen, c.failed, c.errors.len() as u64, c.singles, c.pairs, c.states, c.sequences, c.broken];
    rows.extend(sweep.calls.iter().map(|c| line(c.call.name(), figures(c))));
    let all = std::array::from_fn(|i| sweep.total(|c| figures(c)[i]));
    rows.push(line("total", all));
    let (targets, seconds) = (sweep.targets.join(", "), decimal(sweep.stamp.seconds));
    let (sequences, runs) = (plural(sweep.sequences, "sequence"), plural(sweep.runs, "run"));
    let mut out = format!("fault sweep on {targets}: {sequences}, {runs}, {seconds} s\n{}", aligned(&rows));
    let notes = [
        (sweep.convicted, "led to a violation or a panic"),
        (sweep.failing, "failed without any fault"),
        (sweep.cut_short, "not swept to the end"),
    ];
    for (count, what) in notes.into_iter().filter(|(count, _)| *count > 0) {
        out += &format!("{}: {what}\n", plural(count, "sequence"));
    }
    out
}

/// How much of what can come together did, in one line.
fn states(record: &RunRecord) -> Option<String> {
    let states = record.states.as_ref()?;
    let (pairs, triples) = (states.in_pairs(), states.in_triples());
    let of = |share: Share| format!("{} of {}", thousands(share.reached), thousands(share.reachable));
    Some(format!("states of {}: {} pairs reached, {} triples\n", record.target.name, of(pairs), of(triples)))
}

pub(super) enum Cell {
    Words(String),
    Number(String),
}

impl Cell {
    fn text(&self) -> &str {
        match self {
            Cell::Words(text) | Cell::Number(text) => text,
        }
    }
}

fn totals(records: &[&RunRecord]) -> Vec<Vec<Cell>> {
    const SHOWN: [(Outcome, &str); 10] = [
        (Outcome::Pass, "pass"),
        (Outcome::Fail, "fail"),
        (Outcome::ExpectedFail, "expected-fail"),
        (Outcome::UnexpectedPass, "unexpected-pass"),
        (Outcome::Blocked, "blocked"),
        (Outcome::Inconclusive, "inconclusive"),
        (Outcome::NotApplicable, "n/a"),
        (Outcome::NotSelected, "not selected"),
        (Outcome::Skipped, "skipped"),
        (Outcome::Broken, "broken"),
    ];
    const ALWAYS: [Outcome; 4] = [Outcome::Pass, Outcome::Fail, Outcome::Inconclusive, Outcome::NotApplicable];
    // The others are worth their width only where there are some.
    let some = |outcome| ALWAYS.contains(&outcome) || records.iter().any(|r| r.count(outcome) > 0);
    let shown = || SHOWN.into_iter().filter(|(outcome, _)| some(*outcome));
    let mut header = vec![Cell::Words("target".to_owned()), Cell::Number("scenarios".to_owned())];
    header.extend(shown().map(|(_, name)| Cell::Number(name.to_owned())));
    header.extend(["sequences", "operations", "seconds"].map(|name| Cell::Number(name.to_owned())));
    let mut rows = vec![header];
    for record in records {
        let mut row = vec![Cell::Words(record.target.name.clone()), Cell::Number(thousands(record.scenarios.len()))];
        row.extend(shown().map(|(outcome, _)| Cell::Number(thousands(record.count(outcome)))));
        row.push(Cell::Number(thousands(record.scenarios.iter().map(|s| s.sequences).sum::<u64>())));
        row.push(Cell::Number(thousands(record.scenarios.iter().map(|s| s.operations).sum::<u64>())));
        row.push(Cell::Number(decimal(record.stamp.seconds)));
        rows.push(row);
    }
    rows
}

fn row(record: &RunRecord, finding: &Finding, several: bool) -> Vec<Cell> {
    let mut cells = vec![finding.id.clone()];
    if several {
        cells.push(record.target.name.clone());
    }
    let unsteady = words::comes_and_goes(finding).map_or_else(String::new, |(en, _)| format!(" ({en})"));
    cells.extend([
        words::severity(finding.severity).0.to_owned(),
        finding.scenario.clone(),
        finding.violation.oracle.name().to_owned(),
        plural(finding.reproducer.steps.len(), "step"),
        match finding.scenarios().len() {
            1 => String::new(),
            n => format!("in {n} scenarios"),
        },
        finding.violation.message.en.replace('\n', " ") + &unsteady,
    ]);
    cells.into_iter().map(Cell::Words).collect()
}

pub(super) fn aligned(rows: &[Vec<Cell>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|row| row.get(i)).map(|c| columns_of(c.text())).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| {
            let pad = " ".repeat(width.saturating_sub(columns_of(cell.text())));
            match cell {
                Cell::Words(text) => format!("{text}{pad}"),
                Cell::Number(text) => format!("{pad}{text}"),
            }
        });
        out += cells.collect::<Vec<_>>().join("  ").trim_end();
        out.push('\n');
    }
    out
}
