//! Planted defects: a catalogue of real mistakes, off unless named, and not to be had without the feature `planted-defects`.
//!
//! Decides which mistakes exist; one table a theme says what each does wrong and what it copies. The mistake
//! itself is an `if` at its place in the allocator or its front, with its body in `mistakes` where that is longer
//! than a line. The sound allocator carries [`Sound`], for which every such `if` is a constant.

mod accounts;
mod blocks;
mod devices;
mod errors;
mod limits;
mod peaks;
#[cfg(any(test, feature = "planted-defects"))]
mod planted;
mod private;
mod settings;
mod streams;
mod switches;
mod texts;
mod trimming;
mod uneven;

use super::variation::Variation;
use crate::requirement::RequirementId;

#[cfg(any(test, feature = "planted-defects"))]
pub use planted::Planted;

/// What an allocator carries: nothing, one defect, or one legal variation of policy.
pub trait Planting: Copy + std::fmt::Debug {
    /// Whether this defect is planted.
    fn has(self, defect: Defect) -> bool;

    /// Whether this variation is in force.
    #[inline(always)]
    fn varies(self, _: Variation) -> bool {
        false
    }

    /// Whether free blocks are chosen otherwise than by best fit on the request's own stream.
    #[inline(always)]
    fn chooses(self) -> bool {
        false
    }

    /// Whether it goes by which streams were told to wait for others.
    #[inline(always)]
    fn heeds_waits(self) -> bool {
        false
    }

    /// Whether a pool counts the blocks that are freed into it, which tells their age.
    #[inline(always)]
    fn counts_frees(self) -> bool {
        false
    }
}

/// No defect: the allocator that predicts PyTorch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sound;

impl Planting for Sound {
    #[inline(always)]
    fn has(self, _: Defect) -> bool {
        false
    }
}

/// A line of the catalogue.
#[derive(Debug, Clone, Copy)]
struct Entry {
    defect: Defect,
    name: &'static str,
    copies: &'static str,
    promises: &'static [RequirementId],
    what: &'static str,
}

/// What stands where a defect copies no public report.
pub const OWN: &str = "own mechanism";

/// A theme's table: variant, name in target options, the report it copies, the promises that it breaks (first the one
/// that it is most about), what goes wrong.
macro_rules! theme {
    ($($variant:ident, $name:literal, $copies:expr, [$($area:ident $number:literal),+], $what:literal;)+) => {
        pub(super) const TABLE: &[super::Entry] = &[$(super::Entry {
            defect: super::Defect::$variant,
            name: $name,
            copies: $copies,
            promises: &[$($crate::requirement::RequirementId::new($crate::requirement::Area::$area, $number)),+],
            what: $what,
        }),+];
    };
}
use theme;

