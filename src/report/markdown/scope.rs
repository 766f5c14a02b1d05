//! Section 2: what was tested, where, how, and what was left out.

use super::super::facts::Facts;
use super::super::page::{Page, code, decimal, escape, plural, thousands};
use super::super::words;
use super::{codes, join, requirement_ids};
use crate::op::size;
use crate::requirement::Area;
use crate::verdict::Outcome;

pub(super) fn write(page: &mut Page, facts: &Facts<'_>) {
    page.heading(2, "2. Scope", "2. 测试范围");
    target(page, facts);
    environment(page, facts);
    strategy(page, facts);
    let left_out =
        |area: &Area| facts.in_area(*area).all(|s| s.outcome() == Some(Outcome::NotSelected) && !s.is_covered());
    let (out, within): (Vec<Area>, Vec<Area>) = Area::ALL.iter().copied().partition(left_out);
    let lines: Vec<(Mark, String)> = within.into_iter().map(|area| line(page, facts, area)).collect();
    let of = |wanted: fn(Mark) -> bool| {
        lines.iter().filter(|(mark, _)| wanted(*mark)).map(|(_, line)| line.clone()).collect::<Vec<_>>()
    };
    page.lead("Covered", "覆盖范围");
    page.bullets(&or_none(page, of(|mark| mark == Mark::Whole)));
    page.lead("Covered in part", "部分覆盖项");
    page.bullets(&or_none(page, of(|mark| mark == Mark::Part)));
    page.lead("Not covered, or broken", "未覆盖项与违规项");
    let mut amiss = of(|mark| matches!(mark, Mark::Broken | Mark::Nothing));
    if !out.is_empty() {
        let names = join(page, &out.iter().map(|&area| area_name(page, area)).collect::<Vec<_>>());
        amiss.push(page.t(format!("✗ not selected: {names}"), format!("✗ 未选中：{names}")));
    }
    page.bullets(&or_none(page, amiss));
}

/// How an area stands. A tick is for an area of which every requirement has a verdict and none is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Whole,
    Part,
    Broken,
    Nothing,
}

impl Mark {
    fn of(facts: &Facts<'_>, area: Area) -> Self {
        let all = facts.in_area(area).count();
        let covered = facts.in_area(area).filter(|s| s.is_covered()).count();
        if facts.in_area(area).any(|s| s.is_broken()) {
            Mark::Broken
        } else if covered == 0 {
            Mark::Nothing
        } else if covered == all {
            Mark::Whole
        } else {
            Mark::Part
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Mark::Whole => "✓",
            Mark::Part => "◐",
            Mark::Broken | Mark::Nothing => "✗",
        }
    }
}

fn or_none(page: &Page, items: Vec<String>) -> Vec<String> {
    if items.is_empty() { vec![page.t("none", "无").to_owned()] } else { items }
}

fn target(page: &mut Page, facts: &Facts<'_>) {
    let target = &facts.record.target;
    let name = code(&target.name);
    page.say(format!("**Target**: {name}"), format!("**测试目标**：{name}"));
    let devices: Vec<String> = target
        .devices
        .iter()
        .map(|d| {
            page.t(
                format!("{} ({})", escape(&d.name), size::human(d.total_bytes)),
                format!("{}（{}）", escape(&d.name), size::human(d.total_bytes)),
            )
        })
        .collect();
    let devices = if devices.is_empty() { page.t("none", "无").to_owned() } else { join(page, &devices) };
    let capabilities = codes(page, target.capabilities.iter().map(String::as_str));
    let mut items = vec![
        page.t(format!("Devices: {devices}"), format!("设备：{devices}")),
        page.t(format!("Capabilities: {capabilities}"), format!("能力：{capabilities}")),
    ];
    let (allocator, driver) = (target.versions.allocator.as_deref(), target.versions.driver.as_deref());
    for ((en, zh), version) in
        [(("Allocator version", "分配器版本"), allocator), (("Driver version", "驱动版本"), driver)]
    {
        if let Some(version) = version.map(escape) {
            items.push(page.t(format!("{en}: {version}"), format!("{zh}：{version}")));
        }
    }
    if let Some(defect) = &target.planted {
        let defect = code(defect);
        items.push(page.t(format!("Planted defect: {defect}"), format!("植入的缺陷：{defect}")));
    }
    page.bullets(&items);
}

fn environment(page: &mut Page, facts: &Facts<'_>) {
    let stamp = &facts.record.stamp;
    let version = escape(&facts.record.version);
    let cores = page.t(plural(stamp.cores, "core"), format!("{} 核", stamp.cores));
    let parts = [escape(&stamp.os), escape(&stamp.cpu), cores];
    let machine: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let machine = machine.join(page.t(", ", "，"));
    let (command, seconds, started) = (code(&stamp.command), decimal(stamp.seconds), escape(&stamp.started));
    page.lead("Environment", "测试环境");
    page.bullets(&[
        page.t(format!("Harness: poolproof {version}"), format!("测试框架：poolproof {version}")),
        page.t(format!("Machine: {machine}"), format!("机器：{machine}")),
        page.t(format!("Started: {started}, took {seconds} s"), format!("开始时间：{started}，耗时 {seconds} 秒")),
        page.t(format!("Command: {command}"), format!("命令：{command}")),
    ]);
}

