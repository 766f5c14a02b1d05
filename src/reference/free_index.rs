//! Free blocks in best-fit order: by stream, then size, then address.
//!
//! Two levels: short sorted chunks, and a sorted list of them. Searching is two binary searches; inserting
//! and removing move a few hundred bytes. Chunks are kept and reused, so that a steady life of requests
//! and frees never touches the heap.

use super::block::Slot;
use crate::device::StreamHandle;

/// The order in which free blocks are searched: stream, then size, then address.
pub(super) type FreeKey = (StreamHandle, u64, u64);

const CHUNK: usize = 64;

/// Size, address and slot of a free block.
type Entry = (u64, u64, Slot);

#[derive(Debug, Clone)]
struct Chunk {
    length: usize,
    entries: [Entry; CHUNK],
}

impl Chunk {
    fn entries(&self) -> &[Entry] {
        &self.entries[..self.length]
    }

    /// The number of entries below (size, address).
    fn below(&self, key: (u64, u64)) -> usize {
        self.entries().partition_point(|e| (e.0, e.1) < key)
    }
}

/// The free blocks of one stream.
#[derive(Debug, Default, Clone)]
struct Ordered {
    /// First entry's size and address of each chunk in order, and where the chunk is. Chunks are never empty.
    index: Vec<(u64, u64, u32)>,
    chunks: Vec<Chunk>,
    vacant: Vec<u32>,
}

impl Ordered {
    /// The position (in the index, in the chunk) of the first entry not below the key; past the end of
    /// its chunk if that is where the key would go.
    fn seek(&self, key: (u64, u64)) -> Option<(usize, usize)> {
        let at = self.index.partition_point(|&(size, address, _)| (size, address) <= key).saturating_sub(1);
        let &(_, _, chunk) = self.index.get(at)?;
        Some((at, self.chunks[chunk as usize].below(key)))
    }

    fn chunk(&self, at: usize) -> &Chunk {
        &self.chunks[self.index[at].2 as usize]
    }

    fn new_chunk(&mut self) -> u32 {
        self.vacant.pop().unwrap_or_else(|| {
            self.chunks.push(Chunk { length: 0, entries: [(0, 0, Slot::FIRST); CHUNK] });
            u32::try_from(self.chunks.len() - 1).expect("four billion chunks do not fit in memory")
        })
    }

    fn insert(&mut self, entry: Entry) {
        let Some((mut at, mut place)) = self.seek((entry.0, entry.1)) else {
            let chunk = self.new_chunk();
            self.chunks[chunk as usize].length = 1;
            self.chunks[chunk as usize].entries[0] = entry;
            self.index.push((entry.0, entry.1, chunk));
            return;
        };
        if self.chunk(at).length == CHUNK {
            self.halve(at);
            if place > CHUNK / 2 {
                at += 1;
                place -= CHUNK / 2;
            }
        }
        let chunk = &mut self.chunks[self.index[at].2 as usize];
        chunk.entries.copy_within(place..chunk.length, place + 1);
        chunk.entries[place] = entry;
        chunk.length += 1;
        if place == 0 {
            (self.index[at].0, self.index[at].1) = (entry.0, entry.1);
        }
    }

    /// Moves the upper half of a full chunk to a new one right after it.
    fn halve(&mut self, at: usize) {
        let new = self.new_chunk();
        let full = &mut self.chunks[self.index[at].2 as usize];
        full.length = CHUNK / 2;
        let upper: [Entry; CHUNK] = full.entries;
        let chunk = &mut self.chunks[new as usize];
        chunk.entries[..CHUNK / 2].copy_from_slice(&upper[CHUNK / 2..]);
        chunk.length = CHUNK / 2;
        let first = chunk.entries[0];
        self.index.insert(at + 1, (first.0, first.1, new));
    }

    fn remove_at(&mut self, at: usize, place: usize) {
        let name = self.index[at].2;
        let chunk = &mut self.chunks[name as usize];
        chunk.entries.copy_within(place + 1..chunk.length, place);
        chunk.length -= 1;
        if chunk.length == 0 {
            self.index.remove(at);
            self.vacant.push(name);
        } else if place == 0 {
            let first = chunk.entries[0];
            (self.index[at].0, self.index[at].1) = (first.0, first.1);
        }
    }

