//! Section 5: requirement by requirement, then what the run cannot say.

use super::super::advice;
use super::super::facts::{Facts, Standing, unreached};
use super::super::page::{Page, escape, numbers, plural, thousands, words as text};
use super::super::words;
use super::{join, requirement_ids, scenario_ids, situations, states};
use crate::op::OracleName;
use crate::requirement::Area;
use crate::verdict::Outcome;

/// Risks that are listed at most.
const MOST_RISKS: usize = 10;

/// Reasons for which scenarios have no verdict that are listed at most.
const MOST_GAPS: usize = 20;

/// Scenarios that are named for one reason.
const NAMED: usize = 8;

pub(super) fn write(page: &mut Page, facts: &Facts<'_>) {
    page.heading(2, "5. Coverage and risks", "5. 覆盖与风险");
    requirements(page, facts);
    states::write(page, facts);
    risks(page, facts);
    missing(page, facts);
}

fn requirements(page: &mut Page, facts: &Facts<'_>) {
    let (covered, all) = (facts.covered(None), facts.standings.len());
    page.lead(
        &format!("Requirement by requirement ({covered} of {all} covered)"),
        &format!("需求覆盖情况（已覆盖 {covered}/{all}）"),
    );
    let rows: Vec<Vec<String>> = facts.standings.iter().map(|standing| row(page, standing)).collect();
    let columns = [
        text("Id", "编号"),
        text("Level", "级别"),
        text("Requirement", "需求"),
        text("Covered", "覆盖"),
        text("Outcome", "结果"),
        numbers("Operations", "操作数"),
    ];
    page.table(&columns, &rows);
}

fn row(page: &Page, standing: &Standing<'_>) -> Vec<String> {
    let requirement = standing.requirement;
    let (level_en, level_zh) = words::level(requirement.level);
    let outcome = match standing.outcome() {
        Some(outcome) => {
            let (en, zh) = words::outcome(outcome);
            page.t(en, zh).to_owned()
        }
        None => page.t("no scenario", "无用例").to_owned(),
    };
    let mark = if standing.is_covered() && !standing.is_broken() { "✓" } else { "✗" };
    let ids: Vec<&str> = standing.findings.iter().map(|f| f.id.as_str()).collect();
    let findings = match (ids.is_empty(), ids.join(", ")) {
        (true, _) => String::new(),
        (false, ids) => page.t(format!(" ({ids})"), format!("（{ids}）")),
    };
    vec![
        requirement.id.to_string(),
        page.t(level_en, level_zh).to_owned(),
        escape(page.t(requirement.en, requirement.zh)),
        format!("{mark} {}/{}", standing.executed(), standing.scenarios.len()),
        format!("{outcome}{findings}"),
        thousands(standing.operations()),
    ]
}

fn risks(page: &mut Page, facts: &Facts<'_>) {
    let mut items: Vec<Vec<String>> = Vec::new();
    if facts.is_simulated() {
        items.push(vec![page.t(
            "**Real devices**: the target ran on simulated ones, so driver behaviour, kernel timing and other processes on the device were not exercised".to_owned(),
            "**真实设备**：目标运行在模拟设备上，驱动行为、内核执行时序以及同一设备上其他进程的影响均未检验".to_owned(),
        )]);
    }
    items.extend(Area::ALL.iter().filter_map(|&area| area_risk(page, facts, area)));
    let never = facts.never_reached();
    if !never.is_empty() {
        let list = situations(page, &never);
        items.push(vec![page.t(
            format!("**Situations never reached**: {list}. A defect that needs one of them cannot have shown"),
            format!("**从未到达的情形**：{list}。依赖这些情形的缺陷不可能在本次运行中显现"),
        )]);
    }
    let judged = facts.oracles();
    let silent: Vec<String> = OracleName::ALL
        .iter()
        .filter(|o| !judged.contains_key(o))
        .map(|&o| {
            let (en, zh) = words::oracle(o);
            page.t(en, zh).to_owned()
        })
        .collect();
    if !silent.is_empty() {
        let list = join(page, &silent);
        items.push(vec![page.t(
            format!("**Oracles that judged no executed scenario**: {list}"),
            format!("**未判定任何已执行用例的判定器**：{list}"),
        )]);
    }
    page.lead("Key risks not covered", "尚未覆盖的关键风险");
    if items.is_empty() {
        page.say(
            "None that the registry of requirements and situations knows of.",
            "在已登记的需求与情形范围内，没有未覆盖的风险。",
        );
        return;
    }
    if let Some(rest) = items.len().checked_sub(MOST_RISKS).filter(|&n| n > 0) {
        items.truncate(MOST_RISKS - 1);
        let rest = rest + 1;
        items.push(vec![page.t(
            format!("{rest} more areas or situations without a verdict (section 2)"),
            format!("另有 {rest} 项无结论的领域或情形（见第 2 节）"),
        )]);
    }
    page.numbered(1, &items);
}

