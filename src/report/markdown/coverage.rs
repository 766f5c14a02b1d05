//! Section 5: requirement by requirement, then what the run cannot say.

use super::super::advice;
use super::super::facts::{Facts, Standing, unreached};
use super::super::page::{Page, escape, numbers, plural, thousands, words as text};
use super::super::words;
use super::{codes, requirement_ids, scenario_ids, situations};
use crate::op::OracleName;
use crate::requirement::Area;
use crate::verdict::Outcome;

pub(super) fn write(page: &mut Page, facts: &Facts<'_>) {
    page.heading(2, "5. Coverage and risks", "5. 覆盖与风险");
    requirements(page, facts);
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
    let mark = if standing.is_covered() { "✓" } else { "✗" };
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
    let mut items: Vec<Vec<String>> = Area::ALL.iter().filter_map(|&area| area_risk(page, facts, area)).collect();
    let never = facts.never_reached();
    if !never.is_empty() {
        let list = situations(page, &never);
        items.push(vec![page.t(
            format!("**Situations never reached**: {list}. A defect that needs one of them cannot have shown"),
            format!("**从未到达的情形**：{list}。依赖这些情形的缺陷不可能在本次运行中显现"),
        )]);
    }
    let judged = facts.oracles();
    let silent: Vec<&str> = OracleName::ALL.iter().filter(|o| !judged.contains_key(o)).map(|o| o.name()).collect();
    if !silent.is_empty() {
        let list = codes(page, silent);
        items.push(vec![page.t(
            format!("**Oracles that judged no executed scenario**: {list}"),
            format!("**未判定任何已执行用例的判定器**：{list}"),
        )]);
    }
    if facts.is_simulated() {
        items.push(vec![page.t(
            "**Real devices**: the target ran on simulated ones, so driver behaviour, kernel timing and other processes on the device were not exercised".to_owned(),
            "**真实设备**：目标运行在模拟设备上，驱动行为、内核执行时序以及同一设备上其他进程的影响均未检验".to_owned(),
        )]);
    }
    page.lead("Key risks not covered", "尚未覆盖的关键风险");
    if items.is_empty() {
        page.say(
            "None that the registry of requirements and situations knows of.",
            "在已登记的需求与情形范围内，没有未覆盖的风险。",
        );
    } else {
        page.numbered(1, &items);
    }
}

fn area_risk(page: &Page, facts: &Facts<'_>, area: Area) -> Option<Vec<String>> {
    let ids: Vec<_> =
        facts.in_area(area).filter(|s| !s.is_covered() && s.findings.is_empty()).map(|s| s.requirement.id).collect();
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

/// Scenarios without a verdict, and why.
fn missing(page: &mut Page, facts: &Facts<'_>) {
    page.lead("Missing information", "缺失信息");
    let gaps = facts.gaps();
    if gaps.is_empty() {
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
    let mut rows = Vec::new();
    for gap in gaps {
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
        rows.push(vec![page.t(en, zh).to_owned(), scenario_ids(page, gap.scenarios.iter().copied()), why]);
    }
    let columns =
        [text("Outcome", "结果"), text("Scenarios", "用例"), text("Reason, and what would lift it", "原因及解除条件")];
    page.table(&columns, &rows);
}
