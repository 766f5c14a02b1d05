//! Where reserved memory is: every byte in one part, and the parts add up to what is reserved, or there is no account.
//!
//! Decides the parts. A cached byte is counted by what keeps the request from it, the first of: another pool, another
//! stream, the other size class, `max_split_size`, too short a piece. Whether a live block keeps it from the card
//! is told apart in each of them.

use serde::Serialize;

use super::pins::{PinningBlock, Pins};
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
        holder: &dyn Fn(u64) -> PinningBlock,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::snapshot::BlockView;

    const MIB: u64 = 1 << 20;

    fn segment(address: u64, is_expandable: bool, blocks: &[(u64, u64, BlockState)]) -> SegmentView {
        let mut view = SegmentView {
            device: 0,
            address,
            total_size: 0,
            allocated_size: 0,
            active_size: 0,
            requested_size: 0,
            stream: 0,
            segment_type: PoolKind::Large,
            segment_pool_id: (0, 0),
            is_expandable,
            blocks: Vec::new(),
        };
        for &(size, requested_size, state) in blocks {
            view.blocks.push(BlockView { address: address + view.total_size, size, requested_size, state });
            view.total_size += size;
        }
        view
    }

    fn asked(size: u64) -> Asked {
        Asked { bytes: size, size, segment: size, kind: PoolKind::Large, pool: (0, 0), stream: 0, flushes: true }
    }

    fn account(segments: &[SegmentView], size: u64, settings: &str) -> Result<Account, Unbalanced> {
        let of = |state| {
            let blocks = segments.iter().flat_map(|s| &s.blocks).filter(|b| b.state == state);
            blocks.map(|b| b.size).sum::<u64>()
        };
        let (allocated, waiting) = (of(BlockState::ActiveAllocated), of(BlockState::ActivePendingFree));
        let reserved = segments.iter().map(|s| s.total_size).sum();
        let counted = Counted { reserved, allocated, active: allocated + waiting, moment: 0 };
        let settings = settings.parse().expect("as PyTorch writes them");
        let holder = |address: u64| PinningBlock { group: format!("{:#x}", address >> 32), age: 1 };
        Account::of(segments, &asked(size), &settings, counted, &holder)
    }

    use BlockState::{ActiveAllocated as Live, ActivePendingFree as Waits, Inactive as Free};

    #[test]
    fn every_byte_is_counted_once_by_what_is_in_the_way() {
        let mut other_stream = segment(2 << 32, false, &[(20 * MIB, 0, Free)]);
        other_stream.stream = 7;
        let mut graph = segment(3 << 32, false, &[(4 * MIB, 4 * MIB, Live), (16 * MIB, 0, Free)]);
        graph.segment_pool_id = (1, 0);
        let mut small = segment(4 << 32, false, &[(512, 100, Live), (2 * MIB - 512, 0, Free)]);
        small.segment_type = PoolKind::Small;
        let own = segment(1 << 32, false, &[(4 * MIB, 0, Free), (3 * MIB, 1, Waits), (13 * MIB, 0, Free)]);
        let account = account(&[own, other_stream, graph, small], 10 * MIB, "").expect("it adds up");
        for (part, bytes) in [
            (Part::Requested, 4 * MIB + 100),
            (Part::Rounding, 412),
            (Part::Waiting, 3 * MIB),
            (Part::Usable, 13 * MIB),
            (Part::TooShort, 4 * MIB),
            (Part::OtherClass, 2 * MIB - 512),
            (Part::OtherStream, 20 * MIB),
            (Part::OtherPool, 16 * MIB),
        ] {
            assert_eq!(account.bytes(part), bytes, "{part:?}");
        }
        assert_eq!(account.pinned(), 17 * MIB + 16 * MIB + 2 * MIB - 512, "all but the other stream's whole segment");
    }

    #[test]
    fn max_split_keeps_blocks_from_requests() {
        let free = segment(1 << 32, false, &[(80 * MIB, 0, Free)]);
        let part = |size, settings| {
            let account = account(std::slice::from_ref(&free), size, settings).expect("it adds up");
            account.shares.iter().find(|s| s.bytes > 0).map(|s| s.part)
        };
        assert_eq!(part(32 * MIB, ""), Some(Part::Usable));
        assert_eq!(part(32 * MIB, "max_split_size_mb:64"), Some(Part::Oversize));
        assert_eq!(part(70 * MIB, "max_split_size_mb:64"), Some(Part::Usable));
        assert_eq!(part(81 * MIB, "max_split_size_mb:64"), Some(Part::TooShort));
    }

    #[test]
    fn pages_without_a_live_block_are_not_pinned() {
        // Pages of 20 MiB: the first two hold the live block, the third and fourth are free.
        let run = segment(1 << 32, true, &[(15 * MIB, 0, Free), (10 * MIB, MIB, Live), (55 * MIB, 0, Free)]);
        let account = account(&[run], 60 * MIB, "expandable_segments:True").expect("it adds up");
        assert_eq!(account.bytes(Part::TooShort), 70 * MIB);
        assert_eq!(account.pinned(), 15 * MIB + 15 * MIB);
        let [block] = account.pins.top.as_slice() else { panic!("{:?}", account.pins) };
        assert_eq!((block.alone, block.shared), (30 * MIB, 0));
    }

    #[test]
    fn what_several_pin_is_put_down_to_none_of_them() {
        let shared = segment(1 << 32, false, &[(2 * MIB, 1, Live), (16 * MIB, 0, Free), (2 * MIB, 1, Live)]);
        let two = account(&[shared], 60 * MIB, "").expect("it adds up");
        assert_eq!((two.pins.groups[0].alone, two.pins.several), (16 * MIB, 0), "both are of one group");
        assert!(two.pins.top.iter().all(|block| (block.alone, block.shared) == (0, 16 * MIB)));
        let apart = segment((1 << 32) - MIB, false, &[(MIB, 1, Live), (16 * MIB, 0, Free), (3 * MIB, 1, Live)]);
        let two = account(&[apart], 60 * MIB, "").expect("it adds up");
        assert_eq!((two.pins.groups.len(), two.pins.several), (2, 16 * MIB));
    }

    #[test]
    fn what_does_not_add_up_is_no_account() {
        let whole = segment(1 << 32, false, &[(2 * MIB, 2 * MIB, Live)]);
        let settings = Settings::default();
        let holder = |_| PinningBlock { group: String::new(), age: 0 };
        for (reserved, allocated, active, what) in [
            (2 * MIB - 1, 2 * MIB, 2 * MIB, "reserved memory"),
            (2 * MIB, MIB, 2 * MIB, "allocated memory"),
            (2 * MIB, 2 * MIB, 3 * MIB, "active memory"),
        ] {
            let counted = Counted { reserved, allocated, active, moment: 0 };
            let error = Account::of(std::slice::from_ref(&whole), &asked(MIB), &settings, counted, &holder);
            assert_eq!(error.expect_err("it does not add up").what, what);
        }
    }
}
