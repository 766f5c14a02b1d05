//! `poolproof-worker/1`: what goes over the pipes between the harness and a target's process.
//!
//! Decides the messages and their limits: one JSON object a line, one answer to each question. An answer
//! to an operation brings what can be seen after it, so that nobody has to ask twice.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::TargetError;
use crate::op::{DeviceView, Observation, Op, Reply, Setup, TargetInfo, Versions};

/// The protocol's name and version, first thing said on either side.
pub const PROTOCOL: &str = "poolproof-worker/1";

/// A question is at most this long, in bytes: it always fits into an empty pipe.
pub const LONGEST_ASK: usize = 48 << 10;

/// An answer is at most this long, in bytes. The largest are snapshots.
pub const LONGEST_ANSWER: usize = 64 << 20;

/// What the harness says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask<'a> {
    Hello {
        protocol: Cow<'a, str>,
    },
    /// Build the target for a sequence; the one before, if any, is dropped first.
    Open {
        setup: Cow<'a, Setup>,
    },
    Apply {
        op: Cow<'a, Op>,
    },
    /// Look without asking anything.
    Observe {},
    /// The sequence is over: drop the target.
    Close {},
}

impl Ask<'_> {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Ask::Hello { .. } => "hello",
            Ask::Open { .. } => "open",
            Ask::Apply { .. } => "apply",
            Ask::Observe {} => "observe",
            Ask::Close {} => "close",
        }
    }
}

/// A device as it is now, or `null` where nothing changed since the last answer of this sequence.
pub type Changed = Option<DeviceView>;

/// What the process says. Devices are listed by position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    Hello {
        protocol: String,
        /// The version of poolproof that serves.
        version: String,
    },
    Opened {
        info: TargetInfo,
        #[serde(default)]
        versions: Versions,
        devices: Vec<Changed>,
    },
    /// There is no such target, or it cannot be built.
    Refused {
        error: TargetError,
    },
    Applied {
        reply: Reply,
        devices: Vec<Changed>,
        /// Why no later call can succeed in this process, where it is so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        poisoned: Option<String>,
    },
    Observed {
        devices: Vec<Changed>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        poisoned: Option<String>,
    },
    Closed {},
    /// The question could not be read, or makes no sense now.
    Misread {
        reason: String,
    },
}

impl Answer {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Answer::Hello { .. } => "hello",
            Answer::Opened { .. } => "opened",
            Answer::Refused { .. } => "refused",
            Answer::Applied { .. } => "applied",
            Answer::Observed { .. } => "observed",
            Answer::Closed {} => "closed",
            Answer::Misread { .. } => "misread",
        }
    }
}

/// One line in either direction.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum Line {
    Ask(Ask<'static>),
    Answer(Box<Answer>),
}

/// The JSON Schema of a line, whoever wrote it.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Line).to_value()
}

/// What changed from `before` to `now`.
pub(super) fn changes(before: &Observation, now: &Observation) -> Vec<Changed> {
    let known = before.devices.iter().map(Some).chain(std::iter::repeat(None));
    now.devices.iter().zip(known).map(|(now, before)| (before != Some(now)).then_some(*now)).collect()
}

/// Puts the changes into what was seen before. A device that is not known yet and not told stays as a default.
pub(super) fn take_in(changed: &[Changed], seen: &mut Observation) {
    seen.devices.resize(changed.len(), DeviceView::default());
    for (view, new) in seen.devices.iter_mut().zip(changed) {
        if let Some(new) = new {
            *view = *new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_told() {
        let view = |free_bytes| DeviceView { free_bytes, ..DeviceView::default() };
        let before = Observation { devices: vec![view(1), view(2)] };
        let now = Observation { devices: vec![view(1), view(3), view(4)] };
        let told = changes(&before, &now);
        assert_eq!(told.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
        let mut seen = before;
        take_in(&told, &mut seen);
        assert_eq!(seen, now);
    }
}
