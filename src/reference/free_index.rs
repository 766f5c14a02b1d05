//! Free blocks in best-fit order: by stream, then size, then address.
//!
//! Sizes are multiples of 512 B, so each up to `LARGEST` has a class of its own, and a bitmap in three levels
//! finds the next class that holds a block. A class holds few blocks, sorted by address; one that holds
//! many, and all larger sizes, are sorted lists. A steady life of requests and frees never touches the heap.

use super::block::Slot;
use super::ordered::{Entry, Ordered};
use crate::device::StreamHandle;

/// The order in which free blocks are searched: stream, then size, then address.
pub(super) type FreeKey = (StreamHandle, u64, u64);

const GRANULE: u64 = 512;
/// Sizes below this have a class each.
const LARGEST: u64 = 16 << 20;
const CLASSES: usize = (LARGEST / GRANULE) as usize;

/// Which classes hold a block: a bit each, a bit for each word of those, a bit for each word of these.
#[derive(Debug, Clone)]
struct Bitmap {
    classes: Vec<u64>,
    words: [u64; CLASSES / 64 / 64],
    top: u64,
}

impl Bitmap {
    fn new() -> Self {
        Bitmap { classes: vec![0; CLASSES / 64], words: [0; CLASSES / 64 / 64], top: 0 }
    }

    fn set(&mut self, class: usize) {
        self.classes[class >> 6] |= 1 << (class & 63);
        self.words[class >> 12] |= 1 << (class >> 6 & 63);
        self.top |= 1 << (class >> 12);
    }

    fn clear(&mut self, class: usize) {
        self.classes[class >> 6] &= !(1 << (class & 63));
        if self.classes[class >> 6] == 0 {
            self.words[class >> 12] &= !(1 << (class >> 6 & 63));
            if self.words[class >> 12] == 0 {
                self.top &= !(1 << (class >> 12));
            }
        }
    }

    /// The first class that holds a block, from `class` on.
    fn from(&self, class: usize) -> Option<usize> {
        if class >= CLASSES {
            return None;
        }
        let here = self.classes[class >> 6] & (!0 << (class & 63));
        if here != 0 {
            return Some(class & !63 | here.trailing_zeros() as usize);
        }
        let word = (class >> 6) + 1;
        let beside = self.words.get(word >> 6).map_or(0, |w| w & (!0 << (word & 63)));
        let word = if beside != 0 {
            word & !63 | beside.trailing_zeros() as usize
        } else {
            let group = (word >> 6) + 1;
            let above = if group < 64 { self.top & (!0 << group) } else { 0 };
            if above == 0 {
                return None;
            }
            let group = above.trailing_zeros() as usize;
            group << 6 | self.words[group].trailing_zeros() as usize
        };
        Some(word << 6 | self.classes[word].trailing_zeros() as usize)
    }

    /// The last class below `class` that holds a block.
    fn below(&self, class: usize) -> Option<usize> {
        let class = class.min(CLASSES);
        let here = if class & 63 == 0 { 0 } else { self.classes[class >> 6] & !(!0 << (class & 63)) };
        if here != 0 {
            return Some(class & !63 | here.ilog2() as usize);
        }
        let word = self.classes[..class >> 6].iter().rposition(|&w| w != 0)?;
        Some(word << 6 | self.classes[word].ilog2() as usize)
    }
}

/// How many blocks of one size are kept without a sorted list; at half of it a list is given up again.
const FEW: usize = 12;

/// The blocks of one class.
#[derive(Debug, Clone)]
enum Class {
    Few { length: usize, addresses: [u64; FEW], slots: [Slot; FEW] },
    Many(Ordered),
}

impl Class {
    const EMPTY: Class = Class::Few { length: 0, addresses: [0; FEW], slots: [Slot::FIRST; FEW] };

