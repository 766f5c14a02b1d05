//! Section 6: what to do next, by priority, and what risk remains until it is done.

use super::super::advice;
use super::super::facts::{Facts, Standing, Verdict, is_executed, unreached};
use super::super::page::{Page, code, decimal, person_days, plural, thousands};
use super::{reason, requirement_ids, scenario_ids, situations};
use crate::op::Milestone;
use crate::requirement::{Area, Level, Severity};
use crate::verdict::Outcome;
use crate::verdict::record::ScenarioRecord;

/// A run longer than this belongs into a nightly job rather than before every merge.
const MERGE_SECONDS: f64 = 600.0;

type Item = Vec<String>;

pub(super) fn write(page: &mut Page, facts: &Facts<'_>) {
    page.heading(2, "6. Follow-up", "6. 后续动作");
    let mut first = 1;
    let urgent = repairs(page, facts, Severity::High);
    first += priority(page, facts, ("P0 (now)", "P0（立即修复）"), first, &urgent, Severity::High);
    let mut next = repairs(page, facts, Severity::Medium);
    next.extend(unfinished(page, facts));
    first += priority(page, facts, ("P1 (this week)", "P1（本周内完成）"), first, &next, Severity::Medium);
    let mut later = repairs(page, facts, Severity::Low);
    later.extend(uncovered(page, facts));
    priority(page, facts, ("P2 (next)", "P2（后续计划）"), first, &later, Severity::Low);
    let days: f64 = facts.open_findings().iter().map(|f| f.effort_days).sum();
    if days > 0.0 {
        let days = decimal(days);
        page.say(
            format!("Person-days are the scenarios' own estimates summed over findings, {days} in all; findings with one cause cost less."),
            format!("人日为各问题所属用例的估计值之和，合计 {days} 人日；同一根因的多个问题实际工作量更少。"),
        );
    }
    environment(page, facts);
    integration(page, facts);
    risk(page, facts);
}

fn priority(
    page: &mut Page,
    facts: &Facts<'_>,
    (en, zh): (&str, &str),
    first: usize,
    items: &[Item],
    of: Severity,
) -> usize {
    let days: f64 = facts.open_findings().iter().filter(|f| f.severity == of).map(|f| f.effort_days).sum();
    let (days_en, days_zh) = if days > 0.0 {
        (format!(": {}", person_days(days)), format!("：{} 人日", decimal(days)))
    } else {
        Default::default()
    };
    page.heading(3, &format!("Priority {en}{days_en}"), &format!("优先级 {zh}{days_zh}"));
    if items.is_empty() {
        page.say("Nothing.", "无。");
    } else {
        page.numbered(first, items);
    }
    items.len()
}

/// One item a broken requirement.
fn repairs(page: &Page, facts: &Facts<'_>, severity: Severity) -> Vec<Item> {
    let mut items = Vec::new();
    for (requirement, findings) in facts.open_by_requirement(severity) {
        let days = findings.iter().map(|f| f.effort_days).sum();
        let (days_en, days_zh) = (person_days(days), decimal(days));
        let ids = findings.iter().map(|f| f.id.as_str()).collect::<Vec<_>>().join(", ");
        let (fix_en, fix_zh) = advice::fix(requirement.area());
        let mut item = vec![
            page.t(
                format!("**Repair {requirement}** ({ids}; {days_en}): {}", requirement.get().en),
                format!("**修复 {requirement}**（{ids}，预计 {days_zh} 人日）：{}", requirement.get().zh),
            ),
            page.t(format!("Start here: {fix_en}"), format!("建议：{fix_zh}")),
        ];
        for finding in findings {
            let command = code(&finding.command);
            item.push(page.t(
                format!("{} is done when {command} finds no violation", finding.id),
                format!("{} 的完成标准：{command} 不再发现违规", finding.id),
            ));
        }
        items.push(item);
    }
    let unexplained =
        |s: &&ScenarioRecord| s.severity == severity && !facts.record.findings.iter().any(|f| f.scenario == s.id);
    for scenario in facts.with_outcome(Outcome::Fail).into_iter().filter(unexplained) {
        let (id, why) = (code(&scenario.id), reason(page, scenario));
        items.push(vec![page.t(
            format!("**Look into {id}**: it failed without a stored finding ({why})"),
            format!("**排查 {id}**：用例失败但没有保存的问题（{why}）"),
        )]);
    }
    items
}

