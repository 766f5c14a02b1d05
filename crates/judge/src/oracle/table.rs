//! The summary table as documented: what each line of `memory_summary` must read for given statistics.
//!
//! Decides shape and figures of a correct table, line by line. Knows nothing of where the statistics came from.

use crate::op::stats::{Column, Key, Oversize, Row};
use crate::op::{Counter, Family, Stats};

const WIDTH: usize = 75;

#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Count,
}

const METRICS: [(Family, &str, Unit); 9] = [
    (Family::AllocatedBytes, "Allocated memory", Unit::Bytes),
    (Family::ActiveBytes, "Active memory", Unit::Bytes),
    (Family::RequestedBytes, "Requested memory", Unit::Bytes),
    (Family::ReservedBytes, "GPU reserved memory", Unit::Bytes),
    (Family::InactiveSplitBytes, "Non-releasable memory", Unit::Bytes),
    (Family::Allocation, "Allocations", Unit::Count),
    (Family::Active, "Active allocs", Unit::Count),
    (Family::Segment, "GPU reserved segments", Unit::Count),
    (Family::InactiveSplit, "Non-releasable allocs", Unit::Count),
];

const OVERSIZE: [(Oversize, &str); 2] =
    [(Oversize::Allocations, "Oversize allocations"), (Oversize::Segments, "Oversize GPU segments")];

/// The lines of the table, without the bars at both ends.
pub(super) fn lines(stats: &Stats, device: i32, abbreviated: bool) -> Vec<String> {
    let rule = |c: &str| c.repeat(WIDTH);
    let (ooms, retries) = (stats.counter(Counter::NumOoms), stats.counter(Counter::NumAllocRetries));
    let mut lines = vec![
        rule("="),
        format!(" {:16} PyTorch CUDA memory summary, device ID {device:<17} ", ""),
        rule("-"),
        format!("  {:9} CUDA OOMs: {ooms:<12} | {:6} cudaMalloc retries: {retries:<8}  ", "", ""),
        rule("="),
        "        Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  ".to_owned(),
    ];
    for (family, name, unit) in METRICS {
        lines.push(rule("-"));
        let column = |row, column| stats.value(Key::Family(family, row, column));
        lines.push(row(name, unit, |c| (column(Row::All, c), column(Row::All, c))));
        if !abbreviated {
            for (pool, name) in [(Row::LargePool, "      from large pool"), (Row::SmallPool, "      from small pool")] {
                lines.push(row(name, unit, |c| (column(pool, c), column(Row::All, c))));
            }
        }
    }
    for (which, name) in OVERSIZE {
        lines.push(rule("-"));
        let value = |c| stats.value(Key::Oversize(which, c));
        lines.push(row(name, Unit::Count, |c| (value(c), value(c))));
    }
    lines.push(rule("="));
    lines
}

/// A row; `value` gives each column's value and the one that chooses its unit.
fn row(name: &str, unit: Unit, value: impl Fn(Column) -> (i64, i64)) -> String {
    let cells: Vec<String> = Column::ALL.iter().map(|&c| cell(unit, value(c))).collect();
    format!(" {name:<21} | {} ", cells.join(" | "))
}

fn cell(unit: Unit, (value, reference): (i64, i64)) -> String {
    let (names, threshold, base): (&[&str], f64, i64) = match unit {
        Unit::Bytes => (&["B  ", "KiB", "MiB", "GiB", "TiB", "PiB"], 786_432.0, 1024),
        Unit::Count => (&[" ", "K", "M"], 750_000.0, 1000),
    };
    #[expect(clippy::cast_precision_loss, reason = "it only chooses a unit")]
    let (mut value, mut reference, mut name) = (value, reference as f64, names[0]);
    for next in &names[1..] {
        if reference < threshold {
            break;
        }
        name = next;
        value = value.div_euclid(base);
        #[expect(clippy::cast_precision_loss, reason = "1000 or 1024")]
        let by = base as f64;
        reference /= by;
    }
    match unit {
        Unit::Bytes => format!("{value:6} {name}"),
        Unit::Count => format!("{value:7} {name} "),
    }
}

/// The whole text, bars included.
#[cfg(test)]
pub(super) fn text(stats: &Stats, device: i32, abbreviated: bool) -> String {
    format!("|{}|\n", lines(stats, device, abbreviated).join("|\n|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::PoolKind;

    #[test]
    fn the_abbreviated_table() {
        let mut stats = Stats::default();
        stats.increase(Family::AllocatedBytes, PoolKind::Large, 3 << 20);
        stats.increase(Family::Allocation, PoolKind::Small, 1_234_567);
        *stats.counter_mut(Counter::NumOoms) = 2;
        let lines = lines(&stats, 0, true);
        assert!(lines.iter().all(|l| l.len() == WIDTH), "{lines:#?}");
        insta::assert_snapshot!(lines[..9].join("\n"), @r"
        ===========================================================================
                          PyTorch CUDA memory summary, device ID 0                 
        ---------------------------------------------------------------------------
                    CUDA OOMs: 2            |        cudaMalloc retries: 0         
        ===========================================================================
                Metric         | Cur Usage  | Peak Usage | Tot Alloc  | Tot Freed  
        ---------------------------------------------------------------------------
         Allocated memory      |   3072 KiB |   3072 KiB |   3072 KiB |      0 B   
        ---------------------------------------------------------------------------
        ");
        assert_eq!(lines.len(), 29);
        insta::assert_snapshot!(lines[17], @" Allocations           |    1234 K  |    1234 K  |    1234 K  |       0    ");
    }

    #[test]
    fn the_full_table_has_a_row_for_each_pool() {
        assert_eq!(lines(&Stats::default(), 3, false).len(), 47);
        assert!(text(&Stats::default(), 3, false).ends_with("=|\n"));
    }
}
