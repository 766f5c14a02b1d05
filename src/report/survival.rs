//! Survival as a page in either language: how long planted defects live under each generator.
//!
//! Decides how it reads; every sentence is computed from the record.

use super::Language;
use super::page::{Page, code, numbers, plural, thousands, words as text};
use crate::verdict::interval::{COVERAGE, Spread, wilson};
use crate::verdict::record::EndedBy;
use crate::verdict::survival::{Apart, Generator, Hunts, Survival, SurvivalRow};

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
            "{defects} 个缺陷在 {base} 上由每种生成方式各以 {seeds} 个种子搜寻：{} 个生成型用例轮流产生序列，直至首次定罪或执行满 \
             {limit} 次操作（合计单核 {minutes:.1} 分钟）。显式用例不参与，因此只能由显式用例发现的缺陷在此存活。",
            survival.scenarios
        ),
    );
}

fn generator(page: &Page, generator: Generator) -> String {
    let (en, zh) = match generator {
        Generator::Random => ("random: the scenario's weights", "随机：用例自身的权重"),
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
        numbers("Killed by one seed, median", "单个种子检出的缺陷数（中位数）"),
    ];
    let row = |g: Generator| {
        let all: Vec<&Hunts> = survival.hunts(g).collect();
        let seeds = |h: &Hunts| h.killed.len() as u64;
        let count = |is: &dyn Fn(&Hunts) -> bool| all.iter().filter(|h| is(h)).count();
        let sum = |of: &dyn Fn(&Hunts) -> u64| all.iter().map(|h| of(h)).sum::<u64>();
        vec![
            generator(page, g),
            thousands(all.len()),
            thousands(sum(&seeds)),
            thousands(sum(&Hunts::kills)),
            thousands(count(&|h| h.kills() == seeds(h))),
            thousands(count(&|h| h.kills() > 0 && h.kills() < seeds(h))),
            thousands(count(&|h| h.kills() == 0)),
            survival.killed_by_a_seed(g).map_or_else(String::new, whole),
        ]
    };
    let used = Generator::ALL.into_iter().filter(|&g| survival.hunts(g).next().is_some());
    let rows: Vec<Vec<String>> = used.map(row).collect();
    page.table(&columns, &rows);
}

/// Which drawn generator kills more defects by one seed, as far as the intervals tell them apart.
#[must_use]
pub fn survival_kills(survival: &Survival, language: Language) -> String {
    let [random, swarm] = Generator::DRAWN.map(|g| survival.killed_by_a_seed(g));
    let Some((random, swarm)) = random.zip(swarm) else {
        let en = "The defects have no hunts of the same seeds: the generators are not compared.";
        return language.pick(en, "各缺陷没有相同种子的搜寻：不比较两种生成方式。").to_owned();
    };
    let defects = survival.defects.len();
    let coverage = random.coverage.min(swarm.coverage);
    let (en, zh) = match survival.kills_more() {
        Some(more) => {
            let zh = if more == Generator::Random { "随机" } else { more.name() };
            (format!("The intervals are apart: {} kills more.", more.name()), format!("区间不重叠：{zh}检出更多。"))
        }
        None if coverage < COVERAGE => (
            "Seeds are too few for an interval of 95 %: no difference is shown.".to_owned(),
            "种子太少，得不到 95 % 的区间：未显示差异。".to_owned(),
        ),
        None => ("The intervals overlap: no difference is shown.".to_owned(), "区间重叠：未显示差异。".to_owned()),
    };
    let (random, swarm, percent) = (whole(random), whole(swarm), coverage * 100.0);
    language.pick(
        format!(
            "Of {} one seed kills, as the median over the seeds and its rank interval ({percent:.1} %): random {random}, swarm \
             {swarm}. {en}",
            plural(defects, "defect"),
        ),
        format!("{defects} 个缺陷中由单个种子检出的数目（各种子的中位数及其秩区间，{percent:.1} %）：随机 {random}，swarm {swarm}。{zh}"),
    )
}

