//! Section 4: every finding with its cause, impact, fix, minimal sequence, evidence and command.

use super::super::advice;
use super::super::facts::Facts;
use super::super::page::{Page, code, columns_of, decimal, escape, person_days, plural, thousands, words as text};
use super::super::words;
use super::join;
use crate::op::size;
use crate::requirement::Severity;
use crate::verdict::{Finding, Reproduced, TranscriptLine};

/// Lines of a listing from its start and from its end, where it is longer than both.
const HEAD: usize = 20;
const TAIL: usize = 60;

pub(super) fn write(page: &mut Page, facts: &Facts<'_>) {
    page.heading(2, "4. Findings by severity", "4. 详细发现");
    if facts.record.findings.is_empty() {
        none(page, facts);
    }
    for severity in [Severity::High, Severity::Medium, Severity::Low] {
        let findings: Vec<&Finding> = facts.record.findings.iter().filter(|f| f.severity == severity).collect();
        if findings.is_empty() {
            continue;
        }
        let (en, zh) = words::weight(severity);
        page.heading(3, &format!("Severity: {en}"), &format!("严重级别：{zh}"));
        for finding in findings {
            one(page, facts, finding);
        }
    }
}

fn none(page: &mut Page, facts: &Facts<'_>) {
    let (sequences, operations) = (facts.sequences(), facts.operations());
    page.say(
        format!(
            "No violation was found in {} with {}. Section 5 lists what they did not exercise.",
            plural(sequences, "sequence"),
            plural(operations, "operation")
        ),
        format!(
            "在 {} 条序列、{} 次操作中未发现违规；未触及的部分见第 5 节。",
            thousands(sequences),
            thousands(operations)
        ),
    );
}

fn one(page: &mut Page, facts: &Facts<'_>, finding: &Finding) {
    let requirement = finding.requirement;
    let title = match facts.scenario(&finding.scenario) {
        Some(scenario) => page.of(&scenario.title),
        None => escape(page.t(requirement.get().en, requirement.get().zh)),
    };
    let head = format!("{} · {requirement} · {title}", finding.id);
    page.heading(4, &head, &head);
    page.bullets(&account(page, facts, finding));
    if !finding.transcript.is_empty() {
        sequence(page, finding);
    }
    if !finding.violation.evidence.is_empty() {
        page.lead("Evidence", "证据");
        let evidence = &finding.violation.evidence;
        let rows: Vec<Vec<String>> = evidence.iter().map(|e| vec![page.of(&e.label), escape(&e.value)]).collect();
        page.table(&[text("Figure", "项目"), text("Value", "值")], &rows);
    }
    page.lead("Reproduce", "复现命令");
    page.code_block("sh", &finding.command);
}

fn account(page: &Page, facts: &Facts<'_>, finding: &Finding) -> Vec<String> {
    let about = finding.requirement.get();
    let area = finding.requirement.area();
    let ((level_en, level_zh), (oracle_en, oracle_zh)) =
        (words::level(about.level), words::oracle(finding.violation.oracle));
    let (scenario, oracle) = (code(&finding.scenario), code(finding.violation.oracle.name()));
    let message = page.of(&finding.violation.message);
    let (days_en, days_zh) = (person_days(finding.effort_days), decimal(finding.effort_days));
    let mut items = vec![
        page.t(
            format!("**Scenario**: {scenario}; convicted by the oracle {oracle} ({oracle_en})"),
            format!("**用例**：{scenario}，由判定器 {oracle}（{oracle_zh}）判定"),
        ),
        page.t(
            format!("**Root cause**: {}, {level_en}: “{}” does not hold: {message}", about.id, about.en),
            format!("**根因**：违反 {}（{level_zh}）“{}”：{message}", about.id, about.zh),
        ),
    ];
    items.extend(finding.reproduced.map(|reproduced| often(page, reproduced)));
    // Where no run showed it again, the sequence below is not how it was seen.
    let shown = finding.reproduced.is_none_or(|r| r.times > 0);
    if let Some((number, line)) = finding.transcript.iter().enumerate().next_back().filter(|_| shown) {
        let (asked, answered) = (code(&line.asked), code(&line.answered));
        items.push(page.t(
            format!("**First seen**: after line {} of the sequence below, {asked}, answered {answered}", number + 1),
            format!("**首次出现**：下列序列第 {} 行 {asked}，应答为 {answered}", number + 1),
        ));
    }
    let ((impact_en, impact_zh), (fix_en, fix_zh)) = (advice::impact(area), advice::fix(area));
    items.push(page.t(format!("**Impact**: {impact_en}"), format!("**影响**：{impact_zh}")));
    items.push(page.t(
        format!("**Suggested fix**: {fix_en} ({days_en} by the scenario's estimate)"),
        format!("**建议修复**：{fix_zh}（用例估计 {days_zh} 人日）"),
    ));
    if facts.is_expected(finding) {
        let why = facts.scenario(&finding.scenario).map(|s| super::reason(page, s)).unwrap_or_default();
        items.push(page.t(format!("**Expected**: {why}"), format!("**预期失败**：{why}")));
    }
    items
}

