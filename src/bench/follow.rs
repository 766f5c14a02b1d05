//! How soon and how exactly telemetry follows memory that changes at a given rate.
//!
//! Decides the course of calls and what counts as following. The device, the figure and the clock are given, so
//! that the same course runs on a simulated device, against a library that lies, and on a real card.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use super::Draw;
use crate::cuda::telemetry::{NvmlMatch, Telemetry, TelemetryError, places};
use crate::cuda::{Ballast, CudaDevice, CudaError, CudaOptions, GpuInfo};
use crate::device::sim::SimDevice;
use crate::device::{Device, DeviceError};
use crate::engine::Clock;
use crate::op::{Baseline, NvmlMemory, NvmlView};

/// Changes of memory a second.
pub const RATES: [u32; 4] = [1, 10, 100, 1000];

/// A change is 8 to 32 granules, so that it stands out of the tolerance.
const GRANULES: std::ops::RangeInclusive<u64> = 8..=32;

/// Blocks that are taken one after the other before they are given back, the oldest first: the levels of a climb and
/// a descent differ, so that a late figure is not taken for one that follows.
const CLIMB: usize = 16;

/// More than the climb takes.
const ROOM: u64 = 4 << 30;

/// Readings whose cost is kept, the first of them: a figure that costs nothing is read millions of times.
const KEPT: usize = 100_000;

/// Readings that the baseline is made of.
const BASELINE: usize = 50;

/// Why telemetry could not be followed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum FollowError {
    #[error("the device refused: {0}")]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Cuda(#[from] CudaError),
    #[error("cuda:{ordinal} is no device of NVML that is ours alone ({place:?})")]
    NotInNvml { ordinal: u32, place: NvmlMatch },
    #[error("used memory moves by {noise_bytes} B while nothing is asked: is somebody else on the device?")]
    Restless { noise_bytes: u64 },
}

/// Used bytes as telemetry states them now; it is given the device for those that have no other source.
pub type Gauge<'a> = &'a mut dyn FnMut(&mut dyn Device) -> Result<u64, FollowError>;

/// Time since some moment; never goes back.
pub type Now<'a> = &'a mut dyn FnMut() -> Duration;

/// What one rate came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Followed {
    /// Changes a second that were asked for.
    pub rate: u32,
    /// Changes a second that came about.
    pub reached: f64,
    /// Changes of memory that were made.
    pub changes: u32,
    /// Changes that were shown before the next one was made.
    pub shown: u32,
    /// Readings in all.
    pub samples: u64,
    /// From the return of the device call to the end of the first reading that shows it, over those shown.
    pub delay_median: Option<Duration>,
    /// The delay that 99 of 100 do not exceed.
    pub delay_p99: Option<Duration>,
    /// The most that the last reading before a change was off, in bytes.
    pub worst_error_bytes: u64,
    /// What a reading costs: no delay can be told more finely.
    pub reading_median: Duration,
}

/// The tolerance of the figure and where it stands before the course.
struct Ground {
    used_bytes: u64,
    tolerance_bytes: u64,
}

/// Makes `changes` changes at `rate`, taking memory block by block and giving it back, and reads in between. A change
/// to where the figure stood already shows nothing and is not counted as shown.
/// Everything taken is given back, also where something fails.
///
/// # Errors
/// What the device or the telemetry answers, or `Restless`.
pub fn follow(
    device: &mut dyn Device,
    gauge: Gauge<'_>,
    now: Now<'_>,
    rate: u32,
    changes: u32,
) -> Result<Followed, FollowError> {
    let ground = ground(device, gauge)?;
    let mut course = JudgedSequence {
        ground,
        held: VecDeque::new(),
        descends: false,
        errors: 0,
        delays: Vec::new(),
        samples: 0,
        readings: Vec::new(),
    };
    let result = course.run(device, gauge, now, rate, changes);
    let given: Vec<_> = course.held.drain(..).map(|(address, _)| device.release(address)).collect();
    let seconds = result?.as_secs_f64(); // the first failure is the one to tell
    given.into_iter().collect::<Result<(), _>>()?;
    let of = |all: &mut Vec<Duration>, share: f64| {
        all.sort_unstable();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index of thousands"
        )]
        let index = ((all.len() as f64 * share).ceil() as usize).saturating_sub(1);
        all.get(index).copied()
    };
    Ok(Followed {
        rate,
        reached: f64::from(changes) / seconds.max(f64::MIN_POSITIVE),
        changes,
        shown: u32::try_from(course.delays.len()).unwrap_or(u32::MAX),
        samples: course.samples,
        delay_median: of(&mut course.delays, 0.5),
        delay_p99: of(&mut course.delays, 0.99),
        worst_error_bytes: course.errors,
        reading_median: of(&mut course.readings, 0.5).unwrap_or_default(),
    })
}

/// As `follow`, by the wall clock, with as many changes as the rate gets.
///
/// # Errors
/// As `follow`.
pub fn follow_now(device: &mut dyn Device, gauge: Gauge<'_>, rate: u32) -> Result<Followed, FollowError> {
    let clock = Clock::start();
    follow(device, gauge, &mut || Duration::from_secs_f64(clock.seconds()), rate, changes(rate))
}

