//! What physical memory holds: which pattern was written last to every byte.
//!
//! Decides what a read of physical memory would find. Does not know addresses; positions are physical.

use std::collections::BTreeMap;

/// Disjoint written intervals by start. Bytes in none of them were never written since they were got.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    written: BTreeMap<u64, Written>,
}

#[derive(Debug, Clone, Copy)]
struct Written {
    end: u64,
    tag: u32,
}

/// A stretch of bytes that hold one thing; `None` where nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) tag: Option<u32>,
}

impl Contents {
    pub(crate) fn write(&mut self, start: u64, end: u64, tag: u32) {
        if start >= end {
            return;
        }
        let written = Written { end, tag };
        match self.written.range_mut(..=start).next_back() {
            // most blocks lie where a freed one began
            Some((&at, there)) if at == start => {
                let old = std::mem::replace(there, written);
                if old.end > end {
                    self.written.insert(end, old);
                } else if old.end < end {
                    self.clear_from(start + 1, end);
                }
            }
            _ => {
                self.clear(start, end);
                self.written.insert(start, written);
            }
        }
    }

    /// Whether one write left this in the whole range. The quick way to what `pieces` tells.
    pub(crate) fn holds(&self, start: u64, end: u64, tag: u32) -> bool {
        self.written.range(..=start).next_back().is_some_and(|(_, w)| w.end >= end && w.tag == tag)
    }

    /// Forgets what was written in a range, as giving the memory back does.
    pub(crate) fn clear(&mut self, start: u64, end: u64) {
        if let Some((_, before)) = self.written.range_mut(..start).next_back()
            && before.end > start
        {
            let tail = *before;
            before.end = start;
            if tail.end > end {
                self.written.insert(end, tail);
                return;
            }
        }
        self.clear_from(start, end);
    }

    /// The same where no interval from before reaches beyond `start`.
    fn clear_from(&mut self, start: u64, end: u64) {
        let last = self.written.extract_if(start..end.max(start), |_, _| true).last();
        if let Some((_, inside)) = last.filter(|(_, inside)| inside.end > end) {
            self.written.insert(end, inside);
        }
    }

    /// The range in pieces, in order and without holes.
    pub(crate) fn pieces(&self, start: u64, end: u64) -> impl Iterator<Item = Piece> + '_ {
        let first = self.written.range(..=start).next_back().filter(|(_, w)| w.end > start).map(|(&at, _)| at);
        let mut rest = self.written.range(first.unwrap_or(start)..end).peekable();
        let mut at = start;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let piece = match rest.peek() {
                Some(&(&s, w)) if s <= at => {
                    rest.next();
                    Piece { start: at, end: w.end.min(end), tag: Some(w.tag) }
                }
                Some(&(&s, _)) => Piece { start: at, end: s, tag: None },
                None => Piece { start: at, end, tag: None },
            };
            at = piece.end;
            Some(piece)
        })
    }

    #[cfg(test)]
    pub(crate) fn intervals(&self) -> usize {
        self.written.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(contents: &Contents, end: u64) -> Vec<Option<u32>> {
        contents.pieces(0, end).flat_map(|p| (p.start..p.end).map(move |_| p.tag)).collect()
    }

    #[test]
    fn later_writes_cover_earlier_ones() {
        let mut contents = Contents::default();
        contents.write(2, 10, 1);
        contents.write(4, 6, 2);
        contents.write(9, 12, 3);
        let tags: Vec<u32> = bytes(&contents, 13).into_iter().map(|t| t.unwrap_or(0)).collect();
        assert_eq!(tags, [0, 0, 1, 1, 2, 2, 1, 1, 1, 3, 3, 3, 0]);
    }

    #[test]
    fn any_mix_of_writes_and_clears_agrees_with_a_plain_array() {
        let (mut contents, mut plain) = (Contents::default(), vec![None; 64]);
        let mut state = 7_u64;
        let mut draw = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for tag in 0..2000 {
            let start = draw(64);
            let end = start + draw(64 - start + 1);
            if draw(4) == 0 {
                contents.clear(start, end);
                plain[start as usize..end as usize].fill(None);
            } else {
                contents.write(start, end, tag);
                plain[start as usize..end as usize].fill(Some(tag));
                assert!(start == end || contents.holds(start, end, tag));
            }
            assert_eq!(bytes(&contents, 64), plain);
            let (from, tag) = (draw(64) as usize, tag.saturating_sub(draw(3) as u32));
            let to = from + 1 + draw(64 - from as u64) as usize;
            let alike = plain[from..to].iter().all(|held| *held == Some(tag));
            assert!(alike || !contents.holds(from as u64, to as u64, tag));
        }
        contents.clear(0, 64);
        assert_eq!(contents.intervals(), 0);
    }
}