    fn insert(&mut self, entry: Entry, spare: &mut Vec<Ordered>) {
        match self {
            Class::Many(ordered) => ordered.insert(entry),
            Class::Few { length, addresses, slots } if *length < FEW => {
                let mut place = *length;
                while place > 0 && addresses[place - 1] > entry.1 {
                    addresses[place] = addresses[place - 1];
                    slots[place] = slots[place - 1];
                    place -= 1;
                }
                addresses[place] = entry.1;
                slots[place] = entry.2;
                *length += 1;
            }
            Class::Few { addresses, slots, .. } => {
                let mut ordered = spare.pop().unwrap_or_default();
                addresses
                    .iter()
                    .zip(slots.iter())
                    .for_each(|(&address, &slot)| ordered.insert((entry.0, address, slot)));
                ordered.insert(entry);
                *self = Class::Many(ordered);
            }
        }
    }

    /// Takes a block out; answers whether none is left.
    fn remove(&mut self, key: (u64, u64), spare: &mut Vec<Ordered>) -> bool {
        match self {
            Class::Many(ordered) => {
                ordered.remove(key);
                if ordered.length() <= FEW / 2 {
                    let mut few = Class::EMPTY;
                    while let Some(entry) = ordered.at_or_after((0, 0)) {
                        ordered.remove((entry.0, entry.1));
                        few.insert(entry, spare);
                    }
                    if let Class::Many(emptied) = std::mem::replace(self, few) {
                        spare.push(emptied);
                    }
                }
                false
            }
            Class::Few { length, addresses, slots } => {
                if let Some(place) = addresses[..*length].iter().position(|&a| a == key.1) {
                    *length -= 1;
                    for at in place..*length {
                        addresses[at] = addresses[at + 1];
                        slots[at] = slots[at + 1];
                    }
                }
                *length == 0
            }
        }
    }

    fn at_or_after(&self, key: (u64, u64)) -> Option<Entry> {
        match self {
            Class::Many(ordered) => ordered.at_or_after(key),
            Class::Few { length, addresses, slots } => {
                let place = addresses[..*length].iter().position(|&a| a >= key.1)?;
                Some((key.0, addresses[place], slots[place]))
            }
        }
    }

    fn before(&self, key: (u64, u64)) -> Option<Entry> {
        match self {
            Class::Many(ordered) => ordered.before(key),
            Class::Few { length, addresses, slots } => {
                let place = addresses[..*length].iter().rposition(|&a| a < key.1)?;
                Some((key.0, addresses[place], slots[place]))
            }
        }
    }
}

/// The free blocks of one stream.
#[derive(Debug, Clone)]
struct Stream {
    handle: StreamHandle,
    bitmap: Bitmap,
    /// By class: 0 for one that was never used, else one more than its place among the lists.
    places: Vec<u16>,
    lists: Vec<Class>,
    /// Places of lists whose class is empty.
    vacant: Vec<u16>,
    /// Sorted lists that were given up.
    spare: Vec<Ordered>,
    /// Sizes of `LARGEST` and more.
    large: Ordered,
}

impl Stream {
    fn new(handle: StreamHandle) -> Self {
        Stream {
            handle,
            bitmap: Bitmap::new(),
            places: vec![0; CLASSES],
            lists: Vec::new(),
            vacant: Vec::new(),
            spare: Vec::new(),
            large: Ordered::default(),
        }
    }

    fn class_of(size: u64) -> usize {
        usize::try_from(size.div_ceil(GRANULE)).unwrap_or(usize::MAX)
    }

    fn list(&self, class: usize) -> &Class {
        &self.lists[self.places[class] as usize - 1]
    }

    fn insert(&mut self, entry: Entry) {
        if entry.0 >= LARGEST {
            return self.large.insert(entry);
        }
        let class = Stream::class_of(entry.0);
        if self.places[class] == 0 {
            self.places[class] = self.vacant.pop().unwrap_or_else(|| {
                self.lists.push(Class::EMPTY);
                u16::try_from(self.lists.len()).unwrap_or(u16::MAX) // there are fewer classes
            });
            self.bitmap.set(class);
        }
        self.lists[self.places[class] as usize - 1].insert(entry, &mut self.spare);
    }

