//! Threads on one allocator: real ones, which the operating system schedules, and what must hold of them.
//!
//! Decides how many rounds are run and what is checked. A round's calls come from its seed; how they interleave
//! does not, so that nothing of this goes into a run record. Small cases of the same checks run under a scheduler
//! that repeats its orders in `shuttle_test`.

mod apart;
mod foreign;
mod history;
mod jostle;
#[cfg(test)]
mod shuttle_test;
#[cfg(test)]
mod tests;
mod worker;

use std::time::Duration;

use crate::device::Device;
use crate::device::sim::SimDevice;
use crate::op::{Family, Setup};
#[cfg(feature = "planted-defects")]
use crate::reference::Planted;
use crate::reference::shared::{Act, Guarded, Locks, Race, Shared, live_again};
use crate::reference::{Planting, Settings, Sound};
use crate::target::{self, ReferenceOptions, SharedLibrary, TargetName};

use crate::engine::Clock;
use crate::engine::EngineError;
use crate::engine::catch_panic;
use crate::engine::{Stop, Watch};
pub use apart::{Apart, apart};
use jostle::Jostled;
use worker::{Record, What, World, give_back, script, work};

/// The most findings of one round that are reported.
const MOST_FINDINGS: usize = 5;

/// The most calls of one round: what each came to is kept until the threads are done.
pub const MOST_CALLS: usize = 4_000_000;

/// What to run.
#[derive(Debug, Clone)]
pub struct StressOptions {
    /// `reference@sim`, with its options, or a library, which runs in this process.
    pub target: TargetName,
    pub threads: usize,
    /// Calls of each thread in a round.
    pub calls: usize,
    pub devices: usize,
    pub device_bytes: u64,
    pub streams: u8,
    /// That of the first round; the next has the next.
    pub seed: u64,
    /// Rounds are started until this is over; at least one is.
    pub time: Duration,
    /// A mistake to be planted in what the locks cover.
    pub race: Option<Race>,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Two blocks were held at once that share a byte.
    Overlap,
    /// Statistics read at one moment do not agree with each other.
    Torn,
    /// Statistics show what no order of the calls can.
    Bounds,
    /// A block was not taken back from its holder.
    Free,
    /// What is left when all threads are done is not what they hold, or not nothing when all is freed.
    Final,
    /// One thread that does the same in the order of the locks comes to something else.
    Order,
    Panic,
}

impl Check {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Check::Overlap => "overlap",
            Check::Torn => "torn",
            Check::Bounds => "bounds",
            Check::Free => "free",
            Check::Final => "final",
            Check::Order => "order",
            Check::Panic => "panic",
        }
    }
}

/// A broken promise among threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StressFinding {
    pub check: Check,
    pub text: String,
}

/// What threads came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StressReport {
    pub rounds: u64,
    /// What was asked of the allocator and its devices; calls of a script on a block that was not there are none.
    pub calls: u64,
    /// Blocks that were handed out.
    pub blocks: u64,
    /// Time in which the threads ran, checks left out.
    pub seconds: f64,
    pub reads: u64,
    pub refused: u64,
    /// Acts that one thread did again in the order of the locks.
    pub ordered: u64,
    /// It was asked to end before its time was over.
    pub interrupted: bool,
    /// The seed of the round that failed, and what it showed.
    pub failed: Option<(u64, Vec<StressFinding>)>,
}

/// Runs rounds until the time is over or one fails.
///
/// # Errors
/// A target that cannot be called from several threads, or an option of it that does not exist; a round too large to
/// be kept; threads that the system does not start.
#[cfg(test)]
pub fn stress(options: &StressOptions) -> Result<StressReport, EngineError> {
    watched(options, &Stop::default(), &crate::engine::Silent)
}

