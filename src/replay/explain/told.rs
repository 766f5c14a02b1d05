//! Where in the program a block was allocated, as far as the file tells.
//!
//! Decides what stands for a stack where none was recorded: the size and the stream.

use std::path::Path;

use crate::op::size::human;
use crate::recording::SnapshotError;
use crate::recording::snapshot::told::{DeviceTold, Told as Recorded};
use crate::replay::divergence::Place;
use crate::replay::onlooker::Put;

/// Stacks and times of a file; of a recording there are none.
#[derive(Debug, Default)]
pub(super) struct Told {
    recorded: Recorded,
}

impl Told {
    pub fn read(path: &Path, is_snapshot: bool) -> Result<Told, SnapshotError> {
        Ok(Told { recorded: if is_snapshot { Recorded::read(path)? } else { Recorded::default() } })
    }

    pub fn device(&self, device: usize) -> Option<&DeviceTold> {
        self.recorded.devices.get(device)
    }

    /// Whether any block of the device has a stack.
    pub fn has_stacks(&self, device: usize) -> bool {
        self.device(device).is_some_and(|told| told.stacks.iter().any(Option::is_some))
    }

    /// Where an event of a snapshot's trace came from.
    pub fn stack(&self, device: usize, index: usize) -> Option<&str> {
        let stack = (*self.device(device)?.stacks.get(index)?)?;
        self.recorded.sites.get(stack as usize).map(String::as_str)
    }

    /// What blocks that were asked for there have in common.
    pub fn site(&self, place: Place, put: Put) -> String {
        let stack = match place {
            Place::Event { device, index } => self.stack(device, index as usize),
            Place::Line(_) | Place::End { .. } => None,
        };
        stack.map_or_else(|| unnamed(put.bytes, put.stream.0), str::to_owned)
    }
}

/// What stands for a stack that was not recorded.
pub(super) fn unnamed(bytes: u64, stream: u64) -> String {
    format!("{}, {}", human(bytes), stream_name(stream))
}

/// A stream by its raw handle.
pub(super) fn stream_name(stream: u64) -> String {
    if stream == 0 { "stream 0".to_owned() } else { format!("stream {stream:#x}") }
}
