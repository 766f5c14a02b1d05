//! `poolproof-worker/2`: what goes over the pipes between the harness and a target's process (`docs/worker-protocol.md`).
//!
//! Decides the messages and their limits: one answer to each question; how they lie in bytes is `framing`'s. An answer
//! to an operation brings what can be seen after it, so that nobody has to ask twice. What a worker need not say is
//! optional; fields that nobody knows are passed over.

use std::borrow::Cow;

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::super::TargetError;
use super::super::lost::ProtocolError;
use super::framing::Framing;
use super::shown::{Described, Shown};
use crate::op::trace::TraceEvent;
use crate::op::{Observation, Op, RefusalClass, Reply, Setup, Versions};

/// The protocol's name and version, first thing said on either side.
pub const PROTOCOL: &str = "poolproof-worker/2";

/// A question is at most this long, in bytes: it always fits into an empty pipe.
pub const LONGEST_ASK: usize = 48 << 10;

/// An answer is at most this long, in bytes. The largest are snapshots.
pub const LONGEST_ANSWER: usize = 64 << 20;

/// A target has at most so many devices: what a short line says must not take much memory.
pub const MOST_DEVICES: usize = 256;

/// The block that an operation is about, as the harness knows it: a worker need not keep a table of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct About {
    /// As the allocator handed it out.
    pub address: u64,
    /// As it was asked for.
    pub bytes: u64,
    /// Of which device it is.
    pub device: usize,
    /// The stream that it was asked for on.
    pub stream: u8,
}

/// What the harness says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "a field is what its type says")]
pub enum Ask<'a> {
    Hello {
        protocol: Cow<'a, str>,
        /// What the worker may turn to from its answer on, by saying the same word in it: `binary`.
        #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
        features: Cow<'a, [Cow<'a, str>]>,
    },
    /// Build the target for a sequence; the one before, if any, is dropped first.
    Open { setup: Cow<'a, Setup> },
    Apply {
        op: Cow<'a, Op>,
        /// The block that the operation names, or the address that it offers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        about: Option<About>,
        /// The thread that the call comes from, for a worker that says `callers`; 0 is the first.
        #[serde(default, skip_serializing_if = "is_first")]
        thread: u8,
        /// Streams with unfinished work, as device and stream, for a worker whose streams are the harness's.
        #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
        busy: Cow<'a, [(usize, u8)]>,
        /// Asked before the answers to what came before it were read, of a worker that says `ahead`: to be passed over where one of
        /// them was not plain.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ahead: bool,
        /// The next operation has been asked already: the answer may be kept a moment and written with those to come.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// Look without asking anything.
    Observe {},
    /// The sequence is over: drop the target.
    Close {},
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first(thread: &u8) -> bool {
    *thread == 0
}

impl<'a> Ask<'a> {
    /// An operation and nothing beside it.
    #[must_use]
    pub fn apply(op: Cow<'a, Op>) -> Self {
        Ask::Apply { op, about: None, thread: 0, busy: Cow::Borrowed(&[]), ahead: false, more: false }
    }

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

/// What is shown of a device now, or `null` where nothing changed since the last answer of this sequence.
pub type Changed = Option<Box<Shown>>;

/// What the process says. Devices are listed by position; a list that is left out says that none changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "a field is what its type says")]
pub enum Answer {
    Hello {
        protocol: String,
        /// Of the program that serves.
        #[serde(default)]
        version: String,
        /// Of those that it was offered, what it turns to.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        features: Vec<String>,
    },
    Opened {
        info: Described,
        #[serde(default)]
        versions: Versions,
        #[serde(default, deserialize_with = "few")]
        #[schemars(length(max = MOST_DEVICES))]
        devices: Vec<Changed>,
    },
    /// There is no such target, or it cannot be built.
    Refused { error: Unopened },
    Applied {
        reply: Reply,
        #[serde(default, deserialize_with = "few")]
        #[schemars(length(max = MOST_DEVICES))]
        devices: Vec<Changed>,
        /// What was done to each device in this operation, by a worker that says `device_events`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = MOST_DEVICES))]
        events: Vec<Vec<TraceEvent>>,
        /// Streams that the allocator waited for in this operation, where they are the harness's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        waited: Vec<Waited>,
        /// How PyTorch numbers the pool that was made, for a target that claims PyTorch's policy exactly.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pool: Option<(u64, u64)>,
        /// Why no later call can succeed in this process, where it is so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        poisoned: Option<String>,
    },
    /// To an operation asked ahead: it was not done, because since the last that was not an answer was a refusal, or dropped, or memory
    /// went back to a device.
    PassedOver {},
    Observed {
        #[serde(default, deserialize_with = "few")]
        #[schemars(length(max = MOST_DEVICES))]
        devices: Vec<Changed>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        poisoned: Option<String>,
    },
    Closed {
        /// This process should serve no other sequence: the next one gets a new process.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        restart: bool,
    },
    /// Instead of an answer to `open`: only a new process can open this, such as one that has read other settings.
    Restart {},
    /// The question could not be read, or makes no sense now.
    Misread { reason: String },
}

/// A stream, or all of a device, whose work the allocator waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waited {
    /// By position.
    pub device: usize,
    /// All of them where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<u8>,
}

/// Why a target cannot be opened: in the words of poolproof's own workers, or of anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(missing_docs, reason = "one of two ways to say it")]
pub enum Unopened {
    Known(TargetError),
    Words { message: String },
}

impl Answer {
    /// Reads a line, given without its end. A question that the other side could not read is an error too.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn read(line: &[u8]) -> Result<Answer, ProtocolError> {
        Answer::read_noting(Framing::Lines, line, None, |_| {})
    }

    /// The same of a message in either form, with a class for a refusal that has none, where one is given; and `unknown` is
    /// told of each field that nobody knows.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_noting(
        framing: Framing,
        message: &[u8],
        unstated: Option<RefusalClass>,
        mut unknown: impl FnMut(String),
    ) -> Result<Answer, ProtocolError> {
        let mut paths = Vec::new();
        let read = match (framing.read(message, |path| paths.push(path)), unstated) {
            (Err(reason), Some(class)) => {
                paths.clear();
                with_class(framing, message, class).ok_or(reason)
            }
            (read, _) => read,
        };
        match read {
            Ok(Answer::Misread { reason }) => Err(ProtocolError::Misread { reason }),
            Ok(answer) => {
                paths.into_iter().for_each(&mut unknown);
                Ok(answer)
            }
            Err(reason) => {
                Err(ProtocolError::Malformed { noun: framing.noun(), reason, start: framing.beginning(message) })
            }
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Answer::Hello { .. } => "hello",
            Answer::Opened { .. } => "opened",
            Answer::Refused { .. } => "refused",
            Answer::Applied { .. } => "applied",
            Answer::PassedOver {} => "passed_over",
            Answer::Observed { .. } => "observed",
            Answer::Closed { .. } => "closed",
            Answer::Restart {} => "restart",
            Answer::Misread { .. } => "misread",
        }
    }
}

