//! From drafts to operations: names the blocks, devices and streams that a draft's draws stand for.
//!
//! Decides what a draft means. Pure: the same drafts give the same operations. Does not know what will
//! be served, so a block that was asked for counts as there until it is freed.

use std::collections::BTreeSet;

use super::blocks::Blocks;
use super::draft::Draft;
use super::redirect::Redirects;
use super::size::{self, below};
use super::weights::Table;
use crate::op::{BlockId, Capability, DeviceCall, DeviceId, Op, Pointer, StreamId, Via};
use crate::spec::{Generate, OpKind, SizeClass};

/// Drawn from where a scenario names no fractions: both ends, and values that leave little or much room.
const FRACTIONS: [f64; 9] = [0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0];
const BAD_FRACTIONS: [f64; 5] = [-0.1, 1.000_000_1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// No release of PyTorch has a setting of that name; what follows it does not count.
const BAD_SETTINGS: [&str; 4] =
    ["no_such_setting:1", "max_split_size:64", "Expandable_segments:True,backend:native", "speed:[1:2,>:3]"];

/// Calls by which memory comes and goes, and those that follow streams.
const CALLS_BY_SEGMENT: [DeviceCall; 4] =
    [DeviceCall::Reserve, DeviceCall::Release, DeviceCall::RecordEvent, DeviceCall::QueryEvent];
/// The same where segments grow page by page.
const CALLS_BY_PAGE: [DeviceCall; 6] = [
    DeviceCall::ReserveAddresses,
    DeviceCall::Map,
    DeviceCall::SetAccess,
    DeviceCall::Unmap,
    DeviceCall::RecordEvent,
    DeviceCall::QueryEvent,
];

/// Calls that can name a device that does not exist, and what says that a target offers them.
const DEVICE_CALLS: [(OpKind, Option<Capability>); 9] = [
    (OpKind::Alloc, None),
    (OpKind::SetFraction, Some(Capability::MemoryFraction)),
    (OpKind::GetFraction, Some(Capability::MemoryFraction)),
    (OpKind::SetCurrent, Some(Capability::CurrentDevice)),
    (OpKind::ResetPeak, Some(Capability::PeakReset)),
    (OpKind::ResetAccumulated, Some(Capability::AccumulatedReset)),
    (OpKind::Dictionary, Some(Capability::Dictionary)),
    (OpKind::Summary, Some(Capability::Summary)),
    (OpKind::MemoryInfo, Some(Capability::MemoryInfo)),
];

/// How far the things go that an operation can name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds<'a> {
    /// How much each holds.
    pub(super) capacities: &'a [u64],
    pub(super) streams: u8,
    pub(super) callers: u8,
    /// Private pools at a time.
    pub(super) pools: usize,
    /// Memory comes page by page.
    pub(super) pages: bool,
}

impl Bounds<'_> {
    pub(super) fn devices(&self) -> usize {
        self.capacities.len()
    }
}

/// What a part of a sequence prefers, where not all of it is drawn alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaning<'a> {
    pub(super) table: &'a Table,
    pub(super) sizes: &'a [SizeClass],
    pub(super) fractions: &'a [f64],
    /// To change to.
    pub(super) settings: &'a [String],
    /// Three calls out of four name this device.
    pub(super) home: usize,
    /// The first of the streams that requests are made on, and how many they are; the last is followed by the first.
    pub(super) lanes: (u8, u8),
    /// Nobody else holds memory from here on.
    pub(super) alone: bool,
    /// Streams are recorded on the newest block mostly.
    pub(super) clings: bool,
}

/// Turns drafts into operations, one after the other.
#[derive(Debug)]
pub(super) struct Resolver<'a> {
    sizes: &'a [SizeClass],
    fractions: &'a [f64],
    settings: &'a [String],
    /// Caching is switched: raw pointers would go back to where they did not come from.
    switches: bool,
    table: &'a Table,
    bounds: Bounds<'a>,
    device_calls: Vec<OpKind>,
    blocks: Blocks,
    occupied: Vec<(DeviceId, StreamId)>,
    redirects: Redirects,
    leaning: Option<Leaning<'a>>,
}

/// Work on streams, and waiting for it.
fn forbidden_in_captures(kind: OpKind) -> bool {
    matches!(kind, OpKind::Use | OpKind::Occupy | OpKind::WaitStream | OpKind::Synchronize)
}

/// One of a list that is not empty.
fn choose<T: Copy>(from: &[T], draw: u32) -> T {
    from[below(draw, from.len())]
}

