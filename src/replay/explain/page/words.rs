//! Words for causes, parts and changes, each in both languages.

use super::super::{Cause, Change, Explanation, Part};
use super::{exactly, percent, plural, shown};
use crate::op::Text;
use crate::op::size::human;
use crate::replay::divergence::FilePosition;
use crate::replay::explain::told::{NO_STACK, stream_name};
use crate::replay::explain::watch::BEFORE;
use crate::replay::what_if::{Disagreement, Figure, Reason, Unfitted};

/// A part of reserved memory, as a row of the table.
pub(super) fn part(part: Part, asked_pool: (u64, u64)) -> Text {
    let (en, zh) = match part {
        Part::Requested => ("live blocks, as requested", "活跃块：所请求的字节"),
        Part::Rounding => ("live blocks, rounding and remainders", "活跃块：取整与未切分的余量"),
        Part::Waiting => ("freed, waiting for events of streams", "已释放，等待流的事件"),
        Part::Usable => ("cached, would serve the request", "缓存：可满足该请求"),
        Part::TooShort => ("cached, each piece too short for the request", "缓存：每一段都不够该请求"),
        Part::Oversize => ("cached, kept from it by max_split_size_mb", "缓存：因 max_split_size_mb 不能用于该请求"),
        Part::OtherClass => ("cached for the other size class", "缓存：属于另一大小类别"),
        Part::OtherStream => ("cached for other streams", "缓存：属于其他流"),
        Part::OtherPool if asked_pool == (0, 0) => {
            ("cached in private pools and by graphs", "缓存：在私有池或 CUDA graph 中")
        }
        Part::OtherPool => ("cached outside of the request's private pool", "缓存：在该请求所用私有池之外"),
        Part::Moment => ("mapped within the call and given back", "调用中映射后又归还"),
    };
    Text::new(en, zh)
}

/// What a moment comes down to: how the sentence about it goes on.
#[expect(clippy::too_many_lines, reason = "a table of words")]
pub(super) fn cause(explanation: &Explanation, is_refusal: bool) -> Text {
    let bytes = human(explanation.verdict.bytes);
    let reserved = human(explanation.account.reserved);
    let needs = human(explanation.account.bytes(Part::Requested).saturating_add(explanation.asked.size));
    // A refusal names its request; a peak is looked at with the eyes of the request that it came with.
    let (whom, whom_zh) =
        if is_refusal { ("it", "它") } else { ("the request that reached the peak", "达到峰值的请求") };
    let (en, zh) = match explanation.verdict.cause {
        Cause::Demand => {
            let available = explanation.available().map_or_else(|| "?".to_owned(), human);
            (
                format!(
                    "the program asked for more than there is: {needs} with this request, of which {bytes} is alive, and {available} is all that it could hold then; no setting makes that fit"
                ),
                format!(
                    "程序所请求的超过了可用的：连同该请求共 {needs}，其中 {bytes} 存活，而当时至多可持有 {available}；任何设置都放不下"
                ),
            )
        }
        Cause::OthersOnTheCard => {
            let others = explanation.others.map_or_else(String::new, human);
            (
                format!(
                    "others hold {others} of the card: {needs} with this request would fit on it, and not beside them"
                ),
                format!("卡上其他占用者持有 {others}：连同该请求共 {needs}，整张卡放得下，与它们一起则放不下"),
            )
        }
        Cause::Fraction => (
            format!(
                "the memory fraction that the program set is reached: {needs} with this request would fit on the card"
            ),
            format!("已达到程序设置的显存比例：连同该请求共 {needs}，卡本身放得下"),
        ),
        Cause::Untold => {
            let free = explanation.free.map_or_else(String::new, human);
            (
                format!(
                    "something refused it that the file does not tell: the driver had {free} free, and {bytes} was to be got from it. A memory fraction that the program set does that, and memory that others gave back only then"
                ),
                format!(
                    "拒绝它的原因没有记录：驱动有 {free} 空闲，而只需取得 {bytes}。可能是程序设置的显存比例，或其他占用者此后才归还显存"
                ),
            )
        }
        Cause::Fragmentation => (
            format!(
                "the cache is fragmented: {bytes} of {reserved} is free in pieces that are each too short for {whom}, and live blocks pin them, so that they cannot be given back"
            ),
            format!("缓存碎片化：{reserved} 中有 {bytes} 空闲，但每一段对{whom_zh}都不够，且被活跃块钉住而无法归还"),
        ),
        Cause::NotGivenBack => (
            format!(
                "the cache was not given back, as a pool was in use or a graph captured: {bytes} of {reserved} is free in pieces that are each too short"
            ),
            format!("因正在使用私有池或捕获 graph，缓存没有归还：{reserved} 中有 {bytes} 空闲，但每一段都不够"),
        ),
        Cause::Cached => (
            format!(
                "{bytes} of {reserved} is cached in whole segments or pages, which would be given back before anything is refused"
            ),
            format!("{reserved} 中有 {bytes} 是整段或整页的缓存，在拒绝任何请求之前都会归还"),
        ),
        Cause::OtherStream => (
            format!("{bytes} of {reserved} is cached for other streams, and a block of another stream is never used"),
            format!("{reserved} 中有 {bytes} 缓存属于其他流，而其他流的块从不被使用"),
        ),
        Cause::PrivatePool => (
            format!("{bytes} of {reserved} is cached in private pools or by graphs, which serve nobody else"),
            format!("{reserved} 中有 {bytes} 缓存在私有池或 CUDA graph 中，不供他人使用"),
        ),
        Cause::OutsideThePool => (
            format!("{bytes} of {reserved} is cached outside of the private pool that the request went to"),
            format!("{reserved} 中有 {bytes} 缓存在该请求所用私有池之外"),
        ),
        Cause::OtherClass => (
            format!("{bytes} of {reserved} is cached for the other size class (small: up to 1 MiB; large: more)"),
            format!("{reserved} 中有 {bytes} 缓存属于另一大小类别（小：至多 1 MiB；大：更多）"),
        ),
        Cause::MaxSplit => (
            format!("max_split_size_mb keeps {bytes} of {reserved} for oversize requests"),
            format!("max_split_size_mb 把 {reserved} 中的 {bytes} 留给超大请求"),
        ),
        Cause::Waiting => (
            format!("{bytes} of {reserved} is freed and waits for other streams to finish with it"),
            format!("{reserved} 中有 {bytes} 已释放，但在等待其他流用完"),
        ),
        Cause::Rounding => (
            format!("{bytes} of {reserved} is rounding of live blocks, and remainders that were not split off"),
            format!("{reserved} 中有 {bytes} 是活跃块的取整与未切分的余量"),
        ),
        Cause::Remainder => (
            format!("{bytes} of {reserved} is what was left over of the segments that a request of this size takes"),
            format!("{reserved} 中有 {bytes} 是为该大小的请求取得的段的剩余"),
        ),
        Cause::Moment => (
            format!("{bytes} of {reserved} was mapped within one call and given back when the driver refused the rest"),
            format!("{reserved} 中有 {bytes} 在一次调用中映射，驱动拒绝其余部分后又归还"),
        ),
        Cause::NothingElse => {
            let share = percent(explanation.verdict.bytes, explanation.account.reserved);
            (format!("nothing that matters, {bytes} ({share}) in all"), format!("无关紧要，合计 {bytes}（{share}）"))
        }
    };
    Text::new(en, zh)
}

