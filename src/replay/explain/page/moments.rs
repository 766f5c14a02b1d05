//! The page on moments: the cause in one sentence, then where memory was at the first refusal and at the peak.

use super::super::{Explained, Explanation, MOST_REFUSALS, Part};
use super::{Piece, Table, exactly, notes, percent, plural, size, whole, words};
use crate::op::Text;
use crate::op::size::human;
use crate::replay::{Bound, Range};

/// So many rows of a list are shown.
const MOST_ROWS: usize = 8;

pub(super) fn pieces(explained: &Explained) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = part(explained.part).map(Piece::Line).into_iter().collect();
    pieces.push(Piece::Line(headline(explained)));
    pieces.extend(words::holders(explained.subject()).map(Piece::Line));
    if let Some(first) = explained.first_refusal() {
        pieces.push(Piece::Heading(Text::new("Where memory was at this refusal", "该次拒绝时显存在何处")));
        pieces.extend(moment(first, explained.card_bytes));
    }
    pieces.push(Piece::Heading(Text::new("Where memory was at the peak", "峰值时显存在何处")));
    pieces.extend(peak(explained).into_iter().map(Piece::Line));
    pieces.extend(moment(&explained.peak, explained.card_bytes));
    pieces.extend(holding(explained));
    pieces.extend(refusals(explained));
    pieces.extend(others(explained));
    pieces.extend(explained.notes.iter().map(notes::note).map(|note| {
        Piece::Line(Text::new(format!("Note: {}.", whole(&note.en)), format!("注：{}。", whole(&note.zh))))
    }));
    pieces
}

/// That only a part of the file is explained.
fn part(range: Range) -> Option<Text> {
    let bound = |bound: Option<Bound>| bound.map(|bound| bound.to_string());
    let (from, to) = match (bound(range.from), bound(range.to)) {
        (None, None) => return None,
        (from, to) => (from, to),
    };
    let (from_zh, to_zh) =
        (from.clone().unwrap_or_else(|| "开头".to_owned()), to.clone().unwrap_or_else(|| "结尾".to_owned()));
    let (from, to) = (from.unwrap_or_else(|| "its beginning".to_owned()), to.unwrap_or_else(|| "its end".to_owned()));
    Some(Text::new(
        format!("Only a part of the trace is explained, from {from} to {to}."),
        format!("只解释记录的一部分，从 {from_zh} 到 {to_zh}。"),
    ))
}

/// When the most was reserved, where the first sentence does not say it.
fn peak(explained: &Explained) -> Vec<Text> {
    let (asked, reserved) = (words::asked(&explained.peak), exactly(explained.peak.account.reserved));
    let mut lines = Vec::new();
    if explained.is_from_before {
        lines.push(Text::new(
            format!(
                "The most was reserved when the history began: {reserved}. What is cached is told by its use for {}.",
                asked.en
            ),
            format!("历史开始时预留最多：{reserved}。缓存按其对{}的用处分类。", asked.zh),
        ));
    } else if explained.peak.place != explained.subject().place {
        lines.push(Text::new(
            format!("The most was reserved after {}: {reserved}.", asked.en),
            format!("{}之后预留最多：{reserved}。", asked.zh),
        ));
    }
    lines.extend(explained.peak_in_cut_calls.map(|more| {
        let more = exactly(more);
        Text::new(
            format!("More was reserved in calls of which the history holds only a part: {more}. They cannot be accounted for."),
            format!("在历史只记录了一部分的调用中预留更多：{more}，无法列出明细。"),
        )
    }));
    lines
}

