//! What is to be known beside the count of divergences: what a file did not tell, and what was done about it.
//!
//! Decides the words. Each is said of one file, in the order in which it came up.

use std::fmt;

use crate::op::size::human;
use crate::op::trace::Action;
use crate::reference::{Remark, Settings};
use crate::replay::ReleaseFrom;
use crate::replay::what_if::Fitted;

/// Something that a reader of the result has to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// Of the settings string.
    Setting(Remark),
    /// Nothing tells the settings string.
    SettingsNotTold,
    /// The settings string says otherwise than what was in force.
    InForce {
        /// The setting.
        key: &'static str,
    },
    /// The history began after the program did, and the reference was primed with what stood then.
    Late {
        /// By position.
        device: usize,
        /// Memory that stood.
        reserved: u64,
        /// Blocks that were live or waited, and their bytes.
        blocks: u64,
        /// Their bytes.
        bytes: u64,
        /// Those that waited for streams.
        waiting: u64,
        /// Those whose size nothing tells for sure.
        guessed: u64,
        /// Garbage collection is on: the ages of cached blocks are not known.
        ages: bool,
    },
    /// More was counted than the history shows, though nothing stood when it began.
    Earlier {
        /// By position.
        device: usize,
    },
    /// The first or last events are of a call that the history has cut; they were taken as they are.
    Cut {
        /// By position.
        device: usize,
        /// How many.
        events: usize,
        /// At the start, or at the end.
        first: bool,
    },
    /// The recorder left events of an action out.
    LeftOut {
        /// By position.
        device: usize,
        /// Which.
        action: Action,
    },
    /// Settings changed while it was recorded.
    SettingsChanged {
        /// By position.
        device: usize,
        /// The event that first shows it.
        index: u32,
        /// What changed.
        changed: Changed,
    },
    /// Garbage collections were followed as they were recorded.
    Collected {
        /// By position.
        device: usize,
        /// How many.
        times: u64,
    },
    /// The limit of garbage collections was fitted to them.
    Fitted {
        /// By position.
        device: usize,
        /// Between which limits it was.
        fitted: Fitted,
        /// The history began late: what was cached then is of unknown age.
        late: bool,
    },
    /// Blocks were got from the driver itself, while the cache was not used.
    PastTheCache {
        /// How many.
        blocks: u64,
        /// The most bytes of them at a time, each in whole granules.
        most: u64,
    },
    /// By the rules of which release other settings are asked.
    Rules {
        /// Its minor version.
        minor: u32,
        /// What tells so.
        from: ReleaseFrom,
    },
    /// The reference has no rules of the release that was recorded.
    OtherRelease {
        /// As the recording names it.
        recorded: String,
    },
    /// Which requests went to private pools was told by the segments that their addresses lie in.
    PoolsByAddress,
}

/// Settings that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed(Vec<(&'static str, String, String)>);

