//! An argument contract as a page in either language.
//!
//! Decides how it reads; every sentence is computed from the record.

use std::collections::BTreeMap;

use super::Language;
use super::page::{Page, code, escape, numbers, plural, thousands, words as text};
use crate::verdict::contract::{Clause, Contract, RowOutcome, RowRecord};
use crate::verdict::expectation::{ExpectationRecord, Standing};

/// The page: the share that is kept, by function and by clause, every broken promise, and what did not run.
#[must_use]
pub fn contract_page(contract: &Contract, language: Language) -> String {
    let mut page = Page::new(language);
    let subject = code(&contract.subject);
    page.heading(1, &format!("The contract of {subject}"), &format!("{subject} 的参数契约"));
    summary(&mut page, contract);
    page.heading(2, "By function", "按函数");
    by_function(&mut page, contract);
    page.heading(2, "By clause", "按条款");
    by_clause(&mut page, contract);
    page.heading(2, "Broken promises", "未遵守的承诺");
    broken(&mut page, contract);
    if !contract.expectations.is_empty() {
        page.heading(2, "Expected failures", "预期的失败");
        expectations(&mut page, &contract.expectations);
    }
    page.heading(2, "Rows that were not run", "未执行的条目");
    not_run(&mut page, contract);
    page.finish()
}

/// One line for whoever started it.
#[must_use]
pub fn contract_summary(contract: &Contract) -> String {
    let count = |is: fn(&RowRecord) -> bool| contract.rows.iter().filter(|row| is(row)).count();
    let judged = contract.judged().count();
    let kept = count(|row| row.outcome == RowOutcome::Kept);
    format!(
        "{kept} of {} kept ({} %), {} broken, {} crashed, {} hung, of which {} expected; {} not run; {:.1} s",
        plural(judged, "row"),
        percent(kept, judged),
        count(|row| row.outcome == RowOutcome::Broken),
        count(|row| row.outcome == RowOutcome::Crashed),
        count(|row| row.outcome == RowOutcome::Hung),
        count(|row| row.outcome.is_failure() && row.known.is_some()),
        count(|row| !row.outcome.is_judged()),
        contract.stamp.seconds
    )
}