/// What blocks have in common: a stack as it is, and what stands for one in words.
pub(super) fn origin(group: &str) -> Text {
    let en = shown(group);
    if group == BEFORE {
        return Text::new(en, "历史开始之前分配的");
    }
    let (bare, no_stack) = group.strip_prefix(NO_STACK).map_or((group, ""), |bare| (bare, "无调用栈："));
    let is_size = bare.starts_with(|c: char| c.is_ascii_digit());
    match bare.split_once(", stream ").filter(|_| is_size) {
        Some((size, stream)) => Text::new(en, shown(&format!("{no_stack}{size}，流 {stream}"))),
        None => en.into(),
    }
}

/// What pins most, where the cause is that something is pinned.
pub(super) fn holders(explanation: &Explanation) -> Option<Text> {
    let is_about = matches!(
        explanation.verdict.cause,
        Cause::Fragmentation | Cause::OtherStream | Cause::OtherClass | Cause::MaxSplit
    );
    let group = explanation.account.pins.groups.first().filter(|group| is_about && group.alone > 0)?;
    let (name, count) = (origin(&group.group), group.blocks);
    let (alone, own, all) = (human(group.alone), human(group.bytes), human(explanation.account.pinned()));
    Some(Text::new(
        format!(
            "Of the {all} that live blocks pin, {alone} is pinned by {} alone ({}; {own} in all).",
            plural(count, "block"),
            name.en
        ),
        format!("被活跃块钉住的 {all} 中，{alone} 仅由 {count} 个块（{}；共 {own}）钉住。", name.zh),
    ))
}

/// A request, as it was put.
pub(super) fn asked(explanation: &Explanation) -> Text {
    let asked = &explanation.asked;
    let (bytes, stream) = (human(asked.bytes), stream_name(asked.stream));
    let (pool, place) = (pool(asked.pool), place(explanation.place));
    Text::new(
        format!("request {} ({bytes}, {stream}{}; {})", explanation.request, pool.en, place.en),
        format!("第 {} 个请求（{bytes}，{}{}；{}）", explanation.request, stream_zh(asked.stream), pool.zh, place.zh),
    )
}

