//! What is done to one device's allocator while its lock is held, and the order in which it was done.
//!
//! Decides nothing: an act is a call with its arguments, so that the order in which locks were taken can be
//! lived again by one thread.

use crate::device::{Device, StreamHandle};
use crate::op::Stats;
use crate::{DeviceAllocator, Planting, Settings};

/// One call on one device.
#[derive(Debug)]
#[expect(missing_docs, reason = "a field is what its type says, and an act what its name says")]
pub enum Act<D> {
    Alloc {
        bytes: u64,
        stream: StreamHandle,
    },
    Free {
        address: u64,
    },
    RecordStream {
        address: u64,
        stream: StreamHandle,
    },
    EmptyCache,
    ResetPeak,
    ResetAccumulated,
    SetLimit {
        fraction: f64,
    },
    /// Something done to the device itself: a stream kept busy, or its work finished.
    Device {
        what: fn(&mut D, u8),
        with: u8,
    },
}

impl<D> Clone for Act<D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Act<D> {}

/// What came of an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// Memory was handed out there.
    Address(u64),
    /// It was refused, with these words.
    Refused(String),
}

fn outcome<E: std::fmt::Display>(result: Result<(), E>) -> Outcome {
    result.map_or_else(|e| Outcome::Refused(e.to_string()), |()| Outcome::Done)
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// Does one thing.
    pub fn act(&mut self, act: Act<D>) -> Outcome {
        match act {
            Act::Alloc { bytes, stream } => {
                self.alloc(bytes, stream).map_or_else(|e| Outcome::Refused(e.to_string()), Outcome::Address)
            }
            Act::Free { address } => outcome(self.free(address)),
            Act::RecordStream { address, stream } => {
                self.record_stream(address, stream);
                Outcome::Done
            }
            Act::EmptyCache => outcome(self.release_cached()),
            Act::ResetPeak => {
                self.reset_peak();
                Outcome::Done
            }
            Act::ResetAccumulated => {
                self.reset_accumulated();
                Outcome::Done
            }
            Act::SetLimit { fraction } => {
                self.set_limit(fraction);
                Outcome::Done
            }
            Act::Device { what, with } => {
                what(self.device_mut(), with);
                Outcome::Done
            }
        }
    }
}

/// The acts on one device, in the order in which its lock was taken, and what came of each.
pub type Order<D> = Vec<(Act<D>, Outcome)>;

/// Where one thread that does the same in the same order comes to something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// The act, by position; `None` for the statistics at the end.
    pub at: Option<usize>,
    /// What was asked.
    pub act: String,
    /// What it came to among threads.
    pub shared: String,
    /// What it came to alone.
    pub alone: String,
}

/// Lives an order again on a fresh device.
///
/// # Errors
/// The first act with another outcome, or other statistics at the end.
pub fn live_again<D: Device, P: Planting>(
    index: usize,
    device: D,
    settings: &Settings,
    planted: P,
    order: &Order<D>,
    stats: &Stats,
) -> Result<(), Departure> {
    let mut allocator = DeviceAllocator::new(index, device, *settings, planted);
    for (at, (act, shared)) in order.iter().enumerate() {
        let alone = allocator.act(*act);
        if alone != *shared {
            let act = match act {
                Act::Alloc { bytes, stream } => format!("alloc {bytes} B on stream {:#x}", stream.0),
                Act::Free { address } => format!("free {address:#x}"),
                _ => "another call".to_owned(),
            };
            return Err(Departure { at: Some(at), act, shared: format!("{shared:?}"), alone: format!("{alone:?}") });
        }
    }
    let other = allocator.stats().entries().zip(stats.entries()).find(|((_, alone), (_, shared))| alone != shared);
    match other {
        None => Ok(()),
        Some(((key, alone), (_, shared))) => {
            Err(Departure { at: None, act: key.to_string(), shared: shared.to_string(), alone: alone.to_string() })
        }
    }
}
