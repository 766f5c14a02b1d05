//! The world that a scenario is written for, held against the one that a target gives.
//!
//! Explicit steps count on what they ask for: devices of that size, nothing that limits them from the start, and the usual
//! segments. Where the world is another one, the contract decides whether they hold all the same: every request that is to
//! be served must be owed to the caller, every one that is to be refused must be too large. Where that is not so the steps
//! would accuse a sound target, and do not apply. Decides nothing about answers.

use std::collections::BTreeMap;

use crate::op::size::human;
use crate::op::{BlockId, Milestone, Op, RefusalClass, Setup, Step, StreamId, TargetInfo, Text, Via};
use crate::spec::{Body, OpKind, Scenario, Variant};
use crate::workload::{self, Rooms, TooSmall};

/// The steps of a variant as they are asked in this world, or why they do not apply to it.
pub(super) fn steps_in(
    scenario: &Scenario,
    variant: &Variant,
    setup: &Setup,
    info: &TargetInfo,
) -> Result<Vec<Step>, Text> {
    let info =
        TargetInfo { devices: info.devices.iter().take(setup.device_bytes.len()).cloned().collect(), ..info.clone() };
    let difference = difference(scenario, setup, &info);
    if let Some(difference) = difference.as_ref().filter(|_| scenario.exact_world) {
        return Err(Text::new(
            format!("its figures hold only in the world that it asks for: {}", difference.en),
            format!("其数据仅在所要求的环境中成立：{}", difference.zh),
        ));
    }
    let steps = workload::steps_on(variant, &info).map_err(too_small)?;
    if difference.is_some() {
        Book::new(&info).check(&steps)?;
    }
    Ok(steps)
}

/// What is not as the scenario asks for, if anything.
fn difference(scenario: &Scenario, setup: &Setup, info: &TargetInfo) -> Option<Text> {
    for (at, (device, &asked)) in info.devices.iter().zip(&setup.device_bytes).enumerate() {
        let (total, room, asked_text) = (human(device.total_bytes), human(device.room()), human(asked));
        if device.total_bytes != asked {
            return Some(Text::new(
                format!("device {at} has {total} and not {asked_text}"),
                format!("设备 {at} 的容量为 {total} 而非 {asked_text}"),
            ));
        }
        if device.room() < device.total_bytes && scenario.config.is_none() {
            return Some(Text::new(
                format!("only {room} of device {at} may be reserved from the start"),
                format!("设备 {at} 从一开始就只允许保留 {room}"),
            ));
        }
    }
    let growth = info.contract.growth;
    (!growth.is_ordinary() && scenario.config.is_none()).then(|| {
        let (small, large) = (human(growth.at_most(1)), human(growth.at_most(64 << 20)));
        Text::new(
            format!("a request of 1 B may take {small} here, and one of 64 MiB {large}"),
            format!("此处 1 B 的申请可能占用 {small}，64 MiB 的申请可能占用 {large}"),
        )
    })
}

fn too_small(small: TooSmall) -> Text {
    let (device, part, least) = (small.device, human(small.part_bytes), human(small.least));
    Text::new(
        format!("its steps ask for {part} of device {device}, and a request may take {least} here"),
        format!("其步骤要在设备 {device} 上申请 {part}，而此处一次申请可能占用 {least}"),
    )
}

/// Why a generated scenario could not reach what it missed in the world of this target: there is no room for it. `None`
/// where the world gives no reason.
pub(super) fn out_of_reach(scenario: &Scenario, info: &TargetInfo, missed: &[Milestone]) -> Option<Text> {
    let Body::Generate(generate) = &scenario.body else { return None };
    let growth = info.contract.growth;
    let limits = |kind: &OpKind| matches!(kind, OpKind::SetFraction | OpKind::SetFractionInvalid);
    let moved = generate.limit_bytes.is_some() || generate.weights.entries.iter().any(|(kind, _)| limits(kind));
    let cramped = info.devices.iter().enumerate().find_map(|(at, device)| {
        let room = device.room().min(generate.limit_bytes.unwrap_or(u64::MAX));
        (room < growth.least.saturating_mul(2)).then_some((at, room))
    });
    let limited = info.devices.iter().position(|d| d.room() < d.total_bytes).filter(|_| !moved);
    let names = missed.iter().map(|m| m.name()).collect::<Vec<_>>().join(", ");
    if let Some((at, room)) =
        cramped.filter(|_| !growth.is_ordinary() || info.devices.iter().any(|d| d.limit_bytes.is_some()))
    {
        let (room, least) = (human(room), human(growth.least));
        return Some(Text::new(
            format!("out of reach here: {names}; device {at} has room for {room}, and a request may take {least}"),
            format!("此处无法到达：{names}；设备 {at} 仅可容纳 {room}，而一次申请可能占用 {least}"),
        ));
    }
    let at = limited.filter(|_| missed.iter().all(|m| *m == Milestone::DeviceRefusal))?;
    Some(Text::new(
        format!("out of reach here: {names}; the limit on device {at} is reached before the device is full"),
        format!("此处无法到达：{names}；设备 {at} 的上限先于设备容量耗尽"),
    ))
}

