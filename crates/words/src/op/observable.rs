//! What a target shows of itself, item by item: every figure, field and number that somebody could read wrongly.
//!
//! Decides the names of observables and which of them there are. Who judges one is `oracle`'s to say.

use std::fmt;
use std::str::FromStr;

use super::stats::{Counter, Key};

macro_rules! fields {
    ($(#[$meta:meta])* $name:ident { $($variant:ident => $text:literal, $what:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $(#[doc = $what] $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The last part of the observable's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }

            /// What it says.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $($name::$variant => $what),+ }
            }
        }
    };
}

fields!(
    /// What is seen of a device after every operation, statistics apart.
    DeviceFigure {
        FreeBytes => "free_bytes", "bytes that are free of the device";
        TotalBytes => "total_bytes", "bytes of the device in all";
        Fraction => "fraction", "the memory fraction as it is read back";
        Idle => "idle", "which streams have nothing left to do";
    }
);

fields!(
    /// A field of a segment in a snapshot, or the list of segments.
    SegmentField {
        List => "list", "which segments there are";
        Device => "device", "the device of a segment";
        Address => "address", "where a segment starts";
        TotalSize => "total_size", "the length of a segment";
        AllocatedSize => "allocated_size", "bytes of a segment that are given out";
        ActiveSize => "active_size", "bytes of a segment that are given out or waited for";
        RequestedSize => "requested_size", "bytes that were asked for in a segment's active blocks";
        Stream => "stream", "the stream of a segment";
        Type => "segment_type", "whether a segment is of the small or the large pool";
        Pool => "segment_pool_id", "the private pool of a segment";
        Expandable => "is_expandable", "whether a segment is mapped piece by piece";
    }
);

fields!(
    /// A field of a block in a snapshot, or the list of a segment's blocks.
    BlockField {
        List => "list", "which blocks a segment has";
        Address => "address", "where a block starts";
        Size => "size", "the length of a block";
        RequestedSize => "requested_size", "bytes that were asked for in an active block";
        State => "state", "whether a block is given out, waited for or free";
    }
);

fields!(
    /// A number in the text of a refusal for lack of memory.
    RefusalNumber {
        Requested => "requested", "what was to be got from the device";
        Device => "device", "the device that had no room";
        Total => "total", "the size of the device";
        Free => "free", "what was free of the device";
        Allowed => "allowed", "what the memory fraction allows";
        Allocated => "allocated", "what was allocated";
        Private => "private", "what private pools held";
        Unallocated => "unallocated", "what was reserved and not allocated";
    }
);

fields!(
    /// What else an answer says.
    ReplyField {
        Address => "address", "where a block was given";
        FreeBytes => "free_bytes", "free bytes as `memory_info` answers them";
        TotalBytes => "total_bytes", "total bytes as `memory_info` answers them";
        Fraction => "fraction", "the fraction as `get_fraction` answers it";
        Contents => "contents", "what reading a block found";
        Class => "refusal_class", "the class of a refusal";
    }
);

fields!(
    /// What an event says that a target records, or the list of events.
    EventField {
        List => "list", "which events there are";
        Order => "order", "which event follows which, and of which device it is";
        Action => "action", "what happened";
        Address => "address", "the address of a block or segment; what was free of the device, for a refusal";
        Bytes => "bytes", "bytes that were asked for, got or given back";
        Stream => "stream", "the stream of a block or segment";
    }
);

/// One item that a target shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Observable {
    /// A statistic, wherever it is read: figures, dictionary and table.
    Statistic(Key),
    /// A figure of a device.
    Device(DeviceFigure),
    /// An entry of the dictionary alone.
    Dictionary(Key),
    /// A number of the summary table alone.
    Table(Key),
    /// In a snapshot.
    Segment(SegmentField),
    /// In a snapshot.
    Block(BlockField),
    /// In a message.
    Refusal(RefusalNumber),
    /// In an answer.
    Reply(ReplyField),
    /// In the recorded history.
    Event(EventField),
}

