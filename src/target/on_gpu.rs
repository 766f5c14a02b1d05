//! Options that every target on GPUs takes: the size that a card plays, and who holds the rest of it.
//!
//! Decides what they mean. Options of one target alone are read where that target is.

use super::neighbours::BallastHolder;
use super::registry::TargetOption;
use super::{TargetError, TargetName};
use crate::cuda::{Ballast, CudaError};
use crate::op::GRANULE;
use crate::op::size;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct OnGpu {
    /// The size that every GPU plays, instead of what the scenario asks for.
    pub(super) device_bytes: Option<u64>,
    /// `ballast=real`: the rest of the card is held by allocations, and out of memory is the driver's answer;
    /// `ballast=neighbour`: the same by those of another process.
    /// `ballast=budget` (default): the size is only counted, and the driver is never near full.
    pub(super) holder: BallastHolder,
}

impl OnGpu {
    pub(super) const HELP: &[TargetOption] = &[
        TargetOption {
            usage: "device_bytes=SIZE",
            what: "the size that every GPU plays, such as 4GiB, instead of what a scenario asks for",
        },
        TargetOption {
            usage: "ballast=real|neighbour|budget",
            what: "who holds the rest of the card: this process, another one, or nobody (the size is only counted)",
        },
    ];

    /// Reads an option; `false` if it is none of these.
    ///
    /// # Errors
    /// A size that is none.
    pub(super) fn take(&mut self, name: &TargetName, key: &str, value: Option<&str>) -> Result<bool, TargetError> {
        match (key, value) {
            ("device_bytes", Some(text)) => self.device_bytes = Some(read_size(name, text)?),
            ("ballast", Some(text)) => match text.parse() {
                Ok(holder) => self.holder = holder,
                Err(()) => return Ok(false),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The size that a GPU plays where the scenario asks for `bytes`, in whole pieces of `piece`, and who holds the rest
    /// from now on.
    ///
    /// # Errors
    /// No neighbour could be had.
    pub(super) fn prepare(
        self,
        ordinal: u32,
        streams: u8,
        bytes: u64,
        piece: u64,
    ) -> Result<(u64, Ballast), CudaError> {
        let total_bytes = self.device_bytes.unwrap_or(bytes).div_ceil(piece).saturating_mul(piece);
        Ok((total_bytes, self.holder.ballast(ordinal, streams, total_bytes)?))
    }
}

/// A size such as `4GiB`, of at least one granule.
fn read_size(name: &TargetName, text: &str) -> Result<u64, TargetError> {
    let bad = |reason| TargetError::BadOption { target: name.to_string(), reason };
    match size::parse(text) {
        Ok(bytes) if bytes >= GRANULE => Ok(bytes),
        Ok(_) => Err(bad(format!("`{text}` is less than {}, the least that a device gives", size::human(GRANULE)))),
        Err(error) => Err(bad(error.to_string())),
    }
}
