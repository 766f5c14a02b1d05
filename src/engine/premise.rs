//! The world that a scenario is written for, held against the one that a target gives.
//!
//! Explicit steps count on what they ask for: devices of that size, nothing that limits them from the start, and the usual
//! segments. Where the world is another one, the contract decides whether they hold all the same: every request that is to
//! be served must be owed to the caller, every one that is to be refused must be too large. Where that is not so the steps
//! would accuse a sound target, and do not apply. Decides nothing about answers.

use std::collections::BTreeMap;

use crate::op::size::human;
use crate::op::step::{AddressExpect, Amount};
use crate::op::{BlockId, Expect, Op, RefusalClass, Setup, Step, StreamId, TargetInfo, Text, Via};
use crate::spec::{Body, Generate, OpKind, Scenario, Variant};
use crate::workload::{self, Rooms, TooSmall};

use super::demand::Demand;

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

/// Why a scenario could not reach what it missed in the world of this target: there is no room for it, or far more than it
/// asks for, or requests that are steps may take more than they ask for. `None` where the world gives no reason.
pub(super) fn out_of_reach(scenario: &Scenario, info: &TargetInfo, missed: &[Demand<'_>]) -> Option<Text> {
    let names = missed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let Body::Generate(generate) = &scenario.body else {
        let (en, zh) = generous(info).filter(|_| missed.iter().all(|m| m.is_scarcity()))?;
        return Some(Text::new(format!("out of reach here: {names}; {en}"), format!("此处无法到达：{names}；{zh}")));
    };
    let (en, zh) = cramped(generate, info)
        .or_else(|| roomy(scenario, info).filter(|_| missed.iter().all(|m| m.is_scarcity())))
        .or_else(|| limited(generate, info).filter(|_| missed.iter().all(|m| m.is_device_refusal())))?;
    Some(Text::new(format!("out of reach here: {names}; {en}"), format!("此处无法到达：{names}；{zh}")))
}

/// A contract under which steps that speak of what surely fits ask for too little to make memory short, and under which it
/// cannot be told what stood in the way of a request.
fn generous(info: &TargetInfo) -> Option<(String, String)> {
    let growth = info.contract.growth;
    let ratio = format!("{}/{}", growth.numerator, growth.denominator);
    let words =
        (format!("a request may take {ratio} of what it asks for"), format!("一次申请可占用所申请大小的 {ratio}"));
    (growth.numerator > growth.denominator).then_some(words)
}

/// A device on which two segments have no room, where that is not the scenario's own doing.
fn cramped(generate: &Generate, info: &TargetInfo) -> Option<(String, String)> {
    let growth = info.contract.growth;
    let is_foreign = !growth.is_ordinary() || info.devices.iter().any(|d| d.limit_bytes.is_some());
    let room = |bytes: u64| bytes.min(generate.limit_bytes.unwrap_or(u64::MAX));
    let mut rooms = info.devices.iter().map(|device| room(device.room())).enumerate();
    let (at, room) = rooms.find(|(_, room)| is_foreign && *room < growth.least.saturating_mul(2))?;
    let (room, least) = (human(room), human(growth.least));
    Some((
        format!("device {at} has room for {room}, and a request may take {least}"),
        format!("设备 {at} 仅可容纳 {room}，而一次申请可能占用 {least}"),
    ))
}

/// A device that is larger than the scenario asks for.
fn roomy(scenario: &Scenario, info: &TargetInfo) -> Option<(String, String)> {
    let world = workload::widest_world(scenario);
    let mut devices = info.devices.iter().zip(&world.device_bytes).enumerate();
    let (at, (device, &asked)) = devices.find(|(_, (device, asked))| device.total_bytes > **asked)?;
    let (total, asked) = (human(device.total_bytes), human(asked));
    Some((format!("device {at} has {total} and not {asked}"), format!("设备 {at} 的容量为 {total} 而非 {asked}")))
}

/// A device whose limit nothing in the scenario moves.
fn limited(generate: &Generate, info: &TargetInfo) -> Option<(String, String)> {
    let moves = generate.weights.entries.iter().any(|(kind, _)| *kind == OpKind::SetFraction);
    let at = info.devices.iter().position(|d| d.room() < d.total_bytes)?;
    (!moves && generate.limit_bytes.is_none()).then(|| {
        (
            format!("the limit on device {at} is reached before the device is full"),
            format!("设备 {at} 的上限先于设备容量耗尽"),
        )
    })
}

/// Whether a request is expected to give memory back on its way: it does where memory runs short, and nowhere else.
fn counts_on_scarcity(expect: &Expect) -> bool {
    const GIVES_BACK: [&str; 3] = ["num_device_free", "num_alloc_retries", "num_sync_all_streams"];
    let least = |amount: &Amount| match *amount {
        Amount::Exactly(value) => Some(value),
        Amount::Between { at_least, .. } => at_least,
    };
    let most = |amount: &Amount| match *amount {
        Amount::Exactly(value) => Some(value),
        Amount::Between { at_most, .. } => at_most,
    };
    expect.change.values().flatten().any(|(name, amount)| {
        let counted = GIVES_BACK.contains(&name.as_str()) && least(amount).is_some_and(|n| n > 0);
        let fell = name.starts_with("reserved_bytes") && most(amount).is_some_and(|n| n < 0);
        counted || fell
    })
}

/// A block as the steps hold it.
#[derive(Debug, Clone, Copy)]
struct StepBlock {
    block: BlockId,
    device: usize,
    stream: StreamId,
    bytes: u64,
    most: u64,
    /// From a private pool or a graph, which keeps its memory to itself.
    kept: bool,
    recorded: bool,
}

/// What the steps have reserved.
struct Book<'a> {
    info: &'a TargetInfo,
    rooms: Rooms,
    live: BTreeMap<BlockId, StepBlock>,
    /// Blocks given back whose memory may still be theirs.
    cached: Vec<StepBlock>,
    least: Vec<u64>,
    most: Vec<u64>,
    /// Pools entered and captures under way.
    redirections: u32,
    occupied: bool,
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
            if matches!(op, Op::Alloc { .. }) && step.expect.as_ref().is_some_and(|e| counts_on_scarcity(e)) {
                return Err(Text::new(
                    "its steps count on memory that runs short at a certain request, as it does only in the world that they ask for",
                    "其步骤假定内存在某次申请时不足，这只在所要求的环境中成立",
                ));
            }
            if matches!(op, Op::SetSettings { .. }) {
                return Err(Text::new(
                    "its steps change the settings, and count on those that they find in the world that they ask for",
                    "其步骤会更改配置，并依赖所要求的环境中原有的配置",
                ));
            }
            self.rooms.note(op);
            let same_as = step.expect.as_ref().and_then(|e| match e.address {
                Some(AddressExpect::SameAs(block)) => Some(block),
                _ => None,
            });
            self.served(op, same_as)?;
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
        let en = "to be refused on device";
        Err(Text::new(
            format!("its steps expect {bytes} {en} {at}, where {room} may be reserved and {used} are in use"),
            format!("其步骤预期在设备 {at} 上申请 {bytes} 被拒绝，而此处可保留 {room}，已用 {used}"),
        ))
    }

    fn served(&mut self, op: &Op, same_as: Option<BlockId>) -> Result<(), Text> {
        match *op {
            Op::Alloc { block, device, stream, bytes: bytes @ 1.., .. } => {
                // What is larger than its device nobody serves.
                let fits = |at: &usize| self.info.devices.get(*at).is_some_and(|d| bytes <= d.total_bytes);
                let Some(at) = self.rooms.position(device).filter(fits) else { return Ok(()) };
                return self.alloc((block, same_as), (at, stream), bytes);
            }
            Op::Free { block } => self.free(block),
            Op::RecordStream { block, .. } | Op::Use { block, .. } => {
                if let Some(held) = self.live.get_mut(&block) {
                    held.recorded = true;
                }
            }
            Op::Occupy { .. } => self.occupied = true,
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
    fn alloc(
        &mut self,
        (block, same_as): (BlockId, Option<BlockId>),
        (device, stream): (usize, StreamId),
        bytes: u64,
    ) -> Result<(), Text> {
        let most = self.info.contract.growth.at_most(bytes);
        let kept = self.redirections > 0;
        let like = |h: &StepBlock| h.device == device && h.stream == stream && h.bytes == bytes;
        let helper = |h: &StepBlock| like(h) && h.kept && !kept && Some(h.block) == same_as;
        let own = |h: &StepBlock| like(h) && h.kept == kept;
        let again = self.cached.iter().position(helper).or_else(|| self.cached.iter().position(own));
        let again = again.map(|i| self.cached.swap_remove(i));
        // What a pool keeps helps others out only where there is no room.
        let (used, room) = (self.least[device], self.rooms.room(device));
        if again.is_some_and(|h| helper(&h)) && used.saturating_add(bytes) <= room {
            let (bytes, room, used) = (human(bytes), human(room), human(used));
            return Err(Text::new(
                format!(
                    "its steps count on no room for {bytes} on device {device}, where {room} may be reserved and {used} are in use"
                ),
                format!("其步骤假定设备 {device} 已无 {bytes} 的余量，而此处可保留 {room}，已用 {used}"),
            ));
        }
        if let Some(held) = again.filter(|h| h.kept) {
            self.forget(held);
        }
        self.most[device] = self.most[device].saturating_add(most);
        self.least[device] = self.least[device].saturating_add(bytes);
        self.live.insert(block, StepBlock { block, device, stream, bytes, most, kept, recorded: false });
        // A pool need not get at what is cached outside of it.
        let outside = self.cached.iter().filter(|h| kept && !h.kept && h.device == device).map(|h| h.most);
        let need = outside.fold(self.most[device], u64::saturating_add);
        let room = self.rooms.room(device);
        if again.is_some() || need <= room {
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

    fn forget(&mut self, held: StepBlock) {
        self.most[held.device] = self.most[held.device].saturating_sub(held.most);
        self.least[held.device] = self.least[held.device].saturating_sub(held.bytes);
    }
}

#[cfg(test)]
#[path = "premise_test.rs"]
mod tests;
