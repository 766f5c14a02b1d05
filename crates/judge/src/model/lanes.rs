//! What holds the streams of a device up, as far as operations and idle bits tell: work that keeps them busy, and waits for
//! each other. And whose work comes after whose.
//!
//! Decides up to which moment the work of a stream may be over. Where that cannot be told it is taken to be over: the
//! allocator may have waited for a part of what a stream was given, which nobody sees while the stream stays busy.

use std::collections::VecDeque;

use crate::op::StreamId;

/// Something that holds up what comes after it on its stream.
#[derive(Debug, Clone, Copy)]
struct Hold {
    since: u64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Work that ends by command.
    Busy { ended: bool },
    /// Until the work is over that this other stream was given before.
    Wait { on: usize },
}

/// The streams of one device. Moments are counted by the caller and grow; 0 is before the first.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes {
    holds: Vec<VecDeque<Hold>>,
    /// One bit for each stream that something holds up.
    held: u64,
    /// By stream and other stream, the moment before which all work of the other comes before what the stream is given
    /// now. Empty until a stream waits for another.
    order: Vec<u64>,
    /// One bit for each stream of whose holds some may be over, nobody knows how many; all but the last count as over.
    unclear: u64,
}

impl Lanes {
    pub(super) fn new(streams: u8) -> Self {
        let count = usize::from(streams.min(StreamId::LIMIT));
        Lanes { holds: vec![VecDeque::new(); count], held: 0, order: Vec::new(), unclear: 0 }
    }

    /// The moment before which the work of a stream is over.
    pub(super) fn over(&self, stream: usize) -> u64 {
        self.holds.get(stream).and_then(VecDeque::front).map_or(u64::MAX, |hold| hold.since)
    }

    /// Streams whose work at that moment is over.
    pub(super) fn done(&self, streams: u64, moment: u64) -> u64 {
        let held = bits(streams & self.held).filter(|&s| self.over(s) < moment);
        streams & !held.fold(0, |mask, stream| mask | 1 << stream)
    }

    /// Streams whose work before that moment comes before what this one is given now.
    pub(super) fn before(&self, stream: StreamId, moment: u64) -> u64 {
        let count = self.holds.len();
        let from = usize::from(stream.0) * count;
        let row = self.order.get(from..from + count).unwrap_or_default();
        row.iter().enumerate().fold(0, |mask, (other, &until)| mask | u64::from(until > moment) << other)
    }

    fn push(&mut self, stream: StreamId, since: u64, kind: Kind) {
        if let Some(holds) = self.holds.get_mut(usize::from(stream.0)) {
            let is_unclear = self.unclear >> stream.0 & 1 == 1;
            if is_unclear {
                holds.clear();
            }
            holds.push_back(Hold { since, kind });
            self.held |= 1 << stream.0;
            if is_unclear {
                self.advance(); // who waits for what counts as over has nothing to wait for
            }
        }
    }

    /// Work was put on a stream that keeps it busy.
    pub(super) fn occupy(&mut self, stream: StreamId, now: u64) {
        self.push(stream, now, Kind::Busy { ended: false });
    }

    /// A stream waits for what another one was given before.
    pub(super) fn wait(&mut self, stream: StreamId, on: StreamId, now: u64) {
        let (at, other, count) = (usize::from(stream.0), usize::from(on.0), self.holds.len());
        if at == other || at.max(other) >= count {
            return;
        }
        self.order.resize(count * count, 0);
        for third in 0..count {
            let through = self.order[other * count + third];
            let own = &mut self.order[at * count + third];
            *own = (*own).max(through);
        }
        self.order[at * count + other] = now;
        if self.held >> other & 1 == 1 {
            self.push(stream, now, Kind::Wait { on: other });
        }
    }

    /// The first work that keeps the stream busy ends, or will as soon as its turn comes.
    pub(super) fn finish(&mut self, stream: StreamId) {
        if self.unclear.checked_shr(u32::from(stream.0)).unwrap_or(0) & 1 == 1 {
            return; // whether it was the last shows when the stream is seen
        }
        let first = |hold: &&mut Hold| matches!(hold.kind, Kind::Busy { ended: false });
        if let Some(hold) = self.holds.get_mut(usize::from(stream.0)).and_then(|holds| holds.iter_mut().find(first)) {
            hold.kind = Kind::Busy { ended: true };
        }
        self.advance();
    }

