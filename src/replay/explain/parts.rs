//! Where reserved memory is: every byte in one part, and the parts add up to what is reserved, or there is no account.
//!
//! Decides the parts. A cached byte is counted by what keeps the request from it, the first of: another pool, another
//! stream, the other size class, `max_split_size`, too short a piece. Whether a live block keeps it from the card
//! is told apart in each of them.

use serde::Serialize;

use super::pins::{Holder, Pins};
use crate::op::PoolKind;
use crate::op::snapshot::{BlockState, SegmentView};
use crate::reference::{Settings, rounding};

/// A request, as far as it decides what of the cache is for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// As it was put.
    pub bytes: u64,
    /// Rounded.
    pub size: u64,
    /// What is asked of the driver for it.
    pub segment: u64,
    #[serde(serialize_with = "by_name")]
    pub kind: PoolKind,
    /// The private pool it went to; (0, 0) for none.
    pub pool: (u64, u64),
    /// The raw stream handle.
    pub stream: u64,
    /// A refusal comes only after the cache was given back: not so inside a private pool or a capture.
    pub flushes: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn by_name<S: serde::Serializer>(kind: &PoolKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match kind {
        PoolKind::Small => "small",
        PoolKind::Large => "large",
    })
}

/// What a byte of reserved memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// In a live block, and asked for.
    Requested,
    /// In a live block, and not asked for: rounding, or a remainder that was not split off.
    Rounding,
    /// Freed; another stream has still to finish with it.
    Waiting,
    /// Cached, and would serve the request.
    Usable,
    /// Cached for the request's pool, stream and size class, in pieces that are each too short.
    TooShort,
    /// The same, long enough, and kept from it by `max_split_size`.
    Oversize,
    /// Cached for the other size class of the same pool and stream.
    OtherClass,
    /// Cached for another stream of the same pool.
    OtherStream,
    /// Cached in another pool: in a private one, or outside of that which the request went to.
    OtherPool,
    /// Mapped for the request before the driver refused the rest of it, and given back within the call.
    Moment,
}

impl Part {
    pub const ALL: [Part; 10] = [
        Part::Requested,
        Part::Rounding,
        Part::Waiting,
        Part::Usable,
        Part::TooShort,
        Part::Oversize,
        Part::OtherClass,
        Part::OtherStream,
        Part::OtherPool,
        Part::Moment,
    ];

    /// In the cache: neither in a live block nor waited for.
    #[must_use]
    pub fn is_cached(self) -> bool {
        !matches!(self, Part::Requested | Part::Rounding | Part::Waiting)
    }
}

/// How much one part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Share {
    pub part: Part,
    pub bytes: u64,
    /// Of these, cached where a live block keeps them from being given back to the driver.
    pub pinned: u64,
    /// In so many blocks.
    pub blocks: u64,
}

/// Where all reserved memory of a device was at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// What the parts add up to, as the allocator counted it.
    pub reserved: u64,
    /// One for each part, in order.
    pub shares: Vec<Share>,
    pub pins: Pins,
}

/// The parts do not come to what the allocator counted: nothing is printed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the parts add up to {parts} B of {what}, and the allocator counted {counted} B: a mistake of this program")]
pub struct Unbalanced {
    pub what: &'static str,
    pub parts: u64,
    pub counted: u64,
}

/// What the allocator itself counted at that moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    pub reserved: u64,
    pub allocated: u64,
    pub active: u64,
    /// Reserved for a moment beyond that, within the call.
    pub moment: u64,
}

impl Account {
    #[must_use]
    pub fn bytes(&self, part: Part) -> u64 {
        self.shares.iter().filter(|s| s.part == part).map(|s| s.bytes).sum()
    }

    /// In live blocks.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.bytes(Part::Requested) + self.bytes(Part::Rounding)
    }

    /// Cached where a live block keeps it from the driver.
    #[must_use]
    pub fn pinned(&self) -> u64 {
        self.shares.iter().map(|s| s.pinned).sum()
    }

    /// Counts every block once.
    ///
    /// # Errors
    /// The sums are not what the allocator counted.
    pub(super) fn of(
        segments: &[SegmentView],
        asked: &Asked,
        settings: &Settings,
        counted: Counted,
        holder: &dyn Fn(u64) -> Holder,
    ) -> Result<Account, Unbalanced> {
        let mut shares = Part::ALL.map(|part| Share { part, bytes: 0, pinned: 0, blocks: 0 });
        let mut add = |part: Part, bytes: u64, pinned: u64, blocks: u64| {
            let share = &mut shares[part as usize];
            share.bytes += bytes;
            share.pinned += pinned;
            share.blocks += blocks;
        };
        let mut pins = Pins::default();
        for segment in segments {
            let units = units(segment, settings);
            let pinned = pins.count(segment, units, holder);
            for (block, pinned) in segment.blocks.iter().zip(pinned) {
                match block.state {
                    BlockState::ActiveAllocated => {
                        let requested = block.requested_size.min(block.size);
                        add(Part::Requested, requested, 0, 1);
                        add(Part::Rounding, block.size - requested, 0, u64::from(block.size > requested));
                    }
                    BlockState::ActivePendingFree => add(Part::Waiting, block.size, 0, 1),
                    BlockState::Inactive => add(part_of(segment, block.size, asked, settings), block.size, pinned, 1),
                }
            }
        }
        add(Part::Moment, counted.moment, 0, u64::from(counted.moment > 0));
        pins.settle();
        let account = Account { reserved: counted.reserved + counted.moment, shares: shares.to_vec(), pins };
        account.check(counted)?;
        Ok(account)
    }

    fn check(&self, counted: Counted) -> Result<(), Unbalanced> {
        let all: u64 = self.shares.iter().map(|s| s.bytes).sum();
        let by_holder = self.pins.groups.iter().map(|g| g.alone).sum::<u64>() + self.pins.several;
        let sums = [
            ("reserved memory", all, self.reserved),
            ("allocated memory", self.live(), counted.allocated),
            ("active memory", self.live() + self.bytes(Part::Waiting), counted.active),
            ("pinned memory", by_holder, self.pinned()),
        ];
        let wrong = sums.into_iter().find(|(_, parts, counted)| parts != counted);
        wrong.map_or(Ok(()), |(what, parts, counted)| Err(Unbalanced { what, parts, counted }))
    }
}

/// The pieces in which memory of a segment can be given back: the whole of it, or the pages of an expandable one.
fn units(segment: &SegmentView, settings: &Settings) -> u64 {
    match (segment.is_expandable, segment.segment_type) {
        (false, _) => segment.total_size.max(1),
        (true, PoolKind::Small) => rounding::SMALL_SEGMENT,
        (true, PoolKind::Large) => settings.large_segment.max(1),
    }
}

fn part_of(segment: &SegmentView, size: u64, asked: &Asked, settings: &Settings) -> Part {
    if segment.segment_pool_id != asked.pool {
        return Part::OtherPool;
    }
    if segment.stream != asked.stream {
        return Part::OtherStream;
    }
    if segment.segment_type != asked.kind {
        return Part::OtherClass;
    }
    if size < asked.size {
        return Part::TooShort;
    }
    let max_split = settings.max_split;
    let kept_for_larger = asked.size < max_split && size >= max_split;
    let much_too_large = asked.size >= max_split && size >= asked.size.saturating_add(settings.max_non_split_rounding);
    if kept_for_larger || much_too_large { Part::Oversize } else { Part::Usable }
}