/// The simulated device by its own figures: what the course and the clock themselves add.
///
/// # Errors
/// As `follow`.
pub fn follow_simulated(rate: u32) -> Result<Followed, FollowError> {
    let mut device = SimDevice::new(0, ROOM, 1);
    follow_now(&mut device, &mut own_figure, rate)
}

/// A GPU by NVML's figure. Memory is the driver's own (`cuMemAlloc`), written once before the call returns.
///
/// # Errors
/// As `follow`; no such GPU, no NVML, or a GPU that NVML does not show as a whole.
pub fn follow_card(gpu: &GpuInfo, library: Option<&Path>, rate: u32) -> Result<Followed, FollowError> {
    let ordinal = gpu.ordinal;
    let telemetry = Telemetry::open(library)?;
    let mut shown = Vec::new();
    for index in 0..telemetry.device_count()? {
        shown.push((index, telemetry.device(index)?.uuid.unwrap_or_default()));
    }
    let shown: Vec<(u32, &str)> = shown.iter().map(|(index, uuid)| (*index, uuid.as_str())).collect();
    let uuid: Vec<_> = gpu.uuid.parse().into_iter().collect();
    let place = places(&uuid, &shown).first().copied().unwrap_or(NvmlMatch::Unknown);
    let NvmlMatch::Device(index) = place else { return Err(FollowError::NotInNvml { ordinal, place }) };
    let options = CudaOptions { ordinal, total_bytes: ROOM, streams: 1, ballast: Ballast::Budget, ordered: false };
    let mut device = CudaDevice::open(options)?;
    follow_now(&mut device, &mut |_| Ok(telemetry.memory(index)?.used_bytes), rate)
}

fn own_figure(device: &mut dyn Device) -> Result<u64, FollowError> {
    Ok(device.total_bytes().saturating_sub(device.free_bytes()?))
}

/// How many changes a rate gets: two seconds' worth, so that a median means something and a bench ends.
#[must_use]
pub fn changes(rate: u32) -> u32 {
    rate.saturating_mul(2).clamp(10, 2000)
}

fn ground(device: &mut dyn Device, gauge: Gauge<'_>) -> Result<Ground, FollowError> {
    let mut readings = Vec::with_capacity(BASELINE);
    for _ in 0..BASELINE {
        readings.push((gauge(device)?, 0));
    }
    let baseline = Baseline::of(0, &readings).unwrap_or_default();
    let view = NvmlView {
        memory: NvmlMemory::default(),
        driver_free_bytes: 0,
        baseline,
        company: crate::op::Company::Unknown,
    };
    let tolerance_bytes = view.tolerance_bytes();
    if tolerance_bytes.saturating_mul(2) > GRANULES.start() * crate::op::GRANULE {
        return Err(FollowError::Restless { noise_bytes: baseline.noise_bytes });
    }
    Ok(Ground { used_bytes: baseline.used_bytes, tolerance_bytes })
}

struct JudgedSequence {
    ground: Ground,
    /// Address and bytes of what is taken, the oldest first.
    held: VecDeque<(u64, u64)>,
    descends: bool,
    errors: u64,
    delays: Vec<Duration>,
    samples: u64,
    readings: Vec<Duration>,
}

impl JudgedSequence {
    /// Answers how long it took.
    fn run(
        &mut self,
        device: &mut dyn Device,
        gauge: Gauge<'_>,
        now: Now<'_>,
        rate: u32,
        changes: u32,
    ) -> Result<Duration, FollowError> {
        let mut draw = Draw::new(u64::from(rate));
        let period = Duration::from_secs(1) / rate.max(1);
        let start = now();
        let mut next = start;
        let mut last = self.ground.used_bytes;
        for _ in 0..changes {
            self.change(device, &mut draw)?;
            let done = now();
            // A device slower than the rate makes its changes back to back.
            next = (next + period).max(done);
            last = self.read_until(device, gauge, now, Step { last, done, next })?;
        }
        Ok(now().saturating_sub(start))
    }

    fn change(&mut self, device: &mut dyn Device, draw: &mut Draw) -> Result<(), DeviceError> {
        self.descends = if self.descends { !self.held.is_empty() } else { self.held.len() >= CLIMB };
        if let Some((address, _)) = self.held.pop_front_if(|_| self.descends) {
            return device.release(address);
        }
        let granules = GRANULES.start() + draw.below(GRANULES.end() - GRANULES.start() + 1);
        let bytes = granules * crate::op::GRANULE;
        self.held.push_back((device.reserve(bytes)?, bytes));
        Ok(())
    }

