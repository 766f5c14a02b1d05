//! Section 4: every finding with its cause, impact, fix, smallest sequence, evidence and command.

use super::super::advice;
use super::super::facts::Facts;
use super::super::page::{Page, code, columns_of, decimal, escape, person_days, plural, thousands};
use super::super::words;
use super::{join, program, title};
use crate::op::size;
use crate::requirement::Severity;
use crate::verdict::{Because, Finding, Folded, Reproduced, TranscriptLine};

/// Lines of a listing from its start and from its end, where it is longer than both.
const HEAD: usize = 12;
const TAIL: usize = 20;

/// Rows of evidence that are shown; the rest is in the record.
const ROWS: usize = 12;

/// Scenarios that are named for one reason.
const NAMED: usize = 8;

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
    let head = format!("{} · {}", finding.id, title(page, finding));
    page.heading(4, &head, &head);
    page.bullets(&account(page, facts, finding));
    if !finding.transcript.is_empty() {
        sequence(page, finding);
    }
    evidence(page, finding);
    program::write(page, finding);
    page.lead("Reproduce", "复现命令");
    page.code_block("sh", &finding.command);
}

fn account(page: &Page, facts: &Facts<'_>, finding: &Finding) -> Vec<String> {
    let about = finding.requirement.get();
    let area = finding.requirement.area();
    let ((level_en, level_zh), (oracle_en, oracle_zh)) =
        (words::level(about.level), words::oracle(finding.violation.oracle));
    let message = page.of(&finding.violation.message);
    let scenario = code(&finding.scenario);
    let mut items = vec![page.t(format!("**What happened**: {message}"), format!("**现象**：{message}"))];
    if let Some(figure) = &finding.violation.figure {
        let (what, expected, actual) = (page.of(&figure.what), page.of(&figure.expected), page.of(&figure.actual));
        items.push(page.t(
            format!("**First wrong figure**: {what}: expected {expected}, actual {actual}"),
            format!("**首个错误数据**：{what}：期望 {expected}，实际 {actual}"),
        ));
    }
    items.push(page.t(
        format!(
            "**Requirement**: {} ({level_en}): {}. Judged by: {oracle_en}, in {scenario}",
            about.id,
            escape(about.en)
        ),
        format!(
            "**需求**：{}（{level_zh}）：{}。判定依据：{oracle_zh}，见于用例 {scenario}",
            about.id,
            escape(about.zh)
        ),
    ));
    items.push(root_cause(page, finding));
    items.extend(finding.reproduced.map(|reproduced| often(page, reproduced)));
    let ((impact_en, impact_zh), (fix_en, fix_zh)) = (advice::impact(area), advice::fix(area));
    items.push(page.t(format!("**Impact**: {impact_en}"), format!("**影响**：{impact_zh}")));
    let (days_en, days_zh) = (person_days(finding.effort_days), decimal(finding.effort_days));
    items.push(page.t(
        format!("**Suggested fix**: {fix_en} ({days_en}, estimated)"),
        format!("**建议修复**：{fix_zh}（预计 {days_zh} 人日）"),
    ));
    items.extend(also(page, finding));
    if facts.record.is_expected(finding) {
        let why = facts.scenario(&finding.scenario).map(|s| super::reason(page, s)).unwrap_or_default();
        items.push(page.t(format!("**Expected**: {why}"), format!("**预期失败**：{why}")));
    }
    items
}

/// What it takes, as far as the sequence was taken apart.
fn root_cause(page: &Page, finding: &Finding) -> String {
    let each: Vec<String> = finding
        .conditions
        .iter()
        .map(|c| {
            let (en, zh) = words::condition(c);
            page.t(en, zh)
        })
        .collect();
    let list = join(page, &each);
    match (finding.minimal, each.is_empty()) {
        (true, false) => page.t(
            format!("**Root cause**: it takes {list}; without any one of the steps below it does not show"),
            format!("**根因**：触发条件为{list}；去掉下列任一步骤即不再显现"),
        ),
        (true, true) => page.t(
            "**Root cause**: the steps below suffice, and without any one of them it does not show".to_owned(),
            "**根因**：下列步骤即足以触发，去掉任一步骤即不再显现".to_owned(),
        ),
        (false, _) => {
            let (en, zh) = finding.ran_out.map_or_else(Default::default, words::ran_out);
            page.t(
                format!("**Root cause**: not narrowed down: the sequence below shows it, and was not taken apart to the end{en}"),
                format!("**根因**：尚未缩小：下列序列可复现，但未精简到最小{zh}"),
            )
        }
    }
}

