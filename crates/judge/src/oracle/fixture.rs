//! A bench for the judges' own tests: one oracle, a model, and an allocator without a cache that is always
//! lawful, so that a test only has to say what is doctored.

use crate::model::{Law, Model};
use crate::op::Growth;
use crate::op::stats::{Oversize, Stats};
use crate::op::trace::TraceEvent;
use crate::op::{
    BlockId, Capability, Contract, Counter, DeviceId, DeviceInfo, DeviceView, Expect, Family, Misuse, Observation, Op,
    OracleName, PoolKind, RefusalClass, Reply, StreamId, TargetInfo, Via,
};
use crate::verdict::Violation;

use super::{Moved, Oracle, Seen, build};

pub(super) const GIB: u64 = 1 << 30;

/// Two devices of 1 GiB, three streams, every capability.
pub(super) fn info() -> TargetInfo {
    let capabilities = Capability::names().iter().filter_map(|name| name.parse().ok()).collect();
    TargetInfo {
        name: "fake".to_owned(),
        devices: vec![DeviceInfo::whole("fake", GIB); 2],
        streams: 3,
        capabilities,
        contract: Contract {
            alignment: 512,
            growth: Growth::plain(2 << 20, 2 << 20),
            counts_segments: true,
            tensor_limit: Some(1 << 60),
        },
        config: None,
    }
}

/// A world in which nothing has happened.
pub(super) fn first() -> Observation {
    let view = DeviceView { free_bytes: GIB, total_bytes: GIB, fraction: 1.0, idle: u64::MAX, ..DeviceView::default() };
    Observation { devices: vec![view; 2] }
}

pub(super) fn alloc(id: u32, bytes: u64) -> Op {
    alloc_on(id, 0, bytes)
}

pub(super) fn alloc_on(id: u32, stream: u8, bytes: u64) -> Op {
    let device = Some(DeviceId(0));
    Op::Alloc { block: BlockId(id), device, stream: StreamId(stream), bytes, via: Via::Raw }
}

pub(super) fn free(id: u32) -> Op {
    Op::Free { block: BlockId(id) }
}

pub(super) fn oom() -> Reply {
    Reply::refused(RefusalClass::OutOfMemory, "out of memory")
}

fn sizes(bytes: u64) -> (PoolKind, i64, i64) {
    let rounded = bytes.next_multiple_of(512);
    let pool = if rounded <= 1 << 20 { PoolKind::Small } else { PoolKind::Large };
    (pool, rounded.cast_signed(), bytes.cast_signed())
}

/// What a lawful allocation without a cache moves.
pub(super) fn hand_out(view: &mut DeviceView, bytes: u64) {
    let (pool, rounded, asked) = sizes(bytes);
    let stats = &mut view.stats;
    for (family, by) in figures(rounded, asked) {
        stats.increase(family, pool, by);
    }
    *stats.counter_mut(Counter::NumDeviceAlloc) += 1;
    view.free_bytes -= rounded.cast_unsigned();
}

/// What a lawful free without a cache moves.
pub(super) fn take_back(view: &mut DeviceView, bytes: u64) {
    let (pool, rounded, asked) = sizes(bytes);
    let stats = &mut view.stats;
    for (family, by) in figures(rounded, asked) {
        stats.decrease(family, pool, by);
    }
    *stats.counter_mut(Counter::NumDeviceFree) += 1;
    view.free_bytes += rounded.cast_unsigned();
}

fn figures(rounded: i64, asked: i64) -> [(Family, i64); 7] {
    [
        (Family::Segment, 1),
        (Family::ReservedBytes, rounded),
        (Family::Allocation, 1),
        (Family::Active, 1),
        (Family::AllocatedBytes, rounded),
        (Family::ActiveBytes, rounded),
        (Family::RequestedBytes, asked),
    ]
}

/// What a lawful refusal for lack of memory moves.
pub(super) fn refuse(view: &mut DeviceView) {
    *view.stats.counter_mut(Counter::NumOoms) += 1;
    *view.stats.counter_mut(Counter::NumAllocRetries) += 1;
    *view.stats.counter_mut(Counter::NumSyncAllStreams) += 1;
}

pub(super) fn reset_accumulated(stats: &mut Stats) {
    stats.tracked_mut().for_each(crate::op::Stat::reset_accumulated);
    for which in Counter::ALL.iter().filter(|c| **c != Counter::MaxSplitSize) {
        *stats.counter_mut(*which) = 0;
    }
}

pub(super) fn reset_peak(stats: &mut Stats) {
    stats.tracked_mut().for_each(crate::op::Stat::reset_peak);
    debug_assert_eq!(stats.oversize(Oversize::Segments).peak, stats.oversize(Oversize::Segments).current);
}

