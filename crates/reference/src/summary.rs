//! `memory_summary`: the statistics as the table that people read. Every blank is PyTorch's.

use std::fmt::Write as _;

use crate::op::stats::{Column, Oversize, Row};
use crate::op::{Counter, Family, Stat, Stats};

const WIDTH: usize = 75;

type Cell = fn(i64, i64) -> String;

const METRICS: [(&str, Family, Cell); 9] = [
    ("Allocated memory", Family::AllocatedBytes, bytes_cell),
    ("Active memory", Family::ActiveBytes, bytes_cell),
    ("Requested memory", Family::RequestedBytes, bytes_cell),
    ("GPU reserved memory", Family::ReservedBytes, bytes_cell),
    ("Non-releasable memory", Family::InactiveSplitBytes, bytes_cell),
    ("Allocations", Family::Allocation, count_cell),
    ("Active allocs", Family::Active, count_cell),
    ("GPU reserved segments", Family::Segment, count_cell),
    ("Non-releasable allocs", Family::InactiveSplit, count_cell),
];

/// The table for one device.
#[must_use]
pub fn render(stats: &Stats, device: usize, abbreviated: bool) -> String {
    let mut lines = vec![
        "=".repeat(WIDTH),
        format!(" {:16} PyTorch CUDA memory summary, device ID {device:<17} ", ""),
        "-".repeat(WIDTH),
        format!(
            "  {:9} CUDA OOMs: {:<12} | {:6} cudaMalloc retries: {:<8}  ",
            "",
            stats.counter(Counter::NumOoms),
            "",
            stats.counter(Counter::NumAllocRetries)
        ),
        "=".repeat(WIDTH),
        "        Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  ".to_owned(),
    ];
    for (name, family, cell) in METRICS {
        lines.push("-".repeat(WIDTH));
        let all = stats.get(family, Row::All);
        lines.push(row(name, all, all, cell));
        if !abbreviated {
            lines.push(row("      from large pool", stats.get(family, Row::LargePool), all, cell));
            lines.push(row("      from small pool", stats.get(family, Row::SmallPool), all, cell));
        }
    }
    for (name, which) in
        [("Oversize allocations", Oversize::Allocations), ("Oversize GPU segments", Oversize::Segments)]
    {
        lines.push("-".repeat(WIDTH));
        let stat = stats.oversize(which);
        lines.push(row(name, stat, stat, count_cell));
    }
    lines.push("=".repeat(WIDTH));
    format!("|{}|\n", lines.join("|\n|"))
}

fn row(name: &str, stat: &Stat, reference: &Stat, cell: Cell) -> String {
    let mut line = format!(" {name:<21} ");
    for &column in Column::ALL {
        // Writing to a string cannot fail.
        let _ = write!(line, "| {} ", cell(stat.column(column), reference.column(column)));
    }
    line
}

/// Six digits and the unit that the reference value calls for.
fn bytes_cell(value: i64, reference: i64) -> String {
    let (value, unit) = scale(value, reference, 1024, 768, &["B  ", "KiB", "MiB", "GiB", "TiB", "PiB"]);
    format!("{value:>6} {unit}")
}

fn count_cell(value: i64, reference: i64) -> String {
    let (value, unit) = scale(value, reference, 1000, 750, &[" ", "K", "M"]);
    format!("{value:>7} {unit} ")
}

fn scale(mut value: i64, reference: i64, base: i64, turn: i64, units: &[&'static str]) -> (i64, &'static str) {
    #[expect(clippy::cast_precision_loss, reason = "compared with a threshold of a few hundred thousand")]
    let (mut reference, turn, step) = (reference as f64, (turn * base) as f64, base as f64);
    let mut unit = units[0];
    for &next in &units[1..] {
        if reference < turn {
            break;
        }
        value = value.div_euclid(base);
        reference /= step;
        unit = next;
    }
    (value, unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::PoolKind;

    fn three_mib() -> Stats {
        let mut stats = Stats::default();
        stats.increase(Family::AllocatedBytes, PoolKind::Large, 3 << 20);
        stats.increase(Family::Allocation, PoolKind::Large, 1);
        stats
    }

    #[test]
    fn every_line_is_75_wide_between_bars() {
        for (abbreviated, lines) in [(false, 47), (true, 29)] {
            let text = render(&three_mib(), 0, abbreviated);
            assert_eq!(text.lines().count(), lines);
            assert!(
                text.lines().all(|l| l.chars().count() == WIDTH + 2 && l.starts_with('|') && l.ends_with('|')),
                "{text}"
            );
        }
    }

    #[test]
    fn cells_scale_as_recorded() {
        assert_eq!(bytes_cell(3 << 20, 3 << 20), "  3072 KiB");
        assert_eq!(bytes_cell(0, 0), "     0 B  ");
        assert_eq!(count_cell(1, 1), "      1   ");
        assert_eq!(count_cell(800_000, 800_000), "    800 K ");
    }

    #[test]
    #[cfg_attr(miri, ignore = "the snapshot is in a file")]
    fn the_short_table_reads_so() {
        insta::assert_snapshot!(render(&three_mib(), 0, true));
    }
}
