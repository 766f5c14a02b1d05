//! Which abstract states a sequence has been in, read off operations, replies and figures alone.
//!
//! Decides what each value of each dimension means in what is seen of a step. Conditions are as the step found them. Does
//! not decide which values there are, nor which exclude each other (`op`).

use rustc_hash::FxHashSet;

use super::milestones::is_allowed;
use super::pair::Pair;
use super::{Claim, Effect, Live, Model, Owner};
use crate::op::{
    Counter, Family, Observation, Op, PoolName, PoolSource, RefusalClass, Reply, State, TargetInfo, Value,
};

/// The largest request that counts as small.
const SMALL: u64 = 1 << 20;

/// States that are remembered by a glance: most steps are in one of them.
const RECENT: usize = 64;

/// What is seen of a step.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub op: &'a Op,
    pub reply: &'a Reply,
    pub effect: &'a Effect,
    pub before: &'a Observation,
    pub after: &'a Observation,
    /// After the step.
    pub model: &'a Model,
    /// The place of what a request was given shows that it is a part of a larger block.
    pub cut: bool,
}

/// What failed last, with no request served since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Refused(usize),
    Call,
    Misuse,
}

/// The states of one sequence so far.
#[derive(Debug, Clone)]
pub(super) struct States {
    /// What is in force from the start.
    settings: State,
    devices: State,
    /// Blocks in use and blocks that wait are both counted.
    counts_active: bool,
    capture: Value,
    failure: Option<Failure>,
    /// By device, streams that were busy when a block on which they were recorded was freed.
    waiting: Vec<u64>,
    recent: [State; RECENT],
    known: FxHashSet<State>,
    kept: Vec<State>,
}

impl Default for States {
    fn default() -> Self {
        States {
            settings: State::EMPTY,
            devices: State::EMPTY,
            counts_active: false,
            capture: Value::NoCapture,
            failure: None,
            waiting: Vec::new(),
            recent: [State::EMPTY; RECENT],
            known: FxHashSet::default(),
            kept: Vec::new(),
        }
    }
}

impl States {
    pub fn new(info: &TargetInfo) -> Self {
        let counted = |family| info.shows(family);
        let devices = match info.devices.len() {
            0 | 1 => Value::OneDevice,
            2 => Value::TwoDevices,
            _ => Value::MoreDevices,
        };
        States {
            settings: settings(info.config.as_deref().unwrap_or_default()),
            devices: State::of(devices),
            counts_active: counted(Family::Allocation) && counted(Family::Active),
            waiting: vec![0; info.devices.len()],
            ..States::default()
        }
    }

    /// Each state once, in the order in which they came up.
    pub fn into_kept(self) -> Vec<State> {
        self.kept
    }

    /// Takes note of an executed step.
    pub fn note(&mut self, step: &Step<'_>) {
        let device = device_of(step);
        let fired = Pair::all(step.before, step.after).any(|p| p.fired());
        if let Some(value) = self.came_to(step, device, fired) {
            self.keep(self.conditions(step, device).with(value));
        }
        self.follow(step, device, fired);
    }

    fn keep(&mut self, state: State) {
        #[expect(clippy::cast_possible_truncation, reason = "the highest bits, fewer than a usize has")]
        let place = (state.fold() >> (u64::BITS - RECENT.ilog2())) as usize;
        if self.recent[place] == state {
            return;
        }
        self.recent[place] = state;
        if self.known.insert(state) {
            self.kept.push(state);
        }
    }

