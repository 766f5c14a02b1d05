//! A device's memory as snapshots and events draw it: segments, mapped addresses, and the blocks that callers have.
//!
//! Decides what stood before an event, given what stands after it, and which events cannot have led to it. Free blocks
//! are what is left between the others: neighbours that are both free are one.

use std::collections::BTreeMap;
use std::ops::Range;

use super::call_events::Left;
use crate::op::PoolKind;
use crate::op::snapshot::{BlockState, SegmentView};
use crate::op::trace::{Action, TraceEvent};
use crate::reference::{PoolId, Settings, rounding};

/// Why what stands cannot have come of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum Trouble {
    #[error("it gave {address:#x}, where no block is afterwards")]
    NoBlock { address: u64 },
    #[error("it freed {address:#x}, where a block is live afterwards")]
    StillLive { address: u64 },
    #[error("it freed {address:#x}, where nothing waits to be free afterwards")]
    NotWaiting { address: u64 },
    #[error("it gave back {address:#x}, where other memory stands afterwards")]
    Taken { address: u64 },
    #[error("it concerns {address:#x}, where no segment is")]
    NoSegment { address: u64 },
    #[error("it got {address:#x}, {bytes} B, and what stands there afterwards is not that")]
    OtherSegment { address: u64, bytes: u64 },
    #[error("segments or blocks overlap at {address:#x}")]
    Overlap { address: u64 },
}

/// Memory that was got from the driver: a segment, or a run of mapped addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ground {
    pub bytes: u64,
    pub stream: u64,
    pub kind: PoolKind,
    pub expandable: bool,
    /// Whose it is: an index into [`Shape::owners`].
    pub owner: usize,
}

/// A block that somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OwnedBlock {
    pub bytes: u64,
    pub requested: u64,
    /// Freed; other streams have still to finish with it.
    pub waits: bool,
    /// No event and no snapshot tells the size: `bytes` is the request, rounded.
    pub guessed: bool,
}

/// What stands at a moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    pub grounds: BTreeMap<u64, Ground>,
    pub blocks: BTreeMap<u64, OwnedBlock>,
    /// The private pool of each owner, where anything tells it.
    pub owners: Vec<Option<PoolId>>,
}

/// What is known of addresses without memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hint {
    pub stream: u64,
    /// Whether the pages there were of the small pool.
    pub kind: PoolKind,
    pub owner: Option<usize>,
}

/// Hints by address and by the position of the event that gives them; and which event is undone now.
#[derive(Debug, Clone, Default)]
pub(super) struct Hints {
    pub of: BTreeMap<(u64, usize), Hint>,
    pub now: usize,
}

/// Addresses as close as this are taken to be of one range, if they are of one stream.
const NEAR: u64 = 4 << 30;

impl Shape {
    /// What a snapshot shows of a device.
    pub fn of(segments: &[&SegmentView]) -> Result<Shape, Trouble> {
        let mut shape = Shape::default();
        for view in segments {
            let owner = shape.new_owner(Some(view.segment_pool_id));
            let (bytes, stream, kind) = (view.total_size, view.stream, view.segment_type);
            shape.stand(view.address, Ground { bytes, stream, kind, expandable: view.is_expandable, owner })?;
            for block in view.blocks.iter().filter(|b| b.state != BlockState::Inactive) {
                let (bytes, requested) = (block.size, block.requested_size);
                let waits = block.state == BlockState::ActivePendingFree;
                shape.hold(block.address, OwnedBlock { bytes, requested, waits, guessed: false })?;
            }
        }
        Ok(shape)
    }

    fn new_owner(&mut self, pool: Option<PoolId>) -> usize {
        self.owners.push(pool);
        self.owners.len() - 1
    }

    /// Memory held.
    pub fn reserved(&self) -> u64 {
        self.grounds.values().fold(0, |sum, ground| sum.saturating_add(ground.bytes))
    }

    /// The memory that an address lies in.
    pub fn ground(&self, address: u64) -> Option<(u64, Ground)> {
        let (&start, &ground) = self.grounds.range(..=address).next_back()?;
        (address - start < ground.bytes).then_some((start, ground))
    }

