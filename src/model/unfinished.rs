//! Freed memory on which work has not finished: which streams must be done before another stream may have it.
//!
//! Decides from operations and idle bits alone. Does not see events: where a busy stream was given more to do,
//! earlier work on it may end unseen, and is taken for finished as soon as the allocator may have waited.

use std::collections::BTreeMap;

use super::Live;
use crate::op::StreamId;

/// A range handed out although work of these streams on it had not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    pub address: u64,
    pub end: u64,
    /// Position of the device.
    pub device: usize,
    /// Streams whose work had not finished, one bit each; the new owner's own left out.
    pub streams: u64,
    /// The stream of the block that was freed.
    pub own: StreamId,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    end: u64,
    device: usize,
    own: StreamId,
    /// Streams the allocator must wait for: the block's own and the recorded ones.
    duty: u64,
    /// Streams that were given more to do since: they need not be idle when the work on this range ends.
    blurred: u64,
}

/// Disjoint ranges by address. Empty as long as blocks are freed on idle streams.
#[derive(Debug)]
pub(super) struct Retired {
    ranges: BTreeMap<u64, Range>,
    /// By device, every stream that some range waits for.
    waiting: Vec<u64>,
    /// By device, whether some range has a blurred stream.
    blurred: Vec<bool>,
}

impl Retired {
    pub(super) fn new(devices: usize) -> Self {
        Retired { ranges: BTreeMap::new(), waiting: vec![0; devices], blurred: vec![false; devices] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Keeps a freed block whose streams have not finished.
    pub(super) fn put(&mut self, live: &Live, duty: u64) {
        self.cut(live.address, live.end());
        self.waiting[live.device] |= duty;
        let range = Range { end: live.end(), device: live.device, own: live.stream, duty, blurred: 0 };
        self.ranges.insert(live.address, range);
    }

    /// Gives the memory to a new owner: what of it should not have been given.
    pub(super) fn take(&mut self, live: &Live) -> Option<Unfinished> {
        let mut found = None;
        for (&address, range) in self.overlapping(live.address, live.end()) {
            let own = if range.device == live.device { 1 << (live.stream.0 & 63) } else { 0 };
            let streams = range.duty & !own;
            if streams != 0 && found.is_none() {
                found = Some(Unfinished { address, end: range.end, device: range.device, streams, own: range.own });
            }
        }
        self.cut(live.address, live.end());
        found
    }

    /// These streams have nothing left to do.
    pub(super) fn settle(&mut self, device: usize, idle: u64) {
        if self.waiting[device] & idle != 0 {
            self.drop_streams(device, |_| idle);
        }
    }

    /// What kept the stream busy ended, by command.
    pub(super) fn finished(&mut self, device: usize, stream: StreamId) {
        let bit = 1 << (stream.0 & 63);
        if self.waiting[device] & bit != 0 {
            self.drop_streams(device, |_| bit);
        }
    }

    /// These streams were given more to do, behind the work that is waited for.
    pub(super) fn enqueued(&mut self, device: usize, streams: u64) {
        if self.waiting[device] & streams != 0 {
            self.blurred[device] = true;
            for range in self.ranges.values_mut().filter(|r| r.device == device) {
                range.blurred |= streams & range.duty;
            }
        }
    }

    /// The allocator may have waited for the streams that it knows of.
    pub(super) fn waited(&mut self, device: usize) {
        if self.blurred[device] {
            self.drop_streams(device, |range| range.blurred);
            self.blurred[device] = false;
        }
    }

    /// Drops streams that each range of the device waited for.
    fn drop_streams(&mut self, device: usize, which: impl Fn(&Range) -> u64) {
        let mut waiting = 0;
        self.ranges.retain(|_, range| {
            if range.device == device {
                range.duty &= !which(range);
                range.blurred &= range.duty;
                waiting |= range.duty;
            }
            range.duty != 0
        });
        self.waiting[device] = waiting;
    }

    fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = (&u64, &Range)> {
        let before = self.ranges.range(..start).next_back().filter(move |(_, range)| range.end > start);
        before.into_iter().chain(self.ranges.range(start..end.max(start)))
    }

    /// Takes `[start, end)` out of every range.
    fn cut(&mut self, start: u64, end: u64) {
        let touched: Vec<(u64, Range)> = self.overlapping(start, end).map(|(&a, &r)| (a, r)).collect();
        for (address, range) in touched {
            self.ranges.remove(&address);
            if address < start {
                self.ranges.insert(address, Range { end: start, ..range });
            }
            if range.end > end {
                self.ranges.insert(end, range);
            }
        }
    }
}
