//! A set of small numbers that finds its next member: a bit each, and a bit for each word of those.

const WORDS: usize = super::free_index::CLASSES / 64;

/// Numbers below `CLASSES`.
#[derive(Debug, Clone)]
pub(super) struct Bitmap {
    members: [u64; WORDS],
    /// Which words have a member.
    words: [u64; WORDS.div_ceil(64)],
}

impl Bitmap {
    pub fn new() -> Self {
        Bitmap { members: [0; WORDS], words: [0; WORDS.div_ceil(64)] }
    }

    #[inline]
    pub fn insert(&mut self, number: usize) {
        self.members[number >> 6] |= 1 << (number & 63);
        self.words[number >> 12] |= 1 << (number >> 6 & 63);
    }

    #[inline]
    pub fn remove(&mut self, number: usize) {
        let word = &mut self.members[number >> 6];
        *word &= !(1 << (number & 63));
        if *word == 0 {
            self.words[number >> 12] &= !(1 << (number >> 6 & 63));
        }
    }

    /// The first member from `number` on.
    #[inline]
    pub fn from(&self, number: usize) -> Option<usize> {
        let here = self.members.get(number >> 6)? & (!0 << (number & 63));
        if here != 0 {
            return Some(number & !63 | here.trailing_zeros() as usize);
        }
        let next = (number >> 6) + 1;
        let mut group = next >> 6;
        let mut words = self.words.get(group)? & (!0 << (next & 63));
        while words == 0 {
            group += 1;
            words = *self.words.get(group)?;
        }
        let word = group << 6 | words.trailing_zeros() as usize;
        Some(word << 6 | self.members[word].trailing_zeros() as usize)
    }

    /// The last member below `number`.
    pub fn below(&self, number: usize) -> Option<usize> {
        let word = number >> 6;
        let here = self.members.get(word).map_or(0, |w| w & !(!0 << (number & 63)));
        if here != 0 {
            return Some(number & !63 | here.ilog2() as usize);
        }
        let word = self.members[..word.min(WORDS)].iter().rposition(|&w| w != 0)?;
        Some(word << 6 | self.members[word].ilog2() as usize)
    }
}