    fn is_bare(&self, range: &Range<u64>) -> bool {
        let below = self.grounds.range(..range.end).next_back();
        below.is_none_or(|(start, ground)| start.saturating_add(ground.bytes) <= range.start)
    }

    fn is_unheld(&self, range: &Range<u64>) -> bool {
        let below = self.blocks.range(..range.end).next_back();
        below.is_none_or(|(start, held)| start.saturating_add(held.bytes) <= range.start)
    }

    fn stand(&mut self, address: u64, ground: Ground) -> Result<(), Trouble> {
        let range = range_of(address, ground.bytes)?;
        if !self.is_bare(&range) {
            return Err(Trouble::Taken { address });
        }
        self.grounds.insert(address, ground);
        Ok(())
    }

    fn hold(&mut self, address: u64, held: OwnedBlock) -> Result<(), Trouble> {
        let range = range_of(address, held.bytes)?;
        let (start, ground) = self.ground(address).ok_or(Trouble::NoSegment { address })?;
        if !self.is_unheld(&range) || range.end - start > ground.bytes {
            return Err(Trouble::Overlap { address });
        }
        self.blocks.insert(address, held);
        Ok(())
    }

    /// What stood before an event; answers whose memory it was about.
    pub fn undo(
        &mut self,
        event: &TraceEvent,
        left: Left,
        settings: &Settings,
        hints: &Hints,
    ) -> Result<Option<usize>, Trouble> {
        let &TraceEvent { action, address, bytes, .. } = event;
        match action {
            Action::Alloc => {
                let held = self.blocks.remove(&address).ok_or(Trouble::NoBlock { address })?;
                if held.waits {
                    return Err(Trouble::NotWaiting { address });
                }
                self.end_of_left_neighbour(address);
            }
            Action::FreeRequested if left.completed => self.freed(address, bytes, false, settings)?,
            Action::FreeRequested => {
                let held = self.blocks.get_mut(&address).ok_or(Trouble::NotWaiting { address })?;
                if !std::mem::replace(&mut held.waits, false) {
                    return Err(Trouble::StillLive { address });
                }
            }
            Action::FreeCompleted => self.freed(address, bytes, !left.requested, settings)?,
            Action::SegmentAlloc => return self.not_got(address, bytes).map(Some),
            Action::SegmentFree => return self.not_given_back(event).map(Some),
            Action::SegmentMap => return self.not_mapped(address, bytes).map(Some),
            Action::SegmentUnmap => return self.not_unmapped(event, settings, hints).map(Some),
            Action::Oom | Action::Snapshot => return Ok(None),
        }
        Ok(self.ground(address).map(|(_, ground)| ground.owner))
    }

    /// A block was live, or waited, where it became free.
    fn freed(&mut self, address: u64, requested: u64, waits: bool, settings: &Settings) -> Result<(), Trouble> {
        let bytes = rounding::block_size(requested, settings).unwrap_or(requested);
        self.hold(address, OwnedBlock { bytes, requested, waits, guessed: true })
    }

    /// A request is given the front of a free block: the block before it ends where that one began.
    fn end_of_left_neighbour(&mut self, address: u64) {
        let ground = self.ground(address).map(|(start, _)| start);
        if let Some((&start, held)) = self.blocks.range_mut(..address).next_back()
            && held.guessed
            && ground.is_some_and(|ground| ground <= start)
        {
            (held.bytes, held.guessed) = (address - start, false);
        }
    }

    fn not_got(&mut self, address: u64, bytes: u64) -> Result<usize, Trouble> {
        let ground = self.grounds.get(&address).copied().filter(|g| !g.expandable && g.bytes == bytes);
        let ground = ground.ok_or(Trouble::OtherSegment { address, bytes })?;
        if !self.is_unheld(&range_of(address, bytes)?) {
            return Err(Trouble::Overlap { address });
        }
        self.grounds.remove(&address);
        Ok(ground.owner)
    }

    fn not_given_back(&mut self, event: &TraceEvent) -> Result<usize, Trouble> {
        let &TraceEvent { address, bytes, stream, .. } = event;
        let kind = if bytes == rounding::SMALL_SEGMENT { PoolKind::Small } else { PoolKind::Large };
        let owner = self.new_owner(None);
        self.stand(address, Ground { bytes, stream, kind, expandable: false, owner })?;
        Ok(owner)
    }

