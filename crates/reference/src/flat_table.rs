//! The order in which PyTorch goes through its hash tables: that of `ska::flat_hash_map`, which c10 has in
//! `c10/util/flat_hash_map.h` (Robin Hood hashing, Fibonacci indices, at most half full, at most `log2` steps from home).
//!
//! Decides nothing but order: what is in a table is its owner's.

/// An element, and how far from the slot that its hash asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry<K> {
    steps: usize,
    key: K,
    hash: u64,
}

/// Keys in the order of such a table.
#[derive(Debug, Clone)]
pub(super) struct FlatTable<K> {
    /// Slots, and room behind them for what its home has no place for; none before the first key.
    slots: Vec<Option<Entry<K>>>,
    buckets: usize,
    most_steps: usize,
    count: usize,
}

impl<K> Default for FlatTable<K> {
    fn default() -> Self {
        FlatTable { slots: Vec::new(), buckets: 0, most_steps: LEAST_STEPS - 1, count: 0 }
    }
}

const LEAST_STEPS: usize = 4;

/// 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl<K: Copy + PartialEq> FlatTable<K> {
    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.slots.iter().flatten().map(|entry| entry.key)
    }

    fn home(&self, hash: u64) -> usize {
        let bits = self.buckets.trailing_zeros().max(1);
        (FACTOR.wrapping_mul(hash) >> (64 - bits)) as usize
    }

    /// Adds a key, unless it is there.
    pub fn insert(&mut self, key: K, hash: u64) {
        if self.keys().any(|known| known == key) {
            return;
        }
        if self.buckets == 0 || (self.count + 1) * 2 > self.buckets {
            self.grow();
        }
        let home = self.home(hash);
        let mut entry = Entry { steps: 0, key, hash };
        let mut at = home;
        while self.slots[at].is_some_and(|other| other.steps >= entry.steps) {
            at += 1;
            entry.steps += 1;
        }
        if entry.steps == self.most_steps {
            self.grow();
            return self.insert(key, hash);
        }
        self.place(entry, at);
    }

    /// Puts an entry where one stands that is nearer to its home, and that one further on.
    fn place(&mut self, mut entry: Entry<K>, first: usize) {
        let mut at = first;
        loop {
            match &mut self.slots[at] {
                vacant @ None => {
                    *vacant = Some(entry);
                    self.count += 1;
                    return;
                }
                Some(other) if other.steps < entry.steps || at == first => {
                    std::mem::swap(other, &mut entry);
                    entry.steps += 1;
                }
                Some(_) => {
                    entry.steps += 1;
                    if entry.steps == self.most_steps {
                        // The new one waits until there is more room; the one that found none has its slot meanwhile.
                        if let Some(new) = &mut self.slots[first] {
                            std::mem::swap(&mut new.key, &mut entry.key);
                            std::mem::swap(&mut new.hash, &mut entry.hash);
                        }
                        self.grow();
                        return self.insert(entry.key, entry.hash);
                    }
                }
            }
            at += 1;
        }
    }

    /// Takes a key away, if it is there; what stood behind it moves up.
    pub fn remove(&mut self, key: K) {
        let Some(mut at) = self.slots.iter().position(|slot| slot.is_some_and(|entry| entry.key == key)) else {
            return;
        };
        self.slots[at] = None;
        self.count -= 1;
        while let Some(Some(next)) = self.slots.get(at + 1).copied().filter(|next| next.is_some_and(|e| e.steps > 0)) {
            self.slots[at] = Some(Entry { steps: next.steps - 1, ..next });
            self.slots[at + 1] = None;
            at += 1;
        }
    }

    fn grow(&mut self) {
        self.buckets = (self.buckets * 2).max(4);
        self.most_steps = (self.buckets.trailing_zeros() as usize).max(LEAST_STEPS);
        let room = vec![None; self.buckets + self.most_steps - 1];
        let old = std::mem::replace(&mut self.slots, room);
        self.count = 0;
        old.into_iter().flatten().for_each(|entry| self.insert(entry.key, entry.hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(hashes: impl IntoIterator<Item = u64>) -> FlatTable<u64> {
        let mut table = FlatTable::default();
        hashes.into_iter().for_each(|hash| table.insert(hash, hash));
        table
    }

    #[test]
    fn keys_stand_in_the_order_of_the_slots_that_they_ask_for() {
        let table = table(1..=20);
        let homes: Vec<usize> = table.keys().map(|key| table.home(key)).collect();
        assert!(homes.is_sorted() && homes.len() == 20 && table.buckets == 64, "{homes:?}");
    }

    #[test]
    fn of_those_that_ask_for_one_slot_the_first_stays_and_a_gap_closes() {
        // One home in a table of eight.
        let alike: Vec<u64> = (1..400).filter(|&hash: &u64| FACTOR.wrapping_mul(hash) >> 61 == 5).take(3).collect();
        let mut same = table(alike.clone());
        assert_eq!(same.keys().collect::<Vec<_>>(), alike);
        same.remove(alike[0]);
        assert_eq!(same.keys().collect::<Vec<_>>(), alike[1..]);
        same.insert(alike[0], alike[0]);
        assert_eq!(same.keys().collect::<Vec<_>>(), [alike[1], alike[2], alike[0]]);
        same.remove(999_999);
        assert_eq!(same.count, 3);
    }

    #[test]
    fn nothing_is_lost_however_keys_come_and_go() {
        let (mut table, mut there) = (FlatTable::default(), std::collections::BTreeSet::new());
        let mut random = 7_u64;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = random >> 57;
            if there.remove(&key) {
                table.remove(key);
            } else {
                there.insert(key);
                table.insert(key, key.wrapping_mul(0x1_0000_0040));
            }
            let mut keys: Vec<u64> = table.keys().collect();
            keys.sort_unstable();
            assert!(keys.iter().eq(&there));
        }
    }
}
