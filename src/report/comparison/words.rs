//! The names of what a comparison tells, in both languages.
//!
//! Decides wording only.

use super::super::page::{code, plural};
use super::super::words::{self, Pair};
use crate::verdict::comparison::{Aspect, Changed, Ended, FindingKind, Measure, NoPace, NotShownBecause, PromiseState};

pub(super) fn kind(kind: FindingKind) -> Pair {
    match kind {
        FindingKind::New => ("new", "新出现"),
        FindingKind::FirstSeen => ("only in the new run", "仅见于新运行"),
        FindingKind::Changed => ("changed", "有变化"),
        FindingKind::Fixed => ("fixed", "已修复"),
        FindingKind::NotShown => ("not shown", "未能展现"),
        FindingKind::Still => ("still failing", "仍然存在"),
    }
}

pub(super) fn state(state: PromiseState) -> Pair {
    match state {
        PromiseState::Broken => ("broken", "被违反"),
        PromiseState::Kept => ("kept", "成立"),
        PromiseState::NoVerdict => ("no verdict", "无结论"),
        PromiseState::NotApplicable => ("not applicable", "不适用"),
        PromiseState::NotSelected => ("not selected", "未选中"),
        PromiseState::NotInPlan => ("no scenario", "无用例"),
    }
}

pub(super) fn aspect(aspect: Aspect) -> Pair {
    match aspect {
        Aspect::Target => ("target", "目标"),
        Aspect::Place => ("place", "运行位置"),
        Aspect::Options => ("options of the target", "目标选项"),
        Aspect::Allocator => ("version of the allocator", "分配器版本"),
        Aspect::Driver => ("version of the driver", "驱动版本"),
        Aspect::Devices => ("devices", "设备"),
        Aspect::Planted => ("planted defect", "植入的缺陷"),
        Aspect::Poolproof => ("version of poolproof", "poolproof 版本"),
        Aspect::Format => ("format of the record", "记录格式"),
        Aspect::Seed => ("seed", "种子"),
        Aspect::Selection => ("selection", "选择范围"),
        Aspect::Ended => ("end of the run", "结束方式"),
        Aspect::System => ("operating system", "操作系统"),
        Aspect::Processor => ("processor", "处理器"),
    }
}

pub(super) fn measure(measure: Measure) -> Pair {
    match measure {
        Measure::Scenarios => ("scenarios with a verdict", "有结论的用例"),
        Measure::Promises => ("requirements with a verdict", "有结论的需求"),
        Measure::Sequences => ("sequences", "序列数"),
        Measure::Operations => ("operations", "操作数"),
        Measure::Dropped => ("operations dropped", "略去的操作数"),
        Measure::Pairs => ("pairs of states reached", "到达的状态对"),
        Measure::OperationsPerSecond => ("operations a second", "每秒操作数"),
    }
}

pub(super) fn no_pace(why: NoPace) -> Pair {
    match why {
        NoPace::CutShort => ("a run was cut short", "有运行未完成"),
        NoPace::OtherMachine => {
            ("the two ran on different machines, or it is not recorded on which", "两次运行的机器不同或未记录")
        }
        NoPace::OtherScenarios => ("the two did not run the same scenarios as often", "两次运行的用例或序列数不同"),
        NoPace::OtherFindings => (
            "their findings differ, and making failing sequences small takes time",
            "两次运行的问题不同，而缩短失败序列需要时间",
        ),
        NoPace::TooShort => ("a run took less than a second", "有运行不足一秒"),
    }
}

