//! Events that a program made: where each was recorded last.
//!
//! Decides what a handle stands for. Whether work has come to an event, the device says.

use crate::codes;
use crate::device::Event;
use crate::world::Runtime;

/// An event, and where it was recorded last, if it was.
#[derive(Debug, Clone, Copy)]
struct Made {
    device: usize,
    /// The event, and the stream that it was recorded on.
    recorded: Option<(Event, u64)>,
}

/// All events by handle.
#[derive(Debug, Default)]
pub(crate) struct Events {
    made: Vec<Option<Made>>,
    vacant: Vec<usize>,
}

/// Handles look like addresses, as those of the real runtime.
const STEP: usize = 16;

impl Events {
    fn create(&mut self, device: usize) -> usize {
        let made = Some(Made { device, recorded: None });
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.made.push(None);
            self.made.len() - 1
        });
        self.made[place] = made;
        (place + 1) * STEP
    }

    fn place(handle: usize) -> Option<usize> {
        handle.is_multiple_of(STEP).then(|| (handle / STEP).checked_sub(1))?
    }

    fn get(&mut self, handle: usize) -> Result<&mut Made, i32> {
        let made = Events::place(handle).and_then(|place| self.made.get_mut(place)?.as_mut());
        made.ok_or(codes::INVALID_HANDLE)
    }

    fn destroy(&mut self, handle: usize) -> Result<(), i32> {
        let place = Events::place(handle).filter(|&place| self.made.get(place).is_some_and(Option::is_some));
        let place = place.ok_or(codes::INVALID_HANDLE)?;
        self.made[place] = None;
        self.vacant.push(place);
        Ok(())
    }
}

impl Runtime {
    pub(crate) fn create_event(&mut self) -> Result<usize, i32> {
        self.current()?;
        Ok(self.events.create(crate::world::current_device()))
    }

    pub(crate) fn destroy_event(&mut self, event: usize) -> Result<(), i32> {
        self.events.destroy(event)
    }

    pub(crate) fn record_event(&mut self, event: usize, stream: u64) -> Result<(), i32> {
        let device = self.device_of(stream)?;
        if self.events.get(event)?.device != device {
            return Err(codes::INVALID_HANDLE);
        }
        let handle = self.real(stream)?;
        let recorded = self.at(device)?.record_event(handle).map_err(|error| codes::of(&error))?;
        self.events.get(event)?.recorded = Some((recorded, stream));
        Ok(())
    }

    /// Whether all work before the event is done; an event that was never recorded waits for nothing.
    pub(crate) fn query_event(&mut self, event: usize) -> Result<bool, i32> {
        let Made { device, recorded } = *self.events.get(event)?;
        let Some((recorded, _)) = recorded else { return Ok(true) };
        let answer = self.at(device)?.query_event(recorded);
        if let Some(log) = self.log(device) {
            log.passed(&answer);
        }
        answer.map_err(|error| codes::of(&error))
    }

    pub(crate) fn wait_event(&mut self, event: usize) -> Result<(), i32> {
        let Made { device, recorded } = *self.events.get(event)?;
        let Some((recorded, _)) = recorded else { return Ok(()) };
        self.at(device)?.wait_event(recorded).map_err(|error| codes::of(&error))
    }

    /// What comes on a stream from now on waits for an event: for all that is on the event's stream now, if it has not passed.
    /// For a stream of another device there is no such wait.
    pub(crate) fn hold_for_event(&mut self, stream: u64, event: usize) -> Result<(), i32> {
        let recorded = self.events.get(event)?.recorded;
        let waits = self.device_of(stream)?;
        if self.query_event(event)? {
            return Ok(());
        }
        let Some((_, on)) = recorded.filter(|_| self.made.per_device > 1) else { return Err(codes::NOT_SUPPORTED) };
        let (device, on) = self.behind(on)?;
        if device != waits {
            self.note_unsupported("cudaStreamWaitEvent for a busy stream of another device".to_owned());
            return Err(codes::NOT_SUPPORTED);
        }
        let (_, stream) = self.behind(stream)?;
        self.at(device)?.hold_for(stream, on).map_err(|error| codes::of(&error))
    }
}
