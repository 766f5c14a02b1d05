//! What `replay --config` prints: the recorded run, the reference beside it, and other settings where both agree.
//!
//! Decides the words. Figures come from `replay::what_if`.

use std::path::Path;

use crate::op::size::human;
use crate::replay::Note;
use crate::replay::what_if::{CardSize, Disagreement, Reason, Row, SizeFrom, Table};

const COLUMNS: usize = 7;

/// One line a setting; without those of other settings where the reference comes to something else than was recorded.
pub(super) fn text(path: &Path, table: &Table) -> String {
    let mut text = String::new();
    match &table.disagreement {
        None => text.push_str(&format!("{}: {}\n", path.display(), cards(table))),
        Some(Disagreement { reason: Reason::LimitMatters { .. }, .. }) => text.push_str(&format!(
            "{}: no table: what other settings come to depends on a limit that nothing tells\n",
            path.display()
        )),
        Some(_) => text.push_str(&format!(
            "{}: no table: the reference does not come to what was recorded, so that it cannot tell of other settings\n",
            path.display()
        )),
    }
    text.push_str(&lines(table));
    if let Some(disagreement) = &table.disagreement {
        text.push_str(&format!("{disagreement}\n"));
    }
    if table.disagreement.is_none() && table.standing > 0 && !table.rows.is_empty() {
        text.push_str(&assumption(table));
    }
    if table.asked_bytes.is_some() && table.notes.iter().any(|note| matches!(note, Note::Fitted { .. })) {
        text.push_str("On the card asked for, the limit of garbage collections is as many bytes as it was.\n");
    }
    for note in &table.notes {
        text.push_str(&format!("  note: {note}\n"));
    }
    text
}

fn assumption(table: &Table) -> String {
    let mut text = format!(
        "The history began late. In the rows of other settings, what stood then ({}) was asked for first, by address; of the \
         peak reserved, so much were such blocks:\n",
        if table.standing == 1 { "1 block".to_owned() } else { format!("{} blocks", table.standing) }
    );
    for row in &table.rows {
        let device = if table.cards.len() > 1 { format!("device {}, ", row.device) } else { String::new() };
        let (config, then) = (named(&row.config), human(row.standing_then));
        text.push_str(&format!("  {device}{config}: {then} of {}\n", human(row.peak_reserved)));
    }
    text
}

/// On what card, and who says so.
fn cards(table: &Table) -> String {
    let mut shown: Vec<String> = table.cards.iter().map(card).collect();
    shown.dedup();
    let own = if shown.len() == 1 {
        format!("on a card of {}", shown[0])
    } else {
        let each: Vec<String> =
            table.cards.iter().enumerate().map(|(d, size)| format!("device {d} {}", card(size))).collect();
        format!("on cards of: {}", each.join("; "))
    };
    match table.asked_bytes {
        Some(bytes) => format!("recorded {own}; asked again on a card of {}", human(bytes)),
        None => own,
    }
}

fn card(size: &CardSize) -> String {
    let bytes = human(size.bytes);
    match size.from {
        SizeFrom::Header => format!("{bytes} (the recording's header)"),
        SizeFrom::Refusals => {
            let total = human(size.total);
            format!("{total}, of which {bytes} could be had (held and free when the driver refused more)")
        }
        SizeFrom::Others { most } => {
            let (total, most) = (human(size.total), human(most));
            let could = if most == bytes { bytes } else { format!("{bytes} to {most}") };
            format!("{total}, of which {could} could be had (held and free, beside what others held)")
        }
        SizeFrom::Refusal { index } => format!("{bytes} (held and free at the out of memory of event {index})"),
        SizeFrom::Between { least, below } => format!(
            "{bytes} (the recorded run was refused {} and held {}: the limit is between, and the lower is taken)",
            human(below),
            human(least)
        ),
        SizeFrom::Changing => format!("{bytes} (what could be had changed in the course of the run)"),
        SizeFrom::Nothing => format!("{bytes} (nothing tells its size; --device-bytes sets it)"),
        SizeFrom::Asked => bytes,
    }
}

fn named(config: &str) -> &str {
    if config.is_empty() { "(none)" } else { config }
}

fn lines(table: &Table) -> String {
    let several = table.cards.len() > 1;
    let mut lines = vec![
        ["settings", "peak reserved", "peak allocated", "fragmentation", "device calls", "retries", "out of memory"]
            .map(str::to_owned),
    ];
    let kinds = [("recorded: ", &table.recorded), ("reference: ", &table.reference), ("", &table.rows)];
    for (kind, rows) in kinds {
        let untold = !kind.is_empty() && table.notes.contains(&Note::SettingsNotTold);
        lines.extend(rows.iter().map(|row| cells(row, (kind, untold), several)));
    }
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|c| lines.iter().map(|l| l[c].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for line in lines {
        let padded = line.iter().zip(widths).enumerate().map(|(c, (cell, width))| {
            if c == 0 || c == COLUMNS - 1 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cells(row: &Row, (kind, untold): (&str, bool), several: bool) -> [String; COLUMNS] {
    let device = if several { format!("device {}, ", row.device) } else { String::new() };
    let refused = row.first_refusal.map(|(request, bytes)| {
        let more = if row.refusals > 1 { format!(" and {} more", row.refusals - 1) } else { String::new() };
        format!("request {request} ({}){more}", human(bytes))
    });
    [
        format!("{device}{kind}{}", if untold { "(not told)" } else { named(&row.config) }),
        human(row.peak_reserved),
        human(row.peak_allocated),
        format!("{:.1}%", row.fragmentation() * 100.0),
        row.device_calls.to_string(),
        row.retries.to_string(),
        refused.unwrap_or_else(|| "no".to_owned()),
    ]
}