impl<'a> Resolver<'a> {
    /// `offered` is what the target can be asked for sure.
    pub(super) fn new(
        offered: &BTreeSet<Capability>,
        generate: &'a Generate,
        table: &'a Table,
        bounds: Bounds<'a>,
    ) -> Self {
        let offered = |kind: OpKind, needs: Option<Capability>| {
            table.has(kind) || needs.is_none_or(|c| generate.cycles <= 1 && offered.contains(&c))
        };
        Resolver {
            sizes: &generate.sizes,
            fractions: if generate.fractions.is_empty() { &FRACTIONS } else { &generate.fractions },
            settings: &generate.settings,
            switches: table.has(OpKind::SetCaching),
            table,
            bounds,
            device_calls: DEVICE_CALLS.into_iter().filter(|&(k, needs)| offered(k, needs)).map(|(k, _)| k).collect(),
            blocks: Blocks::default(),
            occupied: Vec::new(),
            // By pages PyTorch's pools help nobody (`specs/expect`).
            redirects: Redirects::new(bounds.pools, !bounds.pages),
            leaning: None,
        }
    }

    /// From here on operations are drawn so.
    pub(super) fn lean(&mut self, leaning: Leaning<'a>) {
        (self.table, self.sizes, self.fractions) = (leaning.table, leaning.sizes, leaning.fractions);
        self.settings = leaning.settings;
        self.leaning = Some(leaning);
    }

    /// Block ids given out so far.
    pub(super) fn ids(&self) -> u32 {
        self.blocks.count()
    }

    /// Pool and graph names given out so far.
    pub(super) fn pool_names(&self) -> (u32, u32) {
        self.redirects.names()
    }

    /// Ends what is redirected.
    pub(super) fn end_redirects(&mut self, ops: &mut Vec<Op>) {
        self.redirects.end_all(ops);
    }

    /// Lets graphs and pools go.
    pub(super) fn drop_pools(&mut self, ops: &mut Vec<Op>) {
        self.redirects.drop_all(ops);
    }

    /// Frees all that is held, in the order asked for.
    pub(super) fn free_all(&mut self, ops: &mut Vec<Op>) {
        while let Some(block) = self.blocks.oldest() {
            self.blocks.free(block);
            ops.push(Op::Free { block });
        }
    }

    /// The operation a draft stands for, or none if what it needs was never asked for.
    pub(super) fn resolve(&mut self, draft: &Draft) -> Option<Op> {
        let kind = self.table.pick(draft.kind);
        let device = self.device(draft);
        if self.redirects.is_capturing() && forbidden_in_captures(kind) {
            return None; // a capture forbids it
        }
        Some(match kind {
            OpKind::Alloc => self.alloc(draft, size::draw(self.sizes, draft.class, draft.size), Via::Raw),
            OpKind::AllocTensor => self.alloc(draft, size::draw(self.sizes, draft.class, draft.size), Via::Tensor),
            OpKind::AllocZero => self.alloc(draft, 0, Via::Raw),
            OpKind::Free | OpKind::FreeNewest | OpKind::FreeOldest => return self.free(kind, draft),
            OpKind::FreeInvalid => Op::FreePointer { pointer: self.bad_pointer(draft) },
            OpKind::RecordStream | OpKind::Use => return self.touch(kind, draft),
            OpKind::Occupy => self.occupy(device, self.stream(draft)),
            OpKind::Finish => self.finish(draft, device),
            OpKind::Neighbour => self.neighbour(draft, device),
            OpKind::WaitStream => self.wait_stream(draft, device),
            OpKind::Synchronize => {
                self.occupied.retain(|&(d, _)| d != device);
                Op::Synchronize { device }
            }
            OpKind::EmptyCache => Op::EmptyCache,
            OpKind::ResetPeak => Op::ResetPeak { device },
            OpKind::ResetAccumulated => Op::ResetAccumulated { device },
            OpKind::SetFraction => {
                Op::SetFraction { device: self.maybe_current(draft), fraction: choose(self.fractions, draft.pick) }
            }
            OpKind::SetFractionInvalid => {
                Op::SetFraction { device: self.maybe_current(draft), fraction: choose(&BAD_FRACTIONS, draft.pick) }
            }
            OpKind::GetFraction => Op::GetFraction { device: self.maybe_current(draft) },
            OpKind::SetSettings => {
                let settings = self.settings.get(below(draft.pick, self.settings.len()))?.clone();
                Op::SetSettings { settings }
            }
            OpKind::SetSettingsInvalid => Op::SetSettings { settings: choose(&BAD_SETTINGS, draft.pick).to_owned() },
            OpKind::SetCaching => Op::SetCaching { enabled: draft.pick & 1 == 1 },
            OpKind::SetCurrent => Op::SetCurrent { device },
            OpKind::Caller => Op::Caller { caller: one_of(draft.pick, self.bounds.callers) },
            OpKind::Dictionary => Op::Dictionary { device },
            OpKind::Summary => Op::Summary { device, abbreviated: draft.twist & 1 == 1 },
            OpKind::Snapshot => Op::Snapshot,
            OpKind::MemoryInfo => Op::MemoryInfo { device },
            OpKind::BadDevice => self.bad_device(draft),
            OpKind::Fault => self.fault(draft, device),
            OpKind::PoolCreate
            | OpKind::PoolEnter
            | OpKind::PoolExit
            | OpKind::PoolDelete
            | OpKind::CaptureBegin
            | OpKind::CaptureEnd
            | OpKind::GraphReset => return self.redirects.resolve(kind, draft, device, self.bounds.streams),
        })
    }