    /// What the step found.
    fn conditions(&self, step: &Step<'_>, device: Option<usize>) -> State {
        let mut state = self.devices.with(self.capture).with(scale(step.model)).with(self.pending(step, device));
        let view = |d: usize| step.before.devices.get(d);
        let limited = match device {
            Some(d) => view(d).is_some_and(|v| v.fraction < 1.0),
            None => step.before.devices.iter().any(|v| v.fraction < 1.0),
        };
        let settings = if limited { self.settings.with(Value::Fraction) } else { self.settings };
        state = state.and(if settings.is_empty() { State::of(Value::Default) } else { settings });
        if let Some(d) = device {
            let named = if d == step.model.current_position() { Value::Own } else { Value::Another };
            let which = [Value::DeviceFirst, Value::DeviceSecond].get(d).copied().unwrap_or(Value::DeviceLater);
            state = state.with(named).with(which);
        }
        if let Some(pool) = pool_of(step, device) {
            state = state.with(pool);
        }
        let mut live = step.model.devices().iter().enumerate().filter(|(_, d)| d.live > 0);
        let others = match device {
            Some(d) => live.any(|(other, _)| other != d),
            None => live.nth(1).is_some(),
        };
        state = state.with(if others { Value::LiveToo } else { Value::Quiet });
        match (self.failure, device) {
            (None, _) => state.with(Value::NoFailure),
            (Some(Failure::Call), _) => state.with(Value::CallFailedBefore),
            (Some(Failure::Misuse), _) => state.with(Value::MisuseBefore),
            (Some(Failure::Refused(there)), Some(here)) if here != there => state.with(Value::RefusedElsewhere),
            (Some(Failure::Refused(_)), _) => state.with(Value::RefusedHere),
        }
    }

    /// How many streams freed blocks wait for, on the device or on any.
    fn pending(&self, step: &Step<'_>, device: Option<usize>) -> Value {
        let streams = |d: usize| {
            let Some(view) = step.before.devices.get(d) else { return 0 };
            let busy = (self.waiting[d] & !view.idle).count_ones();
            let waits = view.stats.all(Family::Active).current > view.stats.all(Family::Allocation).current;
            match (self.counts_active, waits) {
                (true, true) => busy.max(1),
                (true, false) => 0,
                (false, _) => busy,
            }
        };
        let most = match device {
            Some(d) if d < self.waiting.len() => streams(d),
            _ => (0..self.waiting.len()).map(streams).max().unwrap_or(0),
        };
        [Value::NothingWaits, Value::OneStream].get(most as usize).copied().unwrap_or(Value::Streams)
    }

    /// What the step came to; `None` for one that is about nothing that is counted.
    fn came_to(&self, step: &Step<'_>, device: Option<usize>, fired: bool) -> Option<Value> {
        let pair = device.and_then(|d| Pair::of(step.before, step.after, d));
        if let Some(refusal) = step.reply.refusal() {
            return match (refusal.class, step.op) {
                (_, _) if fired => Some(Value::CallFailed),
                (RefusalClass::DeviceError, _) => Some(Value::CallFailed),
                (RefusalClass::InvalidArgument | RefusalClass::InvalidPointer, _) => Some(Value::Misuse),
                (RefusalClass::OutOfMemory, Op::Alloc { bytes, .. }) => {
                    let device = device?;
                    Some(if *bytes > step.model.total_bytes(device).max(SMALL) {
                        Value::RefusedTooLarge
                    } else if is_allowed(pair?, device, *bytes, step.model) {
                        Value::RefusedByDevice
                    } else {
                        Value::RefusedAtLimit
                    })
                }
                _ => None,
            };
        }
        if fired {
            return Some(Value::CallSurvived);
        }
        match step.effect {
            Effect::Allocated(..) => Some(served(pair?, step)),
            Effect::AllocatedNothing(_) => Some(Value::Zero),
            Effect::Freed(_, live) if live.bytes > 0 => Some(self.freed(pair?, live)),
            _ => of_call(step),
        }
    }

    fn freed(&self, pair: Pair<'_>, live: &Live) -> Value {
        let waits = if self.counts_active { pair.waits() } else { live.recorded & !pair.before.idle != 0 };
        if waits {
            Value::Deferred
        } else if pair.merged() {
            Value::Merged
        } else {
            Value::Freed
        }
    }

