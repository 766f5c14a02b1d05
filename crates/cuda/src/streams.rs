//! Streams of a GPU and what holds them back: spins with numbered tickets, waits for what other streams were given, and the
//! events behind them. Beside them side streams, one for each set of streams that frees wait for; the host waits for none
//! before it can run.
//!
//! Decides, from what was asked, which work is held back; what is not held back is given time to finish, so that the
//! same operations are answered alike at every speed. Whether held work really waits is the driver's word.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rustc_hash::FxHashMap;

use super::driver::Handle;
use super::error::Code;
use super::gpu::{Gpu, SPIN_NANOSECONDS};
use crate::device::Event;

/// What holds a stream back.
#[derive(Debug, Clone, Copy)]
enum Hold {
    /// A spin with this ticket.
    Spin(u32),
    /// A wait until another stream is past so many of its own holds.
    Wait { on: usize, past: u64 },
}

/// One stream.
#[derive(Debug)]
struct StreamQueue {
    handle: Handle,
    /// Spins enqueued since the start, and those of them that were let go.
    issued: u32,
    released: u32,
    /// What holds it back still, and right before each an event.
    holds: VecDeque<(Hold, Handle)>,
    /// How many holds it is past.
    past: u64,
    /// Work may be running that nothing holds back.
    running: bool,
}

impl StreamQueue {
    fn is_held(&self) -> bool {
        !self.holds.is_empty()
    }

    /// How many holds lie before what is enqueued next.
    fn end(&self) -> u64 {
        self.past + self.holds.len() as u64
    }
}

/// An event and how many holds lie before it.
#[derive(Debug, Clone, Copy)]
struct Marked {
    event: Handle,
    lane: usize,
    behind: u64,
}

/// Work on a side stream: an event behind it, and the holds that lie before what it waits for.
#[derive(Debug)]
struct Aside {
    done: Handle,
    behind: Vec<(usize, u64)>,
}

/// What a wait came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Code(Code),
    /// A spin was not let go in time and ended by itself.
    Overdue,
}

impl From<Code> for Trouble {
    fn from(code: Code) -> Self {
        Trouble::Code(code)
    }
}

/// All streams of a borrower.
#[derive(Debug)]
pub(super) struct Streams {
    lanes: Vec<StreamQueue>,
    events: FxHashMap<u64, Marked>,
    /// What each side stream was given and may not have done yet, in order, by the set of streams that it waits for.
    /// What comes later on one waits for no less, so that nothing is held back by what is before it.
    aside: BTreeMap<u64, VecDeque<Aside>>,
    /// Makes events of different devices differ.
    base: u64,
    next_event: u64,
    spare: Vec<Handle>,
}

impl Streams {
    pub(super) fn new(gpu: &Gpu, count: u8) -> Result<Self, Code> {
        let lane =
            |handle| StreamQueue { handle, issued: 0, released: 0, holds: VecDeque::new(), past: 0, running: false };
        let lanes: Vec<StreamQueue> = gpu.streams(count)?.into_iter().map(lane).collect();
        for number in 0..lanes.len() {
            gpu.let_go(number, 0);
        }
        let base = u64::from(gpu.ordinal & 0xffff) << 48;
        Ok(Streams {
            lanes,
            events: FxHashMap::default(),
            aside: BTreeMap::new(),
            base,
            next_event: 0,
            spare: std::mem::take(&mut gpu.kept().events),
        })
    }

    pub(super) fn handle(&self, lane: usize) -> Option<Handle> {
        self.lanes.get(lane).map(|l| l.handle)
    }

    /// The position of a stream by its raw handle.
    pub(super) fn position(&self, handle: Handle) -> Option<usize> {
        self.lanes.iter().position(|l| l.handle == handle)
    }

    pub(super) fn is_held(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_some_and(StreamQueue::is_held)
    }

