//! What a variation of the reference promises otherwise: its contract, and what it does not claim.
//!
//! Decides nothing of what it does: that is `reference::variation`'s.

use crate::op::Growth;
use crate::op::{Capability, TargetInfo};
use crate::reference::rounding::MIB;
use crate::reference::{Variation, Variations};

/// Restates the promises of a target under variations: of several, each takes what it must.
pub(super) fn restate(info: &mut TargetInfo, variations: Variations) {
    info.capabilities.remove(&Capability::Settings);
    info.capabilities.remove(&Capability::SettingsChange);
    info.capabilities.remove(&Capability::ExactPolicy);
    for variation in variations.iter() {
        for claim in unclaimed(variation) {
            info.capabilities.remove(claim);
        }
        let growth = &mut info.contract.growth;
        match variation {
            Variation::LargerSegments => growth.least = growth.least.max(32 * MIB),
            Variation::HugeSegments | Variation::ArenaByStream => growth.least = growth.least.max(64 * MIB),
            Variation::SpareSegment => growth.least *= 2,
            Variation::SmallerSegments => growth.granule = growth.granule.max(4 * MIB),
            Variation::PowersOfTwo => may_grow(growth, 2, 1),
            Variation::Buddies => {
                may_grow(growth, 2, 1);
                growth.least = growth.least.max(32 * MIB);
            }
            // At most an eighth where a request gets a segment of its own: that begins at 10 MiB.
            Variation::Padding => may_grow(growth, 9, 8),
            Variation::FineRounding => info.contract.alignment = 256,
            _ => {}
        }
    }
}

/// Requests may be rounded up by this factor, too.
fn may_grow(growth: &mut Growth, numerator: u64, denominator: u64) {
    growth.numerator *= numerator;
    growth.denominator *= denominator;
}

/// What a variation cannot be asked for.
fn unclaimed(variation: Variation) -> &'static [Capability] {
    use Capability::{
        Caching, CutsAnyBlock, DeferredFree, GraphCapture, KeepsCached, MergesAtFree, PrivatePools, SmallPool,
    };
    match variation {
        // Without a cache there is nothing to keep apart.
        Variation::EagerTrimming => &[Caching, PrivatePools, GraphCapture],
        Variation::NeverCaches => &[Caching, PrivatePools, GraphCapture, CutsAnyBlock, MergesAtFree],
        Variation::NoSplitting | Variation::WholeLargeBlocks => &[CutsAnyBlock, MergesAtFree],
        Variation::LazyMerging => &[MergesAtFree],
        Variation::NoSmallPool | Variation::ArenaByStream => &[SmallPool],
        Variation::UncachedLarge => &[Caching, KeepsCached, CutsAnyBlock],
        Variation::BoundedCache => &[Caching, KeepsCached],
        Variation::UnusedForgotten | Variation::FlushesFirst => &[KeepsCached],
        Variation::WaitsAtFree => &[DeferredFree],
        _ => &[],
    }
}
