//! What monitoring came to as a page in either language, with a plot beside it.
//!
//! Decides how it reads; every sentence is computed from the record.

use std::collections::{BTreeMap, BTreeSet};

use super::Language;
use super::contract::{expectations, percent};
use super::monitoring_words as called;
use super::page::{Page, code, decimal, escape, numbers, plural, thousands, words as text};
use super::plot::{Line, Panel, Plot, svg};
use crate::verdict::contract::RowOutcome;
use crate::verdict::monitoring::{Cost, Delay, Figure, Monitoring, MonitoringRow};

const MIB: f64 = 1_048_576.0;

/// The names of the page and of its plot.
#[must_use]
pub fn monitoring_files(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::En => ("monitor.md", "monitor.svg"),
        Language::Zh => ("monitor.zh.md", "monitor.zh.svg"),
    }
}

/// The page: who is listed, what is asked of missing libraries, what figures cost, how late and how wrong they are.
#[must_use]
pub fn monitoring_page(monitoring: &Monitoring, language: Language) -> String {
    let mut page = Page::new(language);
    page.heading(1, "What tells of device memory", "显存监控");
    summary(&mut page, monitoring);
    page.heading(2, "Broken promises", "未遵守的承诺");
    broken(&mut page, monitoring);
    page.heading(2, "All rows", "全部条目");
    rows(&mut page, monitoring);
    page.heading(2, "Cost", "开销");
    costs(&mut page, monitoring);
    page.heading(2, "Delay and error", "延迟与误差");
    delays(&mut page, monitoring);
    if !monitoring.missing.is_empty() {
        page.heading(2, "Not measured", "未测得");
        missing(&mut page, monitoring);
    }
    if !monitoring.expectations.is_empty() {
        page.heading(2, "Expected failures", "预期的失败");
        expectations(&mut page, &monitoring.expectations);
    }
    page.finish()
}

/// One line for whoever started it.
#[must_use]
pub fn monitoring_summary(monitoring: &Monitoring) -> String {
    let count = |is: fn(&MonitoringRow) -> bool| monitoring.rows.iter().filter(|row| is(row)).count();
    format!(
        "{} of {} kept, {} broken or ended, of which {} expected; {} not judged; {}, {}; {:.1} s{}",
        count(|row| row.outcome == RowOutcome::Kept),
        plural(monitoring.judged().count(), "row"),
        count(|row| row.outcome.is_failure()),
        count(|row| row.outcome.is_failure() && row.known.is_some()),
        count(|row| !row.outcome.is_judged()),
        plural(monitoring.costs.len(), "cost"),
        plural(monitoring.delays.len(), "delay"),
        monitoring.stamp.seconds,
        if monitoring.complete { "" } else { "; not complete" }
    )
}

fn summary(page: &mut Page, monitoring: &Monitoring) {
    let machine = &monitoring.machine;
    let mut devices: BTreeMap<&str, usize> = BTreeMap::new();
    machine.names.iter().for_each(|name| *devices.entry(name).or_default() += 1);
    let devices: Vec<String> = devices.iter().map(|(name, count)| format!("{count} × {}", escape(name))).collect();
    let (torch, python, devices) = (escape(&machine.torch), escape(&machine.python), devices.join(", "));
    let driver = machine.driver.as_ref().map(|driver| escape(driver));
    let (en, zh) = driver.map_or_else(Default::default, |d| (format!(", driver {d}"), format!("，驱动 {d}")));
    page.say(
        format!("PyTorch {torch}, Python {python}, {devices}{en}."),
        format!("PyTorch {torch}，Python {python}，{devices}{zh}。"),
    );
    if machine.simulated {
        page.say(
            "The devices are simulated, each the only process's there: a neighbour is made up, and figures are read by a thread of the \
             process that changes memory. Costs and delays say nothing of a GPU.",
            "设备为模拟设备，只属于一个进程：相邻进程是虚构的，数值由改变显存的同一进程内的线程读取。开销与延迟不代表真实 GPU。",
        );
    }
    match (&machine.pynvml, &machine.nvml_missing) {
        (_, Some(why)) => {
            page.say(format!("There is no NVML: {}.", escape(why)), format!("没有 NVML：{}。", escape(why)));
        }
        (Some(version), None) => {
            let version = escape(version);
            page.say(format!("`pynvml` is installed ({version})."), format!("已安装 `pynvml`（{version}）。"));
        }
        (None, None) => page.say(
            "`pynvml` is not installed: a stand-in over the same NVML takes its place, except where a row says otherwise.",
            "未安装 `pynvml`：除另有说明的条目外，以基于同一 NVML 的替身代替。",
        ),
    }
    if machine.own_pid_listed == Some(false) {
        page.say(
            "NVML did not list the process that asked under its own number.",
            "NVML 未以进程自身的编号列出发起查询的进程。",
        );
    }
    if !monitoring.complete {
        page.say("**Not complete**: a part did not come to its end.", "**不完整**：有部分未执行完毕。");
    }
    let kept = monitoring.rows.iter().filter(|row| row.outcome == RowOutcome::Kept).count();
    let judged = monitoring.judged().count();
    let share = percent(kept, judged);
    page.say(
        format!("Of {} judged, {} kept every promise: {share} %.", plural(judged, "row"), thousands(kept)),
        format!("判定 {} 条，遵守全部承诺 {} 条：{share}%。", thousands(judged), thousands(kept)),
    );
}

