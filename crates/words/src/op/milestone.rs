//! Situations that a scenario can demand to have been in (`must_reach`), so that green means tested.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stats::Column;
use super::{Capability, Family};

/// Something that happened at least once while a scenario ran. Read off operations, replies and
/// figures alone, so that it means the same for every target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Milestone {
    /// A request was refused for lack of memory.
    Oom,
    /// A request succeeded on a device on which an earlier one had been refused for lack of memory.
    SuccessAfterOom,
    /// A request that was refused for lack of memory gave cached memory back first.
    FlushOnOom,
    /// A request succeeded after the allocator gave cached memory back for it.
    RetrySucceeded,
    /// Memory was got from the device.
    SegmentReserved,
    /// A request was served without going to the device.
    CacheHit,
    /// A block was carved from a larger one.
    Split,
    /// Free neighbours became one block.
    Merge,
    /// A freed block had to wait for another stream.
    PendingFree,
    /// A block that had waited for another stream became free.
    PendingResolved,
    /// A request was refused although the device had room: the memory fraction stood in the way.
    LimitRefusal,
    /// A request was refused by the device although the memory fraction allowed it.
    DeviceRefusal,
    /// A planned fault fired.
    FaultFired,
    /// `empty_cache` gave memory back.
    CacheEmptied,
    /// A peak was reset while it stood above the current value.
    PeakLowered,
    /// Two devices held live blocks at the same time.
    TwoDevicesLive,
    /// A call named one device while another was current.
    CrossDeviceCall,
    /// Both pools held live blocks at the same time.
    BothPools,
    /// Blocks of two streams were live at the same time.
    TwoStreamsLive,
    /// A call came from another thread than the one before.
    CallerSwitch,
    /// A block was freed by another thread than the one that asked for it.
    CrossCallerFree,
    /// A request of 0 bytes was answered.
    ZeroServed,
    /// A call was refused for its arguments or its pointer.
    ArgumentRefused,
    /// A steady round was repeated.
    CycleRepeated,
    /// A request was served from the private pool that it was redirected to.
    ServedFromPool,
    /// A request was served where two redirections accepted it, and the newer one counted.
    NestedPools,
    /// A pool made for it served a request from outside when memory had run out.
    HelpedOnOom,
    /// The last user of a private pool went away.
    PoolDied,
    /// A capture ended in which memory had been asked for.
    GraphCaptured,
    /// The cache was emptied while a graph held on to memory in which no block lived any more.
    GraphKept,
    /// A block freed under a redirection stayed in use because a stream had been recorded on it.
    FreeDeferred,
    /// A stream was told to wait for another one that was busy.
    StreamWaited,
    /// A request was refused for want of memory that another process held.
    Crowded,
}

impl Milestone {
    /// Every milestone.
    pub const ALL: &'static [Milestone] = &[
        Milestone::Oom,
        Milestone::SuccessAfterOom,
        Milestone::FlushOnOom,
        Milestone::RetrySucceeded,
        Milestone::SegmentReserved,
        Milestone::CacheHit,
        Milestone::Split,
        Milestone::Merge,
        Milestone::PendingFree,
        Milestone::PendingResolved,
        Milestone::LimitRefusal,
        Milestone::DeviceRefusal,
        Milestone::FaultFired,
        Milestone::CacheEmptied,
        Milestone::PeakLowered,
        Milestone::TwoDevicesLive,
        Milestone::CrossDeviceCall,
        Milestone::BothPools,
        Milestone::TwoStreamsLive,
        Milestone::CallerSwitch,
        Milestone::CrossCallerFree,
        Milestone::ZeroServed,
        Milestone::ArgumentRefused,
        Milestone::CycleRepeated,
        Milestone::ServedFromPool,
        Milestone::NestedPools,
        Milestone::HelpedOnOom,
        Milestone::PoolDied,
        Milestone::GraphCaptured,
        Milestone::GraphKept,
        Milestone::FreeDeferred,
        Milestone::StreamWaited,
        Milestone::Crowded,
    ];

    /// The name in scenario files.
    #[must_use]
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The capability without which a target could not show that it was here, however often it was.
    #[must_use]
    pub fn shown_by(self) -> Option<Capability> {
        match self {
            Milestone::Split | Milestone::Merge => Some(Capability::Stats(Family::InactiveSplit)),
            Milestone::RetrySucceeded => Some(Capability::Counters),
            // That the device had room is to be seen.
            Milestone::LimitRefusal => Some(Capability::MemoryInfo),
            Milestone::SegmentReserved => Some(Capability::Figure(Family::ReservedBytes, Column::Current)),
            Milestone::BothPools => Some(Capability::Stats(Family::Allocation)),
            Milestone::CrossDeviceCall => Some(Capability::Devices(2)),
            _ => None,
        }
    }

    /// The capability without which no target is ever here: it is not demanded of one that says so.
    #[must_use]
    pub fn takes(self) -> Option<Capability> {
        match self {
            Milestone::CacheHit
            | Milestone::CacheEmptied
            | Milestone::FlushOnOom
            | Milestone::RetrySucceeded
            | Milestone::HelpedOnOom => Some(Capability::Caching),
            Milestone::PendingFree | Milestone::PendingResolved => Some(Capability::DeferredFree),
            Milestone::Split => Some(Capability::CutsAnyBlock),
            Milestone::Merge => Some(Capability::MergesAtFree),
            Milestone::BothPools => Some(Capability::SmallPool),
            Milestone::SegmentReserved => Some(Capability::Stats(Family::ReservedBytes)),
            _ => None,
        }
    }

    /// Whether it takes a device, or what is allowed on it, to run out.
    #[must_use]
    pub fn is_scarcity(self) -> bool {
        matches!(
            self,
            Milestone::Oom
                | Milestone::SuccessAfterOom
                | Milestone::FlushOnOom
                | Milestone::RetrySucceeded
                | Milestone::LimitRefusal
                | Milestone::DeviceRefusal
                | Milestone::HelpedOnOom
                | Milestone::Crowded
        )
    }

    /// How many devices it takes. A scenario for one device or more does not demand of one what takes two.
    #[must_use]
    pub fn devices(self) -> usize {
        if self == Milestone::TwoDevicesLive { 2 } else { 1 }
    }
}
