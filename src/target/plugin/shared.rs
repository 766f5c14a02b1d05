//! A library that several threads call at once, each when it wants to.
//!
//! Decides what is told to it before, and which streams there are. Judges nothing; whoever calls it has to expect the end of
//! the process.

use super::super::{TargetError, TargetName};
use super::library::{Call, Functions};
use super::options::Hook;
use super::{Options, load, number, streams};
use crate::op::Setup;
use crate::target::worker::PROCESS_OPTIONS;

/// A loaded library, on the host.
#[derive(Debug)]
pub struct SharedLibrary {
    functions: Functions,
}

impl SharedLibrary {
    /// Loads it into this process and tells it what its world is like.
    ///
    /// # Errors
    /// As for a target of that name.
    pub fn open(name: &TargetName, setup: &Setup) -> Result<Self, TargetError> {
        if name.place != "host" {
            let reason = "threads share a library @host alone".to_owned();
            return Err(TargetError::BadOption { target: name.to_string(), reason });
        }
        let functions = load(name, &Options::read(&name.inner(&PROCESS_OPTIONS))?)?;
        streams::begin(setup.device_bytes.len(), setup.streams);
        functions.call(Call::Streams);
        for (device, &bytes) in setup.device_bytes.iter().enumerate() {
            functions.call(Call::Device { device: number(device), bytes });
        }
        functions.call(Call::Init { devices: number(setup.device_bytes.len()) });
        Ok(SharedLibrary { functions })
    }

    /// The address, or 0 for a refusal.
    #[must_use]
    pub fn alloc(&self, bytes: u64, device: usize, stream: u8) -> u64 {
        let stream = streams::handle(device, stream);
        self.functions.call(Call::Alloc { bytes, device: number(device), stream })
    }

    /// Gives a block back, with what it was asked for with.
    pub fn free(&self, address: u64, bytes: u64, device: usize, stream: u8) {
        let stream = streams::handle(device, stream);
        self.functions.call(Call::Free { address, bytes, device: number(device), stream });
    }

    /// `false` where it has no such function.
    pub fn record_stream(&self, address: u64, device: usize, stream: u8) -> bool {
        self.functions.call(Call::RecordStream { address, stream: streams::handle(device, stream) });
        self.functions.has(Hook::RecordStream)
    }

    /// `false` where it has no such function.
    pub fn empty_cache(&self) -> bool {
        let trims = self.functions.has(Hook::Trim);
        self.functions.call(if trims { Call::Trim } else { Call::Reset });
        trims || self.functions.has(Hook::Reset)
    }
}