/// One oracle and what it has seen.
pub(super) struct Bench {
    pub model: Model,
    pub now: Observation,
    oracles: Vec<Box<dyn Oracle>>,
    /// The next steps are probes of the engine.
    pub is_retry: bool,
    pub is_end: bool,
    /// Judges are told that every figure moved, and so look at all of them.
    pub looks_at_all: bool,
    /// What the target tells in the next step; nothing, unless a test says so.
    pub events: Option<Vec<Vec<TraceEvent>>>,
    /// What makes no sense to a device in the next step; nothing, unless a test says so.
    pub misuse: Vec<Misuse>,
}

/// What the oracle made of a step.
#[must_use]
pub(super) struct Judged(Vec<Violation>);

impl Judged {
    #[track_caller]
    pub fn passes(self) {
        assert!(self.0.is_empty(), "{:#?}", self.0);
    }

    pub fn all(self) -> Vec<Violation> {
        self.0
    }

    /// What the first conviction cites.
    #[track_caller]
    pub fn convicts_any(self) -> String {
        let first = self.0.into_iter().next().expect("a conviction");
        first.requirement.map_or_else(|| "-".to_owned(), |r| r.to_string())
    }

    /// The first conviction, which must cite this requirement (`-` for none).
    #[track_caller]
    pub fn convicts(self, requirement: &str) -> Violation {
        let first = self.0.into_iter().next().expect("a conviction");
        let cited = first.requirement.map_or_else(|| "-".to_owned(), |r| r.to_string());
        assert_eq!(cited, requirement, "{first:#?}");
        assert!(!first.message.en.is_empty() && !first.message.zh.is_empty());
        let figure = first.figure.as_ref().expect("the figure that was wrong is said");
        assert_ne!(figure.expected.en, figure.actual.en, "{figure:?}");
        assert_ne!(figure.expected.zh, figure.actual.zh, "{figure:?}");
        first
    }
}

impl Bench {
    pub fn new(name: OracleName) -> Self {
        Self::with(&[name], &info())
    }

    pub fn with(names: &[OracleName], info: &TargetInfo) -> Self {
        Self::starting(names, info, first())
    }

    /// A world that shows this before the first step.
    pub fn starting(names: &[OracleName], info: &TargetInfo, now: Observation) -> Self {
        let oracles = build(&names.iter().copied().collect(), info, &now);
        Bench {
            model: Model::new(info),
            now,
            oracles,
            is_retry: false,
            is_end: false,
            looks_at_all: false,
            events: None,
            misuse: Vec::new(),
        }
    }

    /// Asks, lets `change` say what moved, and judges.
    pub fn step(&mut self, op: Op, reply: Reply, change: impl FnOnce(&mut Observation)) -> Judged {
        self.judge(Some(&op), &reply, None, change)
    }

    pub fn judge(
        &mut self,
        op: Option<&Op>,
        reply: &Reply,
        expect: Option<&Expect>,
        change: impl FnOnce(&mut Observation),
    ) -> Judged {
        let (before, events) = (self.now.clone(), self.events.take());
        let misuse = std::mem::take(&mut self.misuse);
        change(&mut self.now);
        let law = op.map_or(Law::MustServe, |op| self.model.law(op));
        let effect = op.map_or(crate::model::Effect::None, |op| self.model.apply(op, reply, &self.now));
        let mut moved = Moved::default();
        if !self.looks_at_all {
            moved.become_of(&before, &self.now);
        }
        let seen = Seen {
            op,
            reply,
            expect,
            before: &before,
            after: &self.now,
            moved: &moved,
            law,
            effect,
            model: &self.model,
            is_retry: self.is_retry,
            is_end: self.is_end,
            events: events.as_deref(),
            misuse: &misuse,
        };
        let mut convictions = Vec::new();
        for oracle in &mut self.oracles {
            oracle.judge(&seen, &mut convictions);
        }
        Judged(convictions)
    }

    /// A lawful allocation on device 0, stream 0.
    pub fn alloc(&mut self, id: u32, address: u64, bytes: u64) -> Judged {
        self.step(alloc(id, bytes), Reply::Allocated { address }, |o| hand_out(&mut o.devices[0], bytes))
    }

    /// A lawful free on device 0.
    pub fn free(&mut self, id: u32) -> Judged {
        let bytes = self.model.block(BlockId(id)).expect("live").bytes;
        self.step(free(id), Reply::Done, |o| take_back(&mut o.devices[0], bytes))
    }

    /// The closing step, with nothing asked.
    pub fn end(&mut self) -> Judged {
        self.is_end = true;
        self.judge(None, &Reply::Done, None, |_| {})
    }
}