    fn from(&self, key: (u64, u64)) -> impl Iterator<Item = Entry> + '_ {
        let (at, place) = self.seek(key).unwrap_or((0, 0));
        let first = self.index.get(at).map_or(&[][..], |_| &self.chunk(at).entries()[place..]);
        let rest = (at + 1..self.index.len()).flat_map(|i| self.chunk(i).entries());
        first.iter().chain(rest).copied()
    }

    fn below_in_reverse(&self, key: (u64, u64)) -> impl Iterator<Item = Entry> + '_ {
        let (at, place) = self.seek(key).unwrap_or((0, 0));
        let last = self.index.get(at).map_or(&[][..], |_| &self.chunk(at).entries()[..place]);
        let before = (0..at.min(self.index.len())).rev().flat_map(|i| self.chunk(i).entries().iter().rev());
        last.iter().rev().chain(before).copied()
    }
}

/// The free blocks of a pool.
#[derive(Debug, Default, Clone)]
pub(super) struct FreeIndex {
    /// By stream handle.
    streams: Vec<(StreamHandle, Ordered)>,
}

impl FreeIndex {
    fn of(&self, stream: StreamHandle) -> Option<&Ordered> {
        self.streams.iter().find(|(s, _)| *s == stream).map(|(_, ordered)| ordered)
    }

    pub fn insert(&mut self, key: FreeKey, slot: Slot) {
        let entry = (key.1, key.2, slot);
        match self.streams.iter_mut().find(|(s, _)| *s == key.0) {
            Some((_, ordered)) => ordered.insert(entry),
            None => {
                let place = self.streams.partition_point(|(s, _)| *s < key.0);
                self.streams.insert(place, (key.0, Ordered::default()));
                self.streams[place].1.insert(entry);
            }
        }
    }

    /// Takes a block out; nothing happens if it is not there.
    pub fn remove(&mut self, key: &FreeKey) {
        let Some((_, ordered)) = self.streams.iter_mut().find(|(s, _)| *s == key.0) else { return };
        if let Some((at, place)) = ordered.seek((key.1, key.2))
            && ordered.chunk(at).entries().get(place).is_some_and(|e| (e.0, e.1) == (key.1, key.2))
        {
            ordered.remove_at(at, place);
        }
    }

    /// The smallest block of a stream that holds `size`; of several the one at the lowest address.
    pub fn first_fit(&self, stream: StreamHandle, size: u64) -> Option<(FreeKey, Slot)> {
        let ordered = self.of(stream)?;
        let (at, place) = ordered.seek((size, 0))?;
        let found = ordered.chunk(at).entries().get(place);
        let found = found.or_else(|| (at + 1 < ordered.index.len()).then(|| &ordered.chunk(at + 1).entries[0]));
        found.map(|&(size, address, slot)| ((stream, size, address), slot))
    }

    /// Blocks of the key's stream from the key on, in order.
    pub fn from(&self, key: FreeKey) -> impl Iterator<Item = (FreeKey, Slot)> + '_ {
        let entries = self.of(key.0).into_iter().flat_map(move |ordered| ordered.from((key.1, key.2)));
        entries.map(move |(size, address, slot)| ((key.0, size, address), slot))
    }

    /// Blocks of the key's stream below the key, the largest first.
    pub fn below_in_reverse(&self, key: FreeKey) -> impl Iterator<Item = (FreeKey, Slot)> + '_ {
        let entries = self.of(key.0).into_iter().flat_map(move |ordered| ordered.below_in_reverse((key.1, key.2)));
        entries.map(move |(size, address, slot)| ((key.0, size, address), slot))
    }

    /// Every block in order.
    pub fn iter(&self) -> impl Iterator<Item = (FreeKey, Slot)> + '_ {
        self.streams.iter().flat_map(|(stream, ordered)| {
            ordered.from((0, 0)).map(move |(size, address, slot)| ((*stream, size, address), slot))
        })
    }

    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.iter().map(|(_, slot)| slot)
    }
}