impl Changed {
    /// What of the settings is not what it was.
    #[must_use]
    pub fn between(before: &Settings, after: &Settings) -> Self {
        let mut changed = Vec::new();
        let mut note = |key: &'static str, before: String, after: String| {
            if before != after {
                changed.push((key, before, after));
            }
        };
        let split = |bytes: u64| if bytes == u64::MAX { "none".to_owned() } else { human(bytes) };
        let flag = |is: bool| if is { "True" } else { "False" }.to_owned();
        note("expandable_segments", flag(before.expandable_segments), flag(after.expandable_segments));
        note("max_split_size", split(before.max_split), split(after.max_split));
        note("garbage_collection_threshold", before.gc_threshold.to_string(), after.gc_threshold.to_string());
        note(
            "roundup_power2_divisions",
            format!("{:?}", before.roundup_divisions),
            format!("{:?}", after.roundup_divisions),
        );
        note("large_segment_size", human(before.large_segment), human(after.large_segment));
        note("max_non_split_rounding", human(before.max_non_split_rounding), human(after.max_non_split_rounding));
        Changed(changed)
    }

    /// Each with what it was and what it became.
    #[must_use]
    pub fn changes(&self) -> &[(&'static str, String, String)] {
        &self.0
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes = self.0.iter().map(|(key, before, after)| format!("{key} from {before} to {after}"));
        f.write_str(&changes.collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Setting(remark) => write!(f, "{remark}"),
            Note::SettingsNotTold => f.write_str(
                "the snapshot tells no settings string; what it does not tell otherwise is taken to be PyTorch's default",
            ),
            Note::InForce { key } => write!(
                f,
                "the settings string does not say of `{key}` what was in force at the end; what was in force is taken"
            ),
            Note::Late { .. } => self.late(f),
            Note::Earlier { device } => write!(
                f,
                "device {device}: more was counted than the history shows: it began late, when nothing was reserved. \
                 Peaks and sums are not compared"
            ),
            Note::Cut { device, events, first: true } => write!(
                f,
                "device {device}: the first {} of the history finish a call that began before it; taken as they are",
                counted(*events as u64, "event")
            ),
            Note::Cut { device, events, first: false } => write!(
                f,
                "device {device}: the last {} begin a call that the history does not finish; not compared",
                counted(*events as u64, "event")
            ),
            Note::LeftOut { device, action } => write!(
                f,
                "device {device}: `{}` was left out when it was recorded (skip_actions); blocks are taken to be free at \
                 once when they are freed",
                action.name()
            ),
            Note::SettingsChanged { device, index, changed } => write!(
                f,
                "device {device}: the settings changed while it was recorded; event {index} is the first that shows it: {changed}"
            ),
            Note::Collected { device, times } => write!(
                f,
                "device {device}: {} followed as recorded; garbage collection goes by ages and by the memory fraction, which \
                 a snapshot does not tell",
                counted(*times, "garbage collection")
            ),
            Note::Fitted { device, fitted, late } => write_fitted(f, *device, *fitted, *late),
            Note::PastTheCache { blocks, most } => write!(
                f,
                "{} went past the cache, which was switched off; at most {} of them at a time. They are in no figure, and on \
                 cards of other sizes they are left out",
                counted(*blocks, "block"),
                human(*most)
            ),
            Note::Rules { minor, from } => write_rules(f, *minor, from),
            Note::OtherRelease { recorded } => write!(
                f,
                "recorded from {recorded}, whose rules the reference does not know: it goes by those of 2.11, and a divergence \
                 may be a difference between the releases"
            ),
            Note::PoolsByAddress => f.write_str(
                "the trace has no `pool_id` (PyTorch before 2.12): a request's private pool is that of the segment its \
                 address lies in, and a segment that is gone at the end is taken for one of the default pools",
            ),
        }
    }
}

impl Note {
    fn late(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Note::Late { device, reserved, blocks, bytes, waiting, guessed, ages } = self else { return Ok(()) };
        write!(
            f,
            "device {device}: the history began late; {} stood already, with {} of {} in it, and the \
             reference was primed with that. Peaks and sums of the time before are not known",
            human(*reserved),
            counted(*blocks, "block"),
            human(*bytes)
        )?;
        if *waiting > 0 {
            write!(f, "; for which streams {waiting} of them waited is not told")?;
        }
        if *guessed > 0 {
            write!(f, "; the size of {guessed} of them is their request, rounded: nothing tells whether more")?;
        }
        if *ages {
            write!(f, "; how long blocks had been cached is not told")?;
        }
        Ok(())
    }
}

fn write_fitted(f: &mut fmt::Formatter<'_>, device: usize, fitted: Fitted, late: bool) -> fmt::Result {
    let Fitted { least, most, collections, without } = fitted;
    write!(
        f,
        "device {device}: the limit that garbage collections go by (the memory fraction) is not told; it was fitted \
         to {} and to {} of new memory before which nothing was collected: with limits from {least} B ({}) to \
         {most} B ({}). With the least, the middle and the greatest of these the reference repeats the recorded \
         run, and what was asked under other settings comes to the same",
        counted(collections, "collection"),
        counted(without, "request"),
        human(least),
        human(most)
    )?;
    if late {
        f.write_str("; what was cached when the history began was taken to be of one age")?;
    }
    Ok(())
}

fn write_rules(f: &mut fmt::Formatter<'_>, minor: u32, from: &ReleaseFrom) -> fmt::Result {
    write!(f, "other settings are asked by the rules of PyTorch 2.{minor}: ")?;
    match from {
        ReleaseFrom::Header(recorded) => write!(f, "the recording is from `{recorded}`"),
        ReleaseFrom::Export => f.write_str("the snapshot names it"),
        ReleaseFrom::Since(since) if minor >= *since => write!(
            f,
            "the snapshot does not name its release, and holds what PyTorch writes since 2.{since}; of the rules \
             since then, these are assumed"
        ),
        ReleaseFrom::Since(since) => write!(
            f,
            "the snapshot does not name its release, and though it holds what PyTorch writes since 2.{since}, none \
             of the rules since then repeat it"
        ),
        ReleaseFrom::Nothing => {
            f.write_str("the snapshot does not name its release, and has no `pool_id`, which PyTorch writes since 2.12")
        }
    }
}

/// So many of something.
fn counted(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}