/// Everything in one sentence.
fn headline(explained: &Explained) -> Text {
    let subject = explained.subject();
    let (asked, cause) = (words::asked(subject), words::cause(subject, explained.refused > 0));
    if explained.refused == 0 {
        let (reserved, asked) = (human(subject.account.reserved), subject.account.bytes(Part::Requested));
        let (live, share) = (human(asked), percent(asked, subject.account.reserved));
        let device = explained.device;
        return Text::new(
            format!(
                "Nothing was refused on device {device}. At the peak {reserved} was reserved, of which {live} ({share}) was asked for and alive; the largest of the rest: {}.",
                cause.en
            ),
            format!(
                "设备 {device} 上没有请求被拒绝。峰值预留 {reserved}，其中 {live}（{share}）为所请求且存活；其余中最大者：{}。",
                cause.zh
            ),
        );
    }
    let more = explained.refused - 1;
    let (more_en, more_zh) = match more {
        0 => (String::new(), String::new()),
        _ => (format!(" ({} more)", plural(more, "refusal")), format!("（另有 {more} 次拒绝）")),
    };
    Text::new(
        format!(
            "Out of memory on device {}: {} was refused, because {}{more_en}.",
            explained.device, asked.en, cause.en
        ),
        format!("设备 {} 显存不足：{}被拒绝，因为{}{more_zh}。", explained.device, asked.zh, cause.zh),
    )
}

/// The parts, which add up to what was reserved, and what is beside them.
fn moment(explanation: &Explanation, total: Option<u64>) -> Vec<Piece> {
    let account = &explanation.account;
    let mut table = Table::new(
        1,
        &[
            ("part", "部分"),
            ("bytes", "字节"),
            ("size", "大小"),
            ("share", "占比"),
            ("pinned by live blocks", "被活跃块钉住"),
            ("blocks", "块数"),
        ],
    );
    for share in &account.shares {
        let always = matches!(share.part, Part::Requested | Part::Rounding);
        if share.bytes == 0 && !always {
            continue;
        }
        let pinned = if share.part.is_cached() { size(share.pinned) } else { Text::default() };
        table.row([
            words::part(share.part, explanation.asked.pool),
            share.bytes.to_string().into(),
            size(share.bytes),
            percent(share.bytes, account.reserved).into(),
            pinned,
            share.blocks.to_string().into(),
        ]);
    }
    table.row([
        Text::new("reserved", "合计预留"),
        account.reserved.to_string().into(),
        size(account.reserved),
        percent(account.reserved, account.reserved).into(),
        size(account.pinned()),
        account.shares.iter().map(|s| s.blocks).sum::<u64>().to_string().into(),
    ]);
    let mut pieces = vec![Piece::Table(table)];
    pieces.extend(words::card(explanation, total).map(Piece::Line));
    pieces.extend(pins(explanation));
    pieces
}

/// Which live blocks pin the cache.
fn pins(explanation: &Explanation) -> Vec<Piece> {
    let pins = &explanation.account.pins;
    if explanation.account.pinned() == 0 {
        return Vec::new();
    }
    let mut groups = Table::new(
        1,
        &[
            ("live blocks that pin free memory", "钉住空闲显存的活跃块"),
            ("blocks", "块数"),
            ("their bytes", "自身字节"),
            ("they alone pin", "仅由其钉住"),
        ],
    );
    for group in pins.groups.iter().take(MOST_ROWS) {
        groups.row([
            words::origin(&group.group),
            group.blocks.to_string().into(),
            size(group.bytes),
            exactly(group.alone).into(),
        ]);
    }
    let rest = pins.groups.get(MOST_ROWS..).unwrap_or_default();
    if !rest.is_empty() {
        let sum = |of: fn(&super::super::PinGroup) -> u64| rest.iter().map(of).sum::<u64>();
        groups.row([
            Text::new(format!("{} more", rest.len()), format!("另有 {} 组", rest.len())),
            sum(|g| g.blocks).to_string().into(),
            size(sum(|g| g.bytes)),
            exactly(sum(|g| g.alone)).into(),
        ]);
    }
    if pins.several > 0 {
        let several = Text::new("several of these together", "以上多组共同");
        groups.row([several, Text::default(), Text::default(), exactly(pins.several).into()]);
    }
    let mut blocks = Table::new(
        2,
        &[
            ("block", "块"),
            ("allocated at", "分配于"),
            ("size", "大小"),
            ("age in calls", "存活（调用数）"),
            ("pins alone", "独自钉住"),
            ("pins with others", "与他块共同钉住"),
        ],
    );
    for block in pins.top.iter().take(MOST_ROWS) {
        blocks.row([
            format!("{:#x}", block.address).into(),
            words::origin(&block.group),
            size(block.size),
            block.age.to_string().into(),
            size(block.alone),
            size(block.shared),
        ]);
    }
    vec![Piece::Table(groups), Piece::Table(blocks)]
}

