//! Moods: what a phase of a sequence does more of, and less.
//!
//! Decides weights and sizes by mood. Which moods a sequence goes through is `world`'s.

use super::dice::Dice;
use crate::spec::{OpKind, SizeClass, SizeDraw, Weights};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What a phase is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mood {
    /// More is asked for than given back.
    Grow,
    /// As much as is given back.
    Churn,
    /// More is given back, and the cache emptied.
    Drain,
    /// Requests that a device has hardly room for, under limits.
    Starve,
    /// Device calls fail.
    Fail,
    /// Nothing fails, streams come to their end, and limits go.
    Recover,
    /// Many streams work on one block.
    Streams,
    /// Pools are made, entered, left and deleted; graphs are captured.
    Pools,
    /// What can be read is read.
    Look,
    /// What must be refused is asked.
    Misuse,
    /// Small blocks are asked for, and kept.
    Hoard,
}

/// Kinds of operations that a mood treats alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Ask,
    Free,
    Bad,
    Record,
    Busy,
    Wait,
    Flush,
    Reset,
    Limit,
    Who,
    Read,
    Pools,
    Capture,
    Fault,
    Settings,
}

const GROUPS: usize = 15;

impl Mood {
    pub(super) const ALL: [Mood; 11] = [
        Mood::Grow,
        Mood::Churn,
        Mood::Drain,
        Mood::Starve,
        Mood::Fail,
        Mood::Recover,
        Mood::Streams,
        Mood::Pools,
        Mood::Look,
        Mood::Misuse,
        Mood::Hoard,
    ];

    /// What the weights of each group are multiplied by, in hundredths, in the order of `Group`.
    fn factors(self) -> [u32; GROUPS] {
        match self {
            Mood::Grow => [300, 50, 50, 100, 100, 50, 20, 100, 20, 100, 100, 100, 100, 20, 100],
            Mood::Churn => [100, 120, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 20, 100],
            Mood::Drain => [30, 300, 100, 50, 50, 200, 200, 100, 50, 100, 100, 50, 50, 20, 100],
            Mood::Starve => [300, 60, 50, 50, 100, 100, 100, 100, 400, 100, 100, 50, 50, 20, 100],
            Mood::Fail => [200, 150, 50, 100, 100, 100, 200, 50, 50, 100, 50, 100, 100, 1500, 100],
            Mood::Recover => [100, 100, 0, 50, 0, 400, 400, 200, 200, 100, 100, 50, 50, 0, 100],
            Mood::Streams => [150, 150, 20, 800, 500, 50, 50, 50, 20, 50, 30, 50, 50, 20, 100],
            Mood::Pools => [200, 120, 20, 50, 50, 50, 100, 50, 20, 50, 30, 800, 300, 20, 100],
            Mood::Look => [60, 50, 50, 50, 50, 50, 50, 400, 100, 100, 800, 100, 100, 20, 100],
            Mood::Misuse => [60, 50, 800, 50, 50, 50, 50, 50, 100, 200, 100, 100, 100, 20, 100],
            Mood::Hoard => [400, 5, 5, 20, 20, 20, 0, 20, 0, 20, 5, 20, 20, 5, 100],
        }
    }

    /// The weights of a sequence in this mood.
    pub(super) fn weights(self, of: &Weights) -> Weights {
        let factors = self.factors();
        let scaled = |&(kind, weight): &(OpKind, u32)| {
            let factor = factors[group(kind) as usize];
            let scaled = u64::from(weight) * u64::from(factor) / 100;
            let least = u32::from(weight > 0 && factor > 0);
            (kind, u32::try_from(scaled).unwrap_or(u32::MAX).max(least))
        };
        Weights { entries: of.entries.iter().map(scaled).collect() }
    }