/// A mistake that can be planted. What each does is said in the table of its theme, in the same order.
#[rustfmt::skip]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the tables of the themes say what each does")]
pub enum Defect {
    // blocks
    SegmentIndexWraps, MergeAcrossSegments, BlockTooSmall, SegmentTooSmall, LargeFreeLost, HugeSizeWraps,
    GrowthDoubles, PreviousNeighbourNotMerged, FreedWithRequestSize, RoundsDown, BoundaryInLargePool,
    LargeRequestsDoubled, SegmentNotRounded, TenMibSharesSegment, ExactSizeOnly, HandedOutStaysFree,
    TailOverlapsFront, TailLost, SliverCutOff, LastGranuleKept, NextNeighbourNotMerged, MergedAtOwnAddress,
    MergedSizeForgotten, FreeLostNowAndThen, AddressAfterHeader,
    // streams
    RecordNeedsSegmentStart, EventOnDefaultStream, EventsBlockEachOther, SideStreamNotRegistered, RecordIgnored,
    FirstRecordOnly, LastRecordOnly, OneEventIsEnough, EventsTakenAsPassed, EventsAskedOnlyInFlush,
    FlushDoesNotWait, WaitedBlockDropped, StreamIgnored, StealsWithoutWaiting, EventFailureFreesAtOnce,
    QueryFailureLosesBlock, MergesWithWaiting, RecordOnFirstDevice, WaitTakenAsIdle, WaitOrdersBothWays,
    OldWaitStillCounts,
    // accounts
    ActiveLosesMergedSize, ActiveKeptWithoutEvents, SegmentCountKept, UnknownFreeCounted, ReservedKeptOnTrim,
    StatsSkippedAfterRetry, OomCountedEarly, ActiveFallsEarly, RequestedIsRounded, AllocatedByRequest,
    FreedInSmallPool, SegmentInLargePool, SplitNotCounted, WholeCountedAsSplit, SyncNotCounted,
    DeviceAllocCountedEarly, DeviceFreeNotCounted, RetryNotCounted, RetryAlwaysCounted, LimitOomNotCounted,
    DeviceAllocWraps, ReleasedByRequestSize, ReservedThoughRefused, NullCountedAsBlock, HiddenDriverBlock,
    // peaks
    RequestedPeakNotReset, PeakResetWholeOnly, PeakResetToZero, PeakOfRefused, PoolPeaksFollowWhole, PeakAtFreeOnly,
    OversizePeakNotReset, PeakFallsWithFree, AccumulatedResetClearsPeaks, AccumulatedResetKeepsCounters,
    AccumulatedResetClearsSetting,
    // limits
    NoFlushBeforeOom, LimitChecksAllocated, LimitOnlyShrinks, LimitForgetsRequest, LimitForgetsSegment,
    LimitRoundedUp, LimitChargedOnce, LimitSlack, ZeroFractionUnlimited, FractionClamped, FractionNanAccepted,
    FractionActsThoughRefused, FractionTrims, FractionOfFree, FractionLostEarly, FlushKeepsBest, FlushOwnStream,
    FlushOwnPool, FlushBySumOfRequests, NoSecondTry, OomSticky, OomAsDeviceError, HugeMisreported,
    ExabyteReachesAllocator, Preallocates, MessageDeviceZero, MessageLimitUnset, MessageReservedAsAllocated,
    MessageNamesBlock, MessageEmpty, OthersChargedToLimit, RefusalRemembered, MessageOthersAsOwn,
    // trimming
    SmallPoolNotTrimmed, DoubleFreeReleases, TrimStopsEarly, TrimDefaultStreamOnly, TrimTakesSplit,
    ReleaseFailureForgotten,
    // settings
    DivisionsIgnored, ExpandableIgnored, LargeSegmentIgnored, FractionSettingIgnored, MaxSplitIgnored,
    OversizeServesSmall, NonSplitRoundingIgnored, OversizeFlushesAll, OversizeCountKept, GcNeverRuns,
    GcTakesYoungest, GcTakesAll, AccessNotSet, AccessFailureIgnored, MapFailureKeepsPages, UnmapTakesPartialPages,
    UnmapDoesNotWait, UnmapFailureForgotten, AddressesLeak, ExpandableCountsRequest, MergesUnmapped,
    // settings that change
    SettingsReadOnce, SettingsOnFirstDevice, SettingsEmptyCache, PagesForgottenOnceOff,
    FreedBySwitch, DirectFreeLost, SmallAlwaysCached,
    // devices
    LimitOnCurrentDevice, DefaultDeviceZero, FreeOnCurrentDevice, CallersShareCurrent, BadDeviceClamped,
    NegativeIsCurrent, ContextOnDeviceZero, TrimWakesDeviceZero, TrimCurrentDeviceOnly, OomFlushesAllDevices,
    FractionOnAllDevices, FractionReadOnCurrent, PeakResetOnCurrent, AccumulatedResetOnAll, NamedBecomesCurrent,
    InteriorFreesBlock, UnknownFreeIgnored, NullFreeRefused, ZeroSizeTakesBlock, ZeroSizeRefused,
    ZeroSizeSharesPointer,
    // texts
    DictionaryOfCurrent, DictionaryEmptyEarly, DictionaryLacksPool, DictionaryUnsorted, ReservedMinusOne,
    DictionaryResetsPeaks, MemoryInfoOfCurrent, FreeIsUnallocated, FreeAndTotalSwapped, TotalIsLimit,
    SummaryDeviceZero, SummaryStale, SummaryColumnsSwapped, SnapshotOmitsWaiting, SnapshotRoundsRequests,
    SnapshotJoinsSegments, SnapshotAsksEvents, FreeFromTotal,
    // private pools and graph capture
    PrivateServesOthers, GraphMemoryFlushed, DeferredFreeForgotten, DeferredFreeTakenUp, GraphPoolKept,
    NoSplitIgnored, ResetPoolNotHeld, ResetPoolRenewed,
    // error paths
    ReserveErrorCounted, ReleaseErrorCounted, ErrorSticks, AccessErrorLeaks, AddressesErrorKept, QueryErrorPasses,
    // seen only by comparing runs
    StreamHandleSizes, OddDeviceSizes, ReleaseChangesSizes, TrimsCounted, LastDeviceSizes, OddBytesSizes,
    RefusedFreeSizes,
}