/// What is otherwise of a finding.
pub(super) fn changed(changed: &Changed) -> (String, String) {
    let both = |en: &str, zh: &str| (en.to_owned(), zh.to_owned());
    let list = |scenarios: &[String]| scenarios.iter().map(|s| code(s)).collect::<Vec<_>>();
    match changed {
        Changed::Severity { old, new } => {
            let ((old_en, old_zh), (new_en, new_zh)) = (words::severity(*old), words::severity(*new));
            (format!("severity {old_en}, now {new_en}"), format!("严重程度由{old_zh}变为{new_zh}"))
        }
        Changed::Announced => both("announced by an expectation now", "现已列入预期失败"),
        Changed::NoLongerAnnounced => both("no longer announced by an expectation", "不再属于预期失败"),
        Changed::ComesAndGoes => both("comes and goes now", "现在时有时无"),
        Changed::Steady => both("comes in every run of its sequence now", "现在每次执行其序列都会出现"),
        Changed::Calls => both("another shortest sequence", "最短序列不同"),
        Changed::Message => both("other figures", "数值不同"),
        Changed::Spread { scenarios } => (
            format!("also fails {} that passed: {}", plural(scenarios.len(), "scenario"), list(scenarios).join(", ")),
            format!("另有 {} 个原本通过的用例失败：{}", scenarios.len(), list(scenarios).join("、")),
        ),
        Changed::Receded { scenarios } => (
            format!("{} of it pass now: {}", plural(scenarios.len(), "scenario"), list(scenarios).join(", ")),
            format!("其中 {} 个用例现已通过：{}", scenarios.len(), list(scenarios).join("、")),
        ),
        Changed::TakenTogether => both(
            "the other run saw it in the same scenario and put it down to this finding",
            "另一次运行在同一用例中发现，并归入该问题",
        ),
    }
}

/// Scenarios or capabilities that are named before the rest is counted.
const NAMED: usize = 4;

/// Why a run shows nothing of a finding of the other.
pub(super) fn because(why: &NotShownBecause) -> (String, String) {
    match why {
        NotShownBecause::Scenarios { scenarios } => {
            let told = |pick: fn(Pair) -> &'static str, absent: &str, unfinished: &str, [open, close]: [&str; 2]| {
                let one = |ended: &Ended| {
                    let how = match ended.outcome {
                        Some(outcome) if is_verdict(outcome) => unfinished,
                        Some(outcome) => pick(words::outcome(outcome)),
                        None => absent,
                    };
                    format!("{}{open}{how}{close}", code(&ended.scenario))
                };
                let more = scenarios.len().saturating_sub(NAMED);
                let rest = (more > 0).then(|| format!("+{more}"));
                scenarios.iter().take(NAMED).map(one).chain(rest).collect::<Vec<_>>()
            };
            let (en, zh) = (
                told(|pair| pair.0, "not in the plan", "cut short", [" (", ")"]).join(", "),
                told(|pair| pair.1, "不在计划中", "未完成", ["（", "）"]).join("、"),
            );
            (format!("no verdict there: {en}"), format!("该次运行中无结论：{zh}"))
        }
        NotShownBecause::FailsOtherwise { scenario } => {
            let scenario = code(scenario);
            (
                format!("{scenario} fails there by something else, and says nothing of what would come after"),
                format!("{scenario} 在该次运行中因其他问题失败，此后的情况未知"),
            )
        }
        NotShownBecause::PolicyNotJudged => {
            ("nobody compared with the policy there".to_owned(), "该次运行未对照目标所声称的策略".to_owned())
        }
        NotShownBecause::Capabilities { missing } => {
            let more = missing.len().saturating_sub(NAMED);
            let rest = (more > 0).then(|| format!("+{more}"));
            let list: Vec<String> = missing.iter().take(NAMED).map(|name| code(name)).chain(rest).collect();
            (
                format!("the target there lacks {}, so that some judges were silent", list.join(", ")),
                format!("该次运行的目标缺少 {}，部分判定器未作判定", list.join("、")),
            )
        }
    }
}

fn is_verdict(outcome: crate::verdict::Outcome) -> bool {
    use crate::verdict::Outcome;
    matches!(outcome, Outcome::Pass | Outcome::Fail | Outcome::ExpectedFail | Outcome::UnexpectedPass)
}