/// The same, ended early where that is asked for: what the threads did of the round under way is checked still.
///
/// # Errors
/// As `stress`.
pub fn watched(options: &StressOptions, stop: &Stop, watch: &dyn Watch) -> Result<StressReport, EngineError> {
    if options.target.library().is_some() {
        let device_bytes = vec![options.device_bytes; options.devices];
        let setup = Setup { device_bytes, streams: options.streams, config: None };
        let library = SharedLibrary::open(&options.target, &setup)?;
        return rounds(options, stop, watch, |seed, report| foreign::round(&library, options, seed, stop, report));
    }
    let not_threaded = || EngineError::NotThreaded { target: options.target.to_string() };
    let ReferenceOptions { settings, defect, variations } =
        target::reference_options(&options.target)?.ok_or_else(not_threaded)?;
    rounds(options, stop, watch, |seed, report| match (defect, variations) {
        #[cfg(feature = "planted-defects")]
        (Some(defect), _) => round(options, &settings, Planted::Defect(defect), seed, stop, report),
        #[cfg(feature = "planted-defects")]
        (None, Some(variations)) => round(options, &settings, Planted::Variations(variations), seed, stop, report),
        _ => round(options, &settings, Sound, seed, stop, report),
    })
}

/// Rounds, each with a seed of its own, until the time is over or one fails.
fn rounds(
    options: &StressOptions,
    stop: &Stop,
    watch: &dyn Watch,
    mut round: impl FnMut(u64, &mut StressReport) -> Result<Vec<StressFinding>, EngineError>,
) -> Result<StressReport, EngineError> {
    let StressOptions { threads, calls, .. } = *options;
    if threads.saturating_mul(calls) > MOST_CALLS {
        return Err(EngineError::RoundTooLarge { threads, calls, most: MOST_CALLS });
    }
    let clock = Clock::start();
    let mut report = StressReport::default();
    loop {
        let seed = options.seed.wrapping_add(report.rounds);
        let before = report.calls;
        let found = round(seed, &mut report)?;
        report.rounds += 1;
        watch.ran(report.calls - before);
        if !found.is_empty() {
            report.failed = Some((seed, found));
            return Ok(report);
        }
        report.interrupted = stop.is_asked();
        if report.interrupted || clock.is_past(Some(options.time)) {
            return Ok(report);
        }
    }
}

fn round<P: Planting + Send + Sync>(
    options: &StressOptions,
    settings: &Settings,
    planted: P,
    seed: u64,
    stop: &Stop,
    report: &mut StressReport,
) -> Result<Vec<StressFinding>, EngineError> {
    let world: World<P, Jostled> = world(options, settings, planted);
    let scripts: Vec<_> =
        (0..options.threads).map(|t| script(seed, t, options.calls, options.devices, options.streams)).collect();
    let clock = Clock::start();
    let records: Vec<Result<Record, String>> = std::thread::scope(|scope| {
        let world = &world;
        let mut threads = Vec::new();
        for calls in &scripts {
            threads.push(
                std::thread::Builder::new().spawn_scoped(scope, move || catch_panic(|| work(world, calls, stop))),
            );
        }
        let ended = threads.into_iter().map(|t| Ok(t?.join().unwrap_or_else(|_| Err("a thread died".to_owned()))));
        ended.collect::<Result<_, std::io::Error>>()
    })
    .map_err(|source| EngineError::Threads { threads: options.threads, source })?;
    report.seconds += clock.seconds();
    report.calls += records.iter().flatten().map(|r| r.asked).sum::<u64>();
    for event in records.iter().flatten().flat_map(|r| &r.events) {
        report.reads += u64::from(matches!(event.what, What::Read(..)));
        report.refused += u64::from(matches!(event.what, What::Refused));
        report.blocks += u64::from(matches!(event.what, What::Got(_)));
    }
    let (records, panics): (Vec<_>, Vec<_>) = records.into_iter().partition(Result::is_ok);
    if let Some(text) = panics.into_iter().find_map(Result::err) {
        return Ok(vec![StressFinding { check: Check::Panic, text }]);
    }
    let records: Vec<Record> = records.into_iter().flatten().collect();
    Ok(match catch_panic(|| conclude(&world, &records, options, settings, planted)) {
        Ok((found, ordered)) => {
            report.ordered += ordered;
            found
        }
        Err(text) => vec![StressFinding { check: Check::Panic, text }],
    })
}