pub(super) fn percent(kept: usize, judged: usize) -> String {
    if judged == 0 {
        return "–".to_owned();
    }
    // A share of 100.0 with a broken row in it would be untrue.
    let tenths = kept * 1000 / judged;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn summary(page: &mut Page, contract: &Contract) {
    let machine = &contract.machine;
    let mut devices: BTreeMap<&str, usize> = BTreeMap::new();
    machine.names.iter().for_each(|name| *devices.entry(name).or_default() += 1);
    let devices: Vec<String> = devices.iter().map(|(name, count)| format!("{count} × {}", escape(name))).collect();
    let (torch, python, devices) = (escape(&machine.torch), escape(&machine.python), devices.join(", "));
    page.say(
        format!("PyTorch {torch}, Python {python}, {devices}."),
        format!("PyTorch {torch}，Python {python}，{devices}。"),
    );
    if !contract.complete {
        page.say("**Interrupted**: not every row came to its end.", "**运行被中断**：并非所有条目都已执行完毕。");
    }
    let judged: Vec<&RowRecord> = contract.judged().collect();
    let kept = judged.iter().filter(|row| row.outcome == RowOutcome::Kept).count();
    let (must, should) = (failures(&judged, "must"), failures(&judged, "should"));
    let (all, rows, share) = (thousands(contract.rows.len()), thousands(judged.len()), percent(kept, judged.len()));
    page.say(
        format!(
            "Of {all} rows {rows} were judged and {} kept: {share} %. {} that must hold and {} that should were broken. A row \
             is a call in a situation, with what is promised of it by a docstring, by other documentation, by PyTorch's own tests or by \
             common sense; rows are written before they are run.",
            thousands(kept),
            plural(must, "promise"),
            thousands(should)
        ),
        format!(
            "共 {all} 条，执行 {rows} 条，遵守 {} 条：{share}%。未遵守的必须条款 {must} 条、建议条款 {should} 条。每条是某一情形下的一次调用，\
             及其文档字符串、其他文档、PyTorch 自身测试或常识对它的承诺；条目先写成，后执行。",
            thousands(kept)
        ),
    );
}

fn failures(rows: &[&RowRecord], level: &str) -> usize {
    rows.iter().filter(|row| row.outcome.is_failure() && row.level == level).count()
}

fn by_function(page: &mut Page, contract: &Contract) {
    let mut functions: BTreeMap<&str, Vec<&RowRecord>> = BTreeMap::new();
    contract.rows.iter().for_each(|row| functions.entry(row.function()).or_default().push(row));
    let line = |(function, rows): (&str, Vec<&RowRecord>)| {
        let count = |is: fn(&RowRecord) -> bool| rows.iter().filter(|row| is(row)).count();
        let judged = count(|row| row.outcome.is_judged());
        let kept = count(|row| row.outcome == RowOutcome::Kept);
        let mut cells = vec![code(function)];
        cells.extend([
            judged.to_string(),
            kept.to_string(),
            percent(kept, judged),
            failures(&rows, "must").to_string(),
            failures(&rows, "should").to_string(),
            count(|row| matches!(row.outcome, RowOutcome::Crashed | RowOutcome::Hung)).to_string(),
            count(|row| row.outcome.is_failure() && row.known.is_some()).to_string(),
            count(|row| !row.outcome.is_judged()).to_string(),
        ]);
        cells
    };
    let rows: Vec<Vec<String>> = functions.into_iter().map(line).collect();
    let columns = [
        text("Function", "函数"),
        numbers("Judged", "已执行"),
        numbers("Kept", "遵守"),
        numbers("%", "%"),
        numbers("Broken, must", "未遵守（必须）"),
        numbers("Broken, should", "未遵守（建议）"),
        numbers("Crashed or hung", "崩溃或挂起"),
        numbers("Expected", "预期"),
        numbers("Not run", "未执行"),
    ];
    page.table(&columns, &rows);
}

/// What each clause says, and how many rows broke it.
fn by_clause(page: &mut Page, contract: &Contract) {
    let mut counts: BTreeMap<Clause, usize> = BTreeMap::new();
    for row in contract.judged() {
        let mut clauses: Vec<Clause> = row.broken.iter().map(|breach| breach.clause).collect();
        clauses.dedup();
        clauses.into_iter().for_each(|clause| *counts.entry(clause).or_default() += 1);
    }
    let rows: Vec<Vec<String>> = counts
        .into_iter()
        .map(|(clause, count)| {
            let (en, zh) = promise(clause);
            vec![page.t(en, zh).to_owned(), thousands(count)]
        })
        .collect();
    if rows.is_empty() {
        page.say("No clause was broken.", "没有条款未被遵守。");
        return;
    }
    page.say("A row may break several.", "一个条目可能违反多项。");
    page.table(&[text("Clause", "条款"), numbers("Rows that break it", "违反的条目数")], &rows);
}

fn promise(clause: Clause) -> (&'static str, &'static str) {
    match clause {
        Clause::Answer => (
            "The call returns what is promised, or raises where that is promised",
            "调用返回所承诺的值，或按承诺抛出异常",
        ),
        Clause::Class => ("The error is of a class that says what is wrong", "异常类型与错误相符"),
        Clause::Message => ("The message names the value that is refused", "异常信息指明被拒绝的值"),
        Clause::Assertion => {
            ("A caller's mistake does not end in an internal assertion", "调用者的错误不会触发内部断言")
        }
        Clause::Effect => ("What is promised of the state afterwards holds", "对事后状态的承诺成立"),
        Clause::Unchanged => ("Nothing changes that the call is not about", "与调用无关的状态不变"),
        Clause::Leak => {
            ("Nothing is held, and all is set as before, once the row has cleaned up", "清理之后不遗留占用，设置如初")
        }
        Clause::ErrorLeft => ("No error is left for the next call", "不给后续调用遗留错误"),
        Clause::Sane => ("The interpreter is as before", "解释器状态如初"),
        Clause::Capture => ("A capture comes to its end, and replays", "图捕获可正常结束并重放"),
        Clause::Setup => ("The situation can be brought about", "情形可以建立"),
        Clause::Crashed => ("The process lives", "进程不会终止"),
        Clause::Hung => ("The call ends", "调用会结束"),
    }
}

fn broken(page: &mut Page, contract: &Contract) {
    let mut functions: BTreeMap<&str, Vec<&RowRecord>> = BTreeMap::new();
    for row in contract.judged().filter(|row| row.outcome.is_failure()) {
        functions.entry(row.function()).or_default().push(row);
    }
    if functions.is_empty() {
        page.say("None.", "无。");
        return;
    }
    page.say(
        "`r` is what the call returned, `n` the number of devices, `was` and `now` are `memory_stats` before and after.",
        "`r` 为调用的返回值，`n` 为设备数，`was` 与 `now` 为调用前后的 `memory_stats`。",
    );
    let columns = [
        text("Row", "条目"),
        text("Call", "调用"),
        text("Promised", "承诺"),
        text("Observed", "观察到"),
        text("What is broken", "未遵守之处"),
    ];
    for (function, rows) in functions {
        page.heading(3, &code(function), &code(function));
        let lines: Vec<Vec<String>> = rows.iter().map(|row| line(page, row)).collect();
        page.table(&columns, &lines);
    }
}

fn line(page: &Page, row: &RowRecord) -> Vec<String> {
    let what = row.id.split_once('/').map_or(row.id.as_str(), |(_, what)| what);
    let mut about = vec![code(what)];
    if row.when != "initialised" {
        about.push(code(&row.when));
    }
    about.extend(row.environment.iter().map(|variable| code(variable)));
    about.push(format!("{}, {}", row.level, row.by));
    if let Some(known) = &row.known {
        about.push(format!("{}: {}", page.t("expected", "预期"), page.of(known)));
    }
    let what = row.broken.iter().map(|breach| escape(&breach.what)).collect::<Vec<_>>().join("\n");
    let statements = row.setup.iter().flat_map(|setup| setup.lines()).chain(row.call.lines());
    let call = statements.map(code).collect::<Vec<_>>().join("\n");
    vec![about.join("\n"), call, code(&row.expected), code(&row.observed), what]
}

pub(super) fn expectations(page: &mut Page, entries: &[ExpectationRecord]) {
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let (en, zh) = standing(entry.standing);
            let note = entry.note.as_ref().map(|note| format!(" ({})", page.of(note))).unwrap_or_default();
            let link = entry.link.as_ref().map(|link| format!(" <{link}>")).unwrap_or_default();
            vec![
                code(&entry.about()),
                entry.scenarios.len().to_string(),
                format!("{}{note}", page.t(en, zh)),
                format!("{}{link}", page.of(&entry.reason)),
                format!("{}, {}", escape(&entry.owner), entry.expires),
            ]
        })
        .collect();
    let columns = [
        text("Rows", "条目"),
        numbers("Number", "数量"),
        text("Standing", "状态"),
        text("Why", "原因"),
        text("Owner, last day", "负责人与有效期"),
    ];
    page.table(&columns, &rows);
}

fn standing(standing: Standing) -> (&'static str, &'static str) {
    match standing {
        Standing::Met => ("broken, as expected", "如预期未遵守"),
        Standing::UnexpectedPass => ("kept, unexpectedly", "意外遵守"),
        Standing::Stale => ("speaks of nothing here", "不涉及任何条目"),
        Standing::Expired => ("expired", "已过期"),
        Standing::OutOfScope => ("about other versions or devices", "针对其他版本或设备"),
        Standing::NotRun => ("not run", "未执行"),
    }
}

fn not_run(page: &mut Page, contract: &Contract) {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in contract.rows.iter().filter(|row| !row.outcome.is_judged()) {
        let why = if row.outcome == RowOutcome::NotRun {
            page.t("the run ended before them", "运行在此之前结束")
        } else {
            row.observed.as_str()
        };
        reasons.entry(why).or_default().push(&row.id);
    }
    if reasons.is_empty() {
        page.say("None.", "无。");
        return;
    }
    for (why, ids) in reasons {
        let items: Vec<String> = ids.iter().map(|id| code(id)).collect();
        let (why, count) = (escape(why), items.len());
        page.folded(&format!("{}: {why}", plural(count, "row")), &format!("{count} 条：{why}"), &items);
    }
}
