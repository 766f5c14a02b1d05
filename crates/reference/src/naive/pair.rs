//! The reference and the naive allocator side by side: the same calls on equal devices, compared after each.
//!
//! Decides what must agree: every answer, every statistic, and the segments at the end. Draws nothing: cases come from
//! `tests` and, as bytes, from a fuzzer.

use std::collections::BTreeSet;

use super::{Naive, Refusal};
use crate::device::sim::SimDevice;
use crate::op::snapshot::{BlockState, SegmentView};
use crate::op::stats::{Key, Oversize};
use crate::op::{Counter, Family, Stats, StreamId};
use crate::{AllocError, FreeError, Planting, Reference, Settings};

pub(super) const MIB: u64 = 1 << 20;
pub(super) const STREAMS: u8 = 3;

/// One call. Blocks are named by their place in the list of what is live, modulo its length.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    Alloc { device: usize, stream: u8, bytes: u64 },
    Free { nth: usize },
    FreeAgain { nth: usize },
    FreeInside { nth: usize, offset: u64 },
    Record { nth: usize, stream: u8 },
    Occupy { device: usize, stream: u8 },
    Finish { device: usize, stream: u8 },
    Wait { device: usize, stream: u8, on: u8 },
    Neighbour { device: usize, bytes: u64 },
    Synchronize { device: usize },
    EmptyCache,
    Fraction { device: usize, fraction: f64 },
    ResetPeak { device: usize },
    ResetAccumulated { device: usize },
}

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) settings: Settings,
    pub(super) totals: Vec<u64>,
    pub(super) calls: Vec<Call>,
}

/// Both allocators, and what they have handed out alike.
struct Pair<P> {
    settings: Settings,
    reference: Reference<SimDevice, P>,
    naive: Vec<Naive<SimDevice>>,
    live: Vec<(usize, u64)>,
    freed: Vec<u64>,
    reached: BTreeSet<&'static str>,
}

impl<P: Planting> Pair<P> {
    fn new(case: &Case, planted: P) -> Self {
        let devices = || SimDevice::process(&case.totals, STREAMS).into_iter();
        Pair {
            settings: case.settings,
            reference: Reference::new(devices().collect(), &case.settings, planted),
            naive: devices().enumerate().map(|(i, d)| Naive::new(i, d, case.settings)).collect(),
            live: Vec::new(),
            freed: Vec::new(),
            reached: BTreeSet::new(),
        }
    }

    /// Both do it. The error says how the answers differ.
    fn step(&mut self, call: Call) -> Result<(), String> {
        let named = |pair: &Self, nth: usize| nth.checked_rem(pair.live.len());
        match call {
            Call::Alloc { device, stream, bytes } => return self.alloc(device, stream, bytes),
            Call::Free { nth } => {
                if let Some(i) = named(self, nth) {
                    let (_, address) = self.live.swap_remove(i);
                    self.freed.push(address);
                    return self.free(address);
                }
            }
            Call::FreeAgain { nth } => {
                if let Some(&address) = nth.checked_rem(self.freed.len()).and_then(|i| self.freed.get(i))
                    && !self.live.iter().any(|&(_, a)| a == address)
                {
                    return self.free(address);
                }
            }
            Call::FreeInside { nth, offset } => {
                if let Some(i) =
                    named(self, nth).filter(|&i| !self.live.contains(&(self.live[i].0, self.live[i].1 + offset)))
                {
                    return self.free(self.live[i].1 + offset);
                }
            }
            Call::Record { nth, stream } => {
                if let Some(i) = named(self, nth) {
                    let (device, address) = self.live[i];
                    let stream = self.naive[device].device.stream_handle(StreamId(stream));
                    self.reference.record_stream(address, stream);
                    self.naive[device].record_stream(address, stream);
                }
            }
            Call::Occupy { device, stream } => {
                self.on_devices(device, |d| d.occupy(StreamId(stream)).expect("a stream of the device"));
            }
            Call::Finish { device, stream } => {
                self.on_devices(device, |d| d.finish(StreamId(stream)).expect("a stream of the device"));
            }
            Call::Wait { device, stream, on } => {
                let (stream, on) = (StreamId(stream), StreamId(on));
                self.on_devices(device, |d| d.hold_for(stream, on).expect("streams of the device"));
                let handle = |stream| self.naive[device].device.stream_handle(stream);
                self.reference.device_mut(device).note_wait(handle(stream), handle(on));
            }
            Call::Neighbour { device, bytes } => self.on_devices(device, |d| d.set_neighbour(bytes)),
            Call::Synchronize { device } => self.on_devices(device, SimDevice::synchronize),
            Call::EmptyCache => {
                let ours = self.reference.empty_cache();
                let theirs = self.naive.iter_mut().map(Naive::empty_cache).fold(Ok(()), Result::and);
                return same("empty_cache", &ours, &theirs);
            }
            Call::Fraction { device, fraction } => {
                self.reference.set_fraction(device, fraction).map_err(|e| e.to_string())?;
                self.naive[device].set_fraction(fraction);
            }
            Call::ResetPeak { device } => {
                self.reference.device_mut(device).reset_peak();
                self.naive[device].reset_peak();
            }
            Call::ResetAccumulated { device } => {
                self.reference.device_mut(device).reset_accumulated();
                self.naive[device].reset_accumulated();
            }
        }
        Ok(())
    }

