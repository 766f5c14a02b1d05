//! Streams of which only what is told is known: when they were given work, and when they were found idle.
//!
//! Decides whether an event has passed. Has no clock.

use std::collections::BTreeMap;

use super::{Event, StreamHandle};

/// Work enqueued on a stream, as far as it is told.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    occupied: u64,
    completed: u64,
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

    /// The stream is idle.
    pub fn finish(&mut self, stream: StreamHandle) {
        if let Some(state) = self.states.get_mut(&stream) {
            state.completed = state.occupied;
        }
    }

    /// All streams are idle.
    pub fn synchronize(&mut self) {
        self.states.values_mut().for_each(|state| state.completed = state.occupied);
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
        if let Some((stream, needed)) = usize::try_from(event.0).ok().and_then(|at| self.events.get(at))
            && let Some(state) = self.states.get_mut(stream)
        {
            state.completed = state.completed.max(*needed);
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
