//! Streams of which only what is told is known: when they were given work, and when they were found idle.
//!
//! Decides whether an event has passed. Has no clock.

use std::collections::BTreeMap;

use super::{Event, StreamHandle};

/// Work enqueued on a stream, as far as it is told.
#[derive(Debug, Clone, Default)]
struct State {
    occupied: u64,
    completed: u64,
    /// Which of its occupations are waits for other streams, and for how many of their occupations.
    waits: Vec<(u64, StreamHandle, u64)>,
}

/// The streams of a device. One that was never spoken of is idle.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams {
    states: BTreeMap<StreamHandle, State>,
    /// Events as a stream and how many of its occupations must have ended.
    events: Vec<(StreamHandle, u64)>,
}

impl Streams {
    /// Work was put on a stream that keeps it busy.
    pub fn occupy(&mut self, stream: StreamHandle) {
        self.states.entry(stream).or_default().occupied += 1;
    }

    /// What is put on a stream from now on waits for what is on another one now.
    pub fn hold_for(&mut self, stream: StreamHandle, on: StreamHandle) {
        let Some(needed) = self.states.get(&on).filter(|s| s.completed < s.occupied).map(|s| s.occupied) else {
            return;
        };
        if stream != on {
            let state = self.states.entry(stream).or_default();
            state.occupied += 1;
            state.waits.push((state.occupied, on, needed));
        }
    }

    /// The stream is idle, and so all is over that it waited for.
    pub fn finish(&mut self, stream: StreamHandle) {
        let all = self.states.get(&stream).map_or(0, |state| state.occupied);
        self.complete(stream, all);
    }

    /// So many occupations of the stream have ended, and what they waited for.
    fn complete(&mut self, stream: StreamHandle, count: u64) {
        let mut due = vec![(stream, count)];
        while let Some((stream, count)) = due.pop() {
            if let Some(state) = self.states.get_mut(&stream).filter(|state| state.completed < count) {
                state.completed = count;
                due.extend(state.waits.extract_if(.., |wait| wait.0 <= count).map(|(_, on, needed)| (on, needed)));
            }
        }
    }

    /// All streams are idle.
    pub fn synchronize(&mut self) {
        for state in self.states.values_mut() {
            state.completed = state.occupied;
            state.waits.clear();
        }
    }

    pub fn record(&mut self, stream: StreamHandle) -> Event {
        self.events.push((stream, self.states.get(&stream).map_or(0, |state| state.occupied)));
        Event(self.events.len() as u64 - 1)
    }

    pub fn has_passed(&self, event: Event) -> bool {
        let known = usize::try_from(event.0).ok().and_then(|at| self.events.get(at));
        known.is_none_or(|(stream, needed)| self.states.get(stream).is_none_or(|state| state.completed >= *needed))
    }

    pub fn wait(&mut self, event: Event) {
        if let Some(&(stream, needed)) = usize::try_from(event.0).ok().and_then(|at| self.events.get(at)) {
            self.complete(stream, needed);
        }
    }
}

/// The events of a device whose streams are only told of: its field `streams` knows whether they have passed.
macro_rules! events_by_streams {
    () => {
        fn record_event(&mut self, stream: StreamHandle) -> Result<Event, DeviceError> {
            Ok(self.streams.record(stream))
        }

        fn query_event(&mut self, event: Event) -> Result<bool, DeviceError> {
            Ok(self.streams.has_passed(event))
        }

        fn wait_event(&mut self, event: Event) -> Result<(), DeviceError> {
            self.streams.wait(event);
            Ok(())
        }

        fn wait_stream(&mut self, stream: StreamHandle) -> Result<(), DeviceError> {
            self.streams.finish(stream);
            Ok(())
        }
    };
}
pub(super) use events_by_streams;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_idle_or_waited_for_takes_along_what_it_waited_for() {
        let (a, b, c) = (StreamHandle(1), StreamHandle(2), StreamHandle(3));
        let waiting = || {
            let mut streams = Streams::default();
            streams.hold_for(a, b); // b has nothing to do
            streams.occupy(c);
            streams.hold_for(b, c);
            streams.hold_for(a, b);
            streams.occupy(c);
            let events = [a, b, c].map(|stream| streams.record(stream));
            (streams, events)
        };
        let passed = |streams: &Streams, events: [Event; 3]| events.map(|event| streams.has_passed(event));
        let (mut streams, events) = waiting();
        assert_eq!(passed(&streams, events), [false; 3]);
        streams.finish(b);
        assert_eq!(passed(&streams, events), [false, true, false], "c was given more");
        streams.wait(events[0]);
        assert_eq!(passed(&streams, events), [true, true, false]);
        streams.synchronize();
        assert_eq!(passed(&streams, events), [true; 3]);
    }
}