/// An answer whose refusal lacks a class or a message: they are optional for anybody's worker.
fn with_class(framing: Framing, message: &[u8], class: RefusalClass) -> Option<Answer> {
    let mut document: serde_json::Value = framing.read(message, |_| {}).ok()?;
    let reply = document.get_mut("applied")?.get_mut("reply")?;
    let given = if reply == "refused" { serde_json::json!({}) } else { reply.get("refused")?.clone() };
    let text = |key: &str, otherwise: &str| match given.get(key) {
        None | Some(serde_json::Value::Null) => Some(otherwise.to_owned()),
        Some(value) => value.as_str().map(str::to_owned),
    };
    let refusal = serde_json::json!({ "class": text("class", class.name())?, "message": text("message", "(its worker gave no message)")? });
    *reply = serde_json::json!({ "refused": refusal });
    serde_json::from_value(document).ok()
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
    let changed = now.devices.iter().zip(known);
    changed.map(|(now, before)| (before != Some(now)).then(|| Box::new(Shown::all(now)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::DeviceView;

    #[test]
    fn only_what_changed_is_told() {
        let view = |free_bytes| DeviceView { free_bytes, ..DeviceView::default() };
        let before = Observation { devices: vec![view(1), view(2)] };
        let now = Observation { devices: vec![view(1), view(3), view(4)] };
        let told = changes(&before, &now);
        let shown = |free_bytes| Some(Box::new(Shown::all(&view(free_bytes))));
        assert_eq!(told, [None, shown(3), shown(4)]);
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