    /// Work was enqueued.
    pub(super) fn note_work(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.running |= !lane.is_held();
        }
    }

    fn event(&mut self, gpu: &Gpu) -> Result<Handle, Code> {
        self.spare.pop().map_or_else(|| gpu.driver.create_event(false), Ok)
    }

    pub(super) fn occupy(&mut self, gpu: &Gpu, lane: usize) -> Result<(), Code> {
        let mark = self.event(gpu)?;
        let stream = &mut self.lanes[lane];
        gpu.driver.record_event(mark, stream.handle)?;
        gpu.start_spin(stream.handle, lane, stream.issued + 1, SPIN_NANOSECONDS)?;
        stream.issued += 1;
        stream.holds.push_back((Hold::Spin(stream.issued), mark));
        Ok(())
    }

    /// What is enqueued on a stream from now on waits for what is enqueued on another one now.
    pub(super) fn hold_for(&mut self, gpu: &Gpu, lane: usize, on: usize) -> Result<(), Code> {
        let mark = self.event(gpu)?;
        gpu.driver.record_event(mark, self.lanes[lane].handle)?;
        let point = self.event(gpu)?;
        let handle = self.lanes[lane].handle;
        let waits = gpu.driver.record_event(point, self.lanes[on].handle);
        let waits = waits.and_then(|()| gpu.driver.wait_in_stream(handle, point));
        self.spare.push(point); // the driver keeps what a wait is for
        waits?;
        self.note_work(on);
        self.note_work(lane);
        if lane != on && self.lanes[on].is_held() {
            let hold = Hold::Wait { on, past: self.lanes[on].end() };
            self.lanes[lane].holds.push_back((hold, mark));
        } else {
            self.spare.push(mark);
        }
        Ok(())
    }

    /// Lets the next spin of a stream go, and with it what waited for it.
    fn release_next(&mut self, gpu: &Gpu, lane: usize) {
        let stream = &mut self.lanes[lane];
        stream.released = stream.issued.min(stream.released + 1);
        gpu.let_go(lane, stream.released);
        self.advance();
    }

    /// Lets go what keeps a stream from being past so many of its holds; what is then not held back runs.
    fn release_past(&mut self, gpu: &Gpu, lane: usize, past: u64) {
        while let Some(&(hold, _)) = self.lanes[lane].holds.front().filter(|_| self.lanes[lane].past < past) {
            match hold {
                Hold::Spin(_) => self.release_next(gpu, lane),
                // What this waits for was enqueued before it: no two streams wait for each other.
                Hold::Wait { on, past } => self.release_past(gpu, on, past),
            }
        }
    }

    /// Notes which holds are over.
    fn advance(&mut self) {
        let over = |lanes: &[StreamQueue], lane: &StreamQueue| match lane.holds.front() {
            Some((Hold::Spin(ticket), _)) => *ticket <= lane.released,
            Some((Hold::Wait { on, past }, _)) => lanes[*on].past >= *past,
            None => false,
        };
        while let Some(at) = self.lanes.iter().position(|lane| over(&self.lanes, lane)) {
            let lane = &mut self.lanes[at];
            lane.past += 1;
            lane.running = true;
            self.spare.extend(lane.holds.pop_front().map(|(_, mark)| mark));
        }
    }

    /// Gives what nothing holds back on a stream the time to finish.
    fn settle(&mut self, gpu: &Gpu, lane: usize) -> Result<(), Trouble> {
        let stream = &mut self.lanes[lane];
        if !stream.running {
            return Ok(());
        }
        match stream.holds.front() {
            Some(&(_, mark)) => gpu.driver.sync_event(mark)?,
            None => gpu.driver.sync_stream(stream.handle)?,
        }
        stream.running = false;
        if gpu.take_overdue() { Err(Trouble::Overdue) } else { Ok(()) }
    }

    pub(super) fn settle_all(&mut self, gpu: &Gpu) -> Result<(), Trouble> {
        (0..self.lanes.len()).try_for_each(|lane| self.settle(gpu, lane))?;
        self.settle_aside(gpu)
    }

    /// Gives side streams the time for what waits for nothing that is held back.
    fn settle_aside(&mut self, gpu: &Gpu) -> Result<(), Trouble> {
        let (lanes, spare) = (&self.lanes, &mut self.spare);
        let is_free = |work: &Aside| work.behind.iter().all(|&(lane, behind)| lanes[lane].past >= behind);
        for queue in self.aside.values_mut() {
            while let Some(work) = queue.front().filter(|work| is_free(work)) {
                gpu.driver.sync_event(work.done)?;
                spare.extend(queue.pop_front().map(|work| work.done));
            }
        }
        Ok(())
    }

    /// Has a side stream wait for all that is enqueued on these streams, and then do `work`, which is given the side
    /// stream. Nobody waits for it here.
    pub(super) fn after(
        &mut self,
        gpu: &Gpu,
        lanes: &BTreeSet<usize>,
        work: impl FnOnce(Handle) -> Result<(), Code>,
    ) -> Result<(), Code> {
        let set = set_of(lanes);
        let side = gpu.side(set)?;
        let mut behind = Vec::with_capacity(lanes.len());
        let waits = self.hold_back(gpu, side, lanes, &mut behind);
        let worked = waits.and_then(|()| work(side));
        // Also where the work could not be given: what comes next on the side stream comes after these waits.
        let done = self.event(gpu)?;
        gpu.driver.record_event(done, side)?;
        self.aside.entry(set).or_default().push_back(Aside { done, behind });
        worked
    }

    /// Has a stream wait for what is enqueued on others, and notes how many holds lie before that.
    fn hold_back(
        &mut self,
        gpu: &Gpu,
        side: Handle,
        lanes: &BTreeSet<usize>,
        behind: &mut Vec<(usize, u64)>,
    ) -> Result<(), Code> {
        for &lane in lanes {
            let event = self.event(gpu)?;
            gpu.driver.record_event(event, self.lanes[lane].handle)?;
            self.note_work(lane);
            gpu.driver.wait_in_stream(side, event)?;
            behind.push((lane, self.lanes[lane].end()));
            self.spare.push(event);
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, gpu: &Gpu, lane: usize) -> Result<(), Trouble> {
        if !self.lanes[lane].is_held() {
            return Ok(());
        }
        self.release_next(gpu, lane);
        self.settle_all(gpu)
    }

    pub(super) fn wait_stream(&mut self, gpu: &Gpu, lane: usize) -> Result<(), Trouble> {
        self.release_past(gpu, lane, u64::MAX);
        self.settle(gpu, lane)
    }

    /// Lets everything go, stream after stream, and waits for each.
    pub(super) fn wait_all(&mut self, gpu: &Gpu) -> Result<(), Trouble> {
        (0..self.lanes.len()).try_for_each(|lane| self.wait_stream(gpu, lane))?;
        self.settle_aside(gpu)
    }

    pub(super) fn record(&mut self, gpu: &Gpu, lane: usize) -> Result<Event, Code> {
        let event = self.event(gpu)?;
        gpu.driver.record_event(event, self.lanes[lane].handle)?;
        let id = self.base | self.next_event;
        self.next_event += 1;
        self.events.insert(id, Marked { event, lane, behind: self.lanes[lane].end() });
        Ok(Event(id))
    }

    /// The driver's word on an event, once what nothing holds back has had its time. Unknown events have passed.
    pub(super) fn query(&mut self, gpu: &Gpu, event: Event) -> Result<bool, Code> {
        let Some(&marked) = self.events.get(&event.0) else { return Ok(true) };
        if self.lanes[marked.lane].past >= marked.behind {
            gpu.driver.sync_event(marked.event)?;
        } else if !gpu.driver.query_event(marked.event)? {
            return Ok(false);
        }
        self.forget(event);
        Ok(true)
    }

    pub(super) fn wait_event(&mut self, gpu: &Gpu, event: Event) -> Result<(), Trouble> {
        let Some(&marked) = self.events.get(&event.0) else { return Ok(()) };
        if self.lanes[marked.lane].past < marked.behind {
            self.release_past(gpu, marked.lane, marked.behind);
            self.settle(gpu, marked.lane)?;
        }
        gpu.driver.sync_event(marked.event)?;
        self.forget(event);
        Ok(())
    }

    fn forget(&mut self, event: Event) {
        self.spare.extend(self.events.remove(&event.0).map(|marked| marked.event));
    }

    /// One bit a stream, set where nothing is enqueued that has not finished.
    pub(super) fn idle_mask(&self) -> u64 {
        let idle = self.lanes.iter().enumerate().filter(|(_, l)| !l.is_held() && !l.running);
        idle.fold(0, |mask, (position, _)| mask | 1 << (position & 63))
    }

    /// Every event made here, to be used again.
    pub(super) fn into_events(self) -> Vec<Handle> {
        let marked = self.events.into_values().map(|m| m.event);
        let marks = self.lanes.into_iter().flat_map(|l| l.holds).map(|(_, mark)| mark);
        let aside = self.aside.into_values().flatten().map(|work| work.done);
        self.spare.into_iter().chain(marked).chain(marks).chain(aside).collect()
    }
}

/// Streams as one bit each: what a side stream is known by.
pub(super) fn set_of(lanes: &BTreeSet<usize>) -> u64 {
    lanes.iter().fold(0, |set, lane| set | 1 << (lane & 63))
}