fn title(page: &Page, row: &MonitoringRow) -> String {
    let (en, zh) = called::situation(&row.id);
    let words = page.t(en, zh);
    if words.is_empty() { code(&row.id) } else { format!("{}\n{words}", code(&row.id)) }
}

/// Who NVML names, in one cell.
fn named(page: &Page, row: &MonitoringRow) -> String {
    let Some(list) = &row.nvml else { return "–".to_owned() };
    let mut lines: Vec<String> = list
        .iter()
        .map(|(pid, bytes)| match bytes {
            Some(bytes) => format!("{pid}: {:.3} MiB", *bytes as f64 / MIB),
            None => format!("{pid}: {}", page.t("not told", "未给出")),
        })
        .collect();
    if lines.is_empty() {
        lines.push(page.t("no process", "没有进程").to_owned());
    }
    let more = row.nvml_count.saturating_sub(list.len() as u64);
    if more > 0 {
        lines.push(page.t(format!("and {more} more"), format!("另有 {more} 个")));
    }
    if !row.unlisted.is_empty() {
        let pids: Vec<String> = row.unlisted.iter().map(ToString::to_string).collect();
        let pids = pids.join(", ");
        lines.push(page.t(format!("not among them: {pids}"), format!("其中没有：{pids}")));
    }
    lines.join("\n")
}

fn broken(page: &mut Page, monitoring: &Monitoring) {
    let failed: Vec<&MonitoringRow> = monitoring.judged().filter(|row| row.outcome.is_failure()).collect();
    if failed.is_empty() {
        page.say("None.", "无。");
        return;
    }
    let rows: Vec<Vec<String>> = failed
        .into_iter()
        .map(|row| {
            let promises: BTreeSet<_> = row.broken.iter().map(|broken| broken.promise).collect();
            let promised: Vec<&str> =
                promises.into_iter().map(called::promise).map(|(en, zh)| page.t(en, zh)).collect();
            let what: Vec<String> = row.broken.iter().map(|broken| escape(&broken.what)).collect();
            let expected = match &row.known {
                Some(reason) => page.of(reason),
                None => page.t("**not expected**", "**非预期**").to_owned(),
            };
            vec![title(page, row), code(&row.call), promised.join("\n"), what.join("\n"), expected]
        })
        .collect();
    let columns = [
        text("Row", "条目"),
        text("Call", "调用"),
        text("Promised", "承诺"),
        text("What is broken", "未遵守之处"),
        text("Expected", "预期"),
    ];
    page.table(&columns, &rows);
}

fn rows(page: &mut Page, monitoring: &Monitoring) {
    page.say(
        "What was asked, what came, and what NVML says at the same time; in the group `pynvml`, what the stand-in for it says.",
        "所做的查询、得到的回答，以及 NVML 在同一时刻的说法；`pynvml` 一组中为其替身的说法。",
    );
    let rows: Vec<Vec<String>> = monitoring
        .rows
        .iter()
        .map(|row| {
            let (en, zh) = called::outcome(row.outcome);
            let mut outcome = page.t(en, zh).to_owned();
            if let Some(why) = &row.why {
                let words = called::reason(why).map_or_else(|| escape(why), |(en, zh)| page.t(en, zh).to_owned());
                outcome = format!("{outcome}: {words}");
            }
            let answered = row.answered.lines().map(code).collect::<Vec<_>>().join("\n");
            vec![title(page, row), code(&row.call), answered, named(page, row), outcome]
        })
        .collect();
    let columns = [
        text("Row", "条目"),
        text("Call", "调用"),
        text("Answered", "回答"),
        text("NVML", "NVML"),
        text("Outcome", "结果"),
    ];
    page.table(&columns, &rows);
}

