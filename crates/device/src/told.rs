//! A device that answers as another one did: what an allocator was told by its device is told again to one that lives beside it.
//!
//! Decides which answers are kept: those that a policy's choices follow from. Everything else succeeds. Answers of one kind come
//! in the order in which they were given; where one is asked for that was never given, the two have parted, and the log says so.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::{ControlledDevice, Device, DeviceError, Event, ProcessMemory, StreamHandle};
use crate::op::{ContentsReport, DeviceCall, FaultError, StreamId};

/// What a device answered, by kind.
#[derive(Debug, Default)]
struct Answers {
    reserved: VecDeque<Result<u64, DeviceError>>,
    released: VecDeque<Result<(), DeviceError>>,
    ranges: VecDeque<Result<u64, DeviceError>>,
    mapped: VecDeque<Result<(), DeviceError>>,
    free: VecDeque<Result<u64, DeviceError>>,
    passed: VecDeque<Result<bool, DeviceError>>,
    processes: VecDeque<Vec<ProcessMemory>>,
    /// The call that nobody made beside it.
    parted: Option<DeviceCall>,
}

impl Answers {
    /// Drops what nobody asked for, and keeps the room for more: this is done after every operation.
    fn clear(&mut self) {
        self.reserved.clear();
        self.released.clear();
        self.ranges.clear();
        self.mapped.clear();
        self.free.clear();
        self.passed.clear();
        self.processes.clear();
    }
}

/// The answers of one device so far. A clone is the same log.
#[derive(Debug, Clone, Default)]
pub struct DeviceLog {
    answers: Arc<Mutex<Answers>>,
}