    fn device(&self, draft: &Draft) -> DeviceId {
        let any = below(draft.device, self.bounds.devices());
        // The low bits have no part in `any`.
        let place = self.leaning.map(|l| l.home).filter(|_| draft.device & 3 != 0).unwrap_or(any);
        DeviceId(i32::try_from(place).unwrap_or(0)) // devices are few
    }

    fn stream(&self, draft: &Draft) -> StreamId {
        StreamId(one_of(draft.stream, self.bounds.streams))
    }

    /// The stream of a request.
    fn lane(&self, draft: &Draft) -> StreamId {
        let Some(Leaning { lanes: (first, count), .. }) = self.leaning else { return self.stream(draft) };
        let lane = u16::from(first) + u16::from(one_of(draft.stream, count));
        StreamId(u8::try_from(lane % u16::from(self.bounds.streams.max(1))).unwrap_or(0)) // below a u8
    }

    /// A third of the calls leave the device out, where the current one moves.
    fn maybe_current(&self, draft: &Draft) -> Option<DeviceId> {
        let leave_out = self.table.has(OpKind::SetCurrent) && below(draft.twist, 3) == 0;
        (!leave_out).then(|| self.device(draft))
    }

    fn alloc(&mut self, draft: &Draft, bytes: u64, via: Via) -> Op {
        let (device, stream) = match self.redirects.steer(draft) {
            Some((device, stream)) => (Some(device), stream),
            None => (self.maybe_current(draft), self.lane(draft)),
        };
        let block = self.blocks.ask(bytes, stream);
        let via = if self.switches { Via::Tensor } else { via };
        Op::Alloc { block, device, stream, bytes, via }
    }

    /// What stands in for an operation on a block while there is none: a request, of a kind the scenario has.
    fn alloc_instead(&mut self, draft: &Draft) -> Option<Op> {
        let kind = [OpKind::Alloc, OpKind::AllocTensor, OpKind::AllocZero].into_iter().find(|&k| self.table.has(k))?;
        let via = if kind == OpKind::AllocTensor { Via::Tensor } else { Via::Raw };
        let zero = kind == OpKind::AllocZero;
        let bytes = if zero { 0 } else { size::draw(self.sizes, draft.class, draft.size) };
        Some(self.alloc(draft, bytes, via))
    }

    fn free(&mut self, kind: OpKind, draft: &Draft) -> Option<Op> {
        let block = match kind {
            OpKind::FreeNewest => self.blocks.newest(),
            OpKind::FreeOldest => self.blocks.oldest(),
            _ => self.blocks.pick(draft.pick),
        };
        let Some(block) = block else { return self.alloc_instead(draft) };
        self.blocks.free(block);
        Some(Op::Free { block })
    }

    fn touch(&mut self, kind: OpKind, draft: &Draft) -> Option<Op> {
        let clings = kind == OpKind::RecordStream && self.leaning.is_some_and(|l| l.clings) && draft.twist & 3 != 0;
        let block = if clings { self.blocks.newest() } else { self.blocks.pick(draft.pick) };
        let Some(block) = block else { return self.alloc_instead(draft) };
        if kind == OpKind::Use {
            return Some(Op::Use { block, stream: self.blocks.user(block, draft.stream) });
        }
        let stream = self.stream(draft);
        // PyTorch forgets streams that were recorded under a redirection, and its blocks wait for them in vain.
        if self.leaning.is_some() && self.redirects.is_redirecting() {
            return self.blocks.bar(block, stream).then_some(Op::RecordStream { block, stream });
        }
        self.blocks.record(block, stream);
        Some(Op::RecordStream { block, stream })
    }