    /// These streams have nothing left to do, and all others have something. What is not known to hold one of those up was
    /// there before everything, unless it is unclear what is over. Whether that is news; `now` is later than all before.
    pub(super) fn see(&mut self, idle: u64, now: u64) -> bool {
        let all = u64::MAX.checked_shr(64 - u32::try_from(self.holds.len()).unwrap_or(64)).unwrap_or(0);
        let busy = !idle & all;
        if busy == self.held {
            return false;
        }
        let is_unclear = self.unclear != 0;
        for stream in bits(self.held & idle) {
            self.end(stream, u64::MAX);
        }
        let ordered = if self.order.is_empty() { 0 } else { idle & all };
        for stream in bits(ordered) {
            for other in 0..self.holds.len() {
                self.end(other, self.order[stream * self.holds.len() + other]);
            }
        }
        self.unclear &= busy;
        self.held = busy;
        self.advance();
        for stream in bits(busy & !self.held) {
            let since = if is_unclear { now } else { 0 };
            self.unclear |= u64::from(is_unclear) << stream;
            self.holds[stream].push_back(Hold { since, kind: Kind::Busy { ended: false } });
        }
        self.held = busy;
        true
    }

    /// What the stream was given before that moment is over, and with it what that waited for, although the stream waited for may
    /// have been given more since.
    fn end(&mut self, stream: usize, moment: u64) {
        while let Some(&Hold { since, kind }) = self.holds[stream].front().filter(|hold| hold.since < moment) {
            if self.holds[stream].len() == 1 && moment != u64::MAX {
                // It is busy with something else, which was put on it later.
                self.holds[stream][0] = Hold { since: moment, kind: Kind::Busy { ended: false } };
            } else {
                self.holds[stream].pop_front();
            }
            if let Kind::Wait { on } = kind {
                self.end(on, since);
            }
        }
    }

    /// The allocator may have waited for any part of what streams were given. They were seen since and are busy still, with the last
    /// of it.
    pub(super) fn waited(&mut self) {
        let busy = self.held;
        if busy == 0 {
            return;
        }
        let last: Vec<u64> = self.holds.iter().map(|holds| holds.back().map_or(0, |hold| hold.since)).collect();
        for stream in bits(busy) {
            let gone = self.holds[stream].len().saturating_sub(1);
            self.holds[stream].drain(..gone);
            self.unclear |= u64::from(gone > 0) << stream;
        }
        self.advance();
        for stream in bits(busy & !self.held) {
            // That wait is over; what the stream is busy with is one of those that count as over, and may end at any time.
            self.unclear |= 1 << stream;
            self.holds[stream].push_back(Hold { since: last[stream], kind: Kind::Busy { ended: false } });
        }
        self.held = busy;
    }

    /// Takes away what is over.
    fn advance(&mut self) {
        let mut left = self.held;
        while left != 0 {
            let stream = left.trailing_zeros() as usize;
            left &= left - 1;
            let Some(hold) = self.holds[stream].front() else {
                self.held &= !(1 << stream);
                continue;
            };
            let is_over = match hold.kind {
                Kind::Busy { ended } => ended,
                Kind::Wait { on } => self.over(on) > hold.since,
            };
            if is_over {
                self.holds[stream].pop_front();
                if self.holds[stream].is_empty() {
                    self.held &= !(1 << stream);
                }
                left = self.held; // others may wait for this
            }
        }
    }
}

/// The streams of a set, in order.
fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let stream = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(stream)
    })
}

#[cfg(test)]
#[path = "lanes_test.rs"]
mod against_streams;

#[cfg(test)]
mod tests {
    use super::*;

    const A: StreamId = StreamId(1);
    const B: StreamId = StreamId(2);
    const C: StreamId = StreamId(3);

    #[test]
    fn a_wait_is_over_with_what_it_was_for_and_not_with_what_came_later() {
        let mut lanes = Lanes::new(4);
        lanes.occupy(A, 1);
        lanes.wait(B, A, 2);
        lanes.occupy(A, 3);
        assert_eq!((lanes.over(1), lanes.over(2), lanes.over(0)), (1, 2, u64::MAX));
        lanes.finish(A);
        assert_eq!((lanes.over(1), lanes.over(2)), (3, u64::MAX));
    }