/// The violations that this finding stands for, by why.
fn also(page: &Page, finding: &Finding) -> Vec<String> {
    let reasons = [Because::SamePromise, Because::SameCalls, Because::SequenceBreaksIt, Because::BreaksInItsSequence];
    let line = |because: Because| {
        let folded: Vec<&Folded> = finding.folded.iter().filter(|f| f.because == because).collect();
        if folded.is_empty() {
            return None;
        }
        let named: Vec<String> = folded
            .iter()
            .take(NAMED)
            .map(|f| {
                let scenario = code(&f.scenario);
                if f.requirement == finding.requirement { scenario } else { format!("{scenario} ({})", f.requirement) }
            })
            .collect();
        let (named, n) = (join(page, &named), folded.len());
        let (more_en, more_zh) =
            if n > NAMED { (format!(" and {} more", n - NAMED), format!(" 等 {n} 处")) } else { Default::default() };
        let (why_en, why_zh) = words::because(because);
        Some(page.t(
            format!("**Also seen** ({why_en}): {named}{more_en}"),
            format!("**同时见于**（{why_zh}）：{named}{more_zh}"),
        ))
    };
    reasons.into_iter().filter_map(line).collect()
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

/// The smallest sequence as it ran, with the answers.
fn sequence(page: &mut Page, finding: &Finding) {
    let reproducer = &finding.reproducer;
    let steps = reproducer.steps.len();
    let devices: Vec<String> = reproducer.setup.device_bytes.iter().map(|&b| size::human(b)).collect();
    let (world, streams, original) =
        (join(page, &devices), reproducer.setup.streams, thousands(finding.original_steps));
    let (kind_en, kind_zh) =
        if finding.minimal { ("Minimal sequence", "最小复现序列") } else { ("Sequence", "复现序列") };
    let (shown_en, shown_zh) = match finding.reproduced {
        Some(Reproduced { times: 0, .. }) => (
            " No run of it showed the violation again: this is how the last one went.",
            "重跑时均未再现，以下为最后一次运行的过程。",
        ),
        _ => ("", ""),
    };
    page.say(
        format!(
            "**{kind_en}**: {} (first found with {original}), on {} ({world}) with {} each. Lines marked `+` were added by the harness.{shown_en}",
            plural(steps, "step"),
            plural(devices.len(), "device"),
            plural(streams, "stream"),
        ),
        format!(
            "**{kind_zh}**：{} 步（最初发现时为 {original} 步），{} 个设备（{world}），每设备 {streams} 个流。标 `+` 的行由测试框架添加。{shown_zh}",
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
        let (asked, answered) = (line.asked.replace(['\n', '\r'], " "), brief(&line.answered));
        format!("{:>digits$} {mark} {asked}{pad}  -> {answered}", i + 1)
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

/// An answer without the text of a refusal, which stands in the evidence, once.
fn brief(answered: &str) -> String {
    let end = answered.starts_with("refused (").then(|| answered.find("): ")).flatten();
    end.map_or(answered, |end| &answered[..=end]).replace(['\n', '\r'], " ")
}

/// The text of the last refusal in a listing.
fn last_refusal(finding: &Finding) -> Option<&str> {
    let texts = finding.transcript.iter().rev().filter(|line| line.answered.starts_with("refused ("));
    texts.filter_map(|line| line.answered.split_once("): ")).map(|(_, text)| text).find(|text| !text.is_empty())
}

fn evidence(page: &mut Page, finding: &Finding) {
    let evidence = &finding.violation.evidence;
    let mut items: Vec<String> = evidence
        .iter()
        .take(ROWS)
        .map(|e| {
            let (label, value) = (page.of(&e.label), escape(&e.value));
            page.t(format!("{label}: {value}"), format!("{label}：{value}"))
        })
        .collect();
    if let Some(rest) = evidence.len().checked_sub(ROWS).filter(|&n| n > 0) {
        items.push(page.t(format!("{rest} more in `run.json`"), format!("其余 {rest} 项见 `run.json`")));
    }
    if let Some(text) = last_refusal(finding) {
        let known = finding.violation.message.en.contains(text) || evidence.iter().any(|e| e.value.contains(text));
        if !known {
            let text = escape(text);
            items.push(page.t(format!("text of the last refusal: {text}"), format!("最后一次拒绝的信息：{text}")));
        }
    }
    if !items.is_empty() {
        page.lead("Evidence", "证据");
        page.bullets(&items);
    }
}