impl Observable {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Observable> {
        let device = DeviceFigure::ALL.iter().map(|&f| Observable::Device(f));
        let segment = SegmentField::ALL.iter().map(|&f| Observable::Segment(f));
        let block = BlockField::ALL.iter().map(|&f| Observable::Block(f));
        let refusal = RefusalNumber::ALL.iter().map(|&f| Observable::Refusal(f));
        let reply = ReplyField::ALL.iter().map(|&f| Observable::Reply(f));
        let event = EventField::ALL.iter().map(|&f| Observable::Event(f));
        let table = Key::all().filter(|&key| is_in_table(key)).map(Observable::Table);
        let texts = Key::all().map(Observable::Dictionary).chain(table);
        let figures = Key::all().map(Observable::Statistic).chain(device);
        figures.chain(texts).chain(segment).chain(block).chain(refusal).chain(reply).chain(event)
    }

    /// What it says, in one line.
    #[must_use]
    pub fn what(self) -> String {
        match self {
            Observable::Statistic(key) => format!("the statistic {key}, in figures, dictionary and table alike"),
            Observable::Dictionary(key) => format!("{key} in the dictionary"),
            Observable::Table(key) => format!("{key} in the summary table"),
            Observable::Device(figure) => figure.what().to_owned(),
            Observable::Segment(field) => format!("{} in a snapshot", field.what()),
            Observable::Block(field) => format!("{} in a snapshot", field.what()),
            Observable::Refusal(number) => format!("{} as a refusal says it", number.what()),
            Observable::Reply(field) => field.what().to_owned(),
            Observable::Event(field) => format!("{} in the recorded history", field.what()),
        }
    }

    /// Whether it is seen after every operation, and not only in some answers.
    #[must_use]
    pub fn is_figure(self) -> bool {
        matches!(self, Observable::Statistic(_) | Observable::Device(_))
    }

    /// Those that a study counts together: a family, a counter, a kind of text.
    #[must_use]
    pub fn group(self) -> String {
        match self {
            Observable::Statistic(Key::Family(family, _, column)) => format!("{}.*.{}", family.name(), column.name()),
            Observable::Statistic(Key::Oversize(which, _)) => format!("{}.*", which.name()),
            Observable::Statistic(Key::Counter(counter)) => counter.name().to_owned(),
            Observable::Dictionary(_) => "dictionary.*".to_owned(),
            Observable::Table(_) => "table.*".to_owned(),
            other => other.to_string(),
        }
    }
}

/// Whether the summary table has a number for it.
fn is_in_table(key: Key) -> bool {
    match key {
        Key::Counter(counter) => matches!(counter, Counter::NumOoms | Counter::NumAllocRetries),
        Key::Family(..) | Key::Oversize(..) => true,
    }
}

impl fmt::Display for Observable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Observable::Statistic(key) => write!(f, "{key}"),
            Observable::Dictionary(key) => write!(f, "dictionary.{key}"),
            Observable::Table(key) => write!(f, "table.{key}"),
            Observable::Device(figure) => write!(f, "device.{}", figure.name()),
            Observable::Segment(field) => write!(f, "snapshot.segment.{}", field.name()),
            Observable::Block(field) => write!(f, "snapshot.block.{}", field.name()),
            Observable::Refusal(number) => write!(f, "refusal.{}", number.name()),
            Observable::Reply(field) => write!(f, "reply.{}", field.name()),
            Observable::Event(field) => write!(f, "event.{}", field.name()),
        }
    }
}

impl FromStr for Observable {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Some(key) = Key::parse(text) {
            return Ok(Observable::Statistic(key));
        }
        Observable::all().find(|o| o.to_string() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Stats;

    #[test]
    fn each_observable_has_a_name_of_its_own_that_reads_back() {
        let names: std::collections::BTreeSet<String> = Observable::all().map(|o| o.to_string()).collect();
        assert_eq!(names.len(), Observable::all().count());
        assert!(names.len() > 3 * Stats::KEYS - 10, "{}", names.len());
        for observable in Observable::all() {
            assert_eq!(observable.to_string().parse(), Ok(observable));
        }
        assert_eq!("table.max_split_size".parse::<Observable>(), Err(()));
    }
}