    fn remove(&mut self, key: (u64, u64)) {
        if key.0 >= LARGEST {
            return self.large.remove(key);
        }
        let class = Stream::class_of(key.0);
        let place = self.places[class];
        if place != 0 && self.lists[place as usize - 1].remove(key, &mut self.spare) {
            self.bitmap.clear(class);
            self.places[class] = 0;
            self.vacant.push(place);
        }
    }

    /// The first block not below (size, address).
    fn at_or_after(&self, key: (u64, u64)) -> Option<Entry> {
        let class = Stream::class_of(key.0);
        let Some(found) = self.bitmap.from(class) else {
            return self.large.at_or_after(key);
        };
        if found > class {
            return self.list(found).at_or_after((found as u64 * GRANULE, 0));
        }
        let here = self.list(class).at_or_after((class as u64 * GRANULE, key.1));
        here.or_else(|| self.at_or_after((class as u64 * GRANULE + 1, 0)))
    }

    /// The last block below (size, address).
    fn before(&self, key: (u64, u64)) -> Option<Entry> {
        if key.0 >= LARGEST
            && let Some(found) = self.large.before(key)
        {
            return Some(found);
        }
        let class = Stream::class_of(key.0).min(CLASSES);
        let here = self.places.get(class).filter(|&&p| p != 0).and_then(|_| self.list(class).before(key));
        here.or_else(|| {
            let found = self.bitmap.below(class)?;
            self.list(found).before((found as u64 * GRANULE, u64::MAX))
        })
    }
}

/// The free blocks of a pool.
#[derive(Debug, Default, Clone)]
pub(super) struct FreeIndex {
    /// By stream handle.
    streams: Vec<Stream>,
}

impl FreeIndex {
    fn of(&self, stream: StreamHandle) -> Option<&Stream> {
        self.streams.iter().find(|s| s.handle == stream)
    }

    pub fn insert(&mut self, key: FreeKey, slot: Slot) {
        let entry = (key.1, key.2, slot);
        if let Some(stream) = self.streams.iter_mut().find(|s| s.handle == key.0) {
            return stream.insert(entry);
        }
        let place = self.streams.partition_point(|s| s.handle < key.0);
        self.streams.insert(place, Stream::new(key.0));
        self.streams[place].insert(entry);
    }

    /// Takes a block out; nothing happens if it is not there.
    pub fn remove(&mut self, key: &FreeKey) {
        if let Some(stream) = self.streams.iter_mut().find(|s| s.handle == key.0) {
            stream.remove((key.1, key.2));
        }
    }

    /// The smallest block of a stream that holds `size`; of several the one at the lowest address.
    pub fn first_fit(&self, stream: StreamHandle, size: u64) -> Option<(FreeKey, Slot)> {
        let (size, address, slot) = self.of(stream)?.at_or_after((size, 0))?;
        Some(((stream, size, address), slot))
    }

    /// Blocks of the key's stream from the key on, in order.
    pub fn from(&self, key: FreeKey) -> impl Iterator<Item = (FreeKey, Slot)> + '_ {
        let stream = self.of(key.0);
        let first = stream.and_then(|s| s.at_or_after((key.1, key.2)));
        let entries = std::iter::successors(first, move |e| stream?.at_or_after((e.0, e.1 + 1)));
        entries.map(move |(size, address, slot)| ((key.0, size, address), slot))
    }

    /// Blocks of the key's stream below the key, the largest first.
    pub fn below_in_reverse(&self, key: FreeKey) -> impl Iterator<Item = (FreeKey, Slot)> + '_ {
        let stream = self.of(key.0);
        let first = stream.and_then(|s| s.before((key.1, key.2)));
        let entries = std::iter::successors(first, move |e| stream?.before((e.0, e.1)));
        entries.map(move |(size, address, slot)| ((key.0, size, address), slot))
    }

    /// Every block in order.
    pub fn iter(&self) -> impl Iterator<Item = (FreeKey, Slot)> + '_ {
        self.streams.iter().flat_map(|s| self.from((s.handle, 0, 0)))
    }

    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.iter().map(|(_, slot)| slot)
    }
}