    fn alloc(&mut self, device: usize, stream: u8, bytes: u64) -> Result<(), String> {
        let stream = self.naive[device].device.stream_handle(StreamId(stream));
        let ours = self.reference.device_mut(device).alloc(bytes, stream).map_err(|error| match error {
            AllocError::OutOfMemory(figures) => Refusal::OutOfMemory(figures),
            // There are no pools here that could be busy.
            AllocError::Unrepresentable { .. } | AllocError::PoolBusy => Refusal::Unrepresentable,
            AllocError::Device(error) => Refusal::Device(error),
        });
        let theirs = self.naive[device].alloc(bytes, stream);
        same("alloc", &ours, &theirs)?;
        match theirs {
            Ok(0) => self.reached.extend(["a request of nothing"]),
            Ok(address) => self.live.push((device, address)),
            Err(Refusal::OutOfMemory(_)) => self.reached.extend(["a refusal for want of memory"]),
            Err(Refusal::Unrepresentable) => self.reached.extend(["a size that cannot be represented"]),
            Err(error) => return Err(format!("no device call fails here: {error:?}")),
        }
        Ok(())
    }

    fn free(&mut self, address: u64) -> Result<(), String> {
        let ours = self.reference.free(address).map_err(|error| match error {
            FreeError::InvalidPointer { .. } => Refusal::InvalidPointer,
            FreeError::Device(error) => Refusal::Device(error),
        });
        let owner = self.naive.iter().position(|n| n.holds(address)).unwrap_or(0);
        same("free", &ours, &self.naive[owner].free(address))
    }

    fn on_devices(&mut self, device: usize, act: impl Fn(&mut SimDevice)) {
        act(self.reference.device_mut(device).device_mut());
        act(&mut self.naive[device].device);
    }

    fn same_stats(&self) -> Result<(), String> {
        for (i, naive) in self.naive.iter().enumerate() {
            let ours = self.reference.device(i).stats();
            if *ours != naive.stats {
                let differ = Key::all().filter(|&k| ours.value(k) != naive.stats.value(k));
                let told = differ.map(|k| format!("{k}: {} here, naively {}", ours.value(k), naive.stats.value(k)));
                return Err(format!("device {i}: {}", told.collect::<Vec<_>>().join("; ")));
            }
        }
        Ok(())
    }

    fn same_segments(&self) -> Result<(), String> {
        let theirs: Vec<SegmentView> = self.naive.iter().flat_map(Naive::view).collect();
        same("segments", &known(self.reference.snapshot().segments), &known(theirs))
    }

    /// What a case has come through, so that it can be seen that the cases come through everything.
    fn look(&mut self) {
        for i in 0..self.naive.len() {
            let stats = self.naive[i].stats;
            self.reached
                .extend(situations(&self.settings, &stats).into_iter().filter(|(_, is)| *is).map(|(name, _)| name));
        }
    }
}

fn situations(settings: &Settings, stats: &Stats) -> [(&'static str, bool); 10] {
    let counter = |c| stats.counter(c);
    let all = |family| stats.all(family);
    let returned = counter(Counter::NumDeviceFree) > 0 && counter(Counter::NumSyncAllStreams) == 0;
    let expandable = settings.expandable_segments;
    [
        ("a retry that was served", counter(Counter::NumAllocRetries) > counter(Counter::NumOoms)),
        ("garbage collected", returned && settings.max_split == u64::MAX),
        ("oversize segments released", returned && settings.gc_threshold == 0.0),
        ("an oversize block", stats.oversize(Oversize::Allocations).peak > 0),
        ("an oversize segment", stats.oversize(Oversize::Segments).peak > 0),
        ("a split segment", all(Family::InactiveSplit).peak > 0),
        ("a block that waits", all(Family::Active).current > all(Family::Allocation).current),
        ("pages mapped", expandable && all(Family::ReservedBytes).peak > 0),
        ("pages unmapped", expandable && all(Family::ReservedBytes).freed > 0),
        ("peaks above the present", all(Family::ReservedBytes).peak > all(Family::ReservedBytes).current),
    ]
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: &T, theirs: &T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: {ours:?} here, naively {theirs:?}")) }
}

/// Without the requested size of inactive blocks, which is whatever was there before.
fn known(mut segments: Vec<SegmentView>) -> Vec<SegmentView> {
    for block in segments.iter_mut().flat_map(|s| &mut s.blocks).filter(|b| b.state == BlockState::Inactive) {
        block.requested_size = 0;
    }
    segments
}

/// The first disagreement, or what was reached without one.
#[cfg(test)]
pub(super) fn live_through<P: Planting>(case: &Case, planted: P) -> Result<BTreeSet<&'static str>, String> {
    live_through_watched(case, planted, &mut |_, _| {})
}

/// The same; `watch` sees the statistics of each device before and after each call.
pub(super) fn live_through_watched<P: Planting>(
    case: &Case,
    planted: P,
    watch: &mut dyn FnMut(&Stats, &Stats),
) -> Result<BTreeSet<&'static str>, String> {
    let mut pair = Pair::new(case, planted);
    let mut before: Vec<Stats> = pair.naive.iter().map(|n| n.stats).collect();
    for (i, &call) in case.calls.iter().enumerate() {
        pair.step(call)
            .and_then(|()| pair.same_stats())
            .map_err(|difference| format!("call {i}, {call:?}: {difference}"))?;
        pair.look();
        for (before, naive) in before.iter_mut().zip(&pair.naive) {
            if *before != naive.stats {
                watch(before, &naive.stats);
                *before = naive.stats;
            }
        }
    }
    pair.same_segments()?;
    Ok(pair.reached)
}
