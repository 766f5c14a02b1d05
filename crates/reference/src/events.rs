//! Blocks that wait for streams: which events they wait for, and when they pass.
//!
//! Events of one stream pass in order. Between streams PyTorch's order is a hash order; here it is the
//! order in which streams were first waited for, so that a run repeats.

use std::collections::VecDeque;

use super::allocator::DeviceAllocator;
use super::block::{Slot, State};
use super::defect::{Defect, Planting};
use super::flat_table::FlatTable;
use super::variation::Variation;
use crate::device::{Device, DeviceError, Event, StreamHandle};

/// Events not known to have passed, by stream.
#[derive(Debug, Default, Clone)]
pub(super) struct Events {
    queues: Vec<(StreamHandle, VecDeque<(Event, Slot)>)>,
    pending: usize,
    /// Streams in the order of PyTorch's own table, where its numbers for them are known.
    table: Option<Table>,
}

/// Streams of a device as `ska::flat_hash_map<CUDAStream, …>` has them.
#[derive(Debug, Clone)]
struct Table {
    streams: FlatTable<StreamHandle>,
    device: usize,
    /// PyTorch's numbers for streams; that of any other is its handle.
    numbers: Vec<(StreamHandle, u64)>,
}

impl Table {
    /// `c10::Stream::hash` of a CUDA stream.
    fn hash(&self, stream: StreamHandle) -> u64 {
        const CUDA: u64 = 1;
        let known = self.numbers.iter().find(|(handle, _)| *handle == stream);
        CUDA << 56 | (self.device as u64) << 48 | known.map_or(stream.0, |(_, number)| *number) & ((1 << 48) - 1)
    }
}

impl Events {
    /// Places of the queues, in the order in which they are gone through.
    fn in_order(&self) -> Vec<usize> {
        let place = |stream| self.queues.iter().position(|(known, _)| *known == stream);
        match &self.table {
            None => (0..self.queues.len()).collect(),
            Some(table) => table.streams.keys().filter_map(place).collect(),
        }
    }

    /// A queue was gone through.
    fn leave(&mut self, place: usize) {
        if let Some(table) = &mut self.table
            && let Some((stream, queue)) = self.queues.get(place)
            && queue.is_empty()
        {
            table.streams.remove(*stream);
        }
    }

    /// Streams that were recorded on a block, in the order in which they are gone through.
    pub fn sorted(&self, streams: Vec<StreamHandle>) -> Vec<StreamHandle> {
        let Some(table) = &self.table else { return streams };
        let mut set = FlatTable::default();
        streams.into_iter().for_each(|stream| set.insert(stream, table.hash(stream)));
        set.keys().collect()
    }

    fn push(&mut self, stream: StreamHandle, event: Event, slot: Slot) {
        self.pending += 1;
        if let Some(table) = &mut self.table
            && self.queues.iter().all(|(known, queue)| *known != stream || queue.is_empty())
        {
            let hash = table.hash(stream);
            table.streams.insert(stream, hash);
        }
        if let Some((_, queue)) = self.queues.iter_mut().find(|(s, _)| *s == stream) {
            queue.push_back((event, slot));
        } else {
            self.queues.push((stream, VecDeque::from([(event, slot)])));
        }
    }
}

impl Events {
    /// A block no longer waits for anything.
    pub fn forget(&mut self, slot: Slot) {
        for (_, queue) in &mut self.queues {
            let before = queue.len();
            queue.retain(|&(_, s)| s != slot);
            self.pending -= before - queue.len();
        }
    }

