//! Free address ranges: which one is the lowest that fits.
//!
//! Decides where a range goes (first fit). Does not know what is put there. Counted in granules.

/// Unused ranges of `0..granules`, in a treap by start whose nodes know the widest gap below them:
/// taking, giving back and finding the lowest gap that fits are all logarithmic.
#[derive(Debug)]
pub struct Gaps {
    nodes: Vec<Node>,
    /// Positions in `nodes` to use again.
    spare: Vec<usize>,
    root: Link,
}

type Link = Option<usize>;

#[derive(Debug, Clone, Copy)]
struct Node {
    start: u64,
    length: u64,
    /// The longest gap among this one and all below it.
    widest: u64,
    /// Decides who is above whom; a hash of the start, so that the shape depends on the gaps alone.
    rank: u64,
    low: Link,
    high: Link,
}

impl Gaps {
    /// One gap of that many granules.
    pub fn new(granules: u64) -> Self {
        let mut gaps = Gaps { nodes: Vec::new(), spare: Vec::new(), root: None };
        gaps.insert(0, granules);
        gaps
    }

    /// Takes `length` granules from the lowest gap that has them.
    pub fn take(&mut self, length: u64) -> Option<u64> {
        if self.widest(self.root) < length {
            return None;
        }
        let mut at = self.root;
        while let Some(i) = at {
            let Node { low, high, start, length: found, .. } = self.nodes[i];
            if self.widest(low) >= length {
                at = low;
            } else if found >= length {
                self.remove(start);
                if found > length {
                    self.insert(start + length, found - length);
                }
                return Some(start);
            } else {
                at = high;
            }
        }
        None
    }

    /// Gives a taken range back, joining it with the gaps that it touches.
    pub fn give(&mut self, start: u64, length: u64) {
        let (before, after) = self.neighbours(start);
        let (mut low, mut end) = (start, start + length);
        if let Some(gap) = before.filter(|gap| gap.start + gap.length == start) {
            self.remove(gap.start);
            low = gap.start;
        }
        if let Some(gap) = after.filter(|gap| gap.start == end) {
            self.remove(gap.start);
            end += gap.length;
        }
        self.insert(low, end - low);
    }

    fn widest(&self, link: Link) -> u64 {
        link.map_or(0, |i| self.nodes[i].widest)
    }

    /// The gaps before and after a position that no gap covers.
    fn neighbours(&self, position: u64) -> (Option<Node>, Option<Node>) {
        let (mut before, mut after, mut at) = (None, None, self.root);
        while let Some(i) = at {
            let node = self.nodes[i];
            if node.start < position {
                before = Some(node);
                at = node.high;
            } else {
                after = Some(node);
                at = node.low;
            }
        }
        (before, after)
    }

    fn insert(&mut self, start: u64, length: u64) {
        let node = Node { start, length, widest: length, rank: scatter(start), low: None, high: None };
        let new = if let Some(i) = self.spare.pop() {
            self.nodes[i] = node;
            i
        } else {
            self.nodes.push(node);
            self.nodes.len() - 1
        };
        let (low, high) = self.split(self.root, start);
        let left = self.join(low, Some(new));
        self.root = self.join(left, high);
    }

    fn remove(&mut self, start: u64) {
        let (low, rest) = self.split(self.root, start);
        let (gone, high) = self.split(rest, start + 1);
        self.spare.extend(gone);
        self.root = self.join(low, high);
    }

    /// Two trees: what starts before `position`, and the rest.
    fn split(&mut self, at: Link, position: u64) -> (Link, Link) {
        let Some(i) = at else { return (None, None) };
        if self.nodes[i].start < position {
            let (low, high) = self.split(self.nodes[i].high, position);
            self.nodes[i].high = low;
            self.update(i);
            (Some(i), high)
        } else {
            let (low, high) = self.split(self.nodes[i].low, position);
            self.nodes[i].low = high;
            self.update(i);
            (low, Some(i))
        }
    }

    /// One tree of two, where all of `low` lies before all of `high`.
    fn join(&mut self, low: Link, high: Link) -> Link {
        match (low, high) {
            (None, other) | (other, None) => other,
            (Some(l), Some(h)) if self.nodes[l].rank >= self.nodes[h].rank => {
                self.nodes[l].high = self.join(self.nodes[l].high, high);
                self.update(l);
                Some(l)
            }
            (Some(_), Some(h)) => {
                self.nodes[h].low = self.join(low, self.nodes[h].low);
                self.update(h);
                Some(h)
            }
        }
    }

    fn update(&mut self, i: usize) {
        let node = self.nodes[i];
        self.nodes[i].widest = node.length.max(self.widest(node.low)).max(self.widest(node.high));
    }
}

/// The finaliser of SplitMix64.
fn scatter(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_gap_that_fits_is_taken() {
        let mut gaps = Gaps::new(100);
        let starts: Vec<_> = [3, 5, 2, 4].iter().map(|&n| gaps.take(n)).collect();
        assert_eq!(starts, [Some(0), Some(3), Some(8), Some(10)]);
        gaps.give(0, 3);
        gaps.give(8, 2);
        assert_eq!(gaps.take(2), Some(0), "lowest, although the gap at 8 fits exactly");
        assert_eq!(gaps.take(2), Some(8));
        assert_eq!(gaps.take(87), None);
        assert_eq!(gaps.take(86), Some(14));
    }

    #[test]
    fn a_thousand_steps_agree_with_a_plain_map_of_granules() {
        const SIZE: usize = 300;
        let mut used = [false; SIZE];
        let (mut gaps, mut taken) = (Gaps::new(SIZE as u64), Vec::new());
        for step in 0..3000_u64 {
            let draw = scatter(step);
            if draw % 5 < 3 {
                let length = 1 + (draw >> 8) % 12;
                let expected = (0..SIZE)
                    .find(|&s| s + length as usize <= SIZE && used[s..s + length as usize].iter().all(|&u| !u));
                let got = gaps.take(length);
                assert_eq!(got, expected.map(|s| s as u64), "step {step}");
                if let Some(start) = got {
                    used[start as usize..(start + length) as usize].fill(true);
                    taken.push((start, length));
                }
            } else if !taken.is_empty() {
                let (start, length) = taken.swap_remove((draw >> 8) as usize % taken.len());
                used[start as usize..(start + length) as usize].fill(false);
                gaps.give(start, length);
            }
        }
        assert!(gaps.nodes.len() < SIZE, "nodes are used again");
    }
}