fn choice(page: &mut Page, survival: &Survival) {
    page.say(survival_kills(survival, Language::En), survival_kills(survival, Language::Zh));
    let columns = [
        text("Each defect by itself", "逐个缺陷比较"),
        numbers("Random is ahead", "随机占优"),
        numbers("Swarm is ahead", "swarm 占优"),
        numbers("No difference is shown", "未显示差异"),
    ];
    let row = |en: &str, zh: &str, apart: Apart| {
        let counts = [apart.random, apart.swarm, apart.neither].map(thousands);
        [vec![page.t(en, zh).to_owned()], counts.to_vec()].concat()
    };
    let rows = [
        row("Hunts that kill: Wilson score interval", "检出的搜寻所占比例：Wilson 得分区间", survival.shares_apart()),
        row(
            "Operations to the kill: rank interval of the median",
            "检出所需操作数：中位数的秩区间",
            survival.operations_apart(),
        ),
    ];
    page.table(&columns, &rows);
    page.say(
        "One is ahead only where the two intervals of 95 % do not overlap; among many comparisons a few may come out so by \
         chance. Kills of all defects together are counted by seed, since hunts of several defects with one \
         seed ask the same sequences.",
        "仅当两个 95 % 区间不重叠时才判定占优；比较次数多时，少数结果可能出于偶然。全部缺陷的检出按种子计数，因为同一种子对各缺陷执行相同的序列。",
    );
    if survival.hunts(Generator::Guided).next().is_some() {
        page.say(
            "The coverage-guided hunts are of defects that live long but were killed by some drawn hunt. They start from an \
             empty corpus with sequences of their own (`fuzz/bodies`), so their operations are not those of the scenarios, \
             and end at their limit of seconds, not of operations.",
            "覆盖率引导只搜寻存活较久、但曾被某次抽取搜寻检出的缺陷。它从空语料开始，使用自己的序列（`fuzz/bodies`），其操作不同于用例中的操作，并以秒数而非操作数为上限。",
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
    let coverage = |g| survival.hunts(g).map(|h| h.operations().coverage * 100.0).reduce(f64::min);
    let drawn = Generator::DRAWN.into_iter().filter_map(coverage).reduce(f64::min).unwrap_or_default();
    let guided = coverage(Generator::Guided);
    let also = guided.map_or_else(String::new, |c| format!(" (coverage-guided: {c:.1} %)"));
    let also_zh = guided.map_or_else(String::new, |c| format!("（覆盖率引导：{c:.1} %）"));
    page.say(
        format!(
            "Median and, in brackets, the interval between two ranks that holds the true median with at least {drawn:.1} \
             %{also}. `-`: longer than was hunted. The order is that of the figures seen: defects whose intervals overlap are \
             not told apart.",
        ),
        format!(
            "中位数，方括号内为至少以 {drawn:.1} % 的概率包含真实中位数的秩区间{also_zh}。`-` 表示超过搜寻上限。\
             排序依据观测值：区间重叠的缺陷之间未显示差异。"
        ),
    );
    let percent = |share: Option<(f64, f64)>| share.map(|(low, high)| (low * 100.0, high * 100.0));
    let n = survival.seeds;
    if let (Some((all, _)), Some((_, none))) = (percent(wilson(n, n)), percent(wilson(0, n))) {
        page.say(
            format!(
                "Wilson score interval of 95 % for the share of all seeds: {n}/{n} is {all:.1} to 100 %, 0/{n} is 0 to \
                 {none:.1} %.",
            ),
            format!(
                "在全部种子中所占比例的 95 % Wilson 得分区间：{n}/{n} 为 {all:.1} 至 100 %，0/{n} 为 0 至 {none:.1} %。"
            ),
        );
    }
}

/// A median of counts and its interval.
fn whole(spread: Spread) -> String {
    let half = spread.median.is_some_and(|m| m.fract() != 0.0);
    let [low, high] = [spread.low, spread.high].map(|v| figure(v, 0));
    format!("{} [{low}, {high}]", figure(spread.median, usize::from(half)))
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
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of operations")]
        Some(value) if decimals == 0 => thousands(value.round() as u64),
        Some(value) => format!("{value:.decimals$}"),
    }
}