    /// The blocks that wait.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.queues.iter().flat_map(|(_, queue)| queue.iter().map(|&(_, slot)| slot))
    }
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// Stands for c10's library alone. Streams that are waited for come in the order of its hash table, for which a stream is
    /// its handle.
    pub(super) fn stand_alone(&mut self) {
        self.library_alone = true;
        let numbers = self.device.stream_numbers().to_vec();
        if !numbers.is_empty() {
            self.private.stretch();
        }
        let mut table = Table { streams: FlatTable::default(), device: self.index, numbers };
        // The table of a process that has lived keeps the room that it had for all of them but the default one.
        let others: Vec<StreamHandle> = table.numbers.iter().skip(1).map(|(stream, _)| *stream).collect();
        let hashes: Vec<u64> = others.iter().map(|&stream| table.hash(stream)).collect();
        others.iter().zip(hashes).for_each(|(&stream, hash)| table.streams.insert(stream, hash));
        others.iter().for_each(|&stream| table.streams.remove(stream));
        self.events.table = Some(table);
    }

    /// Records an event on every stream of a freed block. A stream that cannot record is waited for.
    pub(super) fn await_streams(&mut self, slot: Slot) -> Result<(), DeviceError> {
        let streams = self.recorded.remove(&slot).unwrap_or_default();
        let mut streams = self.events.sorted(streams);
        if self.planted.varies(Variation::WaitsAtFree) {
            while let Some(&stream) = streams.last() {
                if let Err(error) = self.device.wait_stream(stream) {
                    self.recorded.insert(slot, streams);
                    return Err(error);
                }
                streams.pop();
            }
        }
        self.arena[slot].recorded = false;
        for (i, &stream) in streams.iter().enumerate() {
            if self.planted.has(Defect::WaitTakenAsIdle) && self.waits.has(stream) {
                continue;
            }
            let marked = if self.planted.has(Defect::EventOnDefaultStream) { StreamHandle(0) } else { stream };
            match self.device.record_event(marked) {
                Ok(event) => {
                    self.arena[slot].events += 1;
                    let queue = if self.planted.has(Defect::EventsBlockEachOther) { StreamHandle(0) } else { stream };
                    self.events.push(queue, event, slot);
                }
                Err(_) if self.planted.has(Defect::EventFailureFreesAtOnce) => {}
                Err(_) => {
                    if let Err(error) = self.device.wait_stream(stream) {
                        // Nothing is known of this stream: the block keeps waiting for all that are left.
                        self.recorded.insert(slot, streams[i..].to_vec());
                        self.arena[slot].recorded = true;
                        return Err(error);
                    }
                }
            }
        }
        if self.arena[slot].events == 0 {
            self.arena[slot].recorded = true;
            self.become_free(slot);
            self.arena[slot].recorded = false;
        }
        Ok(())
    }

    /// Frees every block whose last event has passed, as each request does first.
    ///
    /// # Errors
    /// The device call that failed; what passed before it is done.
    pub fn process_events(&mut self) -> Result<(), DeviceError> {
        self.passed_together = 0;
        if !self.private.put_off.is_empty() {
            self.take_up_put_off()?;
        }
        if self.events.pending == 0 || self.planted.has(Defect::EventsAskedOnlyInFlush) {
            return Ok(());
        }
        for i in self.events.in_order() {
            while let Some(&(event, slot)) = self.events.queues[i].1.front() {
                let asked = self.device.query_event(event);
                if asked.is_err() && self.planted.has(Defect::QueryFailureLosesBlock) {
                    self.events.forget(slot);
                    continue;
                }
                let passes = asked.is_err() && self.planted.has(Defect::QueryErrorPasses);
                if !passes && !asked? && !self.planted.has(Defect::EventsTakenAsPassed) {
                    break;
                }
                self.events.queues[i].1.pop_front();
                self.pass(slot);
            }
            self.events.leave(i);
        }
        Ok(())
    }

    /// Waits for every event of blocks of some pools and frees what waited for them. A stream that cannot be
    /// waited for keeps its own events only.
    pub(super) fn wait_for_events(&mut self, concerns: impl Fn(u16) -> bool) -> Result<(), DeviceError> {
        let mut result = if self.private.is_redirecting() { Ok(()) } else { self.take_up_put_off() };
        for i in self.events.in_order() {
            let mut at = 0;
            while let Some(&(event, slot)) = self.events.queues[i].1.get(at) {
                if !concerns(self.arena[slot].pool) {
                    at += 1;
                    continue;
                }
                if let Err(error) = self.device.wait_event(event) {
                    result = result.and(Err(error));
                    break;
                }
                if self.planted.has(Defect::WaitedBlockDropped) {
                    self.events.forget(slot);
                    continue;
                }
                self.events.queues[i].1.remove(at);
                self.pass(slot);
            }
            self.events.leave(i);
        }
        result.and(self.settle_unmarked())
    }

    /// One event of a block has passed.
    fn pass(&mut self, slot: Slot) {
        self.events.pending -= 1;
        self.passed_together += 1;
        if self.planted.has(Defect::OneEventIsEnough) {
            self.events.forget(slot);
            self.arena[slot].events = 1;
        }
        let block = &mut self.arena[slot];
        block.events -= 1;
        if block.events == 0 && block.state == State::Pending && !block.recorded {
            block.recorded = true; // it came by way of events: see the defect in `become_free`
            self.become_free(slot);
            self.arena[slot].recorded = false;
        }
    }

    /// Waits for the streams of blocks for which no event could be recorded.
    fn settle_unmarked(&mut self) -> Result<(), DeviceError> {
        let waits_for_nothing_else = |&slot: &Slot| {
            self.arena[slot].state == State::Pending
                && self.arena[slot].events == 0
                && !self.private.put_off.contains(&slot)
        };
        let mut stuck: Vec<Slot> = self.recorded.keys().copied().filter(waits_for_nothing_else).collect();
        stuck.sort_unstable();
        for slot in stuck {
            let streams = self.recorded.get(&slot).cloned().unwrap_or_default();
            for stream in streams {
                self.device.wait_stream(stream)?;
            }
            self.recorded.remove(&slot);
            self.become_free(slot);
            self.arena[slot].recorded = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sound;
    use crate::block::{Arena, Block};
    use crate::device::sim::SimDevice;
    use crate::op::StreamId;

    const NONE: StreamHandle = StreamHandle(0);

    /// What is left to ask: a figure of its own, so that a request with nothing to wait for looks at no queue.
    fn left(events: &Events) -> (usize, usize) {
        (events.pending, events.slots().count())
    }

    #[test]
    fn what_a_block_waited_for_is_forgotten_in_every_queue() {
        let mut arena = Arena::default();
        let mut slot = |address| arena.insert(Block::whole(address, 512, NONE, 0));
        let (gone, kept) = (slot(0), slot(512));
        let mut events = Events::default();
        for (nth, (stream, slot)) in [(1, gone), (2, gone), (2, kept), (1, gone), (3, kept)].into_iter().enumerate() {
            events.push(StreamHandle(stream), Event(nth as u64), slot);
        }
        assert_eq!(left(&events), (5, 5));
        events.forget(gone);
        assert_eq!(left(&events), (2, 2));
        assert!(events.slots().all(|slot| slot == kept));
    }

    #[test]
    fn nothing_is_left_to_ask_once_every_event_has_passed() {
        let mut allocator = DeviceAllocator::new(0, SimDevice::new(0, 64 << 20, 2), Default::default(), Sound);
        let other = allocator.device().stream_handle(StreamId(1));
        let block = allocator.alloc(100, NONE).expect("fits");
        allocator.device_mut().occupy(StreamId(1)).expect("is there");
        allocator.record_stream(block, other);
        allocator.free(block).expect("is live");
        assert_eq!(left(&allocator.events), (1, 1));
        allocator.device_mut().finish(StreamId(1)).expect("is there");
        allocator.process_events().expect("no fault is planted");
        assert_eq!(left(&allocator.events), (0, 0));
    }
}
