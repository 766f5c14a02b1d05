//! Free blocks in best-fit order: by stream, then size, then address, or the age of their segment before that.
//!
//! Sizes fall into classes, one for each multiple of 512 B up to 128 KiB and 128 for each power of two above, and a
//! bitmap finds the next class that holds a block. The few blocks of a class are linked through the blocks
//! themselves, in order; a class that holds many is a sorted list. A steady life never touches the heap.

use super::bitmap::Bitmap;
use super::block::{Arena, Slot};
use super::ordered::Ordered;
use crate::device::StreamHandle;

/// Blocks are multiples of 512 B.
const GRANULE_BITS: u32 = 9;
/// There are two to the power of this many classes for each power of two.
const STEPS: u32 = 7;
/// The last class takes all that is larger: 127.5 TiB and more.
pub(super) const CLASSES: usize = 38 << STEPS;

/// How many blocks of a class are linked; at half of it a sorted list is given up again.
const FEW: u16 = 28;

/// The class of a size: never lower for a larger one. The leading bits of a float are what is wanted, with no branch.
#[inline]
#[expect(clippy::cast_precision_loss, reason = "only the order of magnitude counts")]
fn class_of(size: u64) -> usize {
    const ONE: u64 = 1_f64.to_bits() >> (f64::MANTISSA_DIGITS - 1 - STEPS);
    let granules = (size >> GRANULE_BITS).cast_signed() as f64;
    let leading = granules.to_bits() >> (f64::MANTISSA_DIGITS - 1 - STEPS);
    (leading.saturating_sub(ONE) as usize).min(CLASSES - 1)
}

fn key(arena: &Arena, slot: Slot) -> (u64, u64) {
    (arena[slot].size, arena.rank(slot))
}

/// The blocks of one size class.
#[derive(Debug, Clone, Copy, Default)]
struct Class {
    /// The first of the linked ones.
    head: Option<Slot>,
    /// How many are linked.
    length: u16,
    /// The place of its sorted list, counted from 1; 0 while the blocks are linked.
    sorted: u16,
}

/// The free blocks of one stream.
#[derive(Debug, Clone)]
struct Stream {
    handle: StreamHandle,
    held: Bitmap,
    classes: Vec<Class>,
    sorted: Vec<Ordered>,
    /// Places of sorted lists that were given up.
    spare: Vec<u16>,
}

impl Stream {
    fn new(handle: StreamHandle) -> Self {
        Stream {
            handle,
            held: Bitmap::new(),
            classes: vec![Class::default(); CLASSES],
            sorted: Vec::new(),
            spare: Vec::new(),
        }
    }

    #[inline(always)]
    fn insert(&mut self, arena: &mut Arena, slot: Slot) {
        let number = class_of(arena[slot].size);
        let class = &mut self.classes[number];
        if class.length == 0 && class.sorted == 0 {
            *class = Class { head: Some(slot), length: 1, sorted: 0 };
            let block = &mut arena[slot];
            (block.prev_free, block.next_free) = (None, None);
            self.held.insert(number);
        } else {
            self.insert_beside(arena, slot, number);
        }
    }

    /// Inserts into a class that holds blocks.
    #[inline(never)]
    fn insert_beside(&mut self, arena: &mut Arena, slot: Slot, number: usize) {
        let class = &mut self.classes[number];
        if class.length == FEW {
            self.sort(arena, number);
        }
        let class = &mut self.classes[number];
        let new = key(arena, slot);
        if class.sorted != 0 {
            return self.sorted[usize::from(class.sorted) - 1].insert((new.0, new.1, slot));
        }
        let (mut before, mut after) = (None, class.head);
        while let Some(at) = after.filter(|&at| key(arena, at) < new) {
            (before, after) = (after, arena[at].next_free);
        }
        (arena[slot].prev_free, arena[slot].next_free) = (before, after);
        match before {
            Some(before) => arena[before].next_free = Some(slot),
            None => class.head = Some(slot),
        }
        if let Some(after) = after {
            arena[after].prev_free = Some(slot);
        }
        class.length += 1;
    }