/// Nanoseconds in the unit that reads well.
fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{} µs", decimal(ns / 1e3)),
        ns => format!("{} ms", decimal(ns / 1e6)),
    }
}

fn costs(page: &mut Page, monitoring: &Monitoring) {
    if monitoring.costs.is_empty() {
        page.say("Not measured.", "未测得。");
        return;
    }
    let live: BTreeSet<u64> = monitoring.costs.iter().map(|cost| cost.live_blocks).collect();
    let devices: BTreeSet<u32> = monitoring.costs.iter().map(|cost| cost.device).collect();
    let allocation = code(Cost::ALLOCATION);
    page.say(
        format!(
            "A call while so many blocks of 512 B are live, the median of 7 runs, and how many times it costs what {allocation} does, \
             a tensor of 1 MiB that the cache serves."
        ),
        format!("相应数量的 512 B 块存活时每次调用的耗时（7 轮的中位数），以及相对 {allocation}（由缓存提供的 1 MiB 张量）的倍数。"),
    );
    let mut columns = vec![text("Call", "调用")];
    for blocks in &live {
        let blocks = thousands(*blocks);
        columns.push(super::page::named(&blocks));
        columns.push(numbers("ratio", "倍数"));
    }
    for device in devices {
        let of = |call: &str, blocks: u64| {
            let mut all = monitoring.costs.iter();
            all.find(|cost| cost.device == device && cost.call == call && cost.live_blocks == blocks)
        };
        let mut calls: Vec<&str> = Vec::new();
        for cost in monitoring.costs.iter().filter(|cost| cost.device == device) {
            if !calls.contains(&cost.call.as_str()) {
                calls.push(&cost.call);
            }
        }
        let rows: Vec<Vec<String>> = calls
            .into_iter()
            .map(|call| {
                let mut cells = vec![code(call)];
                for &blocks in &live {
                    let ns = of(call, blocks).and_then(|cost| cost.ns);
                    let base = of(Cost::ALLOCATION, blocks).and_then(|cost| cost.ns);
                    cells.push(ns.map_or("–".to_owned(), time));
                    cells.push(ns.zip(base).map_or("–".to_owned(), |(ns, base)| format!("{:.1}", ns / base)));
                }
                cells
            })
            .collect();
        page.heading(3, &format!("Device {device}"), &format!("设备 {device}"));
        page.table(&columns, &rows);
    }
    let failed: BTreeSet<String> = monitoring
        .costs
        .iter()
        .filter_map(|cost| Some(format!("{}: {}", code(&cost.call), escape(cost.why.as_ref()?))))
        .collect();
    if !failed.is_empty() {
        page.lead("Calls that failed", "失败的调用");
        page.bullets(&failed.into_iter().collect::<Vec<_>>());
    }
}