    /// Fractions that limits are set to; none for those that a scenario names. By whole `pages` PyTorch grows past every limit
    /// but 0 (`specs/expect`).
    pub(super) fn fractions(self, pages: bool) -> &'static [f64] {
        match self {
            _ if pages => &[0.0, 1.0, 1.0],
            Mood::Recover => &[1.0],
            Mood::Starve => &[0.0, 0.02, 0.1, 0.25, 0.5],
            _ => &[],
        }
    }

    /// From what sizes are drawn on a device of so many bytes, where the scenario names none and no request is to have more
    /// than `limit`.
    pub(super) fn sizes(self, dice: &mut Dice, scale: Scale, capacity: u64, limit: u64) -> Vec<SizeClass> {
        let class = |weight, draw| SizeClass { weight, draw };
        let part = |of: u64| (capacity / of).max(MIB);
        let small = SizeDraw::LogUniform(1, MIB);
        let edges = SizeDraw::Around { centres: vec![512, MIB, 2 * MIB, 10 * MIB, 20 * MIB], within: 513 };
        let middle = SizeDraw::LogUniform(MIB, part(24).max(2 * MIB));
        let large = SizeDraw::LogUniform(part(64), part(3));
        let most = SizeDraw::Around { centres: vec![part(1), part(2), part(3), part(4)], within: 2 * MIB };
        let giant = SizeDraw::Around { centres: vec![4 * GIB, 8 * GIB, part(20), part(9)], within: MIB + 1 };
        if self == Mood::Hoard {
            return kept_below(&[class(1, SizeDraw::LogUniform(1, 4096))], limit);
        }
        let absurd = SizeDraw::Exactly(vec![0, 1 << 50, i64::MAX.unsigned_abs(), u64::MAX]);
        let mut all = match scale {
            Scale::Small => vec![class(8, small), class(2, edges)],
            Scale::Mixed => vec![class(4, small), class(2, edges), class(4, middle), class(1, large)],
            Scale::Large => vec![class(1, small), class(1, edges), class(3, middle), class(4, large)],
        };
        if scale == Scale::Large && capacity > 16 * GIB {
            all.push(class(4, giant));
        }
        match self {
            Mood::Starve => all.push(class(10, most)),
            Mood::Fail | Mood::Churn if dice.percent(50) => all.push(class(1, most)),
            Mood::Misuse => all.push(class(2, absurd)),
            _ => {}
        }
        kept_below(&all, limit)
    }
}

/// The same without requests of more than the limit.
pub(super) fn kept_below(classes: &[SizeClass], limit: u64) -> Vec<SizeClass> {
    let mut all = classes.to_vec();
    all.retain_mut(|class| keep_below(&mut class.draw, limit));
    if all.is_empty() {
        all.push(SizeClass { weight: 1, draw: SizeDraw::LogUniform(1, limit.max(1)) });
    }
    all
}

/// Leaves out what is above the limit; whether anything is left.
fn keep_below(draw: &mut SizeDraw, limit: u64) -> bool {
    match draw {
        SizeDraw::LogUniform(low, high) => {
            *high = (*high).min(limit);
            low <= high
        }
        SizeDraw::Around { centres, within } => {
            centres.retain(|c| c.saturating_add(*within) <= limit);
            !centres.is_empty()
        }
        SizeDraw::Exactly(sizes) => {
            // Those at the end of the range are never served.
            sizes.retain(|&s| s <= limit || s >= 1 << 50);
            !sizes.is_empty()
        }
    }
}

/// How large the requests of a sequence are for its devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Thousands of blocks fit.
    Small,
    /// Some of everything.
    Mixed,
    /// Some blocks fill a device.
    Large,
}

/// The group of a kind.
pub(super) fn group(kind: OpKind) -> Group {
    match kind {
        OpKind::Alloc | OpKind::AllocTensor | OpKind::AllocZero => Group::Ask,
        OpKind::Free | OpKind::FreeNewest | OpKind::FreeOldest => Group::Free,
        OpKind::FreeInvalid | OpKind::SetFractionInvalid | OpKind::SetSettingsInvalid | OpKind::BadDevice => Group::Bad,
        OpKind::RecordStream | OpKind::Use => Group::Record,
        OpKind::Occupy | OpKind::WaitStream => Group::Busy,
        OpKind::Finish | OpKind::Synchronize => Group::Wait,
        OpKind::EmptyCache => Group::Flush,
        OpKind::ResetPeak | OpKind::ResetAccumulated => Group::Reset,
        OpKind::SetFraction | OpKind::Neighbour => Group::Limit,
        OpKind::SetSettings | OpKind::SetCaching => Group::Settings,
        OpKind::SetCurrent | OpKind::Caller => Group::Who,
        OpKind::GetFraction | OpKind::Dictionary | OpKind::Summary | OpKind::Snapshot | OpKind::MemoryInfo => {
            Group::Read
        }
        OpKind::PoolCreate | OpKind::PoolEnter | OpKind::PoolExit | OpKind::PoolDelete => Group::Pools,
        OpKind::CaptureBegin | OpKind::CaptureEnd | OpKind::GraphReset => Group::Capture,
        OpKind::Fault => Group::Fault,
    }
}
