//! The statistics vocabulary: 9 families by 3 pools by 4 columns, two oversize counts, six counters.
//!
//! Names and order follow `torch.cuda.memory_stats()`. A target that lacks a family says so in its
//! capabilities; the figures it does have are written here under the same names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One tracked quantity. Signed, wrapping and never clamped, so that a counter that goes wrong shows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(C)]
pub struct Stat {
    /// The value now.
    pub current: i64,
    /// The highest value since the peak was reset.
    pub peak: i64,
    /// The sum of all increases since it was reset.
    pub allocated: i64,
    /// The sum of all decreases since it was reset.
    pub freed: i64,
}

impl Stat {
    /// Adds to the value, and to the sum of increases; the peak follows.
    #[inline]
    pub fn increase(&mut self, by: i64) {
        self.current = self.current.wrapping_add(by);
        self.allocated = self.allocated.wrapping_add(by);
        if self.current > self.peak {
            self.peak = self.current; // rare, so that a branch costs less than a store each time
        }
    }

    /// Takes from the value, and adds to the sum of decreases.
    #[inline]
    pub fn decrease(&mut self, by: i64) {
        self.current = self.current.wrapping_sub(by);
        self.freed = self.freed.wrapping_add(by);
    }

    /// The peak becomes the value now.
    pub fn reset_peak(&mut self) {
        self.peak = self.current;
    }

    /// Both sums become 0.
    pub fn reset_accumulated(&mut self) {
        self.allocated = 0;
        self.freed = 0;
    }

    /// The figure under that column.
    #[must_use]
    pub fn column(&self, column: Column) -> i64 {
        match column {
            Column::Current => self.current,
            Column::Peak => self.peak,
            Column::Allocated => self.allocated,
            Column::Freed => self.freed,
        }
    }
}

macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $(#[doc = concat!("`", $text, "` in statistics keys.")] #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// All of them, in the order of the nested form.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The name in statistics keys.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }
    };
}

named!(
    /// What is counted, by pool.
    Family {
        Allocation => "allocation",
        Segment => "segment",
        Active => "active",
        InactiveSplit => "inactive_split",
        AllocatedBytes => "allocated_bytes",
        ReservedBytes => "reserved_bytes",
        ActiveBytes => "active_bytes",
        InactiveSplitBytes => "inactive_split_bytes",
        RequestedBytes => "requested_bytes",
    }
);

named!(
    /// The column of a tracked quantity.
    Column {
        Current => "current",
        Peak => "peak",
        Allocated => "allocated",
        Freed => "freed",
    }
);

named!(
    /// The row of a family: a pool, or both together.
    Row {
        All => "all",
        SmallPool => "small_pool",
        LargePool => "large_pool",
    }
);

named!(
    /// A plain number beside the families.
    Counter {
        NumAllocRetries => "num_alloc_retries",
        NumOoms => "num_ooms",
        MaxSplitSize => "max_split_size",
        NumSyncAllStreams => "num_sync_all_streams",
        NumDeviceAlloc => "num_device_alloc",
        NumDeviceFree => "num_device_free",
    }
);

named!(
    /// Quantities of blocks or segments at or above `max_split_size`.
    Oversize {
        Allocations => "oversize_allocations",
        Segments => "oversize_segments",
    }
);

/// Small or large, as segments are typed in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PoolKind {
    /// For requests up to 1 MiB.
    Small,
    /// For all others.
    Large,
}

impl PoolKind {
    /// The row of a family that counts this pool.
    #[must_use]
    pub fn row(self) -> Row {
        match self {
            PoolKind::Small => Row::SmallPool,
            PoolKind::Large => Row::LargePool,
        }
    }
}

/// All statistics of one device. In memory they are 122 numbers, families by row and column, oversize figures by column,
/// counters, which others write there as well (`workers/c10/watch.h`).
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Stats {
    pub(super) families: [[Stat; 3]; 9],
    pub(super) oversize: [Stat; 2],
    pub(super) counters: [i64; 6],
}

impl Stats {
    /// How many keys there are.
    pub const KEYS: usize = 122;

    /// A family's figures of one row.
    #[must_use]
    #[inline]
    pub fn get(&self, family: Family, row: Row) -> &Stat {
        &self.families[family as usize][row as usize]
    }

    /// A family's figures of both pools together.
    #[must_use]
    #[inline]
    pub fn all(&self, family: Family) -> &Stat {
        self.get(family, Row::All)
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, family: Family, row: Row) -> &mut Stat {
        &mut self.families[family as usize][row as usize]
    }

    /// Figures of blocks or segments at or above `max_split_size`.
    #[must_use]
    pub fn oversize(&self, which: Oversize) -> &Stat {
        &self.oversize[which as usize]
    }

    /// The same, to be changed.
    pub fn oversize_mut(&mut self, which: Oversize) -> &mut Stat {
        &mut self.oversize[which as usize]
    }

    /// The number under that name.
    #[must_use]
    #[inline]
    pub fn counter(&self, which: Counter) -> i64 {
        self.counters[which as usize]
    }

    /// The same, to be changed.
    #[inline]
    pub fn counter_mut(&mut self, which: Counter) -> &mut i64 {
        &mut self.counters[which as usize]
    }

    /// Adds to a family in "all" and in the row of the pool.
    #[inline]
    pub fn increase(&mut self, family: Family, pool: PoolKind, by: i64) {
        let rows = &mut self.families[family as usize];
        rows[Row::All as usize].increase(by);
        rows[pool.row() as usize].increase(by);
    }