fn delays(page: &mut Page, monitoring: &Monitoring) {
    if monitoring.delays.is_empty() {
        page.say("Not measured.", "未测得。");
        return;
    }
    page.say(
        "One process takes segments of 10 to 32 MiB from the device and gives them back, one a change; another reads one figure as fast as \
         it can, at most 50,000 times a second (of `memory_reserved`, a thread of the same process). A change is seen if a reading shows its level before the same \
         level comes again, ten changes later. It is late by the time from the return of its call to the end of the first reading that shows \
         it. The error is how far readings are off, at their end, from what was held.",
        "一个进程向设备申请并归还 10 至 32 MiB 的段，每次为一次变化；另一进程以最快速度（每秒至多 50,000 次）读取一项数值（`memory_reserved` 由同一进程内的线程读取）。\
         若在同一水平再次出现（十次变化之后）之前有读数显示该水平，则视为看到该变化。延迟为从引起变化的调用返回，到首个显示它的读数结束的时间。\
         误差为读数结束时与实际占用之差。",
    );
    let (_, plot) = monitoring_files(page.language);
    if let Some(device) = monitoring.delays.iter().map(|delay| delay.device).min() {
        let alt = page.t(format!("Delay and error on device {device}"), format!("设备 {device} 的延迟与误差"));
        page.say(format!("![{alt}]({plot})"), format!("![{alt}]({plot})"));
    }
    let rows: Vec<Vec<String>> = monitoring
        .delays
        .iter()
        .map(|delay| {
            let (en, zh) = called::figure(delay.figure);
            let unseen = delay.changes.saturating_sub(delay.seen);
            let of = |ns: Option<u64>| ns.map_or("–".to_owned(), |ns| time(ns as f64));
            vec![
                delay.device.to_string(),
                page.t(en, zh).to_owned(),
                thousands(delay.rate),
                format!("{:.1}", delay.made_rate),
                thousands(delay.changes),
                format!("{:.1} %", unseen as f64 * 100.0 / delay.changes.max(1) as f64),
                of(delay.delay_median_ns),
                of(delay.delay_p95_ns),
                delay.error_bytes.map_or("–".to_owned(), |bytes| format!("{:.3}", bytes / MIB)),
                delay.error_worst_bytes.map_or("–".to_owned(), |bytes| format!("{:.1}", bytes as f64 / MIB)),
                time(delay.reading_ns as f64),
                thousands(delay.readings),
            ]
        })
        .collect();
    let columns = [
        numbers("Device", "设备"),
        text("Figure", "数值"),
        numbers("Changes a second, asked", "每秒变化，要求"),
        numbers("made", "实际"),
        numbers("Changes", "变化次数"),
        numbers("Never seen", "未看到"),
        numbers("Delay, median", "延迟，中位数"),
        numbers("95th percentile", "第 95 百分位"),
        numbers("Mean error, MiB", "平均误差，MiB"),
        numbers("Worst, MiB", "最大误差，MiB"),
        numbers("A reading takes", "一次读取耗时"),
        numbers("Readings", "读数"),
    ];
    page.table(&columns, &rows);
}

fn missing(page: &mut Page, monitoring: &Monitoring) {
    let items: Vec<String> = monitoring
        .missing
        .iter()
        .map(|missing| {
            let device = missing.device.map(|device| page.t(format!(", device {device}"), format!("，设备 {device}")));
            format!("{}{}: {}", code(&missing.part), device.unwrap_or_default(), escape(&missing.why))
        })
        .collect();
    page.bullets(&items);
}

/// Delay and error against changes a second, on the first device; none where none was measured.
#[must_use]
pub fn monitoring_plot(monitoring: &Monitoring, language: Language) -> Option<String> {
    let device = monitoring.delays.iter().map(|delay| delay.device).min()?;
    let of = |figure: Figure, value: &dyn Fn(&Delay) -> Option<f64>| -> Vec<(f64, f64)> {
        let all = monitoring.delays.iter().filter(|delay| delay.device == device && delay.figure == figure);
        all.filter_map(|delay| Some((delay.made_rate.clamp(1.0, 1000.0), value(delay)?))).collect()
    };
    // A delay of 0 has no place on the axis: what is seen at once is drawn at a microsecond.
    let milliseconds = |ns: Option<u64>| ns.map(|ns| (ns as f64 / 1e6).max(0.001));
    let lines = |dashed: bool, value: &dyn Fn(&Delay) -> Option<f64>| -> Vec<Line> {
        let line = |(style, figure)| Line { style, dashed, points: of(figure, value) };
        Figure::ALL.into_iter().enumerate().map(line).filter(|line| !line.points.is_empty()).collect()
    };
    let mut delay = lines(true, &|delay| milliseconds(delay.delay_p95_ns));
    delay.extend(lines(false, &|delay| milliseconds(delay.delay_median_ns)));
    let error = lines(false, &|delay| delay.error_bytes.map(|bytes| bytes / MIB));
    let t = |en: &str, zh: &str| language.pick(en, zh).to_owned();
    let plain = |figure| {
        let (en, zh) = called::figure(figure);
        language.pick(en, zh).replace('`', "")
    };
    Some(svg(&Plot {
        title: language.pick(
            format!("Delay and error of memory figures, device {device}"),
            format!("显存数值的延迟与误差，设备 {device}"),
        ),
        axis: t("changes a second", "每秒变化次数"),
        names: Figure::ALL.into_iter().map(plain).collect(),
        panels: vec![
            Panel {
                label: t("delay, ms: median, dashed p95", "延迟，ms：中位数，虚线为 p95"),
                logarithmic: true,
                lines: delay,
            },
            Panel { label: t("mean error, MiB", "平均误差，MiB"), logarithmic: false, lines: error },
        ],
        ticks: vec![1.0, 10.0, 100.0, 1000.0],
    }))
}
