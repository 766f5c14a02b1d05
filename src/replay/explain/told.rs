//! Where in the program a block was allocated, as far as the file tells.
//!
//! Decides what stands for a stack where none was recorded: the size and the stream.

use crate::op::size::human;
use crate::recording::snapshot::told::{DeviceTold, Told as Recorded};
use crate::replay::divergence::FilePosition;
use crate::replay::onlooker::Put;

/// How the name of blocks begins that have no stack where others do.
pub(super) const NO_STACK: &str = "no stack: ";

/// Stacks and marks of a file; of a recording there are none.
#[derive(Debug, Default)]
pub(super) struct Told {
    recorded: Recorded,
    /// By device: whether any event has a stack.
    stacked: Vec<bool>,
}

impl Told {
    pub fn of(recorded: Recorded) -> Told {
        let stacked = recorded.devices.iter().map(|told| told.stacks.iter().any(Option::is_some)).collect();
        Told { recorded, stacked }
    }

    pub fn device(&self, device: usize) -> Option<&DeviceTold> {
        self.recorded.devices.get(device)
    }

    /// Whether any block of the device has a stack.
    pub fn has_stacks(&self, device: usize) -> bool {
        self.stacked.get(device).copied().unwrap_or(false)
    }

    fn stack(&self, device: usize, index: usize) -> Option<&str> {
        let stack = (*self.device(device)?.stacks.get(index)?)?;
        self.recorded.site(stack)
    }

    /// What blocks have in common that an event of a snapshot's trace allocated.
    pub fn named(&self, device: usize, index: usize, bytes: u64, stream: u64) -> String {
        match self.stack(device, index) {
            Some(stack) => stack.to_owned(),
            None if self.has_stacks(device) => format!("{NO_STACK}{}", unnamed(bytes, stream)),
            None => unnamed(bytes, stream),
        }
    }

    /// What blocks that were asked for there have in common.
    pub fn site(&self, place: FilePosition, put: Put) -> String {
        let Put { bytes, stream, .. } = put;
        match place {
            FilePosition::Event { device, index } => self.named(device, index as usize, bytes, stream.0),
            FilePosition::Line(_) | FilePosition::End { .. } => unnamed(bytes, stream.0),
        }
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