    /// Takes note of what later steps find.
    fn follow(&mut self, step: &Step<'_>, device: Option<usize>, fired: bool) {
        if let Reply::Terms(_) = step.reply {
            self.settings = State::of(Value::Changed);
        }
        if let Effect::Freed(_, live) = step.effect
            && let (Some(waiting), Some(view)) =
                (self.waiting.get_mut(live.device), step.before.devices.get(live.device))
        {
            *waiting = (*waiting | live.recorded) & !view.idle;
        }
        if matches!(step.op, Op::CaptureBegin { .. } | Op::CaptureEnd { .. } | Op::GraphReset { .. }) {
            let pools = step.model.pools();
            self.capture = match (pools.is_capturing(), pools.keeps_graph()) {
                (true, _) => Value::Capturing,
                (false, true) => Value::GraphKept,
                (false, false) => Value::NoCapture,
            };
        }
        self.failure = match step.reply.refusal().map(|r| r.class) {
            None if matches!(step.effect, Effect::Allocated(..)) => None,
            None => self.failure,
            Some(_) if fired => Some(Failure::Call),
            Some(RefusalClass::DeviceError) => Some(Failure::Call),
            Some(RefusalClass::OutOfMemory) => device.map(Failure::Refused),
            Some(RefusalClass::InvalidArgument | RefusalClass::InvalidPointer) => Some(Failure::Misuse),
            Some(RefusalClass::Unsupported) => self.failure,
        };
    }
}

/// The device that the step is about, if it is about one.
fn device_of(step: &Step<'_>) -> Option<usize> {
    match (step.effect, step.op) {
        (Effect::Allocated(_, live) | Effect::Freed(_, live), _) => Some(live.device),
        (Effect::Refused { device }, _) => Some(*device),
        (_, Op::PoolDelete { pool }) => step.model.pools().home_of(*pool),
        (_, op) => step.model.device_of(op),
    }
}

/// Where the block of the step lies, or the request would have been served from.
fn pool_of(step: &Step<'_>, device: Option<usize>) -> Option<Value> {
    let threshold = |d: usize| step.after.devices.get(d).map_or(0, |v| v.stats.counter(Counter::MaxSplitSize));
    let by_size = |d: usize, bytes: u64| {
        let oversize = u64::try_from(threshold(d)).is_ok_and(|t| t > 0 && bytes >= t);
        if oversize {
            Value::Oversize
        } else if bytes <= SMALL {
            Value::Small
        } else {
            Value::Large
        }
    };
    let of_block = |live: &Live| match live.owner {
        Owner::Private(pool) => private(pool, false),
        Owner::Default | Owner::Unknown => by_size(live.device, live.bytes),
    };
    match (step.effect, step.op) {
        (Effect::Freed(_, live), _) if live.bytes > 0 => Some(of_block(live)),
        (Effect::AllocatedNothing(_), _) => None,
        (_, Op::Alloc { bytes, stream, .. }) => {
            let is_misuse = step.reply.refusal().is_some_and(|r| r.class == RefusalClass::InvalidArgument);
            let device = device.filter(|_| !is_misuse)?;
            let route = step.model.pools().route(device, step.model.caller(), *stream);
            Some(route.map_or_else(|| by_size(device, *bytes), |r| private(r.pool, r.captured)))
        }
        (_, Op::RecordStream { block, .. }) if !matches!(step.reply, Reply::Refused(_)) => {
            step.model.block(*block).map(of_block)
        }
        _ => None,
    }
}

fn private(pool: PoolSource, captured: bool) -> Value {
    match pool {
        PoolSource::Graph(_) => Value::GraphOwn,
        PoolSource::Pool(_) if captured => Value::GraphShared,
        PoolSource::Pool(PoolName(0)) => Value::PrivateFirst,
        PoolSource::Pool(PoolName(1)) => Value::PrivateSecond,
        PoolSource::Pool(_) => Value::PrivateLater,
    }
}