    fn not_mapped(&mut self, address: u64, bytes: u64) -> Result<usize, Trouble> {
        let range = range_of(address, bytes)?;
        let other = Trouble::OtherSegment { address, bytes };
        let (start, ground) = self.ground(address).filter(|(_, g)| g.expandable).ok_or(other)?;
        let end = start + ground.bytes;
        if range.end > end {
            return Err(other);
        }
        if !self.is_unheld(&range) {
            return Err(Trouble::Overlap { address });
        }
        self.grounds.remove(&start);
        if start < address {
            self.grounds.insert(start, Ground { bytes: address - start, ..ground });
        }
        if range.end < end {
            self.grounds.insert(range.end, Ground { bytes: end - range.end, ..ground });
        }
        Ok(ground.owner)
    }

    fn not_unmapped(&mut self, event: &TraceEvent, settings: &Settings, hints: &Hints) -> Result<usize, Trouble> {
        let &TraceEvent { address, bytes, stream, .. } = event;
        let range = range_of(address, bytes)?;
        let near = (address.saturating_sub(NEAR), 0)..(range.end.saturating_add(NEAR), 0);
        let near = hints.of.range(near).filter(|(_, hint)| hint.stream == stream);
        // What was there just before it was unmapped tells most: addresses are used again, by others too.
        let order = |found: &(&(u64, usize), &Hint)| {
            let &(there, when) = found.0;
            let inside = range.contains(&there);
            (!inside, when > hints.now, if inside { hints.now.abs_diff(when) as u64 } else { there.abs_diff(address) })
        };
        let found = near.min_by_key(order);
        let hint = found.map(|(_, hint)| *hint);
        let earlier = found.filter(|((_, when), _)| *when < hints.now).map(|(_, hint)| *hint);
        // The small pool's memory comes and goes in pages of 2 MiB, of which many together can pass for large ones.
        let touches = self.grounds.range(..address).next_back().filter(|(at, g)| **at + g.bytes == address);
        let touches = touches.map(|(_, g)| g).or(self.grounds.get(&range.end));
        let touches = touches.filter(|g| g.expandable && g.stream == stream).map(|g| g.kind);
        let kind = if bytes.is_multiple_of(settings.large_segment) {
            touches.or(earlier.map(|hint| hint.kind)).unwrap_or(PoolKind::Large)
        } else {
            PoolKind::Small
        };
        let alike = |ground: &Ground| ground.expandable && (ground.stream, ground.kind) == (stream, kind);
        let before = self.grounds.range(..address).next_back().map(|(&at, &ground)| (at, ground));
        let before = before.filter(|(at, ground)| at + ground.bytes == address && alike(ground));
        let after = self.grounds.get(&range.end).copied().filter(alike);
        let known = before.map(|(_, g)| g.owner).or(after.map(|g| g.owner)).or(hint.and_then(|hint| hint.owner));
        let owner = known.unwrap_or_else(|| self.new_owner(None));
        self.stand(address, Ground { bytes, stream, kind, expandable: true, owner })?;
        // Runs that touch are of one range of addresses, and so of one pool.
        for other in [after.map(|g| g.owner), before.map(|(_, g)| g.owner)].into_iter().flatten() {
            let known = self.owners[owner].or(self.owners[other]);
            (self.owners[owner], self.owners[other]) = (known, known);
        }
        let (mut start, mut whole) = (address, bytes);
        if let Some(after) = after {
            self.grounds.remove(&range.end);
            whole += after.bytes;
        }
        if let Some((at, before)) = before {
            self.grounds.remove(&address);
            (start, whole) = (at, whole + before.bytes);
        }
        self.grounds.insert(start, Ground { bytes: whole, stream, kind, expandable: true, owner });
        Ok(owner)
    }
}

fn range_of(address: u64, bytes: u64) -> Result<Range<u64>, Trouble> {
    let end = address.checked_add(bytes).filter(|_| bytes > 0);
    end.map(|end| address..end).ok_or(Trouble::Overlap { address })
}

#[cfg(test)]
mod tests {
    use super::super::guess::Guess;
    use super::*;

