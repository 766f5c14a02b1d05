//! The other sequence of a relation: the same under other names, with more that must leave no trace, in another order.
//!
//! Decides what is changed, from the sequence alone: the same sequence gives the same variant, so that minimising and
//! replaying need nothing else. Answers `None` where a relation has nothing to change.

use std::collections::BTreeMap;

use crate::op::{BlockId, Capability, DeviceId, Op, OracleName, RefusalClass, Setup, StreamId, TargetInfo, Text, Via};

use super::trail::{OpOutcome, Trail};

/// Blocks of a warm-up get ids from here on; sequences number theirs from 0.
const WARM_UP_BLOCKS: u32 = 0xE000_0000;
/// Requests of a warm-up.
const WARM_UPS: usize = 3;
/// Sizes from here on are left alone: at their end are those that every allocator refuses in its own way.
const LARGEST: u64 = 1 << 50;

/// A sequence that must come to the same as another.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) setup: Setup,
    /// Each with its place in the other sequence; those that are added have none.
    pub(super) ops: Vec<(Op, Option<usize>)>,
    /// What each device is called here; empty if nothing was renamed.
    pub(super) devices: Vec<usize>,
    /// By device, the operation of the first run from which on what is cached there may differ.
    pub(super) loose: Vec<Option<usize>>,
    /// What was changed, in words.
    pub(super) change: Text,
}

/// The variant of a sequence under a relation.
pub(super) fn of(relation: OracleName, info: &TargetInfo, setup: &Setup, ops: &[&Op], base: &Trail) -> Option<Variant> {
    match relation {
        OracleName::StreamNames => streams(setup, ops),
        OracleName::DeviceNames => devices(setup, ops),
        OracleName::WarmUp if info.can(Capability::EmptyCache) => warm_up(setup, ops, base),
        OracleName::SpareTrim if info.can(Capability::EmptyCache) => spare_trim(setup, ops, base),
        OracleName::DeviceOrder => order(setup, ops),
        OracleName::SizeBin => sizes(info, setup, ops),
        OracleName::WithoutRefused => refused(setup, ops, base),
        _ => None,
    }
}

