//! The one type that plants anything; not there in a build without the feature.

use super::{Defect, Planting};
use crate::variation::{Variation, Variations};

/// What an allocator does otherwise. One type for both: the allocator is compiled anew for every kind of planting. Nothing else
/// plants anything: where the feature `planted-defects` is off, no defect can come in.
#[derive(Debug, Clone, Copy)]
pub enum Planted {
    /// One defect, for showing that somebody would notice.
    Defect(Defect),
    /// Variations, for showing that nobody is convicted of a policy.
    Variations(Variations),
}

impl Planting for Planted {
    #[inline]
    fn has(self, defect: Defect) -> bool {
        matches!(self, Planted::Defect(planted) if planted == defect)
    }

    fn varies(self, variation: Variation) -> bool {
        matches!(self, Planted::Variations(planted) if planted.have(variation))
    }

    fn chooses(self) -> bool {
        match self {
            Planted::Defect(d) => {
                let by_waits = matches!(d, Defect::WaitOrdersBothWays | Defect::OldWaitStillCounts);
                by_waits || matches!(d, Defect::StreamIgnored | Defect::StealsWithoutWaiting | Defect::ExactSizeOnly)
            }
            Planted::Variations(variations) => variations.choose(),
        }
    }

    fn heeds_waits(self) -> bool {
        match self {
            Planted::Defect(d) => {
                matches!(d, Defect::WaitTakenAsIdle | Defect::WaitOrdersBothWays | Defect::OldWaitStillCounts)
            }
            Planted::Variations(variations) => variations.have(Variation::FollowsWaits),
        }
    }

    fn counts_frees(self) -> bool {
        matches!(self, Planted::Variations(variations) if variations.count_frees())
    }
}
