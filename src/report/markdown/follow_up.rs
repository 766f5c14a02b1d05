//! Section 6: what to do next, by priority, and what risk remains until it is done.

use super::super::advice;
use super::super::facts::Facts;
use super::super::page::{Page, code, decimal, escape, person_days, plural, thousands};
use super::{reason, scenario_ids, title};
use crate::op::{Capability, Milestone};
use crate::requirement::{Area, Severity};
use crate::verdict::Outcome;
use crate::verdict::conclusion::Conclusion;
use crate::verdict::record::{LeftOut, ScenarioRecord};

/// A run longer than this belongs into a nightly job rather than before every merge.
const MERGE_SECONDS: f64 = 600.0;

/// Scenarios that are named in one task.
const NAMED: usize = 8;

/// One task: what to do, then what tells that it is done.
type Item = Vec<String>;

pub(super) fn write(page: &mut Page, facts: &Facts<'_>) {
    page.heading(2, "6. Follow-up", "6. 后续动作");
    let mut first = 1;
    let urgent = repairs(page, facts, Severity::High);
    first += priority(page, facts, ("P0 (now)", "P0（立即修复）"), first, &urgent, Severity::High);
    let mut next = repairs(page, facts, Severity::Medium);
    next.extend(upkeep(page, facts));
    first += priority(page, facts, ("P1 (this week)", "P1（本周内完成）"), first, &next, Severity::Medium);
    let later = repairs(page, facts, Severity::Low);
    priority(page, facts, ("P2 (next)", "P2（后续计划）"), first, &later, Severity::Low);
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

/// One task a finding.
fn repairs(page: &Page, facts: &Facts<'_>, severity: Severity) -> Vec<Item> {
    let mut items = Vec::new();
    for finding in facts.open_findings().into_iter().filter(|f| f.severity == severity) {
        let (days_en, days_zh) = (person_days(finding.effort_days), decimal(finding.effort_days));
        let ((fix_en, fix_zh), command) = (advice::fix(finding.requirement.area()), code(&finding.command));
        let (id, title) = (&finding.id, title(page, finding));
        items.push(vec![
            page.t(
                format!("**Repair {id}** ({days_en}): {title}"),
                format!("**修复 {id}**（预计 {days_zh} 人日）：{title}"),
            ),
            page.t(format!("Start here: {fix_en}"), format!("建议：{fix_zh}")),
            page.t(format!("Done when {command} finds no violation"), format!("完成标准：{command} 不再发现违规")),
        ]);
    }
    items
}

/// What has to be put right beside the target: broken scenarios, expectations that no longer hold.
fn upkeep(page: &Page, facts: &Facts<'_>) -> Vec<Item> {
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
        let owner = escape(&entry.owner);
        items.push(vec![page.t(
            format!("**Renew or remove the expectation of {about}** ({place}): it is {en}; {owner} looks after it"),
            format!("**更新或删除 {about} 的预期**（{place}）：{zh}，负责人 {owner}"),
        )]);
    }
    let broken = facts.with_outcome(Outcome::Broken);
    if let Some(first) = broken.first() {
        let (n, why) = (broken.len(), reason(page, first));
        let named = scenario_ids(page, broken.iter().copied().take(NAMED));
        let (more_en, more_zh) =
            if n > NAMED { (format!(" and {} more", n - NAMED), " 等".to_owned()) } else { Default::default() };
        items.push(vec![
            page.t(
                format!("**Find out why {} broke**: {named}{more_en}. The first: {why}", plural(n, "scenario")),
                format!("**查明 {n} 个用例中断的原因**：{named}{more_zh}。首个：{why}"),
            ),
            page.t("Done when they come to a verdict".to_owned(), "完成标准：这些用例得出结论".to_owned()),
        ]);
    }
    items
}

fn environment(page: &mut Page, facts: &Facts<'_>) {
    let mut items: Vec<String> = Vec::new();
    for (name, scenarios) in facts.lacking() {
        let n = scenarios.len();
        let (en, zh) = name.parse::<Capability>().map_or_else(
            |_| {
                let name = code(&name);
                (format!("{name} is lacking"), format!("缺少 {name}"))
            },
            advice::lift,
        );
        items.push(page.t(
            format!("{} (needed by {})", capitalised(&en), plural(n, "scenario")),
            format!("{zh}（涉及用例 {n} 个）"),
        ));
    }
    items.extend(left_out(page, facts));
    if facts.is_simulated() {
        items.push(page.t(
            "Repeat the run on a target with a real device: this one was simulated".to_owned(),
            "在使用真实设备的目标上重复本次运行：本次为模拟设备".to_owned(),
        ));
    }
    if items.is_empty() {
        items.push(if facts.record.is_format_1() {
            page.t(
                "This record of format 1 does not say as data what was lacking or left out (section 5 has the reasons)"
                    .to_owned(),
                "该格式 1 的记录未以数据形式说明所缺能力与被略过的用例（原因见第 5 节）".to_owned(),
            )
        } else {
            page.t(
                "Every scenario found what it needs in this environment".to_owned(),
                "本次环境满足全部用例的需要".to_owned(),
            )
        });
    }
    page.heading(3, "Environment", "环境调整建议");
    page.bullets(&items);
}

