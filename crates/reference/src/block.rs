//! Blocks and where they are kept: an arena with reused slots, so that the hit path never touches the heap.

use std::num::NonZeroU32;

use crate::device::StreamHandle;

/// A block by its place in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(NonZeroU32);

impl Slot {
    /// Below every other: where a range over slots begins.
    pub const FIRST: Slot = Slot(NonZeroU32::MIN);

    /// Slots count from 1, so that a neighbour that may be missing takes no more room.
    #[inline]
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// What a block is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its caller holds it.
    Allocated,
    /// Freed by its caller; recorded streams may still use it.
    Pending,
    /// In its pool's free set (if mapped) or in its unmapped set.
    Free,
}

/// A contiguous part of a segment. It fills a cache line, and lies in one.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Block {
    pub address: u64,
    pub size: u64,
    /// The unrounded request; stale in a free block, as in PyTorch.
    pub requested: u64,
    pub stream: StreamHandle,
    /// The pool's search counter when the block was put into the free set.
    pub searches_at_free: u32,
    /// Neighbours within the segment, by address.
    pub prev: Option<Slot>,
    pub next: Option<Slot>,
    /// Neighbours in its free set, while it is in one and few blocks are of its size.
    pub prev_free: Option<Slot>,
    pub next_free: Option<Slot>,
    /// Events that must pass before a pending block is free.
    pub events: u32,
    pub pool: u16,
    pub state: State,
    /// Memory is behind it. Never false outside expandable segments.
    pub mapped: bool,
    pub expandable: bool,
    /// Streams are recorded on it (the list is beside the arena: few blocks have one).
    pub recorded: bool,
}

impl Block {
    /// The free block that a new segment is, in no set yet.
    pub fn whole(address: u64, size: u64, stream: StreamHandle, pool: u16) -> Self {
        Block {
            address,
            size,
            requested: 0,
            stream,
            searches_at_free: 0,
            prev: None,
            next: None,
            prev_free: None,
            next_free: None,
            events: 0,
            pool,
            state: State::Free,
            mapped: true,
            expandable: false,
            recorded: false,
        }
    }

    /// Part of a segment that holds other blocks too.
    pub fn is_split(&self) -> bool {
        self.prev.is_some() || self.next.is_some()
    }
}

const _: () = assert!(size_of::<Block>() == 64);

/// Bits of an address that tell blocks of one segment apart.
const OFFSET_BITS: u32 = 44;

/// All blocks of a device.
#[derive(Debug, Default, Clone)]
pub(super) struct Arena {
    blocks: Vec<Block>,
    vacant: Vec<Slot>,
    ages: Option<Ages>,
}

/// What free blocks of one size are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Where they are.
    Address,
    /// When PyTorch made the object that the block is: of a block that is cut, the tail stays the old object.
    Object,
    /// When their segment was made, and then where they are.
    Segment,
}

/// When each block's object or segment was made: the lower the earlier.
#[derive(Debug, Clone)]
struct Ages {
    of: Vec<u32>,
    latest: u32,
    of_objects: bool,
}

impl Ages {
    fn next(&mut self) -> u32 {
        self.latest += 1;
        self.latest
    }
}

impl Arena {
    /// Has free blocks of one size come in that order. Before the first block.
    pub fn order_by(&mut self, order: Order) {
        let of_objects = order == Order::Object;
        self.ages = (order != Order::Address).then(|| Ages { of: Vec::new(), latest: 0, of_objects });
    }

    /// What blocks of one size are ordered by.
    #[inline]
    pub fn rank(&self, slot: Slot) -> u64 {
        let address = self[slot].address;
        match &self.ages {
            None => address,
            Some(ages) => u64::from(ages.of[slot.index()]) << OFFSET_BITS | address & ((1 << OFFSET_BITS) - 1),
        }
    }

    /// A block without neighbours is a segment.
    pub fn insert(&mut self, block: Block) -> Slot {
        let slot = self.put(block);
        let neighbour = block.prev.or(block.next);
        if let Some(ages) = &mut self.ages {
            ages.of.resize(self.blocks.len(), 0);
            ages.of[slot.index()] = match neighbour.filter(|_| !ages.of_objects) {
                Some(neighbour) => ages.of[neighbour.index()],
                None => ages.next(),
            };
        }
        slot
    }

    fn put(&mut self, block: Block) -> Slot {
        if let Some(slot) = self.vacant.pop() {
            self[slot] = block;
            return slot;
        }
        self.blocks.push(block);
        let count = u32::try_from(self.blocks.len()).ok().and_then(NonZeroU32::new);
        Slot(count.expect("four billion blocks do not fit in memory, and one was just added"))
    }

    /// A copy of a block in a slot of its own.
    #[inline]
    pub fn duplicate(&mut self, slot: Slot) -> Slot {
        if let Some(copy) = self.vacant.pop() {
            self.blocks.copy_within(slot.index()..=slot.index(), copy.index());
            self.inherit(copy, slot);
            return copy;
        }
        let copy = self.put(self[slot]);
        self.inherit(copy, slot);
        copy
    }

    #[inline]
    fn inherit(&mut self, copy: Slot, slot: Slot) {
        if let Some(ages) = &mut self.ages {
            ages.of.resize(self.blocks.len(), 0);
            ages.of[copy.index()] = ages.of[slot.index()];
            if ages.of_objects {
                ages.of[slot.index()] = ages.next();
            }
        }
    }

    pub fn remove(&mut self, slot: Slot) {
        self.vacant.push(slot);
    }
}

impl std::ops::Index<Slot> for Arena {
    type Output = Block;

    #[inline]
    fn index(&self, slot: Slot) -> &Block {
        &self.blocks[slot.index()]
    }
}

impl std::ops::IndexMut<Slot> for Arena {
    #[inline]
    fn index_mut(&mut self, slot: Slot) -> &mut Block {
        &mut self.blocks[slot.index()]
    }
}