fn strategy(page: &mut Page, facts: &Facts<'_>) {
    let executed = || facts.record.scenarios.iter().filter(|s| s.is_executed());
    let generated = executed().filter(|s| s.generated).count();
    let explicit = executed().filter(|s| !s.generated).count();
    let drawn: u64 = executed().filter(|s| s.generated).map(|s| s.sequences).sum();
    let stored: u64 = facts.record.scenarios.iter().map(|s| s.stamp.regressions).sum();
    let seed = facts.record.seed;
    let oracles: Vec<String> = facts
        .oracles()
        .iter()
        .map(|(&oracle, &n)| {
            let (en, zh) = words::oracle(oracle);
            page.t(format!("{en} ({n})"), format!("{zh}（{n}）"))
        })
        .collect();
    let oracles = join(page, &or_none(page, oracles));
    let (operations, dropped) = (facts.operations(), facts.dropped());
    page.lead("Strategy", "测试策略");
    let mut items = vec![
        page.t(
            format!(
                "{} with explicit steps; {} with generated sequences, {} drawn from seed {seed}",
                plural(explicit, "scenario"),
                thousands(generated),
                plural(drawn, "sequence"),
            ),
            format!(
                "显式步骤用例 {} 个；生成式用例 {} 个，由种子 {seed} 生成 {} 条操作序列",
                thousands(explicit),
                thousands(generated),
                thousands(drawn),
            ),
        ),
        page.t(
            format!(
                "{} executed, {} not asked because what they needed was not there",
                plural(operations, "operation"),
                thousands(dropped)
            ),
            format!("执行操作 {} 次；另有 {} 次因所需对象不存在而未提交", thousands(operations), thousands(dropped)),
        ),
        page.t(
            format!("Oracles, by what they watch, and how many executed scenarios ask for each (one is left out where the target does not show what it judges): {oracles}"),
            format!("判定器（按检查内容）及要求它的已执行用例数（目标未提供其所需数据时不启用）：{oracles}"),
        ),
    ];
    if stored > 0 {
        items.push(page.t(
            format!("{} run first", plural(stored, "stored failing sequence")),
            format!("先行重放已保存的失败序列 {} 条", thousands(stored)),
        ));
    }
    if !facts.record.selection.is_empty() {
        let selection = codes(page, facts.record.selection.iter().map(String::as_str));
        items.push(page.t(format!("Narrowed by {selection}"), format!("范围限定：{selection}")));
    }
    page.bullets(&items);
}

fn area_name(page: &Page, area: Area) -> String {
    let (en, zh) = area.title();
    page.t(format!("{en} ({})", area.code()), format!("{zh}（{}）", area.code()))
}

/// An area in a line: its mark, how many of its requirements are known, and what is missing or broken.
fn line(page: &Page, facts: &Facts<'_>, area: Area) -> (Mark, String) {
    let mark = Mark::of(facts, area);
    let (name, sign) = (area_name(page, area), mark.sign());
    let all = facts.in_area(area).count();
    let covered = facts.in_area(area).filter(|s| s.is_covered()).count();
    let scenarios: usize = facts.in_area(area).map(|s| s.executed()).sum();
    let operations: u64 = facts.in_area(area).map(|s| s.operations()).sum();
    let mut en = format!(
        "{sign} {name}: {covered} of {}, {}, {}",
        plural(all, "requirement"),
        plural(scenarios, "scenario"),
        plural(operations, "operation"),
    );
    let mut zh = format!(
        "{sign} {name}：需求 {covered}/{all}，用例 {} 个，操作 {} 次",
        thousands(scenarios),
        thousands(operations)
    );
    let broken: Vec<_> = facts.in_area(area).filter(|s| s.is_broken()).collect();
    if !broken.is_empty() {
        let each: Vec<String> = broken
            .iter()
            .map(|s| {
                let ids: Vec<&str> = s.findings.iter().map(|f| f.id.as_str()).collect();
                if ids.is_empty() {
                    s.requirement.id.to_string()
                } else {
                    format!("{} ({})", s.requirement.id, ids.join(", "))
                }
            })
            .collect();
        let each = join(page, &each);
        en += &format!("; broken: {each}");
        zh += &format!("；违规：{each}");
    }
    if let Some(missing) = missing(page, facts, area) {
        en += &format!("; no verdict: {missing}");
        zh += &format!("；无结论：{missing}");
    }
    (mark, page.t(en, zh))
}

/// The requirements of an area of which nothing is known, by why.
fn missing(page: &Page, facts: &Facts<'_>, area: Area) -> Option<String> {
    let mut groups: Vec<(Option<Outcome>, Vec<_>)> = Vec::new();
    for standing in facts.in_area(area).filter(|s| !s.is_covered()) {
        let outcome = standing.outcome();
        match groups.iter_mut().find(|(o, _)| *o == outcome) {
            Some((_, ids)) => ids.push(standing.requirement.id),
            None => groups.push((outcome, vec![standing.requirement.id])),
        }
    }
    let mut parts = Vec::new();
    for (outcome, ids) in groups {
        let ids = requirement_ids(page, ids);
        let (en, zh) = match outcome {
            None => ("no scenario in this run", "本次运行无用例"),
            // A verdict without one executed operation says nothing.
            Some(Outcome::Pass | Outcome::Fail | Outcome::ExpectedFail | Outcome::UnexpectedPass) => {
                ("no operation executed", "未执行任何操作")
            }
            Some(other) => words::outcome(other),
        };
        parts.push(page.t(format!("{ids} ({en})"), format!("{ids}（{zh}）")));
    }
    (!parts.is_empty()).then(|| join(page, &parts))
}
