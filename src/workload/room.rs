//! What may be reserved on each device along explicit steps, and what parts of a device come to in them.
//!
//! Decides from what a target says of itself; asks it nothing. That a call which the steps do not expect to be refused is
//! served is taken for granted.

use std::collections::BTreeMap;

use crate::op::GRANULE;
use crate::op::contract::limit_bytes;
use crate::op::step::Amount;
use crate::op::{DeviceId, DeviceInfo, Op, Step, TargetInfo};
use crate::spec::scenario::{Bound, Share, SharePlace, Shared, Variant, Whole};

/// A device: its size, what may be reserved of it at most, and what others hold of it.
#[derive(Debug, Clone, Copy)]
struct Room {
    total: u64,
    limit: u64,
    taken: u64,
    neighbour: u64,
}

impl Room {
    fn bytes(self) -> u64 {
        self.limit.min(self.total - self.neighbour.max(self.taken))
    }
}

/// The devices under the limits in force.
#[derive(Debug, Clone)]
pub struct Rooms {
    devices: Vec<Room>,
    caller: u8,
    current: BTreeMap<u8, DeviceId>,
}

impl Rooms {
    /// As they are before the first step.
    #[must_use]
    pub fn new(devices: &[DeviceInfo]) -> Self {
        let devices = devices
            .iter()
            .map(|d| Room {
                total: d.total_bytes,
                limit: d.room(),
                taken: d.taken_bytes.min(d.total_bytes),
                neighbour: 0,
            })
            .collect();
        Rooms { devices, caller: 0, current: BTreeMap::new() }
    }

    /// The position of the device that a call means: the one named, or the caller's current one.
    #[must_use]
    pub fn position(&self, device: Option<DeviceId>) -> Option<usize> {
        let current = || self.current.get(&self.caller).copied().unwrap_or(DeviceId(0));
        device.unwrap_or_else(current).index(self.devices.len())
    }

    /// What may be reserved on a device.
    #[must_use]
    pub fn room(&self, position: usize) -> u64 {
        self.devices.get(position).map_or(0, |d| d.bytes())
    }

    /// Takes note of a call that is served.
    pub fn note(&mut self, op: &Op) {
        match *op {
            Op::SetFraction { device, fraction } => {
                if let Some(room) = self.position(device).and_then(|p| self.devices.get_mut(p)) {
                    room.limit = limit_bytes(fraction, room.total).unwrap_or(room.total);
                }
            }
            Op::Neighbour { device, bytes } => {
                if let Some(room) = self.position(Some(device)).and_then(|p| self.devices.get_mut(p)) {
                    room.neighbour = whole(bytes).min(room.total);
                }
            }
            Op::Caller { caller } => self.caller = caller,
            Op::SetCurrent { device } => drop(self.current.insert(self.caller, device)),
            _ => {}
        }
    }

    fn whole(&self, share: Share, position: usize) -> u64 {
        let of = |room: &Room| if share.of == Whole::Device { room.total } else { room.bytes() };
        self.devices.get(position).map_or(0, of)
    }
}

/// A request that has no size in a world: even the smallest may take more than the part of the device that is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooSmall {
    /// By position.
    pub device: usize,
    /// The part of it that is meant.
    pub part_bytes: u64,
    /// What even the smallest request may take.
    pub least: u64,
}

/// The steps of a variant on this target. A request that is to be served asks for the most that surely takes no more than
/// its part of the device, one that is to be refused for that part.
///
/// # Errors
/// A part that no request fits.
pub fn steps_on(variant: &Variant, info: &TargetInfo) -> Result<Vec<Step>, TooSmall> {
    let mut steps = variant.steps.clone();
    if variant.shares.is_empty() {
        return Ok(steps);
    }
    let mut rooms = Rooms::new(&info.devices);
    let mut shares = variant.shares.iter().peekable();
    for (index, step) in steps.iter_mut().enumerate() {
        let mine: Vec<&Shared> = std::iter::from_fn(|| shares.next_if(|s| s.step == index)).collect();
        let refused = step.expect.as_ref().is_some_and(|e| e.refused.is_some());
        for shared in mine.iter().filter(|s| s.place == SharePlace::Bytes) {
            let (device, bytes, is_request) = match &mut step.op {
                Some(Op::Alloc { device, bytes, .. }) => (*device, bytes, true),
                Some(Op::Neighbour { device, bytes }) => (Some(*device), bytes, false),
                _ => continue,
            };
            let Some(position) = rooms.position(device) else { continue };
            let part_bytes = part(shared.share, rooms.whole(shared.share, position)).unsigned_abs();
            let growth = info.contract.growth;
            *bytes = if !is_request {
                part_bytes
            } else if refused {
                part_bytes.max(1)
            } else {
                let small = TooSmall { device: position, part_bytes, least: growth.least };
                growth.fits(part_bytes).ok_or(small)?
            };
        }
        if let Some(op) = step.op.as_ref().filter(|_| !refused) {
            rooms.note(op);
        }
        for shared in mine {
            put_figure(step, shared, &rooms);
        }
    }
    Ok(steps)
}