    /// Makes a sorted list of the linked blocks of a class.
    fn sort(&mut self, arena: &Arena, number: usize) {
        let place = self.spare.pop().unwrap_or_else(|| {
            self.sorted.push(Ordered::default());
            u16::try_from(self.sorted.len()).expect("there are fewer classes")
        });
        let list = &mut self.sorted[usize::from(place) - 1];
        let class = &mut self.classes[number];
        let linked = std::iter::successors(class.head, |&at| arena[at].next_free);
        linked.for_each(|at| list.insert((arena[at].size, arena.rank(at), at)));
        *class = Class { head: None, length: 0, sorted: place };
    }

    #[inline(always)]
    fn remove(&mut self, arena: &mut Arena, slot: Slot) {
        let block = &arena[slot];
        let number = class_of(block.size);
        let (before, after) = (block.prev_free, block.next_free);
        let class = &mut self.classes[number];
        if class.sorted != 0 {
            return self.remove_sorted(arena, slot, number);
        }
        match before {
            Some(before) => arena[before].next_free = after,
            None => class.head = after,
        }
        if let Some(after) = after {
            arena[after].prev_free = before;
        }
        class.length -= 1;
        if class.length == 0 {
            self.held.remove(number);
        }
    }

    #[cold]
    fn remove_sorted(&mut self, arena: &mut Arena, slot: Slot, number: usize) {
        let place = self.classes[number].sorted;
        let list = &mut self.sorted[usize::from(place) - 1];
        list.remove(key(arena, slot));
        if list.length() > usize::from(FEW / 2) {
            return;
        }
        let class = &mut self.classes[number];
        *class = Class::default();
        let mut last = None;
        while let Some(entry) = list.first() {
            list.remove((entry.0, entry.1));
            (arena[entry.2].prev_free, arena[entry.2].next_free) = (last, None);
            match last {
                Some(last) => arena[last].next_free = Some(entry.2),
                None => class.head = Some(entry.2),
            }
            last = Some(entry.2);
            class.length += 1;
        }
        self.spare.push(place);
    }

    /// The first block of a class not below (size, address).
    #[inline(never)]
    fn in_class(&self, arena: &Arena, number: usize, least: (u64, u64)) -> Option<Slot> {
        let class = &self.classes[number];
        if class.sorted != 0 {
            let sorted = &self.sorted[usize::from(class.sorted) - 1];
            let first = sorted.first()?;
            let found = if (first.0, first.1) >= least { Some(first) } else { sorted.at_or_after(least) };
            return found.map(|e| e.2);
        }
        let mut at = class.head;
        while let Some(slot) = at {
            if key(arena, slot) >= least {
                break;
            }
            at = arena[slot].next_free;
        }
        at
    }

    /// The first block not below (size, address).
    #[inline(always)]
    fn at_or_after(&self, arena: &Arena, least: (u64, u64)) -> Option<Slot> {
        let own = class_of(least.0);
        let mut number = self.held.from(own)?;
        if number == own {
            if let Some(found) = self.in_class(arena, own, least) {
                return Some(found);
            }
            number = self.held.from(own + 1)?;
        }
        let class = &self.classes[number];
        if class.sorted == 0 { class.head } else { self.in_class(arena, number, (0, 0)) }
    }

    /// The last block below (size, address).
    fn before(&self, arena: &Arena, bound: (u64, u64)) -> Option<Slot> {
        let own = class_of(bound.0);
        self.last_in_class(arena, own, bound).or_else(|| {
            let number = self.held.below(own)?;
            self.last_in_class(arena, number, bound)
        })
    }

    fn last_in_class(&self, arena: &Arena, number: usize, bound: (u64, u64)) -> Option<Slot> {
        let class = &self.classes[number];
        if class.sorted != 0 {
            return self.sorted[usize::from(class.sorted) - 1].before(bound).map(|e| e.2);
        }
        let linked = std::iter::successors(class.head, |&at| arena[at].next_free);
        linked.take_while(|&at| key(arena, at) < bound).last()
    }
}

/// The free blocks of a pool. A block must be taken out before its size or address changes.
#[derive(Debug, Default, Clone)]
pub(super) struct FreeIndex {
    /// By stream handle.
    streams: Vec<Stream>,
    /// Of all blocks together.
    bytes: u64,
}

