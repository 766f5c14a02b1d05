//! Which values of abstract states a sequence may come by in a drawn world.
//!
//! Decides from the world alone, and says what may be, not what will: an estimate by which worlds are preferred.

use super::mood::{Group, Mood, Scale, group};
use super::settings::NAMES;
use super::world::World;
use crate::op::{State, Value};
use crate::spec::{OpKind, SizeClass, SizeDraw};

/// Bytes of an average request where the scenario names no sizes.
const SMALL: u64 = 96 << 10;
const MIXED: u64 = 4 << 20;
/// A device of less runs short soon.
const TIGHT: u64 = 512 << 20;

/// What may come about in the world.
pub(super) fn affords(world: &World, sizes: &[SizeClass]) -> State {
    let has = |kind: OpKind| world.weights.entries.iter().any(|&(k, weight)| k == kind && weight > 0);
    let any = |of: Group| world.weights.entries.iter().any(|&(k, weight)| group(k) == of && weight > 0);
    let is_in = |mood: Mood| world.phases.iter().any(|p| p.mood == mood);
    let devices = world.setup.device_bytes.len();
    let least = world.setup.device_bytes.iter().copied().min().unwrap_or(0);
    let scarce = world.scale == Scale::Large || least < TIGHT || is_in(Mood::Starve);
    let limits = has(OpKind::SetFraction) || world.settings.limits();
    let (pools, captures) = (any(Group::Pools), has(OpKind::CaptureBegin));
    let waits = world.setup.streams > 1 && has(OpKind::RecordStream) && has(OpKind::Occupy);
    let live = most_live(world, sizes);
    let bare = world.settings.named.iter().all(|named| !named);
    State::EMPTY
        .and(State::from(ALWAYS))
        .and(when(scarce, &[Value::Retried, Value::RefusedByDevice, Value::RefusedHere]))
        .and(when(scarce && devices > 1, &[Value::RefusedElsewhere]))
        .and(when(limits, &[Value::RefusedAtLimit, Value::RefusedHere, Value::Fraction]))
        .and(when(has(OpKind::SetFraction), &[Value::Limited]))
        .and(when(has(OpKind::SetSettings), &[Value::Changed]))
        .and(when(world.settings.oversize(), &[Value::Oversize, Value::Flushed]))
        .and(when(world.settings.named[2], &[Value::Flushed]))
        .and(when(scarce && pools, &[Value::Helped]))
        .and(when(any(Group::Fault), &[Value::CallFailed, Value::CallSurvived, Value::CallFailedBefore]))
        .and(when(any(Group::Bad), &[Value::Misuse, Value::MisuseBefore]))
        .and(when(has(OpKind::RecordStream), &[Value::Recorded]))
        .and(when(waits, &[Value::Deferred, Value::OneStream]))
        .and(when(waits && world.setup.streams > 2, &[Value::Streams]))
        .and(when(has(OpKind::EmptyCache), &[Value::Emptied, Value::EmptiedInVain]))
        .and(when(any(Group::Wait), &[Value::Waited]))
        .and(when(any(Group::Reset), &[Value::Reset]))
        .and(when(any(Group::Read), &[Value::Read]))
        .and(when(has(OpKind::AllocZero), &[Value::Zero]))
        .and(when(pools, &[Value::PoolCall, Value::PrivateFirst, Value::PrivateSecond, Value::PrivateLater]))
        .and(when(has(OpKind::PoolDelete) || has(OpKind::GraphReset), &[Value::PoolDied]))
        .and(when(captures, &[Value::CaptureBegun, Value::CaptureEnded, Value::Capturing, Value::GraphOwn]))
        .and(when(captures, &[Value::GraphKept]))
        .and(when(captures && pools, &[Value::GraphShared]))
        .and(when(bare, &[Value::Default]))
        .and(State::from(
            &NAMED.iter().zip(world.settings.named).filter(|(_, n)| *n).map(|(v, _)| *v).collect::<Vec<_>>(),
        ))
        .and(when(devices == 1, &[Value::OneDevice]))
        .and(when(devices == 2, &[Value::TwoDevices]))
        .and(when(devices > 2, &[Value::MoreDevices, Value::DeviceLater]))
        .and(when(devices > 1, &[Value::DeviceSecond, Value::Another, Value::LiveToo]))
        .and(when(live >= 100, &[Value::Hundreds]))
        .and(when(live >= 1_000, &[Value::Thousands]))
        .and(when(live >= 10_000, &[Value::Myriads]))
}

/// What any world has.
const ALWAYS: &[Value] = &[
    Value::FromCache,
    Value::Split,
    Value::Grown,
    Value::Freed,
    Value::Merged,
    Value::RefusedTooLarge,
    Value::Small,
    Value::Large,
    Value::NothingWaits,
    Value::NoCapture,
    Value::DeviceFirst,
    Value::Own,
    Value::Quiet,
    Value::NoFailure,
    Value::Tens,
];

/// What each of the settings that are drawn is called, in their order.
const NAMED: [Value; NAMES.len()] = [
    Value::Expandable,
    Value::MaxSplit,
    Value::Collection,
    Value::Roundup,
    Value::SegmentSize,
    Value::Fraction,
    Value::NonSplitRounding,
];

fn when(holds: bool, values: &[Value]) -> State {
    if holds { State::from(values) } else { State::EMPTY }
}

/// How many blocks may live at a time: what phases ask for more than they give back, as far as there is room for it.
fn most_live(world: &World, sizes: &[SizeClass]) -> u64 {
    let room = world.setup.device_bytes.iter().sum::<u64>() / average(world, sizes).max(512);
    let (mut live, mut most) = (0_u64, 0_u64);
    for phase in &world.phases {
        let weights = phase.mood.weights(&world.weights);
        let of = |which: Group| {
            let weights = weights.entries.iter().filter(|(kind, _)| group(*kind) == which);
            weights.map(|&(_, weight)| u64::from(weight)).sum::<u64>()
        };
        let all: u64 = weights.entries.iter().map(|&(_, weight)| u64::from(weight)).sum();
        let times = |part: u64| u64::from(phase.length) * part / all.max(1);
        live = (live + times(of(Group::Ask))).saturating_sub(times(of(Group::Free)));
        most = most.max(live);
    }
    most.min(room)
}

fn average(world: &World, sizes: &[SizeClass]) -> u64 {
    let of = |draw: &SizeDraw| match draw {
        // The mean of the logarithms' middle and end is near enough.
        SizeDraw::LogUniform(low, high) => (high - low) / u64::from((high / (*low).max(1)).max(2).ilog2()).max(1),
        SizeDraw::Around { centres, .. } => centres.iter().copied().min().unwrap_or(0),
        SizeDraw::Exactly(all) => all.iter().copied().min().unwrap_or(0),
    };
    let weights: u64 = sizes.iter().map(|class| u64::from(class.weight)).sum();
    if weights > 0 {
        let all = sizes.iter().map(|class| u128::from(class.weight) * u128::from(of(&class.draw))).sum::<u128>();
        return u64::try_from(all / u128::from(weights)).unwrap_or(u64::MAX);
    }
    match world.scale {
        Scale::Small => SMALL,
        Scale::Mixed => MIXED,
        Scale::Large => world.setup.device_bytes.iter().copied().min().unwrap_or(0) / 24,
    }
}
