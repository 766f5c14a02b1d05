//! The page on settings: what is proposed, the smallest card, and what nothing beats.

use super::super::{Card, CardFrom, Compared, Comparison, Explained, Outcome, Proposal};
use super::{Piece, Table, config, exactly, plural, shown, words};
use crate::op::Text;
use crate::op::size::human;
use crate::replay::{Bound, Note};

pub(super) fn pieces(explained: &Explained) -> Vec<Piece> {
    let mut pieces = vec![Piece::Heading(Text::new("What would have helped", "什么会有帮助"))];
    match &explained.compared {
        Compared::Tried { card, comparison } => {
            pieces.extend(proposals(explained, *card, comparison));
            pieces.extend(smallest(explained, *card, comparison));
            pieces.extend(table(explained, comparison));
        }
        Compared::Differs { card, why } => pieces.push(Piece::Line(differs(*card, why))),
        Compared::Interrupted => pieces.push(Piece::Line(Text::new(
            "Interrupted before other settings were tried.",
            "在尝试其他设置之前被中断。",
        ))),
    }
    pieces
}

fn differs(card: Card, why: &Text) -> Text {
    let card = human(card.bytes);
    Text::new(
        format!(
            "Nothing is said about other settings: on a card of {card} the reference does not come to what was recorded. {}",
            why.en
        ),
        format!("不评价其他设置：在 {card} 的卡上，参考实现与录制结果不符。{}", why.zh),
    )
}

fn proposals(explained: &Explained, card: Card, comparison: &Comparison) -> Vec<Piece> {
    let mut pieces: Vec<Piece> =
        comparison.proposals.iter().flat_map(|proposal| proposed(explained, card, comparison, proposal)).collect();
    if pieces.is_empty() {
        let tried = comparison.tried;
        let (pairs, pairs_zh) = if comparison.pairs { (", pairs among them", "，含成对的") } else { ("", "") };
        let text = if comparison.recorded.refusals > 0 {
            Text::new(
                format!(
                    "None of {tried} settings tried, and no change tried to the program, serves every request on this card."
                ),
                format!("所试的 {tried} 种设置与对程序的更改，都不能在这张卡上满足所有请求。"),
            )
        } else {
            Text::new(
                format!("No change of one setting needs less by a twentieth or more ({tried} settings tried{pairs})."),
                format!("没有单项设置能少用二十分之一以上（试了 {tried} 种设置{pairs_zh}）。"),
            )
        };
        pieces.push(Piece::Line(text));
    }
    pieces
}

fn proposed(explained: &Explained, card: Card, comparison: &Comparison, proposal: &Proposal) -> Vec<Piece> {
    let Outcome { peak_reserved, refusals, standing, config: settings, .. } = &proposal.outcome;
    let (peak, before, bytes) = (human(*peak_reserved), human(comparison.recorded.peak_reserved), human(card.bytes));
    let what = match proposal.change {
        Some(change) => {
            let change = words::change(change);
            Text::new(format!("Change: {}.", change.en), format!("更改：{}。", change.zh))
        }
        None => {
            let settings = config(settings);
            Text::new(
                format!("Setting: PYTORCH_CUDA_ALLOC_CONF={}.", settings.en),
                format!("设置：PYTORCH_CUDA_ALLOC_CONF={}。", settings.zh),
            )
        }
    };
    let came_to = if comparison.recorded.refusals > 0 {
        Text::new(
            format!(" Replayed on a card of {bytes} it fits: {refusals} refusals, peak reserved {peak}."),
            format!("在 {bytes} 的卡上重放可以放下：{refusals} 次拒绝，峰值预留 {peak}。"),
        )
    } else {
        Text::new(
            format!(" Replayed, the peak is {peak} instead of {before}."),
            format!("重放后峰值为 {peak}，而非 {before}。"),
        )
    };
    let came_to = match *standing {
        0 => came_to,
        bytes => Text::new(
            format!("{} {} of that peak stood when the history began.", came_to.en, human(bytes)),
            format!("{}该峰值中有 {} 在历史开始时已经存在。", came_to.zh, human(bytes)),
        ),
    };
    let mut pieces = vec![Piece::Line(Text::new(what.en + &came_to.en, what.zh + &came_to.zh))];
    // Where a fraction was set and others held memory too, no flags of `replay` say so.
    let is_plain = explained.subject().limit.is_none() || card.from == CardFrom::Recording;
    if proposal.change.is_none() && is_plain && explained.file.chars().all(|c| !c.is_control() && c != '\'') {
        let size =
            if card.from == CardFrom::Nothing { String::new() } else { format!(" --device-bytes {}", card.bytes) };
        let (file, settings) = (&explained.file, shown(settings));
        let bound =
            |flag: &str, bound: Option<Bound>| bound.map_or_else(String::new, |bound| format!(" {flag} {bound}"));
        let part = bound("--from", explained.part.from) + &bound("--to", explained.part.to);
        pieces.push(Piece::Command(format!("poolproof replay '{file}'{part} --config '{settings}'{size}")));
    }
    pieces
}

