//! Survival as a page in either language: how long planted defects live under each generator.
//!
//! Decides how it reads; every sentence is computed from the record.

use super::Language;
use super::page::{Page, code, numbers, plural, thousands, words as text};
use crate::verdict::record::EndedBy;
use crate::verdict::survival::{Generator, Hunts, Spread, Survival, SurvivalRow};

/// The page: what each generator kills and how fast, and every defect, the hardest first.
#[must_use]
pub fn survival_page(survival: &Survival, language: Language) -> String {
    let mut page = Page::new(language);
    page.heading(1, "Survival of planted defects", "植入缺陷的存活");
    if survival.ended != EndedBy::Complete {
        page.say(
            format!(
                "**Interrupted**: {} not hunted to the end; nothing is said of what was not.",
                match survival.untried {
                    1 => "1 defect was".to_owned(),
                    n => format!("{} defects were", thousands(n)),
                }
            ),
            format!("**运行被中断**：{} 个缺陷未搜寻完毕，本页不包含其结果。", survival.untried),
        );
    }
    summary(&mut page, survival);
    page.heading(2, "Generators", "生成方式");
    generators(&mut page, survival);
    choice(&mut page, survival);
    page.heading(2, "Defects, those that live longest first", "各缺陷（按存活时间从长到短）");
    defects(&mut page, survival);
    page.finish()
}

fn summary(page: &mut Page, survival: &Survival) {
    let (defects, seeds, limit) = (survival.defects.len(), survival.seeds, thousands(survival.limit));
    let (base, scenarios) = (code(&survival.base), plural(survival.scenarios, "generated scenario"));
    let drawn = Generator::DRAWN.into_iter().flat_map(|g| survival.hunts(g));
    let minutes = drawn.flat_map(|h| &h.stamp.seconds).sum::<f64>() / 60.0;
    page.say(
        format!(
            "{defects} defects, each hunted with {seeds} seeds by each generator on {base}: sequences of {scenarios} \
             take turns until the first conviction, or until {limit} operations were asked ({minutes:.1} minutes of one \
             core in all). Explicit scenarios take no part, so a defect that only they show survives here.",
        ),
        format!(
            "{defects} 个缺陷在 {base} 上由每种生成方式各以 {seeds} 个种子搜寻：{} 个生成型场景轮流产生序列，直至首次定罪或执行满 \
             {limit} 次操作（合计单核 {minutes:.1} 分钟）。显式场景不参与，因此只能由显式场景发现的缺陷在此存活。",
            survival.scenarios
        ),
    );
}

fn generator(page: &Page, generator: Generator) -> String {
    let (en, zh) = match generator {
        Generator::Random => ("random: the scenario's weights", "随机：场景自身的权重"),
        Generator::Swarm => ("swarm: weights of its own for each sequence", "swarm：每条序列自有权重"),
        Generator::Guided => ("coverage-guided (libFuzzer)", "覆盖率引导（libFuzzer）"),
    };
    page.t(en, zh).to_owned()
}

fn generators(page: &mut Page, survival: &Survival) {
    let columns = [
        text("Generator", "生成方式"),
        numbers("Defects", "缺陷数"),
        numbers("Hunts", "搜寻次数"),
        numbers("Kills", "检出次数"),
        numbers("Found by every seed", "每个种子都检出"),
        numbers("By some", "部分种子检出"),
        numbers("By none", "均未检出"),
        numbers("Median of the medians, operations", "中位数的中位数（操作数）"),
    ];
    let row = |g: Generator| {
        let all: Vec<&Hunts> = survival.hunts(g).collect();
        let seeds = |h: &Hunts| h.killed.len() as u64;
        let count = |is: &dyn Fn(&Hunts) -> bool| all.iter().filter(|h| is(h)).count();
        let sum = |of: &dyn Fn(&Hunts) -> u64| all.iter().map(|h| of(h)).sum::<u64>();
        let mut medians: Vec<f64> = all.iter().map(|h| h.operations().median.unwrap_or(f64::INFINITY)).collect();
        medians.sort_by(f64::total_cmp);
        let middle = medians.get(medians.len() / 2).copied().filter(|m| m.is_finite());
        vec![
            generator(page, g),
            thousands(all.len()),
            thousands(sum(&seeds)),
            thousands(sum(&Hunts::kills)),
            thousands(count(&|h| h.kills() == seeds(h))),
            thousands(count(&|h| h.kills() > 0 && h.kills() < seeds(h))),
            thousands(count(&|h| h.kills() == 0)),
            figure(middle, 0),
        ]
    };
    let used = Generator::ALL.into_iter().filter(|&g| survival.hunts(g).next().is_some());
    let rows: Vec<Vec<String>> = used.map(row).collect();
    page.table(&columns, &rows);
}