const TABLES: [&[Entry]; 13] = [
    blocks::TABLE,
    streams::TABLE,
    accounts::TABLE,
    peaks::TABLE,
    limits::TABLE,
    trimming::TABLE,
    settings::TABLE,
    switches::TABLE,
    devices::TABLE,
    texts::TABLE,
    private::TABLE,
    errors::TABLE,
    uneven::TABLE,
];

const COUNT: usize = {
    let (mut count, mut table) = (0, 0);
    while table < TABLES.len() {
        count += TABLES[table].len();
        table += 1;
    }
    count
};

/// All tables in one, each entry at the position that its variant has in `Defect`.
static CATALOGUE: [Entry; COUNT] = {
    let mut all = [blocks::TABLE[0]; COUNT];
    let (mut at, mut table) = (0, 0);
    while table < TABLES.len() {
        let mut line = 0;
        while line < TABLES[table].len() {
            all[at] = TABLES[table][line];
            assert!(all[at].defect as usize == at, "the tables and the variants of `Defect` differ in order");
            at += 1;
            line += 1;
        }
        table += 1;
    }
    all
};

static ALL: [Defect; COUNT] = {
    let mut all = [Defect::SegmentIndexWraps; COUNT];
    let mut at = 0;
    while at < COUNT {
        all[at] = CATALOGUE[at].defect;
        at += 1;
    }
    all
};

impl Defect {
    /// Every defect, in the order of the catalogue.
    pub const ALL: &'static [Defect] = &ALL;

    fn entry(self) -> &'static Entry {
        &CATALOGUE[self as usize]
    }

    /// The name in target options: `reference@sim?defect=NAME`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// What shows only after a device call failed: a sweep over device calls finds these, and other scenarios
    /// find at most some of them.
    pub const ERROR_PATHS: [Defect; 11] = [
        Defect::ReserveErrorCounted,
        Defect::ReleaseErrorCounted,
        Defect::ErrorSticks,
        Defect::AccessErrorLeaks,
        Defect::AddressesErrorKept,
        Defect::QueryErrorPasses,
        Defect::ReleaseFailureForgotten,
        Defect::MapFailureKeepsPages,
        Defect::UnmapFailureForgotten,
        Defect::EventFailureFreesAtOnce,
        Defect::QueryFailureLosesBlock,
    ];

    /// The public report that describes the mistake in a real allocator, or [`OWN`].
    #[must_use]
    pub fn copies(self) -> &'static str {
        self.entry().copies
    }

    /// The promises that it breaks by what it does, not by what anybody notices. The first is the one that it is most
    /// about.
    #[must_use]
    pub fn promises(self) -> &'static [RequirementId] {
        self.entry().promises
    }

    /// What the allocator does wrong.
    #[must_use]
    pub fn what(self) -> &'static str {
        self.entry().what
    }
}

impl std::str::FromStr for Defect {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Defect::ALL.iter().copied().find(|d| d.name() == name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_breaks_registered_promises_each_said_once() {
        for &defect in Defect::ALL {
            let promises = defect.promises();
            assert!((1..=3).contains(&promises.len()), "{defect:?}");
            for (at, id) in promises.iter().enumerate() {
                assert_eq!(id.to_string().parse(), Ok(*id), "{defect:?}");
                assert!(!promises[..at].contains(id), "{defect:?} says {id} twice");
            }
        }
    }

    #[test]
    fn every_defect_has_a_name_of_its_own_and_reads_back() {
        let mut names: Vec<&str> = Defect::ALL.iter().map(|d| d.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Defect::ALL.len());
        for &defect in Defect::ALL {
            assert_eq!(defect.name().parse(), Ok(defect));
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(defect.name().chars().all(plain) && defect.what().ends_with('.'), "{defect:?}");
            assert!(defect.copies() == OWN || defect.copies().contains(" #"), "{defect:?}");
        }
    }
}