fn smallest(explained: &Explained, card: Card, comparison: &Comparison) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let from = match card.from {
        CardFrom::Recording => Text::new("as the recording names it", "录制中所记"),
        CardFrom::Refusal => {
            Text::new("what was reserved and what the driver had free at a refusal", "拒绝时的预留与驱动空闲之和")
        }
        CardFrom::Between { least, below } => Text::new(
            format!("{} was held, and {} was not to be had", human(least), human(below)),
            format!("曾持有 {}，而 {} 得不到", human(least), human(below)),
        ),
        CardFrom::Changing => Text::new("what there was changed in the course of the run", "运行过程中可用显存有变化"),
        CardFrom::Nothing => Text::new(
            "chosen so that nothing is refused, as nothing tells the card's size",
            "没有信息说明卡的大小，故选为不会拒绝任何请求",
        ),
    };
    pieces.push(Piece::Line(Text::new(
        format!("The card here: {} for this program ({}).", exactly(card.bytes), from.en),
        format!("这里的卡：本程序可用 {}（{}）。", exactly(card.bytes), from.zh),
    )));
    pieces.extend(standing(explained).map(Piece::Line));
    let text = match &comparison.smallest {
        Some(own) => {
            let bytes = exactly(own.card);
            let (which, which_zh) = recorded(explained);
            Text::new(
                format!("Smallest card on which every request is served, under {which}: {bytes}."),
                format!("在{which_zh}下，能满足所有请求的最小的卡：{bytes}。"),
            )
        }
        None => Text::new(
            "Under the recorded settings no card serves every request.",
            "在录制的设置下，任何卡都不能满足所有请求。",
        ),
    };
    pieces.push(Piece::Line(text));
    let text = match &comparison.smallest_of_all {
        Some(best) => {
            let (bytes, settings) = (exactly(best.card), config(&best.config));
            Text::new(
                format!("Under the best settings tried, {}: {bytes}.", settings.en),
                format!("在所试的最佳设置 {} 下：{bytes}。", settings.zh),
            )
        }
        None => Text::new("No other setting tried needs a smaller one.", "所试的其他设置都不能用更小的卡。"),
    };
    pieces.push(Piece::Line(text));
    let what = Text::new(
        "Found by bisection: it fits there, and not on a card 2 MiB smaller; memory of others and the driver's own comes on top.",
        "由二分法得到：在该大小放得下，小 2 MiB 则放不下；其他占用者与驱动自身的显存另计。",
    );
    pieces.push(Piece::Line(what));
    if comparison.absurd > 0 {
        let absurd = comparison.absurd;
        pieces.push(Piece::Line(Text::new(
            format!("Not counted: {absurd} refused requests of 1 TiB or more, which no card serves."),
            format!("未计入：{absurd} 个 1 TiB 或以上的被拒绝请求，任何卡都不能满足。"),
        )));
    }
    pieces
}

/// The recorded settings, where they changed those at the end.
fn recorded(explained: &Explained) -> (&'static str, &'static str) {
    let has_changed = explained.notes.iter().any(|note| matches!(note, Note::SettingsChanged { .. }));
    if has_changed {
        ("the settings in force at the end of the recording", "录制结束时生效的设置")
    } else {
        ("the recorded settings", "录制的设置")
    }
}

/// What other settings rest on where the history began late.
fn standing(explained: &Explained) -> Option<Text> {
    let count = explained.standing;
    (count > 0).then(|| {
        Text::new(
            format!(
                "The history began late: here and under other settings, what stood then ({}) is asked for first, by address.",
                plural(count, "block")
            ),
            format!("历史开始得晚：在此处与其他设置下，当时已有的 {count} 个块按地址顺序最先请求。"),
        )
    })
}

/// What nothing beats, beside the recorded settings.
fn table(explained: &Explained, comparison: &Comparison) -> Vec<Piece> {
    if !comparison.pairs {
        return Vec::new();
    }
    let mut table = Table::new(
        1,
        &[
            ("settings", "设置"),
            ("peak reserved", "峰值预留"),
            ("device calls", "设备调用"),
            ("retries", "重试"),
            ("refusals", "拒绝"),
        ],
    );
    let cells = |outcome: &Outcome, label: Text| {
        [
            label,
            exactly(outcome.peak_reserved).into(),
            outcome.device_calls.to_string().into(),
            outcome.retries.to_string().into(),
            outcome.refusals.to_string().into(),
        ]
    };
    let is_told = !explained.notes.contains(&Note::SettingsNotTold);
    let own = if is_told { config(&comparison.recorded.config) } else { Text::new("(not told)", "（没有记录）") };
    let own = Text::new(format!("recorded: {}", own.en), format!("录制：{}", own.zh));
    table.row(cells(&comparison.recorded, own));
    for outcome in comparison.unbeaten.iter().filter(|o| o.config != comparison.recorded.config) {
        table.row(cells(outcome, config(&outcome.config)));
    }
    let is_unbeaten = comparison.unbeaten.iter().any(|o| o.config == comparison.recorded.config);
    let tried = comparison.tried;
    let (own_en, own_zh) = if is_unbeaten {
        ("the recorded ones are among them", "录制的设置也在其中")
    } else {
        ("the recorded ones are not among them", "录制的设置不在其中")
    };
    vec![
        Piece::Heading(Text::new("Settings that nothing beats", "无可超越的设置")),
        Piece::Line(Text::new(
            format!(
                "Of {tried} settings, alone and in pairs, those with the fewest refusals that no other one beats in peak, device calls and retries at once; {own_en}."
            ),
            format!(
                "在 {tried} 种设置（单项与成对）中，拒绝最少、且峰值、设备调用、重试不被任何其他设置同时超越者；{own_zh}。"
            ),
        )),
        Piece::Table(table),
    ]
}