/// How often the sequence failed when it was run again.
fn often(page: &Page, Reproduced { times, of }: Reproduced) -> String {
    let (comes_and_goes_en, comes_and_goes_zh) = if times < of {
        (
            ". **It comes and goes**: it depends on something that the sequence does not fix",
            "。**时有时无**：取决于序列未能固定的因素",
        )
    } else {
        ("", "")
    };
    page.t(
        format!("**Reproduced**: {times} of {of} runs of the sequence, each on a fresh target{comes_and_goes_en}"),
        format!("**复现**：在全新目标上重跑该序列 {of} 次，复现 {times} 次{comes_and_goes_zh}"),
    )
}

/// The minimal sequence as it ran, with the answers.
fn sequence(page: &mut Page, finding: &Finding) {
    let reproducer = &finding.reproducer;
    let steps = reproducer.steps.len();
    let devices: Vec<String> = reproducer.setup.device_bytes.iter().map(|&b| size::human(b)).collect();
    let (world, streams, original) =
        (join(page, &devices), reproducer.setup.streams, thousands(finding.original_steps));
    page.say(
        format!(
            "**Minimal sequence**: {} (first found with {original}), on {} ({world}) with {} each. Lines marked `+` were added by the harness.",
            plural(steps, "step"),
            plural(devices.len(), "device"),
            plural(streams, "stream"),
        ),
        format!(
            "**最小复现序列**：{} 步（最初发现时为 {original} 步），{} 个设备（{world}），每设备 {streams} 个流。标 `+` 的行由测试框架添加。",
            thousands(steps),
            devices.len(),
        ),
    );
    page.code_block("text", &listing(page, finding));
}

fn listing(page: &Page, finding: &Finding) -> String {
    let lines = &finding.transcript;
    let width = lines.iter().map(|l| columns_of(&l.asked)).max().unwrap_or(0).min(64);
    let digits = lines.len().to_string().len();
    let one = |(i, line): (usize, &TranscriptLine)| {
        let mark = if line.added { '+' } else { ' ' };
        let pad = " ".repeat(width.saturating_sub(columns_of(&line.asked)));
        format!(
            "{:>digits$} {mark} {}{pad}  -> {}",
            i + 1,
            line.asked.replace('\n', " "),
            line.answered.replace('\n', " ")
        )
    };
    let numbered = || lines.iter().enumerate();
    if lines.len() <= HEAD + TAIL {
        return numbered().map(one).collect::<Vec<_>>().join("\n");
    }
    let hidden = lines.len() - HEAD - TAIL;
    let mut shown: Vec<String> = numbered().take(HEAD).map(one).collect();
    shown.push(page.t(
        format!("... {hidden} lines left out; {} has every step", finding.file),
        format!("... 省略 {hidden} 行，完整步骤见 {}", finding.file),
    ));
    shown.extend(numbered().skip(HEAD + hidden).map(one));
    shown.join("\n")
}