fn area_risk(page: &Page, facts: &Facts<'_>, area: Area) -> Option<Vec<String>> {
    let ids: Vec<_> = facts.in_area(area).filter(|s| !s.is_covered()).map(|s| s.requirement.id).collect();
    if ids.is_empty() {
        return None;
    }
    let whole = ids.len() == facts.in_area(area).count();
    let ids = requirement_ids(page, ids);
    let ((name_en, name_zh), (impact_en, impact_zh)) = (area.title(), advice::impact(area));
    let (en, zh) = if whole {
        ("no verdict on anything in this area", "该领域没有任何结论")
    } else {
        ("no verdict", "尚无结论")
    };
    Some(vec![page.t(
        format!("**{name_en}** ({ids}): {en}. Risk: {impact_en}"),
        format!("**{name_zh}**（{ids}）：{zh}。风险：{impact_zh}"),
    )])
}

/// Scenarios without a verdict, why, and the question that stays open with them.
fn missing(page: &mut Page, facts: &Facts<'_>) {
    page.lead("Missing information", "缺失信息");
    let mut items = Vec::new();
    let gaps = facts.gaps();
    for gap in gaps.iter().take(MOST_GAPS) {
        let (en, zh) = words::outcome(gap.outcome);
        let mut why = page.of(&gap.reason);
        if why.is_empty() {
            page.t("no reason recorded", "未记录原因").clone_into(&mut why);
        }
        if gap.outcome == Outcome::Inconclusive {
            let mut lacking: Vec<_> = gap.scenarios.iter().flat_map(|s| unreached(s)).collect();
            lacking.sort();
            lacking.dedup();
            if !lacking.is_empty() {
                let list = situations(page, &lacking);
                why += &page.t(format!("; not reached: {list}"), format!("；未到达：{list}"));
            }
        }
        let n = gap.scenarios.len();
        let named = scenario_ids(page, gap.scenarios.iter().copied().take(NAMED));
        let (more_en, more_zh) =
            if n > NAMED { (format!(" and {} more", n - NAMED), " 等".to_owned()) } else { Default::default() };
        items.push(page.t(
            format!("{} {en}: {why} ({named}{more_en})", plural(n, "scenario")),
            format!("{n} 个用例{zh}：{why}（{named}{more_zh}）"),
        ));
    }
    if let Some(rest) = gaps.len().checked_sub(MOST_GAPS).filter(|&n| n > 0) {
        items.push(page.t(
            format!("{rest} more reasons for which scenarios have no verdict stand in `run.json`"),
            format!("另有 {rest} 种无结论的原因，见 `run.json`"),
        ));
    }
    let uncited: Vec<_> = facts.standings.iter().filter(|s| s.outcome().is_none() && !s.is_covered()).collect();
    if !uncited.is_empty() {
        let (n, ids) = (uncited.len(), requirement_ids(page, uncited.iter().map(|s| s.requirement.id)));
        items.push(page.t(
            format!("{} that no scenario of this run cites: {ids}", plural(n, "requirement")),
            format!("{n} 项需求在本次运行中没有用例引用：{ids}"),
        ));
    }
    if facts.record.is_format_1() {
        items.push(
            page.t(
                "The record is of format 1: what the target lacks and where it ran are not in it as data",
                "该记录为格式 1：其中不含目标所缺能力与运行位置的结构化数据",
            )
            .to_owned(),
        );
    }
    if items.is_empty() {
        let n = facts.record.scenarios.len();
        page.say(
            format!(
                "None: {} of this run reached a verdict.",
                if n == 1 { "the one scenario".to_owned() } else { format!("all {}", plural(n, "scenario")) }
            ),
            format!("无：本次运行的 {} 个用例均得出结论。", thousands(n)),
        );
        return;
    }
    page.bullets(&items);
}