/// Fresh devices behind fresh locks.
fn world<P: Planting + Send, L: Locks>(options: &StressOptions, settings: &Settings, planted: P) -> World<P, L> {
    let devices = SimDevice::process(&vec![options.device_bytes; options.devices], options.streams);
    World::new(Shared::new(devices, settings, planted, options.race, true))
}

fn device(index: usize, options: &StressOptions) -> SimDevice {
    SimDevice::new(u32::try_from(index).unwrap_or(u32::MAX), options.device_bytes, options.streams)
}

/// Everything that is checked once the threads are done, and how many acts were done again.
fn conclude<P: Planting + Send, L: Locks>(
    world: &World<P, L>,
    records: &[Record],
    options: &StressOptions,
    settings: &Settings,
    planted: P,
) -> (Vec<StressFinding>, u64) {
    let mut found = history::judge(records, options.devices, options.device_bytes);
    let mut held: Vec<_> = records.iter().flat_map(|r| r.held.iter().copied()).collect();
    held.append(&mut world.left.with(std::mem::take));
    for device in 0..options.devices {
        let own = held.iter().filter(|b| b.device == device);
        let (count, bytes) = own.fold((0, 0), |(n, sum), b| (n + 1, sum + b.bytes.cast_signed()));
        let stats = world.shared.stats(device);
        let shown = (stats.all(Family::Allocation).current, stats.all(Family::RequestedBytes).current);
        // blocks that were freed and wait for a stream are requested still
        if shown.0 != count || shown.1 < bytes {
            let text = format!(
                "threads hold {count} blocks of {bytes} B on device {device}, which shows {} blocks and {} B",
                shown.0, shown.1
            );
            found.push(StressFinding { check: Check::Final, text });
        }
    }
    for block in held {
        if let What::NotTaken(block, why) = give_back(world, block).what {
            let text = format!("{} B at {:#x} were not taken back at the end: {why}", block.bytes, block.address);
            found.push(StressFinding { check: Check::Free, text });
        }
    }
    let mut ordered = 0;
    for device in 0..options.devices {
        world.shared.act(device, Act::Device { what: |d, _| d.synchronize(), with: 0 });
    }
    if let Err(error) = world.shared.empty_cache() {
        found.push(StressFinding { check: Check::Final, text: format!("empty_cache at the end: {error}") });
    }
    for device in 0..options.devices {
        found.extend(left_over(world, device, options.device_bytes));
        let (order, stats) = world.shared.order(device);
        ordered += order.len() as u64;
        if let Err(departure) = live_again(device, self::device(device, options), settings, planted, &order, &stats) {
            let place = departure.at.map_or("at the end".to_owned(), |at| format!("at act {at} of {}", order.len()));
            let text = format!(
                "{place} on device {device}, {}: {} among threads, {} alone",
                departure.act, departure.shared, departure.alone
            );
            found.push(StressFinding { check: Check::Order, text });
        }
    }
    found.truncate(MOST_FINDINGS);
    (found, ordered)
}

/// With everything freed, waited for and emptied, nothing is left.
fn left_over<P: Planting + Send, L: Locks>(world: &World<P, L>, device: usize, total: u64) -> Option<StressFinding> {
    let stats = world.shared.stats(device);
    let kept = Family::ALL.iter().find(|&&family| stats.all(family).current != 0);
    let free = world.shared.device(device, |d| d.free_bytes().unwrap_or(0));
    let text = match kept {
        Some(&family) => format!("{} of device {device} is {} at the end", family.name(), stats.all(family).current),
        None if free != total => format!("device {device} has {free} B free of {total} B at the end"),
        None => return None,
    };
    Some(StressFinding { check: Check::Final, text })
}