/// A block as the steps hold it.
#[derive(Debug, Clone, Copy)]
struct Held {
    device: usize,
    stream: StreamId,
    bytes: u64,
    most: u64,
    /// From a private pool or a graph, which keeps its memory to itself.
    kept: bool,
    recorded: bool,
}

/// What the steps have reserved at least, and at most.
struct Book<'a> {
    info: &'a TargetInfo,
    rooms: Rooms,
    live: BTreeMap<BlockId, Held>,
    /// Blocks given back whose memory may still be theirs.
    cached: Vec<Held>,
    least: Vec<u64>,
    most: Vec<u64>,
    /// Pools entered and captures under way.
    redirections: u32,
    occupied: bool,
    faults: bool,
}

impl<'a> Book<'a> {
    fn new(info: &'a TargetInfo) -> Self {
        let zeros = vec![0; info.devices.len()];
        Book {
            info,
            rooms: Rooms::new(&info.devices),
            live: BTreeMap::new(),
            cached: Vec::new(),
            least: zeros.clone(),
            most: zeros,
            redirections: 0,
            occupied: false,
            faults: false,
        }
    }

    fn check(mut self, steps: &[Step]) -> Result<(), Text> {
        for step in steps {
            let Some(op) = &step.op else { continue };
            let refused = step.expect.as_ref().and_then(|e| e.refused);
            if let Some(class) = refused {
                if class == RefusalClass::OutOfMemory {
                    self.refused(op)?;
                }
                continue;
            }
            self.rooms.note(op);
            self.served(op)?;
        }
        Ok(())
    }

    /// A request that is to be refused must be larger than what is left at most.
    fn refused(&self, op: &Op) -> Result<(), Text> {
        let Op::Alloc { device, bytes, via, .. } = *op else { return Ok(()) };
        let Some(at) = self.rooms.position(device) else { return Ok(()) };
        let never = self.info.contract.tensor_limit.is_some_and(|limit| via == Via::Tensor && bytes >= limit);
        if never || self.least[at].saturating_add(bytes) > self.rooms.room(at) {
            return Ok(());
        }
        let (bytes, room, used) = (human(bytes), human(self.rooms.room(at)), human(self.least[at]));
        Err(Text::new(
            format!(
                "its steps expect {bytes} to be refused on device {at}, where {room} may be reserved and {used} are in use"
            ),
            format!("其步骤预期在设备 {at} 上申请 {bytes} 被拒绝，而此处可保留 {room}，已用 {used}"),
        ))
    }

    fn served(&mut self, op: &Op) -> Result<(), Text> {
        match *op {
            Op::Alloc { block, device, stream, bytes: bytes @ 1.., .. } => {
                let Some(at) = self.rooms.position(device) else { return Ok(()) };
                return self.alloc(block, at, stream, bytes);
            }
            Op::Free { block } => self.free(block),
            Op::RecordStream { block, .. } | Op::Use { block, .. } => {
                if let Some(held) = self.live.get_mut(&block) {
                    held.recorded = true;
                }
            }
            Op::Occupy { .. } => self.occupied = true,
            Op::Fault { .. } => self.faults = true,
            Op::PoolEnter { .. } | Op::CaptureBegin { .. } => self.redirections += 1,
            Op::PoolExit { .. } | Op::CaptureEnd { .. } => self.redirections = self.redirections.saturating_sub(1),
            Op::PoolDelete { .. } | Op::GraphReset { .. } => {
                for held in std::mem::take(&mut self.cached).into_iter().filter(|h| h.kept) {
                    self.forget(held);
                }
                self.live.values_mut().for_each(|h| h.kept = false);
            }
            _ => {}
        }
        Ok(())
    }

    /// A request that is to be served must be owed, unless a block like it was given back just there.
    fn alloc(&mut self, block: BlockId, device: usize, stream: StreamId, bytes: u64) -> Result<(), Text> {
        let most = self.info.contract.growth.at_most(bytes);
        let like = |h: &Held| h.device == device && h.stream == stream && h.bytes == bytes;
        let again = self.cached.iter().position(like).map(|i| self.cached.swap_remove(i));
        if let Some(held) = again.filter(|h| h.kept) {
            self.forget(held);
        }
        self.most[device] = self.most[device].saturating_add(most);
        self.least[device] = self.least[device].saturating_add(bytes);
        let kept = self.redirections > 0;
        self.live.insert(block, Held { device, stream, bytes, most, kept, recorded: false });
        let (need, room) = (self.most[device], self.rooms.room(device));
        if again.is_some() || self.faults || need <= room {
            return Ok(());
        }
        let (need, room) = (human(need), human(room));
        Err(Text::new(
            format!("its steps may need {need} on device {device}, where {room} may be reserved"),
            format!("其步骤可能需要设备 {device} 上的 {need}，而此处可保留 {room}"),
        ))
    }

    fn free(&mut self, block: BlockId) {
        let Some(held) = self.live.remove(&block) else { return };
        let waits = held.recorded && self.occupied;
        if waits {
            self.least[held.device] = self.least[held.device].saturating_sub(held.bytes);
        } else if !held.kept {
            self.forget(held);
        }
        self.cached.push(held);
    }

    fn forget(&mut self, held: Held) {
        self.most[held.device] = self.most[held.device].saturating_sub(held.most);
        self.least[held.device] = self.least[held.device].saturating_sub(held.bytes);
    }
}
