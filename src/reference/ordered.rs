//! A sorted list of blocks in two levels: short sorted chunks, and a sorted list of them.
//!
//! Searching is two binary searches; inserting and removing move a few hundred bytes. Chunks are kept and
//! reused, so that a steady life of requests and frees never touches the heap.

use super::block::Slot;

const CHUNK: usize = 64;

/// Size, address and slot of a free block.
pub(super) type Entry = (u64, u64, Slot);

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

/// Entries in the order of size and address.
#[derive(Debug, Default, Clone)]
pub(super) struct Ordered {
    /// First entry's size and address of each chunk in order, and where the chunk is. Chunks are never empty.
    index: Vec<(u64, u64, u32)>,
    chunks: Vec<Chunk>,
    length: usize,
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

    pub fn insert(&mut self, entry: Entry) {
        self.length += 1;
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
        self.length -= 1;
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

    pub fn length(&self) -> usize {
        self.length
    }

    /// Takes an entry out; nothing happens if it is not there.
    pub fn remove(&mut self, key: (u64, u64)) {
        if let Some((at, place)) = self.seek(key)
            && self.chunk(at).entries().get(place).is_some_and(|e| (e.0, e.1) == key)
        {
            self.remove_at(at, place);
        }
    }

    /// The first entry not below the key.
    pub fn at_or_after(&self, key: (u64, u64)) -> Option<Entry> {
        let (at, place) = self.seek(key)?;
        let found = self.chunk(at).entries().get(place).copied();
        found.or_else(|| (at + 1 < self.index.len()).then(|| self.chunk(at + 1).entries[0]))
    }

    /// The last entry below the key.
    pub fn before(&self, key: (u64, u64)) -> Option<Entry> {
        let (at, place) = self.seek(key)?;
        match place.checked_sub(1) {
            Some(place) => Some(self.chunk(at).entries[place]),
            None => at.checked_sub(1).and_then(|at| self.chunk(at).entries().last().copied()),
        }
    }
}