/// Broken, inconclusive and unexpectedly passing scenarios.
fn unfinished(page: &Page, facts: &Facts<'_>) -> Vec<Item> {
    let mut items = Vec::new();
    for scenario in facts.with_outcome(Outcome::UnexpectedPass) {
        let (id, why) = (code(&scenario.id), reason(page, scenario));
        items.push(vec![page.t(
            format!("**Update the expectation of {id}**: it passes now ({why})"),
            format!("**更新 {id} 的预期**：该用例现已通过（{why}）"),
        )]);
    }
    for entry in facts.record.outdated() {
        let ((en, zh), about, place) =
            (super::super::words::standing(entry.standing), code(&entry.about()), code(&entry.place));
        let owner = super::super::page::escape(&entry.owner);
        items.push(vec![page.t(
            format!("**Renew or remove the expectation of {about}** ({place}): it is {en}; {owner} looks after it"),
            format!("**更新或删除 {about} 的预期**（{place}）：{zh}，负责人 {owner}"),
        )]);
    }
    for scenario in facts.with_outcome(Outcome::Broken) {
        let (id, why) = (code(&scenario.id), reason(page, scenario));
        items.push(vec![page.t(
            format!("**Find out why {id} broke** and run it again: {why}"),
            format!("**查明 {id} 中断的原因**并重新运行：{why}"),
        )]);
    }
    for scenario in facts.with_outcome(Outcome::Inconclusive) {
        let id = code(&scenario.id);
        let mut item = vec![page.t(
            format!("**Bring {id} to a verdict**: {}", reason(page, scenario)),
            format!("**使 {id} 得出结论**：{}", reason(page, scenario)),
        )];
        let missing = unreached(scenario);
        if !missing.is_empty() {
            let list = situations(page, &missing);
            item.push(if scenario.generated {
                page.t(
                    format!("Not reached: {list}. Draw more sequences (`PROPTEST_CASES`) or change the scenario's sizes and weights"),
                    format!("未到达：{list}。增加序列数（`PROPTEST_CASES`）或调整用例的大小与权重"),
                )
            } else {
                page.t(format!("Not reached: {list}. Change its steps"), format!("未到达：{list}。需修改用例步骤"))
            });
        }
        items.push(item);
    }
    items
}

/// One item an area whose scenarios gave no verdict, and one for all that no scenario cites.
fn uncovered(page: &Page, facts: &Facts<'_>) -> Vec<Item> {
    let mut items = Vec::new();
    // Those with a broken or inconclusive scenario stand under P1 already.
    let ended = |s: &Standing<'_>| !matches!(s.outcome(), Some(Outcome::Broken | Outcome::Inconclusive));
    let open = facts.uncovered().into_iter().filter(|s| ended(s));
    let (cited, uncited): (Vec<_>, Vec<_>) = open.partition(|s| !s.scenarios.is_empty());
    for area in Area::ALL {
        let open = || cited.iter().filter(|s| s.requirement.id.area() == area);
        if open().next().is_none() {
            continue;
        }
        let ids = requirement_ids(page, open().map(|s| s.requirement.id));
        let scenarios = scenario_ids(page, open().flat_map(|s| s.scenarios.iter().copied()));
        let (en, zh) = area.title();
        items.push(vec![page.t(
            format!("**Cover {en}** ({ids}): bring {scenarios} to a verdict (reasons in section 5)"),
            format!("**补充“{zh}”的覆盖**（{ids}）：使 {scenarios} 得出结论（原因见第 5 节）"),
        )]);
    }
    if !uncited.is_empty() {
        let ids = requirement_ids(page, uncited.iter().map(|s| s.requirement.id));
        let (en, zh) = if facts.record.selection.is_empty() {
            ("write a scenario for each", "为每项需求编写用例")
        } else {
            ("the run was narrowed, so run the full set first", "本次运行范围受限，应先运行全部用例")
        };
        items.push(vec![page.t(
            format!("**Cover what no scenario of this run cites**: {en}. {ids}"),
            format!("**补充本次运行无用例引用的需求**：{zh}。{ids}"),
        )]);
    }
    items
}

fn environment(page: &mut Page, facts: &Facts<'_>) {
    let mut items: Vec<String> = Vec::new();
    for (capability, scenarios) in facts.lacking() {
        let (en, zh) = advice::lift(capability);
        let n = scenarios.len();
        items.push(page.t(
            format!("{} (needed by {})", capitalised(&en), plural(n, "scenario")),
            format!("{zh}（涉及用例 {n} 个）"),
        ));
    }
    let skipped = facts.with_outcome(Outcome::Skipped).len();
    if skipped > 0 {
        items.push(page.t(
            format!("Run the {} left out (section 5 gives each reason)", plural(skipped, "scenario")),
            format!("补跑被跳过的 {skipped} 个用例（原因见第 5 节）"),
        ));
    }
    if facts.is_simulated() {
        items.push(page.t(
            "Repeat the run on a target with a real device: this one was simulated".to_owned(),
            "在使用真实设备的目标上重复本次运行：本次为模拟设备".to_owned(),
        ));
    }
    if items.is_empty() {
        items.push(page.t("Nothing was lacking in this environment".to_owned(), "本次环境未发现欠缺".to_owned()));
    }
    page.heading(3, "Environment", "环境调整建议");
    page.bullets(&items);
}