fn choice(page: &mut Page, survival: &Survival) {
    let better = survival.better().name();
    let (wins, losses) = survival.duel(Generator::Swarm, Generator::Random);
    page.say(
        format!(
            "Under swarm the median is lower for {} and higher for {}. More kills: {better}.",
            plural(wins, "defect"),
            thousands(losses)
        ),
        format!("swarm 的中位数在 {wins} 个缺陷上更低，在 {losses} 个上更高。检出更多者：{better}。"),
    );
    if survival.hunts(Generator::Guided).next().is_some() {
        page.say(
            "The coverage-guided hunts are of defects that live long but were killed by some drawn hunt. They start from an \
             empty corpus with sequences of their own (`fuzz/bodies`), so their operations are not those of the scenarios, \
             and end at their limit of seconds, not of operations.",
            "覆盖率引导只搜寻存活较久、但曾被某次抽取搜寻检出的缺陷。它从空语料开始，使用自己的序列（`fuzz/bodies`），其操作不同于场景中的操作，并以秒数而非操作数为上限。",
        );
    }
}

fn defects(page: &mut Page, survival: &Survival) {
    let used: Vec<Generator> = Generator::ALL.into_iter().filter(|&g| survival.hunts(g).next().is_some()).collect();
    let mut columns = vec![text("Defect", "缺陷")];
    for g in &used {
        columns.push(match g {
            Generator::Random => numbers("Random: kills", "随机：检出"),
            Generator::Swarm => numbers("Swarm: kills", "swarm：检出"),
            Generator::Guided => numbers("Guided: kills", "引导：检出"),
        });
        columns.extend([numbers("operations", "操作数"), numbers("seconds", "秒")]);
    }
    let row = |row: &SurvivalRow| {
        let mut cells = vec![code(&row.name)];
        for &g in &used {
            match row.of(g) {
                Some(h) => {
                    cells.push(format!("{}/{}", h.kills(), h.killed.len()));
                    cells.push(interval(h.operations(), 0));
                    cells.push(interval(h.seconds(), 3));
                }
                None => cells.extend(std::iter::repeat_n(String::new(), 3)),
            }
        }
        cells
    };
    let rows: Vec<Vec<String>> = survival.longest_lived().into_iter().map(row).collect();
    page.table(&columns, &rows);
    let coverage = |g| survival.hunts(g).next().map(|h| h.operations().coverage * 100.0);
    let drawn = coverage(Generator::Random).unwrap_or_default();
    let guided = coverage(Generator::Guided);
    let also = guided.map_or_else(String::new, |c| format!("; coverage-guided: {c:.1} %, the least and the greatest"));
    let also_zh = guided.map_or_else(String::new, |c| format!("；覆盖率引导：{c:.1} %，即最小值与最大值"));
    page.say(
        format!(
            "Median and, in brackets, the interval between two ranks that holds the true median with {drawn:.1} %{also}. \
             `-`: longer than was hunted.",
        ),
        format!("中位数，方括号内为以 {drawn:.1} % 的概率包含真实中位数的秩区间{also_zh}。`-` 表示超过搜寻上限。"),
    );
}

fn interval(spread: Spread, decimals: usize) -> String {
    match (spread.low, spread.median) {
        (None, None) => "-".to_owned(),
        (low, median) => {
            let [median, low, high] = [median, low, spread.high].map(|v| figure(v, decimals));
            format!("{median} [{low}, {high}]")
        }
    }
}

fn figure(value: Option<f64>, decimals: usize) -> String {
    match value {
        None => "-".to_owned(),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count of operations
        Some(value) if decimals == 0 => thousands(value.round() as u64),
        Some(value) => format!("{value:.decimals$}"),
    }
}
