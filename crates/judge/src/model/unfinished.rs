//! Freed memory on which work has not finished: which streams must be done before another stream may have it.
//!
//! Decides from operations and idle bits alone; what holds streams up is `lanes`'. Does not see events: where a busy stream
//! was given more to do, earlier work on it may end unseen, and is taken for finished as soon as the allocator may have
//! waited. A stream that was told to wait for those that are not done may have the memory: its work comes after theirs.

use std::collections::BTreeMap;

use super::Live;
use super::lanes::Lanes;
use crate::op::StreamId;

/// A range handed out although work of these streams on it had not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    /// Where it starts.
    pub address: u64,
    /// One past its last byte.
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
    /// When it was freed.
    since: u64,
}

/// Disjoint ranges by address. Empty as long as blocks are freed on idle streams.
#[derive(Debug)]
pub(super) struct Retired {
    ranges: BTreeMap<u64, Range>,
    /// By device, every stream that some range waits for.
    waiting: Vec<u64>,
    /// By device, whether some range has a blurred stream.
    blurred: Vec<bool>,
    lanes: Vec<Lanes>,
    /// Counts what happens to streams, and frees.
    now: u64,
}

impl Retired {
    pub(super) fn new(devices: usize, streams: u8) -> Self {
        Retired {
            ranges: BTreeMap::new(),
            waiting: vec![0; devices],
            blurred: vec![false; devices],
            lanes: vec![Lanes::new(streams); devices],
            now: 0,
        }
    }

    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Keeps a freed block whose streams have not finished.
    pub(super) fn put(&mut self, live: &Live, duty: u64) {
        self.cut(live.address, live.end());
        self.waiting[live.device] |= duty;
        let since = self.tick();
        let range = Range { end: live.end(), device: live.device, own: live.stream, duty, blurred: 0, since };
        self.ranges.insert(live.address, range);
    }

    /// Gives the memory to a new owner: what of it should not have been given.
    pub(super) fn take(&mut self, live: &Live) -> Option<Unfinished> {
        let mut found = None;
        for (&address, range) in self.overlapping(live.address, live.end()) {
            let lanes = &self.lanes[live.device];
            let is_here = range.device == live.device;
            let after = if is_here { 1 << (live.stream.0 & 63) | lanes.before(live.stream, range.since) } else { 0 };
            let streams = range.duty & !after;
            if streams != 0 && found.is_none() {
                found = Some(Unfinished { address, end: range.end, device: range.device, streams, own: range.own });
            }
        }
        self.cut(live.address, live.end());
        found
    }

    /// These streams have nothing left to do.
    pub(super) fn settle(&mut self, device: usize, idle: u64) {
        let now = self.tick();
        if self.lanes[device].see(idle, now) {
            self.drop_done(device); // what waited for these may be done, and have more to do
        }
        if self.waiting[device] & idle != 0 {
            self.drop_streams(device, |_| idle);
        }
    }

    /// What kept the stream busy ended, by command, and with it what waited for that alone.
    pub(super) fn finished(&mut self, device: usize, stream: StreamId) {
        self.lanes[device].finish(stream);
        self.drop_done(device);
    }

    /// The stream was given work that keeps it busy.
    pub(super) fn occupied(&mut self, device: usize, stream: StreamId) {
        let now = self.tick();
        self.lanes[device].occupy(stream, now);
        self.enqueued(device, 1 << (stream.0 & 63));
    }

    /// What the stream is given from now on waits for what another one was given before.
    pub(super) fn waits_for(&mut self, device: usize, stream: StreamId, on: StreamId) {
        let now = self.tick();
        self.lanes[device].wait(stream, on, now);
        self.enqueued(device, 1 << (stream.0 & 63));
    }

    /// Drops streams that are done with what they were given before the free.
    fn drop_done(&mut self, device: usize) {
        if self.waiting[device] != 0 {
            let lanes = std::mem::take(&mut self.lanes[device]);
            self.drop_streams(device, |range| lanes.done(range.duty, range.since));
            self.lanes[device] = lanes;
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
        self.lanes[device].waited();
        self.drop_done(device);
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
