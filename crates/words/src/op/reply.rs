//! What a target may answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::contract::Contract;
use super::size::human;
use super::snapshot::Snapshot;

/// Why a call was refused. The class is what a program can act on; the message is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalClass {
    /// The arguments make no sense, whatever the state: a device that does not exist, a fraction of 1.5.
    InvalidArgument,
    /// The pointer is not the start of a live block.
    InvalidPointer,
    /// No memory for this request now.
    OutOfMemory,
    /// The device failed for a reason other than memory.
    DeviceError,
    /// The target does not offer this.
    Unsupported,
}

impl RefusalClass {
    /// The name that scenario files and reports use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RefusalClass::InvalidArgument => "invalid_argument",
            RefusalClass::InvalidPointer => "invalid_pointer",
            RefusalClass::OutOfMemory => "out_of_memory",
            RefusalClass::DeviceError => "device_error",
            RefusalClass::Unsupported => "unsupported",
        }
    }
}

/// A call that was not served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// What a program can act on.
    pub class: RefusalClass,
    /// What the target says to people.
    pub message: String,
}

/// Why an operation was never asked: shrinking removed what it needed, or an earlier call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Drop {
    /// The block it names is not live (or, for a double free, is live or never was).
    NoSuchBlock,
    /// The block id is in use already.
    BlockExists,
    /// The device or stream it needs does not exist on this target.
    NoSuchPlace,
    /// It puts work on a stream that was not recorded on the block: the caller's mistake, not the allocator's.
    NotRecorded,
    /// The private pool or the graph it names does not exist, or no more.
    NoSuchPool,
    /// The name of the pool or graph has been used.
    PoolExists,
    /// It begins what has begun, or ends what has not: a pool that another caller has entered, a second capture.
    NotNested,
    /// It deletes a pool while memory is redirected or a graph uses it, which ends a PyTorch process.
    PoolInUse,
    /// While a stream captures, work is recorded instead of run, and nothing may be waited for.
    Capturing,
}

/// A device's memory as `cudaMemGetInfo` states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryInfo {
    /// Bytes that nobody holds.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// What reading a block's bytes found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "a field is what its name says")]
pub enum ContentsReport {
    Intact,
    /// Work on the block's own stream has not run yet: nothing can be said now.
    Pending,
    /// From `offset` on, `bytes` bytes hold something else.
    Changed {
        offset: u64,
        bytes: u64,
        found: String,
    },
    /// Part of the block is not backed by memory of its device.
    Unmapped {
        offset: u64,
    },
}

/// The answer to one operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "an answer is what its type says")]
pub enum Reply {
    Done,
    /// The address handed out; 0 for a request of 0 bytes.
    Allocated {
        address: u64,
    },
    Refused(Refusal),
    Fraction(
        #[serde(with = "float_text")]
        #[schemars(with = "FloatText")]
        f64,
    ),
    MemoryInfo(MemoryInfo),
    /// Statistics by name, in the target's own order.
    Dictionary(Vec<(String, i64)>),
    Text(String),
    Snapshot(Box<Snapshot>),
    Contents(ContentsReport),
    /// Settings were changed: what the target promises from here on.
    Terms(Box<Contract>),
    Dropped(Drop),
}

impl Reply {
    /// A refusal with its message.
    #[must_use]
    pub fn refused(class: RefusalClass, message: impl Into<String>) -> Self {
        Reply::Refused(Refusal { class, message: message.into() })
    }

    /// The refusal, if the answer is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        if let Reply::Refused(refusal) = self { Some(refusal) } else { None }
    }

    /// Refused for lack of memory.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.refusal().is_some_and(|r| r.class == RefusalClass::OutOfMemory)
    }

    /// The operation was never asked.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        matches!(self, Reply::Dropped(_))
    }

    /// The answer in one line for a person.
    #[must_use]
    pub fn to_line(&self) -> String {
        match self {
            Reply::Done => "done".to_owned(),
            Reply::Allocated { address } => format!("address {address:#x}"),
            Reply::Refused(r) => format!("refused ({}): {}", r.class.name(), r.message.lines().next().unwrap_or("")),
            Reply::Fraction(value) => format!("fraction {value}"),
            Reply::MemoryInfo(m) => format!("{} B free of {} B", m.free_bytes, m.total_bytes),
            Reply::Dictionary(entries) => format!("{} statistics", entries.len()),
            Reply::Text(text) => format!("{} lines of text", text.lines().count()),
            Reply::Snapshot(s) => format!("{} segments", s.segments.len()),
            Reply::Contents(report) => match report {
                ContentsReport::Intact => "intact".to_owned(),
                ContentsReport::Pending => "pending".to_owned(),
                ContentsReport::Changed { offset, bytes, found } => {
                    format!("{bytes} B from offset {offset} hold {found}")
                }
                ContentsReport::Unmapped { offset } => format!("no memory behind offset {offset}"),
            },
            Reply::Terms(contract) => {
                let growth = &contract.growth;
                let (least, granule) = (human(growth.at_most(1)), human(growth.granule));
                format!("done: a small request may take {least} from here on, a large one whole pieces of {granule}")
            }
            Reply::Dropped(why) => match why {
                Drop::NoSuchBlock => "dropped: no such block".to_owned(),
                Drop::BlockExists => "dropped: the block exists".to_owned(),
                Drop::NoSuchPlace => "dropped: no such device or stream".to_owned(),
                Drop::NotRecorded => "dropped: the stream was not recorded on the block".to_owned(),
                Drop::NoSuchPool => "dropped: no such pool or graph".to_owned(),
                Drop::PoolExists => "dropped: the pool or graph exists".to_owned(),
                Drop::NotNested => "dropped: it begins or ends out of turn".to_owned(),
                Drop::PoolInUse => "dropped: the pool is in use".to_owned(),
                Drop::Capturing => "dropped: a stream captures".to_owned(),
            },
        }
    }
}

/// A float in JSON where NaN and the infinities must survive: a number, or one of three words.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(missing_docs, reason = "one of two ways to write it")]
pub enum FloatText {
    Number(f64),
    Word(FloatWord),
}

/// What no JSON number can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "as IEEE 754 names them")]
pub enum FloatWord {
    #[serde(rename = "nan")]
    Nan,
    #[serde(rename = "inf")]
    Infinity,
    #[serde(rename = "-inf")]
    NegativeInfinity,
}

/// `#[serde(with)]` for a float that may be NaN or infinite, which JSON numbers cannot be.
pub mod float_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{FloatText, FloatWord};

    /// # Errors
    /// Whatever the serializer answers.
    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        let text = if value.is_nan() {
            FloatText::Word(FloatWord::Nan)
        } else if *value == f64::INFINITY {
            FloatText::Word(FloatWord::Infinity)
        } else if *value == f64::NEG_INFINITY {
            FloatText::Word(FloatWord::NegativeInfinity)
        } else {
            FloatText::Number(*value)
        };
        text.serialize(serializer)
    }

    /// # Errors
    /// Anything that is neither a number nor one of the words.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(match FloatText::deserialize(deserializer)? {
            FloatText::Number(value) => value,
            FloatText::Word(FloatWord::Nan) => f64::NAN,
            FloatText::Word(FloatWord::Infinity) => f64::INFINITY,
            FloatText::Word(FloatWord::NegativeInfinity) => f64::NEG_INFINITY,
        })
    }
}
