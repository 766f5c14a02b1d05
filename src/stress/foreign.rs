//! Threads on somebody else's allocator: a library in this process, which may not survive it.
//!
//! Decides what the threads ask of it and when a byte had two holders. What a call's span may claim is `history`'s; that the
//! process is one that can be lost is its caller's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::worker::{Call, Event, HeldBlock, Record, Span, What, script};
use super::{Check, StressFinding, StressOptions, StressReport, history};
use crate::engine::{Clock, EngineError, Stop};
use crate::target::SharedLibrary;

/// What threads share.
struct World<'a> {
    library: &'a SharedLibrary,
    /// Blocks that one thread leaves for another to free.
    left: Mutex<Vec<HeldBlock>>,
    clock: AtomicU64,
}

impl World<'_> {
    /// As that of the reference's threads: a moment that nobody else gets.
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::AcqRel)
    }

    fn left<T>(&self, with: impl FnOnce(&mut Vec<HeldBlock>) -> T) -> T {
        with(&mut self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, block: HeldBlock) -> Event {
        let from = self.now();
        self.library.free(block.address, block.bytes, block.device, block.stream);
        Event { span: Span { from, to: self.now() }, what: What::GaveBack(block) }
    }

    fn alloc(&self, device: usize, stream: u8, bytes: u64) -> Event {
        let from = self.now();
        let address = self.library.alloc(bytes, device, stream);
        let span = Span { from, to: self.now() };
        let got = HeldBlock { got: span.to, device, stream, address, bytes };
        Event { span, what: if address == 0 { What::Refused } else { What::Got(got) } }
    }

    /// Makes one call, unless it is about a block that is not there, or about something that no library has.
    fn make(&self, call: Call, record: &mut Record) -> bool {
        let nth = |held: &Vec<HeldBlock>, n: usize| n.checked_rem(held.len());
        match call {
            Call::Alloc { device, stream, bytes } => {
                let event = self.alloc(device, stream, bytes);
                record.held.extend(match event.what {
                    What::Got(block) => Some(block),
                    _ => None,
                });
                record.events.push(event);
            }
            Call::Free(n) => {
                let Some(i) = nth(&record.held, n) else { return false };
                let block = record.held.swap_remove(i);
                record.events.push(self.give_back(block));
            }
            Call::Leave(n) => {
                if let Some(i) = nth(&record.held, n) {
                    let block = record.held.swap_remove(i);
                    self.left(|left| left.push(block));
                }
                return false;
            }
            Call::FreeLeft => {
                let Some(block) = self.left(Vec::pop) else { return false };
                record.events.push(self.give_back(block));
            }
            Call::Record(n, stream) => {
                let Some(i) = nth(&record.held, n) else { return false };
                let block = record.held[i];
                return self.library.record_stream(block.address, block.device, stream);
            }
            Call::EmptyCache => return self.library.empty_cache(),
            Call::Read(_) | Call::ResetPeak(_) | Call::Occupy(..) | Call::Finish(..) => return false,
        }
        true
    }
}

/// One round: the calls of every thread, and what they show. All that is held at its end is given back.
pub(super) fn round(
    library: &SharedLibrary,
    options: &StressOptions,
    seed: u64,
    stop: &Stop,
    report: &mut StressReport,
) -> Result<Vec<StressFinding>, EngineError> {
    let world = World { library, left: Mutex::default(), clock: AtomicU64::new(0) };
    let scripts: Vec<_> =
        (0..options.threads).map(|t| script(seed, t, options.calls, options.devices, options.streams)).collect();
    let clock = Clock::start();
    let records: Vec<Record> = std::thread::scope(|scope| {
        let world = &world;
        let mut threads = Vec::new();
        for calls in &scripts {
            threads.push(std::thread::Builder::new().spawn_scoped(scope, move || {
                let mut record = Record::default();
                for &call in calls.iter().take_while(|_| !stop.is_asked()) {
                    record.asked += u64::from(world.make(call, &mut record));
                }
                record
            }));
        }
        threads.into_iter().map(|t| Ok(t?.join().unwrap_or_default())).collect::<Result<_, std::io::Error>>()
    })
    .map_err(|source| EngineError::Threads { threads: options.threads, source })?;
    report.seconds += clock.seconds();
    report.calls += records.iter().map(|record| record.asked).sum::<u64>();
    for event in records.iter().flat_map(|record| &record.events) {
        report.refused += u64::from(matches!(event.what, What::Refused));
        report.blocks += u64::from(matches!(event.what, What::Got(_)));
    }
    let found = history::judge(&records, options.devices, options.device_bytes);
    let left = world.left(std::mem::take);
    for block in records.into_iter().flat_map(|record| record.held).chain(left) {
        world.give_back(block);
    }
    Ok(found.into_iter().filter(|finding| finding.check == Check::Overlap).collect())
}