fn put_figure(step: &mut Step, shared: &Shared, rooms: &Rooms) {
    let SharePlace::Figure { device, name, change, bound } = &shared.place else { return };
    let (Some(expect), Some(position)) = (step.expect.as_mut(), rooms.position(Some(*device))) else { return };
    let figures = if *change { &mut expect.change } else { &mut expect.stats };
    let Some(amount) = figures.get_mut(device).and_then(|f| f.get_mut(name)) else { return };
    let value = part(shared.share, rooms.whole(shared.share, position));
    match (amount, bound) {
        (Amount::Exactly(exactly), Bound::Exactly) => *exactly = value,
        (Amount::Between { at_least, .. }, Bound::AtLeast) => *at_least = Some(value),
        (Amount::Between { at_most, .. }, Bound::AtMost) => *at_most = Some(value),
        _ => {}
    }
}

/// What another process holds that wants so much: whole pieces of those in which a device gives memory.
fn whole(bytes: u64) -> u64 {
    bytes.div_ceil(GRANULE).saturating_mul(GRANULE)
}

/// A part of so many bytes, rounded down.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a byte more or less in 2^53; saturates"
)]
fn part(share: Share, whole: u64) -> i64 {
    (whole as f64 * share.part).floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::contract::{Contract, Growth};
    use crate::spec::{Body, parse};

    fn target(total: u64, granule: u64) -> TargetInfo {
        TargetInfo {
            name: "t@test".to_owned(),
            devices: vec![DeviceInfo::whole("d", total)],
            streams: 4,
            capabilities: std::collections::BTreeSet::new(),
            contract: Contract {
                alignment: 512,
                growth: Growth::plain(20 << 20, granule),
                counts_segments: true,
                tensor_limit: None,
            },
            config: None,
        }
    }

    fn variant() -> Variant {
        let text = "
scenario: parts
requirement: FRAC-01
title: { en: Parts, zh: 部分 }
severity: high
effort_days: 1
requires: [memory_fraction, oom_typed, 'stats:reserved_bytes']
steps:
  - alloc: { block: a, device: 0, bytes: 50% }
  - set_fraction: { device: 0, to: 0.5 }
  - alloc: { block: b, device: 0, bytes: 60% }
    expect: { refused: out_of_memory, stats: { 0: { reserved_bytes.all.current: { at_most: 25% of device } } } }
";
        match parse("parts.yaml", text).expect("well formed").remove(0).body {
            Body::Steps(mut variants) => variants.remove(0),
            Body::Generate(_) => unreachable!("the text has steps"),
        }
    }

    fn sizes(steps: &[Step]) -> Vec<u64> {
        let size = |s: &Step| if let Some(Op::Alloc { bytes, .. }) = s.op { Some(bytes) } else { None };
        steps.iter().filter_map(size).collect()
    }

    #[test]
    fn requests_follow_the_device_and_the_limit_in_force() {
        let steps = steps_on(&variant(), &target(256 << 20, 2 << 20)).expect("fits");
        assert_eq!(sizes(&steps), [128 << 20, 80_530_636]);
        let expect = steps[2].expect.as_ref().expect("one is written");
        let figure = expect.stats[&DeviceId(0)]["reserved_bytes.all.current"];
        assert_eq!(figure, Amount::Between { at_least: None, at_most: Some(64 << 20) });
    }

    #[test]
    fn what_another_process_holds_is_no_room() {
        let mut rooms = Rooms::new(&target(256 << 20, 2 << 20).devices);
        let device = DeviceId(0);
        rooms.note(&Op::Neighbour { device, bytes: 63 << 20 });
        assert_eq!(rooms.room(0), 192 << 20);
        rooms.note(&Op::SetFraction { device: Some(device), fraction: 0.5 });
        assert_eq!(rooms.room(0), 128 << 20);
        rooms.note(&Op::Neighbour { device, bytes: u64::MAX });
        assert_eq!(rooms.room(0), 0);
        rooms.note(&Op::Neighbour { device, bytes: 0 });
        assert_eq!(rooms.room(0), 128 << 20);
    }

    #[test]
    fn what_is_to_be_served_fits_whole_pages_and_what_fits_none_has_no_size() {
        let steps = steps_on(&variant(), &target(256 << 20, 20 << 20)).expect("fits");
        assert_eq!(sizes(&steps)[0], 120 << 20);
        let small = steps_on(&variant(), &target(32 << 20, 2 << 20)).expect_err("half of it is less than a segment");
        assert_eq!(small, TooSmall { device: 0, part_bytes: 16 << 20, least: 20 << 20 });
    }
}
