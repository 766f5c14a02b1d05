//! A target that was lost in the middle of a sequence, as a conviction or as a breakage.
//!
//! Decides which it is: a process that dies, hangs or is poisoned by a call broke a promise; one that
//! speaks nonsense, or never came up, shows nothing of the allocator.

use serde::{Deserialize, Serialize};

use crate::op::size::human;
use crate::op::{Observation, OracleName, Text};
use crate::target::lost::End;
use crate::target::{Lost, Target};
use crate::verdict::Violation;

/// How many sequences may be run to make one smaller that ends so. Each hang costs a whole deadline, each
/// death a new process.
pub(super) fn budget(oracle: OracleName, otherwise: u32) -> u32 {
    match oracle {
        OracleName::Hang => 8,
        OracleName::Crash => 150,
        _ => otherwise,
    }
}

/// Why nothing more can be learnt from a target, if that is so: it says so itself, or its card is full of other things.
pub(super) fn lost(target: &dyn Target, seen: &Observation) -> Option<Lost> {
    if target.lost().is_none() && !seen.devices.iter().any(|view| view.crowded) {
        return None; // nearly always
    }
    let crowded = || {
        let device = seen.devices.iter().position(|view| view.crowded)?;
        let free = seen.devices[device].nvml.map(|nvml| format!(" ({} are free on it)", human(nvml.driver_free_bytes)));
        let reason = format!(
            "GPU {device} refused memory that the size played on it still has{}: `poolproof processes` says who holds it",
            free.unwrap_or_default()
        );
        Some(Lost::Unavailable { reason })
    };
    target.lost().cloned().or_else(crowded)
}

/// A loss and what was asked when it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    pub lost: Lost,
    /// The operation under way, in one line; `None` before the first and after the last.
    pub during: Option<String>,
}

impl Loss {
    /// The violation, if it is one.
    pub(super) fn violation(&self) -> Option<Violation> {
        let (en, zh) = match &self.during {
            Some(op) => (format!("during `{op}`"), format!("在 `{op}` 期间")),
            None => ("while the sequence was closed".to_owned(), "在序列收尾时".to_owned()),
        };
        let violation = match &self.lost {
            Lost::Deadline { limit, .. } => {
                let limit = humantime::format_duration(*limit);
                let text = Text::new(
                    format!("no answer within {limit} {en}: the process was ended"),
                    format!("{zh} {limit} 内无应答，进程已被终止"),
                );
                let expected = Text::new(format!("within {limit}"), format!("{limit} 内"));
                let what = Text::new("answer to the call", "调用的应答");
                Violation::new(OracleName::Hang, "LIVE-01".parse().ok(), text).figure(what, expected, none())
            }
            Lost::Stuck { limit } => {
                let limit = humantime::format_duration(*limit);
                let (call, zh) = match &self.during {
                    Some(op) => (format!("`{op}`"), format!("`{op}` ")),
                    None => ("a call that the harness added".to_owned(), "测试框架追加的调用".to_owned()),
                };
                let text = Text::new(
                    format!("{call} had not returned after {limit}, which ended the run"),
                    format!("{zh}在 {limit} 之后仍未返回，运行因此结束"),
                );
                let expected = Text::new(format!("within {limit}"), format!("{limit} 内"));
                let what = Text::new("answer to the call", "调用的应答");
                Violation::new(OracleName::Hang, "LIVE-01".parse().ok(), text).figure(what, expected, none())
            }
            Lost::Exited { end, .. } => {
                let text =
                    Text::new(format!("the process ended with {end} {en}"), format!("{zh}进程终止：{}", zh_of(*end)));
                let what = Text::new("the process after the call", "调用之后的进程");
                Violation::new(OracleName::Crash, "LIVE-02".parse().ok(), text).figure(
                    what,
                    Text::new("still running", "仍在运行"),
                    Text::new(format!("ended with {end}"), format!("终止：{}", zh_of(*end))),
                )
            }
            Lost::Poisoned { reason, .. } => {
                let text = Text::new(
                    format!("no later call can succeed in the process {en}: {reason}"),
                    format!("{zh}进程进入不可恢复状态，后续调用均会失败：{reason}"),
                );
                let what = Text::new("later calls in the process", "进程中的后续调用");
                Violation::new(OracleName::Crash, "LIVE-03".parse().ok(), text).figure(
                    what,
                    Text::new("can succeed", "可以成功"),
                    Text::new("all fail", "全部失败"),
                )
            }
            Lost::Protocol { .. }
            | Lost::NotStarted { .. }
            | Lost::Unavailable { .. }
            | Lost::SettingsRefused { .. }
            | Lost::GivenUp { .. } => {
                return None;
            }
        };
        let stderr = self.lost.stderr();
        Some(if stderr.is_empty() { violation } else { violation.with("end of its stderr", "stderr 末尾", stderr) })
    }

