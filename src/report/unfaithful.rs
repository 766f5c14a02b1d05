//! Unfaithful reporters as a page in either language.
//!
//! Decides how it reads; every sentence is computed from the record.

use std::collections::{BTreeMap, BTreeSet};

use super::Language;
use super::page::{Page, code, numbers, plural, thousands, words as text};
use super::words;
use crate::op::OracleName;
use crate::op::corruption::{Occasion, Wrong};
use crate::verdict::record::EndedBy;
use crate::verdict::unfaithful::{ReporterRow, Score, Unfaithful};

/// The page: the score by observable, by kind and by occasion, who noticed, and what nobody noticed.
#[must_use]
pub fn unfaithful_page(study: &Unfaithful, language: Language) -> String {
    let mut page = Page::new(language);
    page.heading(1, "Unfaithful reporters", "失实的报告者");
    if study.ended != EndedBy::Complete {
        page.say(
            format!(
                "**Interrupted**: {} not tried to the end; nothing is said of them.",
                plural(study.untried, "reporter")
            ),
            format!("**运行被中断**：{} 个报告者未执行完毕，本页不包含其结果。", study.untried),
        );
    }
    summary(&mut page, study);
    page.heading(2, "By observable", "按可观察量");
    by_group(&mut page, study);
    page.heading(2, "By kind and occasion", "按失实方式与时机");
    by_kind(&mut page, study);
    page.heading(2, "Who noticed first", "由谁首先察觉");
    oracles(&mut page, study);
    page.heading(2, "What nobody noticed", "无人察觉者");
    survivors(&mut page, study);
    page.finish()
}

fn percent(score: Score) -> String {
    if score.told() == 0 { "–".to_owned() } else { format!("{:.1}", score.percent()) }
}

fn summary(page: &mut Page, study: &Unfaithful) {
    let all = study.score(|_| true);
    let promised = study.score(ReporterRow::is_promised);
    let (base, seed, scenarios) = (code(&study.base), study.seed, study.scenarios);
    let [told, noticed, unreached] = [all.told(), all.noticed, all.unreached].map(thousands);
    let [due, seen] = [promised.told(), promised.noticed].map(thousands);
    let (whole, part) = (percent(all), percent(promised));
    page.say(
        format!(
            "Each reporter is a sound allocator ({base}) of which one observable is told wrongly, in one way and at one \
             occasion. {noticed} of {told} that were told wrongly were noticed by {scenarios} scenarios (seed {seed}): {whole} %. \
             Where a promise speaks of the observable, {seen} of {due}: {part} %. In {unreached} more what was told was \
             what is true in every sequence, and there was nothing to notice."
        ),
        format!(
            "每个报告者都是可靠的分配器（{base}），仅有一个可观察量以一种方式、在一种时机被报错。{scenarios} 个用例（种子 {seed}）\
             在 {told} 个确有报错的报告者中察觉 {noticed} 个：{whole}%。其中有承诺涉及该可观察量的 {due} 个里察觉 {seen} 个：{part}%。\
             另有 {unreached} 个在所有序列中所报皆为真值，无可察觉。"
        ),
    );
    page.say(
        "The reporters claim no policy: scenarios that demand PyTorch's do not apply, and no oracle compares with a sound \
         allocator. A reporter is an option of a target's name, `reference@sim?unfaithful=KEY/KIND/WHEN`; \
         `poolproof list observables` says which keys there are and who judges them.",
        "报告者不声明任何策略：要求 PyTorch 策略的用例不适用，也没有判定器将其与可靠的分配器比较。报告者是目标名称的选项 \
         `reference@sim?unfaithful=KEY/KIND/WHEN`；`poolproof list observables` 列出所有键及其判定器。",
    );
}

fn cells(score: Score) -> Vec<String> {
    let mut cells = [score.told(), score.noticed, score.survived, score.unreached].map(thousands).to_vec();
    cells.push(percent(score));
    cells
}

fn by_group(page: &mut Page, study: &Unfaithful) {
    let mut seen = BTreeSet::new();
    let mut rows = Vec::new();
    for row in &study.rows {
        if seen.insert(&row.group) {
            let score = study.score(|r| r.group == row.group);
            let judges: Vec<&str> = row.judges.iter().map(|&o| judge(page, o)).collect();
            let judges = if judges.is_empty() { page.t("nobody", "无").to_owned() } else { judges.join(", ") };
            let mut line = vec![code(&row.group)];
            line.extend(cells(score));
            line.push(judges);
            rows.push(line);
        }
    }
    let columns = [
        text("Observable", "可观察量"),
        numbers("Told wrongly", "确有报错"),
        numbers("Noticed", "察觉"),
        numbers("Survived", "未察觉"),
        numbers("Unreached", "未触及"),
        numbers("%", "%"),
        text("Judged by", "判定器"),
    ];
    page.table(&columns, &rows);
}

fn judge(page: &Page, oracle: OracleName) -> &'static str {
    let (en, zh) = words::oracle(oracle);
    page.t(en, zh)
}

fn by_kind(page: &mut Page, study: &Unfaithful) {
    let columns = [
        text("Kind", "失实方式"),
        numbers("Always", "始终"),
        numbers("After a failure", "失败之后"),
        numbers("Since a failure", "自失败起"),
        numbers("Other devices", "其他设备"),
        numbers("Now and then", "偶尔"),
    ];
    let row = |wrong: &Wrong| {
        let mut line = vec![code(wrong.name())];
        line.extend(Occasion::ALL.iter().map(|occasion| {
            let score = study.score(|r| r.kind == wrong.name() && r.occasion == occasion.name());
            if score.told() == 0 { String::new() } else { format!("{}/{}", score.noticed, score.told()) }
        }));
        line
    };
    let rows: Vec<Vec<String>> = Wrong::ALL.iter().map(row).collect();
    page.table(&columns, &rows);
}

fn oracles(page: &mut Page, study: &Unfaithful) {
    let mut counts: BTreeMap<OracleName, u64> = BTreeMap::new();
    for oracle in study.rows.iter().filter_map(|r| r.noticed.as_ref()?.oracle) {
        *counts.entry(oracle).or_default() += 1;
    }
    let mut counts: Vec<(OracleName, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let rows: Vec<Vec<String>> =
        counts.into_iter().map(|(oracle, count)| vec![judge(page, oracle).to_owned(), thousands(count)]).collect();
    page.table(&[text("Oracle", "判定器"), numbers("Noticed first", "首先察觉")], &rows);
}

/// By observable and kind, the occasions.
fn survivors(page: &mut Page, study: &Unfaithful) {
    let mut found: BTreeMap<(bool, &str, &str), Vec<&str>> = BTreeMap::new();
    for row in study.rows.iter().filter(|r| r.survives()) {
        let key = (!row.is_promised(), row.observable.as_str(), row.kind.as_str());
        found.entry(key).or_default().push(&row.occasion);
    }
    if found.is_empty() {
        page.say("Nothing: all that was told wrongly was noticed.", "无：所有报错均被察觉。");
        return;
    }
    let rows: Vec<Vec<String>> = found
        .into_iter()
        .map(|((unpromised, observable, kind), occasions)| {
            let promise = if unpromised { page.t("no promise", "无承诺") } else { page.t("promised", "有承诺") };
            vec![code(observable), code(kind), occasions.join(", "), promise.to_owned()]
        })
        .collect();
    let columns =
        [text("Observable", "可观察量"), text("Kind", "失实方式"), text("Occasions", "时机"), text("Promise", "承诺")];
    page.table(&columns, &rows);
}
