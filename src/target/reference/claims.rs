//! What the reference claims: each capability by its name, so that one that is new to the vocabulary is nobody's until it is
//! added here.
//!
//! Decides what holds on which devices and under which settings. What a variation cannot claim is `varied`'s, what is left
//! without a cache `change`'s.

use crate::op::{Capability, Family, Policy};
use crate::reference::Settings;

/// Claimed on every device and under all settings.
const ALWAYS: &[Capability] = &[
    Capability::Streams,
    Capability::RecordStream,
    Capability::StreamControl,
    Capability::MemoryFraction,
    Capability::EmptyCache,
    Capability::PeakReset,
    Capability::AccumulatedReset,
    Capability::Stats(Family::Allocation),
    Capability::Stats(Family::Segment),
    Capability::Stats(Family::Active),
    Capability::Stats(Family::InactiveSplit),
    Capability::Stats(Family::AllocatedBytes),
    Capability::Stats(Family::ReservedBytes),
    Capability::Stats(Family::ActiveBytes),
    Capability::Stats(Family::InactiveSplitBytes),
    Capability::Stats(Family::RequestedBytes),
    Capability::Counters,
    Capability::Summary,
    Capability::Dictionary,
    Capability::Snapshot,
    Capability::RawFree,
    Capability::Contents,
    Capability::OomTyped,
    Capability::MemoryInfo,
    Capability::Faults,
    Capability::CurrentDevice,
    Capability::Callers,
    Capability::Tensors,
    Capability::PrivatePools,
    Capability::GraphCapture,
    Capability::CachingSwitch,
    Capability::MergesAtFree,
    Capability::SmallPool,
    Capability::DeferredFree,
    Capability::Policy(Policy::Pytorch2_11),
    Capability::Settings,
    Capability::SettingsChange,
    Capability::Repeatable,
    Capability::DeviceEvents,
];

/// What only a simulated device makes possible: worlds of any size, other processes at will, and a twin that lives on devices
/// like it.
const ON_SIMULATED_DEVICES: &[Capability] =
    &[Capability::Simulated, Capability::ExactPolicy, Capability::Neighbours, Capability::DeviceLedger];

/// All that is claimed under these settings, on simulated devices or on GPUs, which somebody may watch.
pub(in crate::target) fn claims(
    is_simulated: bool,
    is_watched: bool,
    settings: &Settings,
) -> impl Iterator<Item = Capability> {
    let Settings { expandable_segments: expandable, max_split, gc_threshold, .. } = *settings;
    let by_settings = [
        // Once whole again, a segment for requests below 10 MiB is oversize, and serves no such request.
        (Capability::Caching, expandable || max_split > settings.large_segment),
        (Capability::KeepsCached, gc_threshold <= 0.0),
        (Capability::CutsAnyBlock, max_split == u64::MAX),
        (Capability::FixedSegments, !expandable),
        (Capability::Nvml, is_watched),
    ];
    let by_settings = by_settings.into_iter().filter(|(_, holds)| *holds).map(|(capability, _)| capability);
    let simulated = if is_simulated { ON_SIMULATED_DEVICES } else { &[] };
    ALWAYS.iter().chain(simulated).copied().chain(by_settings)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The vocabulary's words that the reference does not claim by default, so that a new one is decided on.
    #[test]
    fn every_capability_is_claimed_or_left_out_knowingly() {
        let claimed: BTreeSet<Capability> = claims(true, true, &Settings::default()).collect();
        let all = Capability::names().into_iter().filter_map(|name| name.parse::<Capability>().ok());
        let left: Vec<Capability> = all.filter(|c| !claimed.contains(c)).collect();
        // Single columns are covered by their families, and how many devices there are depends on the world.
        assert!(left.iter().all(|c| matches!(c, Capability::Figure(..) | Capability::Devices(_))), "{left:?}");
        assert!(
            claims(false, false, &Settings::default()).all(|c| c != Capability::Simulated && c != Capability::Nvml)
        );
    }
}