    #[test]
    fn waits_go_on_from_stream_to_stream() {
        let mut lanes = Lanes::new(4);
        lanes.occupy(C, 1);
        lanes.wait(B, C, 2);
        lanes.wait(A, B, 3);
        assert_eq!(lanes.before(A, 1), 1 << 2 | 1 << 3);
        assert_eq!(lanes.before(A, 2), 1 << 2, "what the third was given after that wait is not before it");
        assert_eq!(lanes.before(B, 1), 1 << 3);
        assert_eq!(lanes.done(0b1110, 1), 0b1110);
        assert_eq!(lanes.done(0b1110, 4), 0);
        lanes.finish(C);
        assert_eq!(lanes.done(0b1110, 4), 0b1110);
    }

    #[test]
    fn work_behind_a_wait_may_be_ended_before_its_turn() {
        let mut lanes = Lanes::new(4);
        lanes.occupy(A, 1);
        lanes.wait(B, A, 2);
        lanes.occupy(B, 3);
        lanes.finish(B);
        assert_eq!(lanes.over(2), 2, "it waits still");
        lanes.finish(A);
        assert_eq!(lanes.over(2), u64::MAX);
    }

    #[test]
    fn a_wait_for_an_idle_stream_or_for_itself_holds_nothing_up() {
        let mut lanes = Lanes::new(4);
        lanes.wait(B, A, 1);
        lanes.occupy(C, 2);
        lanes.wait(C, C, 3);
        assert_eq!((lanes.over(2), lanes.over(3)), (u64::MAX, 2));
        assert_eq!(lanes.before(B, 0), 1 << 1, "it is ordered all the same");
    }

    #[test]
    fn a_stream_that_waited_and_is_idle_shows_that_what_it_waited_for_is_over() {
        let mut lanes = Lanes::new(4);
        lanes.occupy(A, 1);
        lanes.wait(B, A, 2);
        lanes.wait(C, B, 3);
        lanes.occupy(A, 4);
        lanes.see(!(1 << 1), 9);
        assert_eq!((lanes.over(1), lanes.over(2), lanes.over(3)), (4, u64::MAX, u64::MAX));
        lanes.wait(C, A, 5);
        lanes.see(!(1 << 1), 9);
        assert_eq!(lanes.over(1), 5, "it is busy with what was put on it since");
    }

    #[test]
    fn after_a_wait_of_the_allocator_only_the_last_work_of_a_stream_is_not_over() {
        let mut lanes = Lanes::new(4);
        lanes.occupy(A, 1);
        lanes.wait(B, A, 2);
        lanes.occupy(A, 3);
        lanes.waited();
        assert_eq!((lanes.over(1), lanes.over(2)), (3, 2), "it was seen busy, and nobody knows with what");
        lanes.finish(A);
        lanes.occupy(B, 5);
        lanes.see(!(1 << 1 | 1 << 2), 6);
        assert_eq!((lanes.over(1), lanes.over(2)), (3, 5), "the first may have ended, or the second");
        lanes.see(!(1 << 2), 7);
        lanes.finish(B);
        lanes.see(u64::MAX, 8);
        lanes.occupy(A, 9);
        lanes.occupy(A, 10);
        lanes.finish(A);
        assert_eq!((lanes.over(1), lanes.over(2)), (10, u64::MAX), "all is clear again");
    }

    #[test]
    fn an_idle_stream_shows_what_came_before_it_although_the_allocator_waited_since() {
        let mut lanes = Lanes::new(4);
        lanes.occupy(C, 1);
        lanes.wait(A, C, 2);
        lanes.occupy(A, 3);
        lanes.waited();
        lanes.wait(B, A, 4);
        lanes.occupy(C, 5);
        lanes.see(!(1 << 3), 6);
        assert_eq!((lanes.over(1), lanes.over(2), lanes.over(3)), (u64::MAX, u64::MAX, 5));
    }

    #[test]
    fn what_is_seen_counts_more_than_what_was_told() {
        let mut lanes = Lanes::new(4);
        lanes.see(!(1 << 1), 9);
        assert_eq!(lanes.over(1), 0, "busy for a reason that nobody told");
        lanes.wait(B, A, 5);
        lanes.see(u64::MAX, 9);
        assert_eq!((lanes.over(1), lanes.over(2)), (u64::MAX, u64::MAX));
        lanes.occupy(A, 6);
        lanes.occupy(A, 7);
        lanes.waited();
        assert_eq!(lanes.over(1), 7);
    }
}