/// What to do about scenarios that were left out.
fn left_out(page: &Page, facts: &Facts<'_>) -> Vec<String> {
    let count = |why: LeftOut| facts.record.scenarios.iter().filter(|s| s.left_out == Some(why)).count();
    let all = [
        (LeftOut::Time, "Give more `--time`", "延长 `--time`", "had no turn or were not finished", "未轮到或未完成"),
        (
            LeftOut::Interrupted,
            "Let the run come to its end",
            "让运行完整结束",
            "were not run to their end",
            "未执行完毕",
        ),
        (LeftOut::Filter, "Run without `--scenario`", "去掉 `--scenario`", "were not selected", "未被选中"),
        (
            LeftOut::NoExact,
            "Run without `--no-exact`",
            "去掉 `--no-exact`",
            "are about the policy that is claimed",
            "涉及所声称的策略",
        ),
        (LeftOut::Share, "Run the other shares", "运行其他分片", "belong to them", "属于其他分片"),
    ];
    let line = |(why, en, zh, what_en, what_zh): (LeftOut, &str, &str, &str, &str)| {
        let n = count(why);
        (n > 0)
            .then(|| page.t(format!("{en}: {} {what_en}", plural(n, "scenario")), format!("{zh}：{n} 个用例{what_zh}")))
    };
    all.into_iter().filter_map(line).collect()
}

fn integration(page: &mut Page, facts: &Facts<'_>) {
    let stamp = &facts.record.stamp;
    let (seconds, seed) = (decimal(stamp.seconds), facts.record.seed);
    let (when_en, when_zh) = if stamp.seconds <= MERGE_SECONDS {
        ("short enough to stand before every merge", "可作为每次合并前的检查")
    } else {
        ("run it nightly, or split it with `--shard`", "宜每日定时运行，或用 `--shard` 拆分")
    };
    let cores = stamp.cores;
    let mut items = vec![
        page.t(
            format!("The run took {seconds} s on {}: {when_en}", plural(cores, "core")),
            format!("本次运行在 {cores} 核上耗时 {seconds} 秒，{when_zh}"),
        ),
        page.t(
            format!("Seed {seed} repeats these sequences; a changing seed in a scheduled job looks at new ones"),
            format!("种子 {seed} 可复现相同序列；定时任务中更换种子可探索新的序列"),
        ),
        page.t(
            "`junit.xml` beside this report feeds the CI's own test view; the exit code is the gate".to_owned(),
            "报告同目录的 `junit.xml` 供 CI 展示测试结果，以退出码作为门禁".to_owned(),
        ),
    ];
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
    let musts = facts.musts();
    let unknown = musts.all - musts.judged;
    let (level, areas) = (residual(facts, unknown), broken_areas(page, facts));
    let mut en = format!("**Risk assessment**: {} residual risk.", level.0);
    let mut zh = format!("**风险评估**：剩余风险{}。", level.1);
    if !areas.is_empty() {
        en += &format!(
            " Violated: {areas}; until that is repaired, users of the target cannot rely on these requirements."
        );
        zh += &format!("已发现违规的领域：{areas}；修复之前，使用者不能依赖相应需求。");
    }
    if unknown > 0 {
        en += &format!(" No verdict on {} at level must.", plural(unknown, "requirement"));
        zh += &format!("“必须”级需求中有 {unknown} 项没有结论。");
    }
    let (more_en, more_zh) = sample(facts);
    en += &more_en;
    zh += &more_zh;
    page.say(en, zh);
}

/// How far generated sequences can be trusted.
fn sample(facts: &Facts<'_>) -> (String, String) {
    let generated = || facts.record.scenarios.iter().filter(|s: &&ScenarioRecord| s.generated && s.is_executed());
    let sequences: u64 = generated().map(|s| s.sequences).sum();
    let operations: u64 = generated().map(|s| s.operations).sum();
    let (reached, all) = (facts.situations().len(), Milestone::ALL.len());
    if facts.executed() == 0 {
        return Default::default();
    }
    if sequences == 0 {
        return (
            " Only explicit steps came to a verdict: no generated sequence looked further.".to_owned(),
            "仅显式步骤得出结论，没有生成式序列做进一步探索。".to_owned(),
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

fn residual(facts: &Facts<'_>, unknown: usize) -> (&'static str, &'static str) {
    let conclusion = facts.conclusion();
    let little_known =
        matches!(conclusion, Conclusion::Nothing | Conclusion::Broken | Conclusion::Thin | Conclusion::Interrupted);
    if facts.open_with(Severity::High) > 0 || little_known {
        ("high", "高")
    } else if conclusion != Conclusion::Passed || unknown > 0 {
        ("medium", "中")
    } else {
        ("low", "低")
    }
}

fn broken_areas(page: &Page, facts: &Facts<'_>) -> String {
    let mut areas: Vec<Area> =
        facts.open_findings().iter().flat_map(|f| f.requirements()).map(|id| id.area()).collect();
    areas.sort();
    areas.dedup();
    let names: Vec<String> = areas.iter().map(|a| page.t(a.title().0, a.title().1).to_owned()).collect();
    super::join(page, &names)
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}
