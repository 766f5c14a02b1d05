//! A sorted list of blocks in two levels: short sorted chunks, and a sorted list of them.
//!
//! Searching is two binary searches; inserting and removing move a few hundred bytes. Chunks are kept and
//! reused, so that a steady life of requests and frees never touches the heap.

use super::block::Slot;

const CHUNK: usize = 48;

/// Size, address and slot of a free block.
pub(super) type Entry = (u64, u64, Slot);

/// Entries from `start` to `end`: taking the first one, which is what requests do, moves nothing.
#[derive(Debug, Clone)]
struct Chunk {
    start: usize,
    end: usize,
    entries: [Entry; CHUNK],
}

impl Chunk {
    const EMPTY: Chunk = Chunk { start: 0, end: 0, entries: [(0, 0, Slot::FIRST); CHUNK] };

    fn entries(&self) -> &[Entry] {
        &self.entries[self.start..self.end]
    }

    fn is_full(&self) -> bool {
        self.end - self.start == CHUNK
    }

    /// The number of entries below (size, address).
    fn below(&self, key: (u64, u64)) -> usize {
        self.entries().partition_point(|e| (e.0, e.1) < key)
    }

    /// Puts an entry before the one at `place`; there must be room.
    fn insert(&mut self, place: usize, entry: Entry) {
        let at = self.start + place;
        if self.end == CHUNK || (self.start > 0 && place < (self.end - self.start) / 2) {
            self.entries.copy_within(self.start..at, self.start - 1);
            self.start -= 1;
            self.entries[at - 1] = entry;
        } else {
            self.entries.copy_within(at..self.end, at + 1);
            self.end += 1;
            self.entries[at] = entry;
        }
    }

    fn remove(&mut self, place: usize) {
        let at = self.start + place;
        if place < (self.end - self.start) / 2 || place == 0 {
            self.entries.copy_within(self.start..at, self.start + 1);
            self.start += 1;
        } else {
            self.entries.copy_within(at + 1..self.end, at);
            self.end -= 1;
        }
    }

    /// Takes the upper half.
    fn split_off(&mut self) -> Chunk {
        let middle = self.start + (self.end - self.start) / 2;
        let mut upper = Chunk::EMPTY;
        upper.end = self.end - middle;
        upper.entries[..upper.end].copy_from_slice(&self.entries[middle..self.end]);
        self.end = middle;
        upper
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

    fn keep_chunk(&mut self, chunk: Chunk) -> u32 {
        if let Some(vacant) = self.vacant.pop() {
            self.chunks[vacant as usize] = chunk;
            return vacant;
        }
        self.chunks.push(chunk);
        u32::try_from(self.chunks.len() - 1).expect("four billion chunks do not fit in memory")
    }

    pub fn insert(&mut self, entry: Entry) {
        self.length += 1;
        let Some((mut at, mut place)) = self.seek((entry.0, entry.1)) else {
            let mut chunk = Chunk::EMPTY;
            chunk.insert(0, entry);
            let name = self.keep_chunk(chunk);
            self.index.push((entry.0, entry.1, name));
            return;
        };
        if self.chunk(at).is_full() {
            let name = self.index[at].2 as usize;
            let upper = self.chunks[name].split_off();
            let (first, lower) = (upper.entries[0], self.chunks[name].entries().len());
            let new = self.keep_chunk(upper);
            self.index.insert(at + 1, (first.0, first.1, new));
            if place > lower {
                at += 1;
                place -= lower;
            }
        }
        self.chunks[self.index[at].2 as usize].insert(place, entry);
        if place == 0 {
            (self.index[at].0, self.index[at].1) = (entry.0, entry.1);
        }
    }

    fn remove_at(&mut self, at: usize, place: usize) {
        self.length -= 1;
        let name = self.index[at].2;
        let chunk = &mut self.chunks[name as usize];
        chunk.remove(place);
        match chunk.entries().first() {
            None => {
                self.index.remove(at);
                self.vacant.push(name);
            }
            Some(first) if place == 0 => (self.index[at].0, self.index[at].1) = (first.0, first.1),
            Some(_) => {}
        }
    }

    pub fn length(&self) -> usize {
        self.length
    }

    /// Takes an entry out; nothing happens if it is not there.
    pub fn remove(&mut self, key: (u64, u64)) {
        if self.index.first().is_some_and(|first| (first.0, first.1) == key) {
            return self.remove_at(0, 0);
        }
        if let Some((at, place)) = self.seek(key)
            && self.chunk(at).entries().get(place).is_some_and(|e| (e.0, e.1) == key)
        {
            self.remove_at(at, place);
        }
    }

    /// The first entry.
    #[inline]
    pub fn first(&self) -> Option<Entry> {
        self.index.first().map(|&(size, address, chunk)| {
            let chunk = &self.chunks[chunk as usize];
            (size, address, chunk.entries[chunk.start].2)
        })
    }

    /// The first entry not below the key.
    pub fn at_or_after(&self, key: (u64, u64)) -> Option<Entry> {
        let (at, place) = self.seek(key)?;
        let found = self.chunk(at).entries().get(place).copied();
        found.or_else(|| (at + 1 < self.index.len()).then(|| self.chunk(at + 1).entries()[0]))
    }

    /// The last entry below the key.
    pub fn before(&self, key: (u64, u64)) -> Option<Entry> {
        let (at, place) = self.seek(key)?;
        match place.checked_sub(1) {
            Some(place) => self.chunk(at).entries().get(place).copied(),
            None => at.checked_sub(1).and_then(|at| self.chunk(at).entries().last().copied()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_side_of_a_chunk_moves() {
        let entry = |size| (size, 0, Slot::FIRST);
        let mut chunk = Chunk::EMPTY;
        for n in 0..8 {
            chunk.insert(n, entry(n as u64));
        }
        let mut bounds = Vec::new();
        chunk.remove(6);
        bounds.push((chunk.start, chunk.end));
        chunk.remove(1);
        bounds.push((chunk.start, chunk.end));
        chunk.remove(0);
        bounds.push((chunk.start, chunk.end));
        chunk.insert(1, entry(3));
        bounds.push((chunk.start, chunk.end));
        chunk.insert(5, entry(6));
        bounds.push((chunk.start, chunk.end));
        assert_eq!(bounds, [(0, 7), (1, 7), (2, 7), (1, 7), (1, 8)]);
        assert_eq!(chunk.entries(), [2, 3, 3, 4, 5, 6, 7].map(entry));
    }
}