fn integration(page: &mut Page, facts: &Facts<'_>) {
    let stamp = &facts.record.stamp;
    let (seconds, seed) = (decimal(stamp.seconds), facts.record.seed);
    let mut items = vec![if stamp.seconds <= MERGE_SECONDS {
        page.t(
            format!(
                "The run took {seconds} s on {}: short enough to stand before every merge",
                plural(stamp.cores, "core")
            ),
            format!("本次运行在 {} 核上耗时 {seconds} 秒，可作为每次合并前的检查", stamp.cores),
        )
    } else {
        page.t(
            format!(
                "The run took {seconds} s on {}: run it nightly, or split it with `--shard`",
                plural(stamp.cores, "core")
            ),
            format!("本次运行在 {} 核上耗时 {seconds} 秒，宜每日定时运行，或用 `--shard` 拆分", stamp.cores),
        )
    }];
    items.push(page.t(
        format!("Seed {seed} repeats these sequences; a changing seed in a scheduled job looks at new ones"),
        format!("种子 {seed} 可复现相同序列；定时任务中更换种子可探索新的序列"),
    ));
    items.push(page.t(
        "`junit.xml` beside this report feeds the CI's own test view; the exit code is the gate".to_owned(),
        "报告同目录的 `junit.xml` 供 CI 展示测试结果，以退出码作为门禁".to_owned(),
    ));
    let open = facts.open_findings().len();
    if open > 0 {
        items.push(page.t(
            format!("Keep the {} under `findings/` as regression tests once repaired", plural(open, "reproducer")),
            format!("修复后将 `findings/` 下的 {open} 个复现文件保留为回归测试"),
        ));
    }
    page.heading(3, "CI", "CI/CD 集成");
    page.bullets(&items);
}

fn risk(page: &mut Page, facts: &Facts<'_>) {
    let musts = || facts.of_level(Some(Level::Must)).filter(|s| !s.is_covered() && s.findings.is_empty());
    let open_musts = musts().count();
    let (level, areas) = (residual(facts, open_musts), broken_areas(page, facts));
    let mut en = format!("**Risk assessment**: {} residual risk.", level.0);
    let mut zh = format!("**风险评估**：剩余风险{}。", level.1);
    if !areas.is_empty() {
        en +=
            &format!(" Violated: {areas}; until that is repaired, users of the target cannot rely on these promises.");
        zh += &format!("已发现违规的领域：{areas}；修复之前，使用者不能依赖相应保证。");
    }
    if open_musts > 0 {
        en += &format!(" Not tested on this target: {} at level must.", plural(open_musts, "requirement"));
        zh += &format!("“必须”级需求中有 {open_musts} 项未在该目标上测试。");
    }
    let (more_en, more_zh) = sample(facts);
    en += &more_en;
    zh += &more_zh;
    page.say(en, zh);
}

/// How far generated sequences can be trusted.
fn sample(facts: &Facts<'_>) -> (String, String) {
    let generated = || facts.record.scenarios.iter().filter(|s| s.generated && is_executed(s));
    let sequences: u64 = generated().map(|s| s.sequences).sum();
    let operations: u64 = generated().map(|s| s.operations).sum();
    let (reached, all) = (facts.situations().len(), Milestone::ALL.len());
    if facts.executed() == 0 {
        return Default::default();
    }
    if sequences == 0 {
        return (
            " Only explicit steps were executed: no generated sequence looked further.".to_owned(),
            "本次仅执行显式步骤，没有生成式序列做进一步探索。".to_owned(),
        );
    }
    (
        format!(
            " Generated sequences are a sample: {} with {} were drawn, {reached} of {all} situations were reached, and a defect that needs a longer or rarer course can remain.",
            plural(sequences, "sequence"),
            plural(operations, "operation"),
        ),
        format!(
            "生成式测试属于抽样：共生成 {} 条序列、{} 次操作，到达 {all} 种情形中的 {reached} 种；需要更长或更罕见过程才能触发的缺陷仍可能存在。",
            thousands(sequences),
            thousands(operations),
        ),
    )
}

fn residual(facts: &Facts<'_>, open_musts: usize) -> (&'static str, &'static str) {
    let nothing_known = matches!(facts.verdict(), Verdict::Nothing | Verdict::Broken);
    if facts.open_with(Severity::High) > 0 || nothing_known {
        ("high", "高")
    } else if facts.verdict() != Verdict::Clean || open_musts > 0 {
        ("medium", "中")
    } else {
        ("low", "低")
    }
}

fn broken_areas(page: &Page, facts: &Facts<'_>) -> String {
    let mut areas: Vec<Area> = facts.open_findings().iter().map(|f| f.requirement.area()).collect();
    areas.sort();
    areas.dedup();
    let names: Vec<String> = areas.iter().map(|a| page.t(a.title().0, a.title().1).to_owned()).collect();
    super::join(page, &names)
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}