impl FreeIndex {
    /// How many bytes its blocks have together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn of(&self, stream: StreamHandle) -> Option<&Stream> {
        self.streams.iter().find(|s| s.handle == stream)
    }

    #[inline(always)]
    pub fn insert(&mut self, arena: &mut Arena, slot: Slot) {
        let handle = arena[slot].stream;
        let known = self.streams.iter().position(|s| s.handle == handle);
        let place = known.unwrap_or_else(|| {
            let place = self.streams.partition_point(|s| s.handle < handle);
            self.streams.insert(place, Stream::new(handle));
            place
        });
        self.bytes += arena[slot].size;
        self.streams[place].insert(arena, slot);
    }

    /// Takes a block out that is in it.
    #[inline(always)]
    pub fn remove(&mut self, arena: &mut Arena, slot: Slot) {
        let handle = arena[slot].stream;
        if let Some(stream) = self.streams.iter_mut().find(|s| s.handle == handle) {
            self.bytes -= arena[slot].size;
            stream.remove(arena, slot);
        }
    }

    /// The smallest block of a stream that holds `size`; of several the one at the lowest address.
    #[inline(always)]
    pub fn first_fit(&self, arena: &Arena, stream: StreamHandle, size: u64) -> Option<Slot> {
        self.of(stream)?.at_or_after(arena, (size, 0))
    }

    /// Blocks of a stream from (size, address) on, in order.
    pub fn from<'a>(
        &'a self,
        arena: &'a Arena,
        stream: StreamHandle,
        least: (u64, u64),
    ) -> impl Iterator<Item = Slot> + 'a {
        let stream = self.of(stream);
        let first = stream.and_then(|s| s.at_or_after(arena, least));
        std::iter::successors(first, move |&slot| {
            let (size, address) = key(arena, slot);
            stream?.at_or_after(arena, (size, address + 1))
        })
    }

    /// Blocks of a stream below (size, address), the largest first.
    pub fn below_in_reverse<'a>(
        &'a self,
        arena: &'a Arena,
        stream: StreamHandle,
        bound: (u64, u64),
    ) -> impl Iterator<Item = Slot> + 'a {
        let stream = self.of(stream);
        let first = stream.and_then(|s| s.before(arena, bound));
        std::iter::successors(first, move |&slot| stream?.before(arena, key(arena, slot)))
    }

    /// Every block in order.
    pub fn slots<'a>(&'a self, arena: &'a Arena) -> impl Iterator<Item = Slot> + 'a {
        self.streams.iter().flat_map(move |s| self.from(arena, s.handle, (0, 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Block;

    #[test]
    fn sizes_fall_into_classes_as_fine_as_promised() {
        assert_eq!((class_of(0), class_of(512)), (0, 0));
        let granules: Vec<usize> = (1..=256).map(|n| class_of(n * 512)).collect();
        assert!(granules.windows(2).all(|pair| pair[0] < pair[1]), "one for each multiple of 512 B: {granules:?}");
        for power in 17..46 {
            let steps: Vec<usize> =
                (0..=128_u64).map(|step| class_of((1 << power) + step * (1 << (power - 7)))).collect();
            assert!(steps.windows(2).all(|pair| pair[0] + 1 == pair[1]), "128 from 2^{power} on: {steps:?}");
        }
        let last = (127 << 40) + (1 << 39);
        assert_eq!([last - 512, last, u64::MAX].map(class_of), [CLASSES - 2, CLASSES - 1, CLASSES - 1]);
    }

    #[test]
    fn a_class_is_sorted_when_it_holds_many_and_linked_again_at_half_of_that() {
        let (mut arena, mut stream) = (Arena::default(), Stream::new(StreamHandle(0)));
        let slots: Vec<Slot> =
            (0..=u64::from(FEW)).map(|n| arena.insert(Block::whole(n * 512, 512, StreamHandle(0), 0))).collect();
        let class = |stream: &Stream| (stream.classes[class_of(512)].length, stream.classes[class_of(512)].sorted != 0);
        for (held, &slot) in (1..).zip(&slots) {
            stream.insert(&mut arena, slot);
            assert_eq!(class(&stream), if held <= FEW { (held, false) } else { (0, true) });
        }
        for (held, &slot) in (0..FEW + 1).rev().zip(&slots) {
            stream.remove(&mut arena, slot);
            assert_eq!(class(&stream), if held <= FEW / 2 { (held, false) } else { (0, true) });
        }
        assert!(stream.held.from(0).is_none());
    }
}