    /// How a loss that is no violation reads.
    pub(super) fn text(&self) -> Text {
        let during = self.during.as_ref();
        let en = during.map_or_else(String::new, |op| format!(" during `{op}`"));
        let zh = during.map_or_else(String::new, |op| format!("在 `{op}` 期间"));
        let what = self.lost.with_stderr();
        Text::new(format!("the target was lost{en}: {what}"), format!("{zh}目标丢失：{what}"))
    }
}

/// The violation of a target that panicked in the harness's own process: elsewhere that would have ended the process.
pub(super) fn panicked(text: &str, during: Option<&str>) -> Violation {
    let (en, zh) = match during {
        Some(op) => (format!(" during `{op}`"), format!("在 `{op}` 期间")),
        None => (" while the sequence was closed".to_owned(), "在序列收尾时".to_owned()),
    };
    let message = Text::new(format!("the allocator panicked{en}: {text}"), format!("{zh}分配器发生 panic：{text}"));
    Violation::new(OracleName::Panic, "LIVE-02".parse().ok(), message).figure(
        Text::new("the call", "该调用"),
        Text::new("returns", "返回"),
        Text::new("panicked", "panic"),
    )
}

fn none() -> Text {
    Text::new("none", "无")
}

fn zh_of(end: End) -> String {
    match end {
        End::Code(code) => format!("退出码 {code}"),
        End::Signal(_) => end.to_string().replacen("signal", "信号", 1),
        End::Unknown => "状态未知".to_owned(),
    }
}

/// Whether a violation is of this kind: what happened once may not happen again.
pub(super) fn is_loss(oracle: OracleName) -> bool {
    matches!(oracle, OracleName::Hang | OracleName::Crash)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::target::lost::ProtocolError;

    #[test]
    fn deaths_convict_and_nonsense_does_not() {
        let loss = |lost| Loss { lost, during: Some("empty_cache".to_owned()) };
        let (limit, stderr) = (Duration::from_secs(30), "oops".to_owned());
        let hang = loss(Lost::Deadline { limit, stderr: String::new() }).violation().expect("a hang convicts");
        assert_eq!(hang.message.en, "no answer within 30s during `empty_cache`: the process was ended");
        assert_eq!(hang.requirement.map(|r| r.to_string()).as_deref(), Some("LIVE-01"));
        let crash = loss(Lost::Exited { end: End::Signal(6), stderr }).violation().expect("a death convicts");
        assert_eq!(crash.message.en, "the process ended with signal 6 (SIGABRT) during `empty_cache`");
        assert_eq!(crash.message.zh, "在 `empty_cache` 期间进程终止：信号 6 (SIGABRT)");
        assert_eq!((crash.oracle, crash.evidence[0].value.as_str()), (OracleName::Crash, "oops"));
        let nonsense = loss(Lost::Protocol { reason: ProtocolError::Closed, stderr: String::new() });
        assert_eq!(nonsense.violation(), None);
        assert!(nonsense.text().en.starts_with("the target was lost during `empty_cache`: "));
    }
}
