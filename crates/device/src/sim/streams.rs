//! Streams: what is enqueued, what holds it back, and when it runs.
//!
//! Decides the order in which work runs. Does not know what a write does: it is handed out when its time has come.

use std::collections::VecDeque;

use crate::Event;
use crate::op::StreamId;

/// A write that waits or runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) address: u64,
    pub(crate) bytes: u64,
    pub(crate) tag: u32,
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Write(Write),
    Event(u64),
    /// Whatever comes after it waits until it ends.
    Occupy,
    /// Whatever comes after it waits for this event of another stream.
    Wait(Event),
}

#[derive(Debug, Default)]
struct Queue {
    work: VecDeque<Work>,
    /// The events in `work`, ascending.
    events: VecDeque<u64>,
}

/// How far a queue runs.
#[derive(Clone, Copy)]
enum Until {
    /// The next work that holds it up, left in place.
    Held,
    /// The event, then as `Held`. Whatever holds it up ends, on other streams too.
    Event(u64),
    /// The same for all that is enqueued.
    Empty,
}

/// All streams of a device. A queue is empty if and only if its stream is idle.
#[derive(Debug)]
pub(crate) struct Streams {
    queues: Vec<Queue>,
    /// One bit for each stream with something in its queue.
    busy: u64,
    /// Makes events of different devices differ.
    device: u64,
    next_event: u64,
    /// How many waits for other streams are enqueued.
    waits: usize,
}

const COUNTER_BITS: u32 = 40;

impl Streams {
    pub(crate) fn new(device: u32, count: u8) -> Self {
        let count = count.clamp(1, StreamId::LIMIT);
        let queues = std::iter::repeat_with(Queue::default).take(usize::from(count)).collect();
        Streams { queues, busy: 0, device: u64::from(device & 0xffff) << 48, next_event: 0, waits: 0 }
    }

    pub(crate) fn count(&self) -> usize {
        self.queues.len()
    }

    pub(crate) fn idle_mask(&self) -> u64 {
        !self.busy & (u64::MAX >> (64 - self.queues.len()))
    }

    pub(crate) fn is_busy(&self, stream: usize) -> bool {
        stream < 64 && self.busy >> stream & 1 == 1
    }

    pub(crate) fn occupy(&mut self, stream: usize) {
        self.push(stream, Work::Occupy);
    }

    /// The write to do now, if nothing holds it back; otherwise it is enqueued.
    pub(crate) fn write(&mut self, stream: usize, write: Write) -> Option<Write> {
        if !self.is_busy(stream) {
            return Some(write);
        }
        self.push(stream, Work::Write(write));
        None
    }

    /// An event on an idle stream has finished when it is recorded, and leaves nothing behind.
    pub(crate) fn record(&mut self, stream: usize) -> Event {
        let event = self.device | (stream as u64) << COUNTER_BITS | self.next_event & ((1 << COUNTER_BITS) - 1);
        self.next_event += 1;
        if self.is_busy(stream) {
            self.push(stream, Work::Event(event));
            self.queues[stream].events.push_back(event);
        }
        Event(event)
    }

    /// Whether the event has not finished; one that this device never recorded has.
    pub(crate) fn is_pending(&self, event: Event) -> bool {
        self.busy != 0 && self.queue_of(event).is_some_and(|q| self.queues[q].events.binary_search(&event.0).is_ok())
    }

    /// Whatever is enqueued on a stream from now on waits for what is enqueued on another one now.
    pub(crate) fn hold_for(&mut self, stream: usize, on: usize) {
        if stream != on && self.is_busy(on) {
            let event = self.record(on);
            self.push(stream, Work::Wait(event));
            self.waits += 1;
        }
    }

    /// The first occupying work ends, or will end as soon as its turn comes.
    pub(crate) fn finish(&mut self, stream: usize, run: &mut impl FnMut(Write)) {
        let Some(queue) = self.queues.get_mut(stream) else { return };
        if let Some(at) = queue.work.iter().position(|work| matches!(work, Work::Occupy)) {
            queue.work.remove(at);
        }
        self.run(stream, Until::Held, run);
        self.wake(run);
    }

    pub(crate) fn wait_event(&mut self, event: Event, run: &mut impl FnMut(Write)) {
        if let (true, Some(stream)) = (self.is_pending(event), self.queue_of(event)) {
            self.run(stream, Until::Event(event.0), run);
            self.wake(run);
        }
    }

    pub(crate) fn wait_stream(&mut self, stream: usize, run: &mut impl FnMut(Write)) {
        self.run(stream, Until::Empty, run);
        self.wake(run);
    }

    pub(crate) fn wait_all(&mut self, run: &mut impl FnMut(Write)) {
        while self.busy != 0 {
            self.run(self.busy.trailing_zeros() as usize, Until::Empty, run);
        }
    }

    fn queue_of(&self, event: Event) -> Option<usize> {
        let stream = usize::try_from(event.0 >> COUNTER_BITS & 0xff).ok()?;
        (stream < self.queues.len() && event.0 >> 48 << 48 == self.device).then_some(stream)
    }

    fn push(&mut self, stream: usize, work: Work) {
        self.busy |= 1 << stream;
        self.queues[stream].work.push_back(work);
    }

    /// Streams whose waits are over go on.
    fn wake(&mut self, run: &mut impl FnMut(Write)) {
        while self.waits > 0 {
            let over = |queue: &Queue| match queue.work.front() {
                Some(Work::Wait(event)) => !self.is_pending(*event),
                _ => false,
            };
            let Some(stream) = self.queues.iter().position(over) else { return };
            self.run(stream, Until::Held, run);
        }
    }

    /// Runs a queue. It may call itself for the stream that a wait is for, and never comes back to one that it is running:
    /// what a wait is for was enqueued before it.
    fn run(&mut self, stream: usize, mut until: Until, run: &mut impl FnMut(Write)) {
        while let Some(&work) = self.queues.get(stream).and_then(|queue| queue.work.front()) {
            match (work, until) {
                (Work::Occupy, Until::Held) => return,
                (Work::Wait(event), Until::Held) if self.is_pending(event) => return,
                (Work::Wait(event), _) => {
                    if let (true, Some(other)) = (self.is_pending(event), self.queue_of(event)) {
                        self.run(other, Until::Event(event.0), run);
                    }
                    self.waits -= 1;
                }
                _ => {}
            }
            let queue = &mut self.queues[stream];
            queue.work.pop_front();
            match work {
                Work::Write(write) => run(write),
                Work::Occupy | Work::Wait(_) => {}
                Work::Event(event) => {
                    queue.events.pop_front();
                    // What is behind the event runs too: only what holds it up again can stop it.
                    if matches!(until, Until::Event(last) if last == event) {
                        until = Until::Held;
                    }
                }
            }
        }
        self.busy &= !(1_u64.checked_shl(u32::try_from(stream).unwrap_or(u32::MAX)).unwrap_or(0));
    }
}