/// How a request of at least one byte was served.
fn served(pair: Pair<'_>, step: &Step<'_>) -> Value {
    if step.model.claimed_range().is_some_and(|i| matches!(i.claim, Claim::Helper(_))) {
        Value::Helped
    } else if pair.retried() {
        Value::Retried
    } else if pair.exchanged() {
        Value::Flushed
    } else if pair.grew() {
        Value::Grown
    } else if step.cut || pair.split() {
        Value::Split
    } else {
        Value::FromCache
    }
}

/// A call that was answered, and is about no request and no free.
fn of_call(step: &Step<'_>) -> Option<Value> {
    let pools = step.model.pools();
    let died = |pool: Option<PoolSource>| {
        let alive = pool.is_none_or(|pool| pools.is_alive(pool));
        if alive { Value::PoolCall } else { Value::PoolDied }
    };
    Some(match step.op {
        Op::RecordStream { .. } => Value::Recorded,
        Op::EmptyCache if Pair::all(step.before, step.after).any(|p| p.shrank()) => Value::Emptied,
        Op::EmptyCache => Value::EmptiedInVain,
        Op::Finish { .. } | Op::Synchronize { .. } => Value::Waited,
        Op::SetFraction { .. } => Value::Limited,
        Op::ResetPeak { .. } | Op::ResetAccumulated { .. } => Value::Reset,
        Op::GetFraction { .. } | Op::Dictionary { .. } | Op::Summary { .. } | Op::Snapshot | Op::MemoryInfo { .. } => {
            Value::Read
        }
        Op::PoolCreate { .. } | Op::PoolEnter { .. } | Op::PoolExit { .. } => Value::PoolCall,
        Op::PoolDelete { pool } => died(Some(PoolSource::Pool(*pool))),
        Op::GraphReset { graph } => died(pools.pool_of(*graph)),
        Op::CaptureBegin { .. } => Value::CaptureBegun,
        Op::CaptureEnd { .. } => Value::CaptureEnded,
        _ => return None,
    })
}

fn scale(model: &Model) -> Value {
    match model.held.len() {
        0..100 => Value::Tens,
        100..1_000 => Value::Hundreds,
        1_000..10_000 => Value::Thousands,
        _ => Value::Myriads,
    }
}

/// The settings that a text as PyTorch writes them puts in force; a limit shows in the fraction of each device.
fn settings(text: &str) -> State {
    const NAMES: [(&str, Value); 6] = [
        ("expandable_segments", Value::Expandable),
        ("max_split_size_mb", Value::MaxSplit),
        ("garbage_collection_threshold", Value::Collection),
        ("roundup_power2_divisions", Value::Roundup),
        ("large_segment_size_mb", Value::SegmentSize),
        ("max_non_split_rounding_mb", Value::NonSplitRounding),
    ];
    let value = |name: &str| text.rsplit_once(name).and_then(|(_, rest)| rest.trim_start().strip_prefix(':'));
    let is_on = |name: &str| value(name).is_some_and(|rest| !rest.trim_start().to_lowercase().starts_with("false"));
    NAMES.iter().filter(|(name, _)| is_on(name)).fold(State::EMPTY, |state, (_, value)| state.with(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_are_written() {
        let read = |text: &str| settings(text).values().map(Value::name).collect::<Vec<_>>();
        assert_eq!(read("expandable_segments:True, roundup_power2_divisions:[1:8,>:2]"), ["expandable", "roundup"]);
        assert_eq!(read("expandable_segments:False,max_non_split_rounding_mb:64"), ["non_split_rounding"]);
        assert_eq!(read("expandable_segments:True,expandable_segments:False"), [""; 0], "the last one counts");
        assert_eq!(read("per_process_memory_fraction:0.5"), [""; 0], "it shows in the devices' fractions");
        assert_eq!(read(""), [""; 0]);
    }
}