    /// Reads at least once, and until `next`; answers the last reading.
    fn read_until(
        &mut self,
        device: &mut dyn Device,
        gauge: Gauge<'_>,
        now: Now<'_>,
        step: Step,
    ) -> Result<u64, FollowError> {
        let held: u64 = self.held.iter().map(|(_, bytes)| bytes).sum();
        let expected = self.ground.used_bytes.saturating_add(held);
        let tolerance = self.ground.tolerance_bytes;
        // Where the figure stood there before the change, nobody can tell when it followed.
        let mut is_open = step.last.abs_diff(expected) > tolerance;
        loop {
            let asked = now();
            let used = gauge(device)?;
            let answered = now();
            self.samples += 1;
            if self.readings.len() < KEPT {
                self.readings.push(answered.saturating_sub(asked));
            }
            let error = used.abs_diff(expected);
            if is_open && error <= tolerance {
                is_open = false;
                self.delays.push(answered.saturating_sub(step.done));
            }
            if answered >= step.next {
                self.errors = self.errors.max(error);
                return Ok(used);
            }
        }
    }
}

/// One change: the last reading before it, when its call returned, and when the next is due.
struct Step {
    last: u64,
    done: Duration,
    next: Duration,
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::op::DeviceCall;

    const TOTAL: u64 = 8 << 30;

    /// Follows a figure that is `lag` behind, at 20 microseconds a reading and 1 a look at the clock.
    fn follow_late(lag: Duration, rate: u32, changes: u32) -> (Result<Followed, FollowError>, SimDevice) {
        let mut device = SimDevice::new(0, TOTAL, 1);
        let time = Cell::new(Duration::ZERO);
        let mut history: VecDeque<(Duration, u64)> = VecDeque::new();
        let mut gauge = |device: &mut dyn Device| {
            time.set(time.get() + Duration::from_micros(20));
            history.push_back((time.get(), own_figure(device)?));
            while history.get(1).is_some_and(|(since, _)| *since + lag <= time.get()) {
                history.pop_front();
            }
            Ok(history.front().map_or(0, |(_, used)| *used))
        };
        let mut now = || {
            time.set(time.get() + Duration::from_micros(1));
            time.get()
        };
        (follow(&mut device, &mut gauge, &mut now, rate, changes), device)
    }

    #[test]
    fn a_figure_that_follows_at_once_is_late_by_its_own_cost() {
        let (followed, mut device) = follow_late(Duration::ZERO, 100, 200);
        let followed = followed.expect("the simulation does not fail");
        assert_eq!((followed.changes, followed.shown, followed.worst_error_bytes), (200, 200, 0));
        assert_eq!(followed.delay_p99, Some(Duration::from_micros(22)));
        assert_eq!(followed.reading_median, Duration::from_micros(21));
        assert!((99.0..101.0).contains(&followed.reached), "{followed:?}");
        assert_eq!(device.free_bytes(), Ok(TOTAL), "all is given back");
    }

    #[test]
    fn a_late_figure_is_told_by_how_much() {
        let (followed, _) = follow_late(Duration::from_millis(5), 10, 20);
        let followed = followed.expect("the simulation does not fail");
        assert_eq!(followed.shown, 20);
        let median = followed.delay_median.expect("all were shown");
        assert!((5000..5100).contains(&median.as_micros()), "{median:?}");
        assert_eq!(followed.worst_error_bytes, 0, "it settles long before the next change");
    }

    #[test]
    fn a_figure_later_than_the_changes_come_is_not_said_to_follow() {
        let (followed, _) = follow_late(Duration::from_millis(50), 1000, 100);
        let followed = followed.expect("the simulation does not fail");
        assert!(followed.shown < 10, "{followed:?}");
        assert!(followed.worst_error_bytes >= 16 << 20, "{followed:?}");
    }

    #[test]
    fn a_restless_device_is_not_measured() {
        let mut device = SimDevice::new(0, TOTAL, 1);
        let mut moving = 0;
        let mut gauge = |_: &mut dyn Device| {
            moving += 1 << 20;
            Ok(moving)
        };
        let mut ticks = Duration::ZERO;
        let mut now = || {
            ticks += Duration::from_micros(1);
            ticks
        };
        let error = follow(&mut device, &mut gauge, &mut now, 10, 10).expect_err("it moves");
        assert!(matches!(error, FollowError::Restless { noise_bytes: 51_380_224 }), "{error:?}");
    }

    #[test]
    fn what_was_taken_is_given_back_when_telemetry_fails() {
        let mut device = SimDevice::new(0, TOTAL, 1);
        let mut left = 60;
        let mut gauge = |device: &mut dyn Device| {
            left -= 1;
            if left == 0 { Err(TelemetryError::GpuLost { device: Some(0) }.into()) } else { own_figure(device) }
        };
        let mut ticks = Duration::ZERO;
        let mut now = || {
            ticks += Duration::from_micros(1);
            ticks
        };
        let error = follow(&mut device, &mut gauge, &mut now, 1, 10).expect_err("it fails");
        assert!(matches!(error, FollowError::Telemetry(TelemetryError::GpuLost { .. })), "{error:?}");
        assert_eq!(device.free_bytes(), Ok(TOTAL));
        device.fault(DeviceCall::Reserve, 1);
        let mut gauge = own_figure;
        let error = follow(&mut device, &mut gauge, &mut now, 1000, 10).expect_err("the second reservation fails");
        assert!(matches!(error, FollowError::Device(DeviceError::OutOfMemory)), "{error:?}");
        assert_eq!(device.free_bytes(), Ok(TOTAL));
    }
}
