//! `poolproof-worker/1`: what goes over the pipes between the harness and a target's process.
//!
//! Decides the messages and their limits: one JSON object a line, one answer to each question. An answer
//! to an operation brings what can be seen after it, so that nobody has to ask twice.

use std::borrow::Cow;

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::super::TargetError;
use super::super::lost::ProtocolError;
use crate::op::{DeviceView, Observation, Op, Reply, Setup, TargetInfo, Versions};

/// The protocol's name and version, first thing said on either side.
pub const PROTOCOL: &str = "poolproof-worker/1";

/// A question is at most this long, in bytes: it always fits into an empty pipe.
pub const LONGEST_ASK: usize = 48 << 10;

/// An answer is at most this long, in bytes. The largest are snapshots.
pub const LONGEST_ANSWER: usize = 64 << 20;

/// A target has at most so many devices: what a short line says must not take much memory.
pub const MOST_DEVICES: usize = 256;

/// What the harness says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "a field is what its type says")]
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

/// How many characters of a line are shown that is no answer.
const SHOWN: usize = 80;

/// A device as it is now, or `null` where nothing changed since the last answer of this sequence.
pub type Changed = Option<DeviceView>;

/// What the process says. Devices are listed by position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "a field is what its type says")]
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
        #[serde(deserialize_with = "few")]
        #[schemars(length(max = MOST_DEVICES))]
        devices: Vec<Changed>,
    },
    /// There is no such target, or it cannot be built.
    Refused {
        error: TargetError,
    },
    Applied {
        reply: Reply,
        #[serde(deserialize_with = "few")]
        #[schemars(length(max = MOST_DEVICES))]
        devices: Vec<Changed>,
        /// Why no later call can succeed in this process, where it is so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        poisoned: Option<String>,
    },
    Observed {
        #[serde(deserialize_with = "few")]
        #[schemars(length(max = MOST_DEVICES))]
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
    /// Reads a line, given without its end. A question that the other side could not read is an error too.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn read(line: &[u8]) -> Result<Answer, ProtocolError> {
        match serde_json::from_slice(line) {
            Ok(Answer::Misread { reason }) => Err(ProtocolError::Misread { reason }),
            Ok(answer) => Ok(answer),
            Err(error) => {
                let beginning = &line[..line.len().min(SHOWN * 4)];
                let start = String::from_utf8_lossy(beginning).chars().take(SHOWN).collect();
                Err(ProtocolError::Malformed { reason: error.to_string(), start })
            }
        }
    }

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

/// Reads a list of devices; stops reading at one that is too long, while it is still short.
fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Changed>, D::Error> {
    deserializer.deserialize_seq(Few)
}

struct Few;

impl<'de> Visitor<'de> for Few {
    type Value = Vec<Changed>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MOST_DEVICES} devices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Changed>, A::Error> {
        let mut devices = Vec::new();
        while let Some(device) = list.next_element()? {
            if devices.len() == MOST_DEVICES {
                return Err(A::Error::invalid_length(MOST_DEVICES + 1, &self));
            }
            devices.push(device);
        }
        Ok(devices)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_told() {
        let view = |free_bytes| DeviceView { free_bytes, ..DeviceView::default() };
        let before = Observation { devices: vec![view(1), view(2)] };
        let now = Observation { devices: vec![view(1), view(3), view(4)] };
        let told = changes(&before, &now);
        assert_eq!(told, [None, Some(view(3)), Some(view(4))]);
    }

    #[test]
    fn a_list_of_devices_is_as_long_as_it_may_be() {
        let line = |count: usize| format!(r#"{{"observed":{{"devices":[{}]}}}}"#, vec!["null"; count].join(","));
        assert!(Answer::read(line(MOST_DEVICES).as_bytes()).is_ok());
        let refused = Answer::read(line(MOST_DEVICES + 1).as_bytes()).expect_err("one more");
        assert!(refused.to_string().contains("at most 256 devices"), "{refused}");
    }

    #[test]
    fn only_the_beginning_of_what_is_no_answer_is_shown() {
        let line = ["\u{20ac}".repeat(500).as_bytes(), b"\xff"].concat();
        let refused = Answer::read(&line).expect_err("no answer");
        assert!(matches!(refused, ProtocolError::Malformed { start, .. } if start == "\u{20ac}".repeat(80)));
    }
}
