//! The page on steps: what each leaves behind.

use super::super::{Explained, StepsBy};
use super::{Piece, Table, exactly, plural, shown, words};
use crate::op::Text;

const MOST_ROWS: usize = 8;

pub(super) fn pieces(explained: &Explained) -> Vec<Piece> {
    let steps = &explained.steps;
    let mut pieces = vec![Piece::Heading(Text::new("What a step leaves behind", "每一步留下什么"))];
    let (found, later, looked) = (steps.found, steps.later, steps.looked_at);
    let Some(source) = source(&steps.source) else {
        pieces.push(Piece::Line(Text::new(
            "No steps were found: the trace has no marks of steps, and its requests show no period.",
            "没有找到步：记录中没有步的标记，请求也不呈现周期。",
        )));
        return pieces;
    };
    pieces.push(Piece::Line(Text::new(
        format!("{} found {}.", plural(found, "whole step"), source.en),
        format!("找到 {found} 个完整的步，{}。", source.zh),
    )));
    if looked == 0 {
        pieces.push(Piece::Line(Text::new(
            format!("None of them has {} after it (`--later`).", plural(later, "step")),
            format!("其后都没有 {later} 个步（`--later`）。"),
        )));
        return pieces;
    }
    if steps.left.is_empty() {
        pieces.push(Piece::Line(Text::new(
            format!("Nothing that {} allocated is alive {} later.", plural(looked, "step"), plural(later, "step")),
            format!("{looked} 个步所分配的，在其后 {later} 个步都已释放。"),
        )));
        return pieces;
    }
    let in_all = steps.left.iter().filter(|left| left.steps == looked).count() as u64;
    pieces.push(Piece::Line(if in_all > 0 {
        Text::new(
            format!(
                "Allocated in a step and alive {} later; {} grows with every step.",
                plural(later, "step"),
                plural(in_all, "origin")
            ),
            format!("在某一步分配、{later} 个步之后仍存活；其中 {in_all} 处每一步都增长。"),
        )
    } else {
        Text::new(
            format!("Allocated in a step and alive {} later; nothing grows with every step.", plural(later, "step")),
            format!("在某一步分配、{later} 个步之后仍存活；没有每一步都增长的。"),
        )
    }));
    pieces.push(Piece::Table(left(explained)));
    pieces
}

/// What stays, by where it was allocated.
fn left(explained: &Explained) -> Table {
    let (steps, looked) = (&explained.steps, explained.steps.looked_at);
    let mut table = Table::new(
        1,
        &[
            ("allocated at", "分配于"),
            ("in steps", "涉及步数"),
            ("blocks", "块数"),
            ("bytes", "字节"),
            ("alive at the end", "结束时存活"),
        ],
    );
    for left in steps.left.iter().take(MOST_ROWS) {
        table.row([
            words::origin(&left.group),
            format!("{} / {looked}", left.steps).into(),
            left.blocks.to_string().into(),
            exactly(left.bytes).into(),
            exactly(left.alive_at_the_end).into(),
        ]);
    }
    let rest = steps.left.get(MOST_ROWS..).unwrap_or_default();
    if !rest.is_empty() {
        let sum = |of: fn(&super::super::Left) -> u64| rest.iter().map(of).fold(0, u64::saturating_add);
        table.row([
            Text::new(format!("{} more", rest.len()), format!("另有 {} 处", rest.len())),
            Text::default(),
            sum(|l| l.blocks).to_string().into(),
            exactly(sum(|l| l.bytes)).into(),
            exactly(sum(|l| l.alive_at_the_end)).into(),
        ]);
    }
    table
}

/// What the steps were told by; `None` where there are none.
fn source(source: &StepsBy) -> Option<Text> {
    Some(match source {
        StepsBy::None => return None,
        StepsBy::Marks { name, at_starts } => {
            let name = shown(name);
            let (en, zh) = if *at_starts { ("start", "开始") } else { ("end", "结束") };
            Text::new(format!("by the mark `{name}`, at its {en}"), format!("依据标记 `{name}` 的{zh}"))
        }
        StepsBy::Period { requests } => Text::new(
            format!(
                "by a period of {requests} requests, found in their sizes: there are no marks; a step is taken to begin where least is alive"
            ),
            format!("依据请求大小呈现的周期（每 {requests} 个请求）：没有标记；以存活最少处为一步的开始"),
        ),
    })
}
