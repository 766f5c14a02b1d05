//! From what the worlds of sequences may be drawn: ranges that hold something, and nothing said twice.

use std::ops::RangeInclusive;

use super::Problems;
use crate::op::size::human;
use crate::spec::error::Complaint;
use crate::spec::locate::Path;
use crate::spec::raw::{Either, RawGenerate, RawScenario, RawWorld, Span};
use crate::spec::scenario::{DrawnWorld, OpKind, Weights};

/// From the smallest device that serves a large request at all to more than any card has.
const CAPACITY: RangeInclusive<u64> = (16 << 20)..=(1 << 40);
/// A device of less serves nothing: the least that is mapped is 2 MiB.
const LEAST_CAPACITY: u64 = 4 << 20;
/// Addresses of a simulated device go no further.
const MOST_CAPACITY: u64 = 1 << 40;
const SETTINGS: RangeInclusive<u8> = 0..=3;
/// As many as there are to draw from.
pub(super) const MOST_SETTINGS: u8 = 7;
const POOLS: RangeInclusive<u8> = 1..=64;
const PHASES: RangeInclusive<u8> = 1..=8;
/// More parts than anyone tells apart.
const MOST_PHASES: u8 = 64;

/// Checks `world` of `generate`; `None` where worlds take turns.
pub(super) fn lower(raw: &RawGenerate, problems: &mut Problems, here: &Path<'_>) -> Option<DrawnWorld> {
    let all = RawWorld::default();
    let given = match raw.world.as_ref()? {
        Either::Scalar(_) => &all,
        Either::Container(given) => given,
    };
    let here = here.key("world");
    let capacity = match &given.capacity {
        None => CAPACITY,
        Some([low, high]) => {
            if low.0 > high.0 || low.0 < LEAST_CAPACITY || high.0 > MOST_CAPACITY {
                let message = format!("no capacity is drawn from {} to {}", human(low.0), human(high.0));
                let hint = format!("from {} or more up to {}", human(LEAST_CAPACITY), human(MOST_CAPACITY));
                problems.add(&here.key("capacity"), Complaint::new(message).hint(hint));
            }
            low.0..=high.0
        }
    };
    let mut span = |given: &Option<Span>, usual: RangeInclusive<u8>, least: u8, most: u8, key: &str| {
        let Some(Span(span)) = given else { return usual };
        if *span.start() < u32::from(least) || *span.end() > u32::from(most) {
            problems.add(&here.key(key), Complaint::new(format!("`{key}` is {least} to {most} in a drawn world")));
        }
        let narrow = |n: u32| u8::try_from(n).unwrap_or(most).clamp(least, most);
        narrow(*span.start())..=narrow(*span.end())
    };
    Some(DrawnWorld {
        capacity,
        settings: span(&given.settings, SETTINGS, 0, MOST_SETTINGS, "settings"),
        pools: span(&given.pools, POOLS, 1, *POOLS.end(), "pools"),
        phases: span(&given.phases, PHASES, 1, MOST_PHASES, "phases"),
    })
}

/// Complains of what the scenario fixes although its worlds draw it.
pub(super) fn check(raw: &RawScenario, world: &DrawnWorld, problems: &mut Problems) {
    let root = Path::ROOT;
    if raw.device_bytes.is_some() {
        let complaint = Complaint::new("`device_bytes` and a drawn world: each world has capacities of its own");
        problems.add(&root.key("device_bytes"), complaint.hint("`world: { capacity: [64MiB, 1GiB] }` says from what"));
    }
    if raw.config.is_some() && *world.settings.end() > 0 {
        let complaint = Complaint::new("`config` and a drawn world: each world has settings of its own");
        problems.add(&root.key("config"), complaint.hint("`world: { settings: 0 }` keeps to those of the scenario"));
    }
    if raw.generate.as_ref().is_some_and(|g| g.cycles.is_some()) {
        let complaint = Complaint::new("`cycles` and a drawn world: its sequences fall into phases, not into rounds");
        problems.add(&root.key("generate").key("cycles"), complaint.hint("leave one of them out"));
    }
}

/// Every kind that a world does not name, with its usual weight.
pub(super) fn fill_up(weights: &mut Weights) {
    let named: Vec<OpKind> = weights.entries.iter().map(|(kind, _)| *kind).collect();
    weights.entries.extend(USUAL.iter().filter(|(kind, _)| !named.contains(kind)));
}

/// Weights in thousandths: mostly requests and frees, a little of all else.
const USUAL: [(OpKind, u32); 35] = [
    (OpKind::Alloc, 6000),
    (OpKind::AllocTensor, 400),
    (OpKind::AllocZero, 100),
    (OpKind::Free, 4000),
    (OpKind::FreeNewest, 600),
    (OpKind::FreeOldest, 600),
    (OpKind::FreeInvalid, 100),
    (OpKind::RecordStream, 800),
    (OpKind::Use, 600),
    (OpKind::Occupy, 400),
    (OpKind::Finish, 500),
    (OpKind::Synchronize, 100),
    (OpKind::EmptyCache, 150),
    (OpKind::ResetPeak, 100),
    (OpKind::ResetAccumulated, 100),
    (OpKind::SetFraction, 100),
    (OpKind::SetFractionInvalid, 30),
    (OpKind::GetFraction, 50),
    (OpKind::SetCurrent, 200),
    (OpKind::Caller, 200),
    (OpKind::Dictionary, 50),
    (OpKind::Summary, 50),
    (OpKind::Snapshot, 100),
    (OpKind::MemoryInfo, 100),
    (OpKind::BadDevice, 50),
    (OpKind::PoolCreate, 300),
    (OpKind::PoolEnter, 400),
    (OpKind::PoolExit, 400),
    (OpKind::PoolDelete, 100),
    (OpKind::CaptureBegin, 150),
    (OpKind::CaptureEnd, 200),
    (OpKind::GraphReset, 100),
    (OpKind::Fault, 150),
    (OpKind::WaitStream, 300),
    (OpKind::Neighbour, 80),
];