    /// Takes from a family in "all" and in the row of the pool.
    #[inline]
    pub fn decrease(&mut self, family: Family, pool: PoolKind, by: i64) {
        let rows = &mut self.families[family as usize];
        rows[Row::All as usize].decrease(by);
        rows[pool.row() as usize].decrease(by);
    }

    /// Every tracked quantity, families first.
    pub fn tracked_mut(&mut self) -> impl Iterator<Item = &mut Stat> {
        self.families.iter_mut().flatten().chain(self.oversize.iter_mut())
    }

    /// Every key and its value in the order of the nested form: counters, families, oversize.
    pub fn entries(&self) -> impl Iterator<Item = (Key, i64)> + '_ {
        Key::all().map(|key| (key, self.value(key)))
    }

    /// The figure under a key.
    #[must_use]
    pub fn value(&self, key: Key) -> i64 {
        match key {
            Key::Counter(counter) => self.counter(counter),
            Key::Family(family, row, column) => self.get(family, row).column(column),
            Key::Oversize(which, column) => self.oversize(which).column(column),
        }
    }

    /// The flat dictionary a user gets: `family.row.column` and counters, sorted by key as plain strings.
    #[must_use]
    pub fn dictionary(&self) -> Vec<(String, i64)> {
        let mut entries: Vec<_> = self.entries().map(|(key, value)| (key.to_string(), value)).collect();
        entries.sort();
        entries
    }

    /// Sets one key. Only readers of recordings and of foreign targets need it.
    pub fn set(&mut self, key: Key, value: i64) {
        let stat = match key {
            Key::Counter(counter) => {
                *self.counter_mut(counter) = value;
                return;
            }
            Key::Family(family, row, _) => self.get_mut(family, row),
            Key::Oversize(which, _) => self.oversize_mut(which),
        };
        match key {
            Key::Family(_, _, Column::Current) | Key::Oversize(_, Column::Current) => stat.current = value,
            Key::Family(_, _, Column::Peak) | Key::Oversize(_, Column::Peak) => stat.peak = value,
            Key::Family(_, _, Column::Allocated) | Key::Oversize(_, Column::Allocated) => stat.allocated = value,
            _ => stat.freed = value,
        }
    }
}

/// The name of one statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "a key of its kind")]
pub enum Key {
    Counter(Counter),
    Family(Family, Row, Column),
    Oversize(Oversize, Column),
}

impl Key {
    /// All 122, in the order of the nested dictionary.
    pub fn all() -> impl Iterator<Item = Key> {
        let counters = Counter::ALL.iter().map(|&c| Key::Counter(c));
        let families = Family::ALL.iter().flat_map(|&family| {
            Row::ALL
                .iter()
                .flat_map(move |&row| Column::ALL.iter().map(move |&column| Key::Family(family, row, column)))
        });
        let oversize =
            Oversize::ALL.iter().flat_map(|&o| Column::ALL.iter().map(move |&column| Key::Oversize(o, column)));
        counters.chain(families).chain(oversize)
    }

    /// The key a flat name stands for.
    #[must_use]
    pub fn parse(name: &str) -> Option<Key> {
        fn find<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, text: &str) -> Option<T> {
            all.iter().copied().find(|&t| name(t) == text)
        }
        let mut parts = name.split('.');
        let head = parts.next()?;
        let (second, third, rest) = (parts.next(), parts.next(), parts.next());
        match (second, third, rest) {
            (None, None, None) => find(Counter::ALL, Counter::name, head).map(Key::Counter),
            (Some(column), None, None) => {
                let which = find(Oversize::ALL, Oversize::name, head)?;
                Some(Key::Oversize(which, find(Column::ALL, Column::name, column)?))
            }
            (Some(row), Some(column), None) => {
                let family = find(Family::ALL, Family::name, head)?;
                let row = find(Row::ALL, Row::name, row)?;
                Some(Key::Family(family, row, find(Column::ALL, Column::name, column)?))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Counter(counter) => f.write_str(counter.name()),
            Key::Family(family, row, column) => write!(f, "{}.{}.{}", family.name(), row.name(), column.name()),
            Key::Oversize(which, column) => write!(f, "{}.{}", which.name(), column.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_122_distinct_keys_and_each_reads_back() {
        let names: std::collections::BTreeSet<String> = Key::all().map(|k| k.to_string()).collect();
        assert_eq!(names.len(), Stats::KEYS);
        for key in Key::all() {
            assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
        assert_eq!(Key::parse("allocated.all.current"), None);
    }

    #[test]
    fn the_dictionary_is_sorted_as_plain_strings() {
        let names: Vec<String> = Stats::default().dictionary().into_iter().map(|(name, _)| name).collect();
        let before = names.iter().position(|n| n == "active.all.allocated");
        let after = names.iter().position(|n| n == "active_bytes.all.allocated");
        assert!(before < after);
        assert_eq!(names.len(), Stats::KEYS);
    }

    #[test]
    fn set_and_value_agree() {
        for (i, key) in (0_i64..).zip(Key::all()) {
            let mut stats = Stats::default();
            stats.set(key, i + 1);
            let moved: Vec<Key> = stats.entries().filter(|&(_, v)| v != 0).map(|(k, _)| k).collect();
            assert_eq!((stats.value(key), moved), (i + 1, vec![key]));
        }
    }
}
