//! Part of section 3: the device calls that were failed in turn, and what was seen afterwards.

use super::super::facts::Facts;
use super::super::page::{Page, decimal, numbers, plural, thousands, words as text};
use super::codes;
use crate::verdict::sweep::{SweepRecord, SweptCall};

/// Nothing where no calls were failed.
pub(super) fn write(page: &mut Page, facts: &Facts<'_>) {
    let Some(sweep) = &facts.record.sweep else { return };
    page.lead("Device calls made to fail, one by one and in pairs", "逐一及成对注入的设备调用失败");
    let mut rows: Vec<Vec<String>> = sweep.calls.iter().map(row).collect();
    let total = |of: fn(&SweptCall) -> u64| thousands(sweep.total(of));
    rows.push(vec![
        page.t("**total**", "**总计**").to_owned(),
        total(|c| c.seen),
        total(|c| c.failed),
        thousands(sweep.calls.iter().map(|c| c.errors.len()).sum::<usize>()),
        total(|c| c.singles),
        total(|c| c.pairs),
        total(|c| c.states),
        total(|c| c.sequences),
        total(|c| c.broken),
    ]);
    let columns = [
        text("Call", "调用"),
        numbers("Seen", "出现次数"),
        numbers("Failed", "注入失败的次数"),
        numbers("Errors", "错误种类"),
        numbers("Single faults", "单故障运行"),
        numbers("Pairs", "双故障运行"),
        numbers("States checked", "检查的状态"),
        numbers("Sequences", "操作序列"),
        numbers("Of them broken after it", "其中之后违例的"),
    ];
    page.table(&columns, &rows);
    let items = remarks(page, sweep);
    page.bullets(&items);
}

fn row(call: &SweptCall) -> Vec<String> {
    let name = super::super::page::code(call.call.name());
    let (errors, sequences, broken) = (call.errors.len() as u64, call.sequences, call.broken);
    let figures = [call.seen, call.failed, errors, call.singles, call.pairs, call.states, sequences, broken];
    std::iter::once(name).chain(figures.map(thousands)).collect()
}

fn remarks(page: &Page, sweep: &SweepRecord) -> Vec<String> {
    let targets = codes(page, sweep.targets.iter().map(String::as_str));
    let (sequences, runs, seconds) = (sweep.sequences, sweep.runs, decimal(sweep.stamp.seconds));
    let mut items = vec![page.t(
        format!(
            "{} run {} with a fault or two on {targets}, {}, in {seconds} s; judged by every oracle but the scenarios' own expectations, up to everything freed and emptied",
            plural(sequences, "sequence"),
            plural(runs, "time"),
            plural(sweep.operations, "operation"),
        ),
        format!(
            "{} 条操作序列在 {targets} 上带一或两个故障运行 {} 次，执行操作 {} 次，耗时 {seconds} 秒；除用例自身的预期外由全部判定器判定，直至全部释放并清空",
            thousands(sequences),
            thousands(runs),
            thousands(sweep.operations),
        ),
    )];
    let never = sweep.never_made();
    if !never.is_empty() {
        let list = codes(page, never.iter().map(|c| c.name()));
        items.push(page.t(
            format!("No sequence makes the calls {list}: what follows their failure was not seen"),
            format!("没有序列发出 {list} 调用：其失败之后的行为未检验"),
        ));
    }
    let notes = [
        (sweep.convicted, "led to a violation or a panic", "条序列因故障出现违例或 panic"),
        (sweep.failing, "failed without any fault and was not swept", "条序列无故障时即失败，未注入故障"),
        (
            sweep.cut_short,
            "was not swept to the end; a run that is left to end, or a longer --time, finishes it",
            "条序列未扫描完毕；完整运行或延长 --time 即可完成",
        ),
    ];
    for (count, en, zh) in notes.into_iter().filter(|(count, ..)| *count > 0) {
        let en = if count == 1 {
            en.to_owned()
        } else {
            en.replace("was not", "were not").replace("finishes it", "finishes them")
        };
        items.push(page.t(format!("{} {en}", plural(count, "sequence")), format!("{} {zh}", thousands(count))));
    }
    items
}