    const MIB: u64 = 1 << 20;
    const BOTH: Left = Left { requested: false, completed: false };

    fn event(action: Action, address: u64, bytes: u64) -> TraceEvent {
        TraceEvent { action, address, bytes, stream: 0 }
    }

    fn undone(shape: &mut Shape, action: Action, address: u64, bytes: u64) -> Result<Option<usize>, Trouble> {
        shape.undo(&event(action, address, bytes), BOTH, &Settings::default(), &Hints::default())
    }

    fn bare(bytes: u64) -> Shape {
        let mut shape = Shape::default();
        let owner = shape.new_owner(None);
        let ground = Ground { bytes, stream: 0, kind: PoolKind::Large, expandable: false, owner };
        shape.stand(0, ground).expect("nothing is there");
        shape
    }

    #[test]
    fn a_life_undone_leaves_nothing() {
        let mut shape = bare(20 * MIB);
        for (action, address, bytes) in [
            (Action::FreeCompleted, 4 * MIB, 3 * MIB),
            (Action::FreeRequested, 4 * MIB, 3 * MIB),
            (Action::FreeCompleted, 0, 4 * MIB),
            (Action::Alloc, 4 * MIB, 3 * MIB),
            (Action::FreeRequested, 0, 4 * MIB),
            (Action::Alloc, 0, 4 * MIB),
            (Action::SegmentAlloc, 0, 20 * MIB),
        ] {
            assert_eq!(
                undone(&mut shape, action, address, bytes),
                Ok((action != Action::Alloc || bytes > 0).then_some(0))
            );
        }
        assert_eq!((shape.grounds.len(), shape.blocks.len()), (0, 0));
    }

    #[test]
    fn a_block_ends_where_a_request_was_given_the_memory_behind_it() {
        let mut shape = bare(40 * MIB);
        let start = 3 * MIB + MIB / 2;
        assert!(undone(&mut shape, Action::FreeCompleted, 0, 3 * MIB).is_ok());
        shape
            .hold(start, OwnedBlock { bytes: 5 * MIB, requested: 5 * MIB, waits: false, guessed: false })
            .expect("it is free");
        assert!(undone(&mut shape, Action::Alloc, start, 5 * MIB).is_ok());
        assert_eq!(shape.blocks[&0], OwnedBlock { bytes: start, requested: 3 * MIB, waits: true, guessed: false });
    }

    #[test]
    fn a_rest_that_is_never_split_off_belongs_to_the_block() {
        let mut shape = bare(12 * MIB);
        assert!(undone(&mut shape, Action::FreeCompleted, 0, 11 * MIB).is_ok());
        assert_eq!(
            (shape.fit_guesses(&Settings::default(), &Guess::default(), 0), shape.blocks[&0].bytes),
            (0, 12 * MIB)
        );
        let mut shape = bare(13 * MIB);
        assert!(undone(&mut shape, Action::FreeCompleted, 0, 11 * MIB).is_ok());
        assert_eq!(
            (shape.fit_guesses(&Settings::default(), &Guess::default(), 0), shape.blocks[&0].bytes),
            (1, 11 * MIB)
        );
    }

    #[test]
    fn what_cannot_have_happened_is_told() {
        let trouble =
            |action, address, bytes| undone(&mut bare(20 * MIB), action, address, bytes).expect_err("it is told");
        assert_eq!(trouble(Action::Alloc, 0, 512), Trouble::NoBlock { address: 0 });
        assert_eq!(trouble(Action::FreeRequested, 0, 512), Trouble::NotWaiting { address: 0 });
        assert_eq!(trouble(Action::FreeCompleted, 21 * MIB, 512), Trouble::NoSegment { address: 21 * MIB });
        assert_eq!(trouble(Action::SegmentFree, 10 * MIB, 20 * MIB), Trouble::Taken { address: 10 * MIB });
        let bytes = 10 * MIB;
        assert_eq!(trouble(Action::SegmentAlloc, 0, bytes), Trouble::OtherSegment { address: 0, bytes });
        assert_eq!(trouble(Action::SegmentFree, u64::MAX, 512), Trouble::Overlap { address: u64::MAX });
    }
}