/// Where in the file something shows.
fn place(place: FilePosition) -> Text {
    let zh = match place {
        FilePosition::Line(line) => format!("第 {line} 行"),
        FilePosition::Event { device, index } => format!("设备 {device} 的事件 {index}"),
        FilePosition::End { device } => format!("设备 {device} 的结尾"),
    };
    Text::new(place.to_string(), zh)
}

fn stream_zh(stream: u64) -> String {
    stream_name(stream).replacen("stream", "流", 1)
}

fn pool(id: (u64, u64)) -> Text {
    match id {
        (0, 0) => Text::default(),
        (0, n) => Text::new(format!(", MemPool {n}"), format!("，MemPool {n}")),
        (n, _) => Text::new(format!(", pool of graph {n}"), format!("，graph {n} 的池")),
    }
}

/// A change to a program, and its condition.
pub(super) fn change(change: Change) -> Text {
    let (en, zh) = match change {
        Change::PoolsHelpOut => (
            "make the pools with `torch.cuda.MemPool(use_on_oom=True)`: what they have cached then serves others before these are refused".to_owned(),
            "用 `torch.cuda.MemPool(use_on_oom=True)` 创建私有池：其缓存会在拒绝他人之前先供其使用".to_owned(),
        ),
        Change::OnePoolForGraphs => (
            "capture all graphs into one pool (`torch.cuda.graph(g, pool=first.pool())`), if they are replayed one at a time and in the order of their capture".to_owned(),
            "把所有 graph 捕获到同一个池（`torch.cuda.graph(g, pool=first.pool())`），前提是它们逐个、按捕获顺序重放".to_owned(),
        ),
        Change::NoPools => (
            "allocate outside of the MemPools".to_owned(),
            "不在 MemPool 中分配".to_owned(),
        ),
        Change::OneStream => (
            "allocate on one stream, if the work on the others can be ordered by it".to_owned(),
            "只在一个流上分配，前提是其他流上的工作可以据此排序".to_owned(),
        ),
        Change::ResetBefore((graph, _)) => (
            format!("call `reset()` on the graphs of pool ({graph}, 0) before the first request that was refused, if they are not replayed any more"),
            format!("在第一个被拒绝的请求之前对池 ({graph}, 0) 的 graph 调用 `reset()`，前提是不再重放它们"),
        ),
    };
    Text::new(en, zh)
}

/// What the driver and others hold beside what is reserved.
pub(super) fn card(explanation: &Explanation, total: Option<u64>) -> Option<Text> {
    let limit = explanation.limit.map(|limit| {
        Text::new(
            format!(" The program may reserve {}.", exactly(limit)),
            format!("程序至多可预留 {}。", exactly(limit)),
        )
    });
    let limit = limit.unwrap_or_default();
    let free = explanation.free?;
    let reserved = explanation.account.reserved;
    let text = match (total, explanation.others) {
        (Some(total), Some(others)) => Text::new(
            format!(
                "Of the card's {}, {} was free and {} held by others (other processes, and the driver's own for this one).",
                exactly(total),
                exactly(free),
                exactly(others)
            ),
            format!(
                "卡的 {} 中，{} 空闲，{} 由其他占用者持有（其他进程，以及驱动为本进程所用）。",
                exactly(total),
                exactly(free),
                exactly(others)
            ),
        ),
        _ => Text::new(
            format!(
                "The driver had {} free, so that this program could hold at most {}.",
                exactly(free),
                exactly(reserved.saturating_add(free))
            ),
            format!("驱动有 {} 空闲，故本程序至多可持有 {}。", exactly(free), exactly(reserved.saturating_add(free))),
        ),
    };
    Some(Text::new(text.en + &limit.en, text.zh + &limit.zh))
}

/// A cause in a few words.
pub(super) fn cause_name(cause: Cause) -> Text {
    let (en, zh) = match cause {
        Cause::Demand => ("too much asked for", "请求过多"),
        Cause::OthersOnTheCard => ("others on the card", "卡上其他占用者"),
        Cause::Untold => ("something not told", "没有记录的原因"),
        Cause::Fraction => ("the memory fraction", "显存比例"),
        Cause::Fragmentation => ("fragmentation", "碎片"),
        Cause::NotGivenBack => ("cache not given back", "缓存未归还"),
        Cause::Cached => ("cached", "缓存"),
        Cause::OtherStream => ("cached for other streams", "其他流的缓存"),
        Cause::PrivatePool => ("cached in private pools", "私有池的缓存"),
        Cause::OutsideThePool => ("cached outside of the pool", "池外的缓存"),
        Cause::OtherClass => ("the other size class", "另一大小类别"),
        Cause::MaxSplit => ("max_split_size_mb", "max_split_size_mb"),
        Cause::Waiting => ("waiting for streams", "等待流"),
        Cause::Rounding => ("rounding", "取整"),
        Cause::Remainder => ("rest of segments", "段的剩余"),
        Cause::Moment => ("mapped and given back", "映射后归还"),
        Cause::NothingElse => ("nothing else", "无其他"),
    };
    Text::new(en, zh)
}