impl DeviceLog {
    fn with<R>(&self, act: impl FnOnce(&mut Answers) -> R) -> R {
        act(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A segment was asked for.
    pub fn reserved(&self, answer: &Result<u64, DeviceError>) {
        self.with(|answers| answers.reserved.push_back(answer.clone()));
    }

    /// A segment was given back.
    pub fn released(&self, answer: &Result<(), DeviceError>) {
        self.with(|answers| answers.released.push_back(answer.clone()));
    }

    /// A range of addresses was asked for.
    pub fn reserved_addresses(&self, answer: &Result<u64, DeviceError>) {
        self.with(|answers| answers.ranges.push_back(answer.clone()));
    }

    /// Memory for a page was asked for.
    pub fn mapped(&self, answer: Result<(), DeviceError>) {
        self.with(|answers| answers.mapped.push_back(answer));
    }

    /// Free memory was asked for.
    pub fn free_bytes(&self, answer: &Result<u64, DeviceError>) {
        self.with(|answers| answers.free.push_back(answer.clone()));
    }

    /// It was asked whether an event has passed.
    pub fn passed(&self, answer: &Result<bool, DeviceError>) {
        self.with(|answers| answers.passed.push_back(answer.clone()));
    }

    /// Processes were asked for.
    pub fn processes(&self, answer: &[ProcessMemory]) {
        self.with(|answers| answers.processes.push_back(answer.to_vec()));
    }

    /// The first call that was made beside the device and not to it, or the other way round, since this was last asked; what
    /// is left of the answers is dropped.
    pub fn settle(&self) -> Option<DeviceCall> {
        self.with(|answers| {
            let left = [
                (DeviceCall::Reserve, answers.reserved.len()),
                (DeviceCall::ReserveAddresses, answers.ranges.len()),
                (DeviceCall::Map, answers.mapped.len()),
                (DeviceCall::QueryEvent, answers.passed.len()),
            ];
            let unasked = left.into_iter().find(|(_, count)| *count > 0).map(|(call, _)| call);
            answers.clear();
            answers.parted.take().or(unasked)
        })
    }
}

/// A device that answers out of a log.
#[derive(Debug, Clone)]
pub struct ToldDevice {
    log: DeviceLog,
    name: String,
    total_bytes: u64,
    streams: Vec<StreamHandle>,
    next_event: u64,
}

impl ToldDevice {
    /// Beside a device whose answers go to the log, with its name, size and streams.
    #[must_use]
    pub fn beside(device: &dyn ControlledDevice, streams: u8, log: DeviceLog) -> Self {
        let handles = (0..streams).map(|stream| device.stream_handle(StreamId(stream))).collect();
        ToldDevice { log, name: device.name(), total_bytes: device.total_bytes(), streams: handles, next_event: 0 }
    }

    fn next<T>(
        &self,
        call: DeviceCall,
        of: impl FnOnce(&mut Answers) -> Option<Result<T, DeviceError>>,
    ) -> Result<T, DeviceError> {
        self.log.with(|answers| {
            of(answers).unwrap_or_else(|| {
                answers.parted.get_or_insert(call);
                Err(DeviceError::Failed { call, code: super::FAULT_CODE })
            })
        })
    }
}

impl Device for ToldDevice {
    fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// The last answer: how often it is asked is nobody's policy (PyTorch asks once more for a warning since 2.13).
    fn free_bytes(&mut self) -> Result<u64, DeviceError> {
        self.next(DeviceCall::MemoryInfo, |answers| answers.free.drain(..).next_back())
    }

    fn processes(&mut self) -> Vec<ProcessMemory> {
        self.log.with(|answers| answers.processes.pop_front()).unwrap_or_default()
    }

    fn reserve(&mut self, _: u64) -> Result<u64, DeviceError> {
        self.next(DeviceCall::Reserve, |answers| answers.reserved.pop_front())
    }

    /// What was never answered succeeds: which device a pointer of nobody's is given to, two allocators may see otherwise.
    fn release(&mut self, _: u64) -> Result<(), DeviceError> {
        self.log.with(|answers| answers.released.pop_front()).unwrap_or(Ok(()))
    }

    fn reserve_addresses(&mut self, _: u64) -> Result<u64, DeviceError> {
        self.next(DeviceCall::ReserveAddresses, |answers| answers.ranges.pop_front())
    }

    fn free_addresses(&mut self, _: u64, _: u64) -> Result<(), DeviceError> {
        Ok(())
    }

    fn map(&mut self, _: u64, _: u64) -> Result<(), DeviceError> {
        self.next(DeviceCall::Map, |answers| answers.mapped.pop_front())
    }

    fn set_access(&mut self, _: u64, _: u64) -> Result<(), DeviceError> {
        Ok(())
    }

    fn unmap(&mut self, _: u64, _: u64) -> Result<(), DeviceError> {
        Ok(())
    }

    fn record_event(&mut self, _: StreamHandle) -> Result<Event, DeviceError> {
        self.next_event += 1;
        Ok(Event(self.next_event))
    }

    fn query_event(&mut self, _: Event) -> Result<bool, DeviceError> {
        self.next(DeviceCall::QueryEvent, |answers| answers.passed.pop_front())
    }

    fn wait_event(&mut self, _: Event) -> Result<(), DeviceError> {
        Ok(())
    }

    fn wait_stream(&mut self, _: StreamHandle) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// What a harness does to the device that is told of is done to that one alone.
impl ControlledDevice for ToldDevice {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn stream_handle(&self, stream: StreamId) -> StreamHandle {
        self.streams.get(usize::from(stream.0)).copied().unwrap_or(StreamHandle(u64::MAX))
    }

    fn occupy(&mut self, _: StreamId) -> Result<(), DeviceError> {
        Ok(())
    }

    fn finish(&mut self, _: StreamId) -> Result<(), DeviceError> {
        Ok(())
    }

    fn hold_for(&mut self, _: StreamId, _: StreamId) -> Result<(), DeviceError> {
        Ok(())
    }

    fn synchronize(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }

    fn idle_mask(&mut self) -> u64 {
        0
    }

    fn write(&mut self, _: StreamId, _: u64, _: u64, _: u32) -> Result<(), DeviceError> {
        Ok(())
    }

    fn check(&mut self, _: StreamId, _: u64, _: u64, _: u32) -> Result<ContentsReport, DeviceError> {
        Ok(ContentsReport::Intact)
    }

    fn take_illegal_access(&mut self) -> Option<u64> {
        None
    }

    fn fault(&mut self, _: DeviceCall, _: u32, _: Option<FaultError>) {}

    fn set_neighbour(&mut self, _: u64) -> bool {
        true
    }

    fn look_at_free_bytes(&mut self) -> Result<u64, DeviceError> {
        Ok(0)
    }

    fn faults_fired(&self) -> u32 {
        0
    }

    fn poisoned(&self) -> Option<i32> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimDevice;

    #[test]
    fn answers_come_again_in_order_and_what_was_never_answered_is_named() {
        let log = DeviceLog::default();
        let mut told = ToldDevice::beside(&SimDevice::new(0, 64 << 20, 2), 2, log.clone());
        log.reserved(&Ok(64));
        log.reserved(&Err(DeviceError::OutOfMemory));
        log.passed(&Ok(false));
        assert_eq!((told.reserve(9), told.reserve(9)), (Ok(64), Err(DeviceError::OutOfMemory)));
        assert_eq!((told.query_event(Event(1)), log.settle()), (Ok(false), None));
        log.released(&Err(DeviceError::Failed { call: DeviceCall::Release, code: 900 }));
        assert!(told.release(64).is_err() && told.release(64).is_ok());
        assert!(told.free_bytes().is_err());
        assert_eq!((log.settle(), log.settle()), (Some(DeviceCall::MemoryInfo), None));
        [7, 9].into_iter().for_each(|free| log.free_bytes(&Ok(free)));
        assert_eq!((told.free_bytes(), log.settle()), (Ok(9), None), "the last of two");
        log.free_bytes(&Ok(7));
        assert_eq!(log.settle(), None, "nobody has to ask");
        log.reserved(&Ok(64));
        assert_eq!(log.settle(), Some(DeviceCall::Reserve), "nobody asked for it beside the device");
    }
}