fn numbered<'a>(ops: &'a [&'a Op]) -> impl Iterator<Item = (Op, Option<usize>)> + 'a {
    ops.iter().enumerate().map(|(i, op)| ((*op).clone(), Some(i)))
}

/// Every stream but the default one gets another name, and with it another handle: an odd number becomes an even one.
fn streams(setup: &Setup, ops: &[&Op]) -> Option<Variant> {
    let sum = (setup.streams.saturating_add(1) | 1).min(StreamId::LIMIT - 1);
    let (mut changed, mut strange) = (false, false);
    let mut rename = |stream: &mut StreamId| {
        strange |= stream.0 >= setup.streams; // one that is not there, and might be in the other world
        if stream.0 > 0 && stream.0 < sum {
            stream.0 = sum - stream.0;
            changed = true;
        }
    };
    let mut renamed: Vec<(Op, Option<usize>)> = numbered(ops).collect();
    for (op, _) in &mut renamed {
        if let Op::Alloc { stream, .. }
        | Op::RecordStream { stream, .. }
        | Op::Use { stream, .. }
        | Op::Occupy { stream, .. }
        | Op::CaptureBegin { stream, .. }
        | Op::Finish { stream, .. } = op
        {
            rename(stream);
        }
        if let Op::WaitStream { stream, on, .. } = op {
            rename(stream);
            rename(on);
        }
    }
    let setup = Setup { streams: setup.streams.max(sum), ..setup.clone() };
    let change = Text::new(format!("stream n called {sum} - n"), format!("流 n 改称 {sum} - n"));
    (changed && !strange).then_some(Variant { setup, ops: renamed, devices: Vec::new(), loose: Vec::new(), change })
}

/// Who calls from where: what an operation without a device means.
#[derive(Debug, Default)]
struct Callers {
    caller: u8,
    current: BTreeMap<u8, DeviceId>,
}

impl Callers {
    /// The device meant, written out. Follows the calls that move it.
    fn name(&mut self, op: &mut Op, count: usize) {
        let current = self.current.get(&self.caller).copied().unwrap_or(DeviceId(0));
        match op {
            Op::Alloc { device, .. } | Op::SetFraction { device, .. } | Op::GetFraction { device } => {
                *device = Some(device.unwrap_or(current));
            }
            Op::Caller { caller } => self.caller = *caller,
            Op::SetCurrent { device } if device.index(count).is_some() => {
                self.current.insert(self.caller, *device);
            }
            _ => {}
        }
    }
}

/// Devices of one size change places.
fn devices(setup: &Setup, ops: &[&Op]) -> Option<Variant> {
    let count = setup.device_bytes.len();
    let called: Vec<usize> = (0..count)
        .map(|device| {
            let alike = (0..count).filter(|&d| setup.device_bytes[d] == setup.device_bytes[device]);
            let alike: Vec<usize> = alike.collect();
            let place = alike.iter().position(|&d| d == device).unwrap_or(0);
            alike[(place + 1) % alike.len()]
        })
        .collect();
    if called.iter().enumerate().all(|(device, &name)| device == name) {
        return None;
    }
    let mut callers = Callers::default();
    let mut renamed: Vec<(Op, Option<usize>)> = numbered(ops).collect();
    for (op, _) in &mut renamed {
        callers.name(op, count);
        if let Some(mut slot) = op.device_slot()
            && let Some(device) = slot.get().and_then(|d| d.index(count))
            && let Ok(name) = i32::try_from(called[device])
        {
            slot.rename(DeviceId(name));
        }
    }
    let pairs: Vec<String> = called.iter().enumerate().map(|(device, name)| format!("{device} as {name}")).collect();
    let change = Text::new(
        format!("devices renamed ({})", pairs.join(", ")),
        format!("设备改名（{}）", pairs.join(", ").replace(" as ", "→")),
    );
    Some(Variant { setup: setup.clone(), ops: renamed, devices: called, loose: Vec::new(), change })
}

/// Before anything else some of the requests are made, given back, and trimmed. Those that were refused are left out: they
/// were never given back, and what a refusal leaves behind (a range of addresses) is another promise's.
fn warm_up(setup: &Setup, ops: &[&Op], base: &Trail) -> Option<Variant> {
    let count = setup.device_bytes.len();
    let mut callers = Callers::default();
    let mut requests: Vec<Op> = Vec::new();
    for (op, answer) in ops.iter().zip(&base.answers) {
        let mut op = (*op).clone();
        callers.name(&mut op, count);
        if *answer != OpOutcome::Served {
            continue;
        }
        let Op::Alloc { device: Some(device), stream, bytes, .. } = op else { continue };
        let is_new = requests.iter().all(|r| !matches!(r, Op::Alloc { bytes: b, .. } if *b == bytes));
        if device.index(count).is_some() && bytes > 0 && is_new && requests.len() < WARM_UPS {
            let block = BlockId(WARM_UP_BLOCKS + u32::try_from(requests.len()).unwrap_or(0)); // at most `WARM_UPS`
            requests.push(Op::Alloc { block, device: Some(device), stream, bytes, via: Via::Raw });
        }
    }
    if requests.is_empty() {
        return None;
    }
    let frees: Vec<Op> = requests.iter().filter_map(Op::block).map(|block| Op::Free { block }).collect();
    let number = requests.len();
    let added = requests.into_iter().chain(frees).chain([Op::EmptyCache]).map(|op| (op, None));
    let change = Text::new(
        format!("{number} requests made, given back and trimmed beforehand"),
        format!("事先申请 {number} 次并归还、清理"),
    );
    let ops = added.chain(numbered(ops)).collect();
    Some(Variant { setup: setup.clone(), ops, devices: Vec::new(), loose: Vec::new(), change })
}

/// The cache is emptied where it holds nothing: before everything, right after it was emptied, and where nothing is reserved.
fn spare_trim(setup: &Setup, ops: &[&Op], base: &Trail) -> Option<Variant> {
    let mut all = vec![(Op::EmptyCache, None)];
    for (at, (op, given)) in numbered(ops).enumerate() {
        let emptied = op == Op::EmptyCache && base.answers[at] == OpOutcome::Served;
        all.push((op, given));
        if emptied || base.is_empty_after(at) {
            all.push((Op::EmptyCache, None));
        }
    }
    let added = all.len() - ops.len();
    let change = Text::new(
        format!("empty_cache called {added} times more, where nothing is cached"),
        format!("在无缓存内存处多调用 {added} 次 empty_cache"),
    );
    Some(Variant { setup: setup.clone(), ops: all, devices: Vec::new(), loose: Vec::new(), change })
}

/// Between calls that concern all devices, those of one device come before those of another, the last device first.
fn order(setup: &Setup, ops: &[&Op]) -> Option<Variant> {
    let count = setup.device_bytes.len();
    let mut callers = Callers::default();
    let mut homes: BTreeMap<BlockId, usize> = BTreeMap::new();
    let mut all: Vec<(Op, Option<usize>)> = Vec::with_capacity(ops.len());
    let mut stretch: Vec<(usize, (Op, Option<usize>))> = Vec::new();
    let mut moved = false;
    let mut close = |stretch: &mut Vec<(usize, (Op, Option<usize>))>, all: &mut Vec<(Op, Option<usize>)>| {
        moved |= stretch.windows(2).any(|w| w[0].0 < w[1].0);
        stretch.sort_by_key(|&(device, _)| std::cmp::Reverse(device)); // stable: within a device nothing moves
        all.extend(stretch.drain(..).map(|(_, op)| op));
    };
    for (mut op, given) in numbered(ops) {
        callers.name(&mut op, count);
        if let Op::Alloc { block, device: Some(device), .. } = &op
            && let Some(device) = device.index(count)
            && homes.insert(*block, device).is_some()
        {
            return None; // one name for two blocks: which of them is meant depends on the order
        }
        let home = match &mut op {
            Op::Free { block } | Op::RecordStream { block, .. } | Op::Use { block, .. } => homes.get(block).copied(),
            Op::SetCurrent { .. } => None,
            // A pool's name is known on every device.
            Op::PoolCreate { .. } | Op::PoolEnter { .. } | Op::PoolExit { .. } | Op::CaptureBegin { .. } => None,
            other => other.device().and_then(|d| d.index(count)),
        };
        match home {
            Some(device) => stretch.push((device, (op, given))),
            None => {
                close(&mut stretch, &mut all);
                all.push((op, given));
            }
        }
    }
    close(&mut stretch, &mut all);
    let change = Text::new("calls to different devices in another order", "对不同设备的调用换了次序");
    moved.then_some(Variant { setup: setup.clone(), ops: all, devices: Vec::new(), loose: Vec::new(), change })
}

/// Every size becomes another one of its alignment unit: the first the last, and so on.
fn sizes(info: &TargetInfo, setup: &Setup, ops: &[&Op]) -> Option<Variant> {
    let unit = info.contract.alignment;
    if unit < 2 {
        return None;
    }
    let mut changed = false;
    let mut resized: Vec<(Op, Option<usize>)> = numbered(ops).collect();
    for (op, _) in &mut resized {
        if let Op::Alloc { bytes, .. } = op
            && (1..LARGEST).contains(bytes)
        {
            let before = *bytes;
            *bytes = (before - 1) / unit * unit + (unit - (before - 1) % unit);
            changed |= *bytes != before;
        }
    }
    let change =
        Text::new(format!("every size mirrored within its {unit} B"), format!("每个大小在其 {unit} B 单位内取镜像值"));
    changed.then_some(Variant { setup: setup.clone(), ops: resized, devices: Vec::new(), loose: Vec::new(), change })
}

/// The calls that were refused for their arguments are left out; where there are none, those that were refused for lack of
/// memory. These may have emptied the cache of their device. Settings that were refused stay: what they leave is another
/// promise's (CONF-05).
fn refused(setup: &Setup, ops: &[&Op], base: &Trail) -> Option<Variant> {
    let count = setup.device_bytes.len();
    let lacked = |at: usize| base.answers[at] == OpOutcome::Refused(RefusalClass::OutOfMemory);
    let for_arguments = |at: usize| {
        matches!(base.answers[at], OpOutcome::Refused(_)) && !lacked(at) && !matches!(ops[at], Op::SetSettings { .. })
    };
    let by_arguments = (0..ops.len()).any(for_arguments);
    let mut callers = Callers::default();
    let (mut kept, mut loose) = (Vec::with_capacity(ops.len()), vec![None; count]);
    for (at, (mut op, given)) in numbered(ops).enumerate() {
        callers.name(&mut op, count);
        let is_out = if by_arguments { for_arguments(at) } else { lacked(at) };
        if !is_out {
            kept.push((op, given));
        } else if let Some(device) = op.device().and_then(|d| d.index(count)).filter(|_| !by_arguments) {
            loose[device] = loose[device].or(Some(at));
        }
    }
    let left_out = ops.len() - kept.len();
    let change = if by_arguments {
        Text::new(
            format!("without what was refused for its arguments ({left_out})"),
            format!("略去因参数被拒绝的调用（{left_out}）"),
        )
    } else {
        Text::new(
            format!("without what was refused for lack of memory ({left_out})"),
            format!("略去因内存不足被拒绝的申请（{left_out}）"),
        )
    };
    (left_out > 0).then_some(Variant { setup: setup.clone(), ops: kept, devices: Vec::new(), loose, change })
}