/// Why the reference does not come to what was recorded.
pub(in crate::replay::explain) fn disagreement(disagreement: &Disagreement) -> Text {
    let figure = disagreement.figure.map(|(figure, recorded, reference)| {
        let zh = match figure {
            Figure::PeakReserved => "峰值预留",
            Figure::PeakAllocated => "峰值分配",
            Figure::DeviceCalls => "设备调用",
            Figure::Refusals => "拒绝的请求",
        };
        let is_bytes = matches!(figure, Figure::PeakReserved | Figure::PeakAllocated);
        let shown = |value: u64| if is_bytes { exactly(value) } else { value.to_string() };
        let (recorded, reference) = (shown(recorded), shown(reference));
        Text::new(
            format!("First in {}: recorded {recorded}, the reference {reference}. ", figure.name()),
            format!("首先是{zh}：录制 {recorded}，参考实现 {reference}。"),
        )
    });
    let figure = figure.unwrap_or_default();
    let (en, zh) = match &disagreement.reason {
        Reason::Diverged(divergence) => {
            (format!("It parts from the recorded run: {divergence}"), format!("它与录制的运行分道扬镳：{divergence}"))
        }
        Reason::Collections { times, why } => collections(*times, *why),
        Reason::LimitMatters { config, .. } => return limit_matters(config),
        Reason::Changing => (
            "The memory that the run could have changed in its course: it was refused less at one time than it held at another.".to_owned(),
            "运行过程中可用显存有变化：某时被拒绝的，少于另一时所持有的。".to_owned(),
        ),
        Reason::Parted { place, recorded, reference, .. } => (
            format!("It first holds other memory at {place}: recorded {} B reserved and {} B allocated, the reference {} B and {} B.", recorded.0, recorded.1, reference.0, reference.1),
            format!("它首次持有不同显存是在 {place}：录制预留 {} B、分配 {} B，参考实现为 {} B 与 {} B。", recorded.0, recorded.1, reference.0, reference.1),
        ),
        Reason::Unknown => (
            "Between all calls it holds what the recorded run held.".to_owned(),
            "在所有调用之间，它所持有的与录制的运行相同。".to_owned(),
        ),
    };
    Text::new(figure.en + &en, figure.zh + &zh)
}

fn collections(times: u64, why: Option<Unfitted>) -> (String, String) {
    let en = why.map_or(String::new(), |why| format!(" Of a limit fitted to them: {why}."));
    let zh = why.map_or(String::new(), |why| match why {
        Unfitted::Settings => "途中设置有变化，因此没有由它们推算上限。".to_owned(),
        Unfitted::Parted { index } => {
            format!(
                "若年龄自历史开始算起、上限不变，则没有一个上限与全部回收相符：到事件 {index} 为止有，加上它就没有。"
            )
        }
        Unfitted::NoShare => "所设阈值不是任何相符上限的份额。".to_owned(),
        Unfitted::Exceeded { most } => {
            format!("没有一个上限与全部回收相符：上限高于 {}，回收的就会更少，而预留的却更多。", exactly(most))
        }
        Unfitted::Otherwise { least, most } => {
            format!(
                "从 {} 到 {} 的上限与它们相符，但用其中之一，参考实现的结果仍不相同。",
                exactly(least),
                exactly(most)
            )
        }
    });
    (
        format!(
            "{times} garbage collections went by the memory fraction and by ages, which a snapshot does not tell.{en}"
        ),
        format!("{times} 次垃圾回收取决于显存比例与缓存年龄，快照没有记录它们。{zh}"),
    )
}

/// Several limits fit what was recorded, and under other settings it matters which it was.
pub(in crate::replay::explain) fn limit_matters(config: &str) -> Text {
    let config = if config.is_empty() { "(none)" } else { config };
    Text::new(
        format!(
            "Garbage collections went by the memory fraction, which a snapshot does not tell. Several fractions fit what was \
             collected, and what `{config}` comes to depends on which it was."
        ),
        format!(
            "垃圾回收取决于显存比例，快照没有记录它。有若干比例与所回收的相符，而 `{config}` 的结果取决于是哪一个。"
        ),
    )
}