/// What the live blocks are, by where they were allocated.
fn holding(explained: &Explained) -> Vec<Piece> {
    let subject = explained.subject();
    let mut table = Table::new(
        1,
        &[
            ("live blocks by where they were allocated", "按分配处统计的活跃块"),
            ("blocks", "块数"),
            ("bytes as requested", "所请求字节"),
        ],
    );
    for (group, bytes, blocks) in subject.live.iter().take(MOST_ROWS) {
        table.row([words::origin(group), blocks.to_string().into(), exactly(*bytes).into()]);
    }
    let rest = subject.live.get(MOST_ROWS..).unwrap_or_default();
    if !rest.is_empty() {
        let (bytes, blocks) = rest.iter().fold((0, 0), |sum, (_, bytes, blocks)| (sum.0 + bytes, sum.1 + blocks));
        table.row([
            Text::new(format!("{} more", rest.len()), format!("另有 {} 组", rest.len())),
            blocks.to_string().into(),
            exactly(bytes).into(),
        ]);
    }
    let what =
        if explained.refused > 0 { ("at this refusal", "该次拒绝时") } else { ("at the peak", "峰值时") };
    let mut pieces =
        vec![Piece::Heading(Text::new(format!("What was alive {}", what.0), format!("{}存活的块", what.1)))];
    if !explained.has_stacks && !subject.live.is_empty() {
        pieces.push(Piece::Line(Text::new(
            "No stacks were recorded for this device: blocks are named by size and stream.",
            "该设备没有记录调用栈：以大小和流称呼各块。",
        )));
    }
    pieces.push(if subject.live.is_empty() {
        Piece::Line(Text::new("No block was alive.", "没有存活的块。"))
    } else {
        Piece::Table(table)
    });
    pieces
}

/// Every refusal after the first.
fn refusals(explained: &Explained) -> Vec<Piece> {
    if explained.refused < 2 {
        return Vec::new();
    }
    let mut table = Table::new(
        1,
        &[
            ("refused", "被拒绝的请求"),
            ("reserved", "预留"),
            ("requested and live", "活跃请求字节"),
            ("cached", "缓存"),
            ("pinned", "被钉住"),
            ("because of", "原因"),
        ],
    );
    for refusal in explained.refusals.iter().take(MOST_ROWS) {
        let account = &refusal.account;
        let cached: u64 = account.shares.iter().filter(|s| s.part.is_cached()).map(|s| s.bytes).sum();
        table.row([
            words::asked(refusal),
            size(account.reserved),
            size(account.bytes(Part::Requested)),
            size(cached),
            size(account.pinned()),
            words::cause_name(refusal.verdict.cause),
        ]);
    }
    let shown = explained.refusals.len().min(MOST_ROWS) as u64;
    let mut pieces = vec![Piece::Heading(Text::new("All refusals", "所有拒绝")), Piece::Table(table)];
    if explained.refused > shown {
        let more = explained.refused - shown;
        pieces.push(Piece::Line(Text::new(
            format!("{more} more; explain.json (`--json`) has the account of the first {MOST_REFUSALS}."),
            format!("另有 {more} 次；explain.json（`--json`）含前 {MOST_REFUSALS} 次的明细。"),
        )));
    }
    pieces
}

/// Devices that this page is not about.
fn others(explained: &Explained) -> Vec<Piece> {
    let line = |other: &super::super::OtherDevice| {
        let (device, peak) = (other.device, human(other.peak_reserved));
        Piece::Line(Text::new(
            format!(
                "Device {device}: peak {peak}, {}; `--device {device}` explains it.",
                plural(other.refusals, "refusal")
            ),
            format!("设备 {device}：峰值 {peak}，{} 次拒绝；`--device {device}` 可解释它。", other.refusals),
        ))
    };
    explained.others.iter().map(line).collect()
}