    /// A call that the allocator makes, soon, with any error that is documented for it, or with that which is usual.
    fn fault(&self, draft: &Draft, device: DeviceId) -> Op {
        let call = choose(if self.bounds.pages { &CALLS_BY_PAGE } else { &CALLS_BY_SEGMENT }, draft.pick);
        let skip = u32::try_from(below(draft.class, 8)).unwrap_or(0).saturating_sub(4); // 0 five times out of eight
        let error = (draft.twist & 1 == 1).then(|| choose(call.documented_errors(), draft.twist));
        Op::Fault { device, call, skip, error }
    }

    fn occupy(&mut self, device: DeviceId, stream: StreamId) -> Op {
        self.occupied.push((device, stream));
        Op::Occupy { device, stream }
    }

    /// Finishes a stream that is occupied; only if there is none, any.
    fn finish(&mut self, draft: &Draft, device: DeviceId) -> Op {
        if self.occupied.is_empty() {
            return Op::Finish { device, stream: self.stream(draft) };
        }
        let (device, stream) = self.occupied.swap_remove(below(draft.pick, self.occupied.len()));
        Op::Finish { device, stream }
    }

    /// Another process holds a part of the device, or nothing any more.
    fn neighbour(&self, draft: &Draft, device: DeviceId) -> Op {
        let capacity = device.index(self.bounds.devices()).map_or(0, |at| self.bounds.capacities[at]);
        let goes = self.leaning.is_some_and(|leaning| leaning.alone);
        let eighths = if goes { 0 } else { choose(&[0, 0, 1, 2, 4, 6, 7, 8], draft.pick) };
        Op::Neighbour { device, bytes: capacity / 8 * eighths }
    }

    /// A stream waits for one that is occupied; only if there is none, for any other one.
    fn wait_stream(&self, draft: &Draft, device: DeviceId) -> Op {
        let busy = (!self.occupied.is_empty()).then(|| choose(&self.occupied, draft.pick));
        let (device, on) = busy.unwrap_or_else(|| (device, StreamId(one_of(draft.pick, self.bounds.streams))));
        let stream = self.stream(draft);
        let other = StreamId((stream.0 + 1) % self.bounds.streams.max(1));
        Op::WaitStream { device, stream: if stream == on { other } else { stream }, on }
    }

    fn bad_pointer(&self, draft: &Draft) -> Pointer {
        match draft.twist >> 30 {
            0 => self.inside(draft),
            1 => self.blocks.pick_freed(draft.pick).map(|block| Pointer::Freed { block }),
            // Below any heap, and aligned as an allocator's addresses are.
            2 => Some(Pointer::Wild { address: 0x1000 + (draft.size & 0x7f) * 512 }),
            _ => None,
        }
        .unwrap_or(Pointer::Null)
    }

    /// Half the time where a block could start if the block around it were split.
    fn inside(&self, draft: &Draft) -> Option<Pointer> {
        let block: BlockId = self.blocks.pick(draft.pick)?;
        let bytes = self.blocks.bytes(block);
        let offset = match draft.size {
            odd if odd % 2 == 1 || bytes <= 512 => 1 + (odd >> 1) % bytes.checked_sub(1).filter(|&n| n > 0)?,
            even => 512 * (1 + (even >> 1) % ((bytes - 1) / 512)),
        };
        Some(Pointer::Interior { block, offset })
    }

    fn bad_device(&mut self, draft: &Draft) -> Op {
        let count = i32::try_from(self.bounds.devices()).unwrap_or(i32::MAX);
        let device = DeviceId(choose(&[-1, count, count.max(99), i32::MIN], draft.device));
        match choose(&self.device_calls, draft.pick) {
            OpKind::SetFraction => {
                Op::SetFraction { device: Some(device), fraction: choose(self.fractions, draft.twist) }
            }
            OpKind::GetFraction => Op::GetFraction { device: Some(device) },
            OpKind::SetCurrent => Op::SetCurrent { device },
            OpKind::ResetPeak => Op::ResetPeak { device },
            OpKind::ResetAccumulated => Op::ResetAccumulated { device },
            OpKind::Dictionary => Op::Dictionary { device },
            OpKind::Summary => Op::Summary { device, abbreviated: draft.twist & 1 == 1 },
            OpKind::MemoryInfo => Op::MemoryInfo { device },
            _ => {
                let bytes = size::draw(self.sizes, draft.class, draft.size);
                let block = self.blocks.ask_in_vain();
                Op::Alloc { block, device: Some(device), stream: self.stream(draft), bytes, via: Via::Raw }
            }
        }
    }
}

fn one_of(draw: u32, count: u8) -> u8 {
    u8::try_from(below(draw, usize::from(count))).unwrap_or(0) // below a u8
}
