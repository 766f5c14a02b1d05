//! Sizes: how a request is rounded, and how much is asked of the device for it.
//!
//! Source: the facts recorded from PyTorch 2.11; every constant here is one of its compile-time constants.

use super::settings::Settings;
use crate::op::PoolKind;

/// Bytes of a KiB.
pub const KIB: u64 = 1 << 10;
/// Bytes of a MiB.
pub const MIB: u64 = 1 << 20;
/// Granularity and least size of a block.
pub const MIN_BLOCK: u64 = 512;
/// Largest rounded size that belongs to the small pool (inclusive).
pub const SMALL_LIMIT: u64 = MIB;
/// Segment size for every small request, and the page of small expandable segments.
pub const SMALL_SEGMENT: u64 = 2 * MIB;
/// At or above this the segment is the size itself, rounded.
pub const MIN_LARGE: u64 = 10 * MIB;
/// Rounding of big segments.
pub const SEGMENT_ROUND: u64 = 2 * MIB;
/// The largest block whose segment can be represented.
pub const LARGEST: u64 = u64::MAX - SEGMENT_ROUND + 1;

/// The bytes a request occupies, or `None` if that cannot be represented.
#[must_use]
pub fn block_size(request: u64, settings: &Settings) -> Option<u64> {
    let divisions = settings.divisions(request);
    if divisions > 1 && request > MIN_BLOCK.saturating_mul(divisions) {
        return round_to_division(request, divisions);
    }
    request.max(1).checked_next_multiple_of(MIN_BLOCK)
}

/// Up to the next of `divisions` equal steps between two powers of two.
fn round_to_division(request: u64, divisions: u64) -> Option<u64> {
    if request.is_power_of_two() {
        return Some(request);
    }
    let below = 1_u64 << request.ilog2();
    let step = below >> divisions.ilog2();
    if step == 0 { below.checked_mul(2) } else { request.checked_next_multiple_of(step) }
}

/// The pool that serves a rounded size.
#[must_use]
pub fn pool_kind(size: u64) -> PoolKind {
    if size <= SMALL_LIMIT { PoolKind::Small } else { PoolKind::Large }
}

/// The segment asked of the device for a block of `size`, at most [`LARGEST`].
#[must_use]
pub fn segment_size(size: u64, settings: &Settings) -> u64 {
    if size <= SMALL_LIMIT {
        SMALL_SEGMENT
    } else if size < MIN_LARGE {
        settings.large_segment
    } else {
        size.div_ceil(SEGMENT_ROUND).saturating_mul(SEGMENT_ROUND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided(divisions: u64) -> Settings {
        Settings { roundup_divisions: [divisions; 16], ..Settings::default() }
    }

    #[test]
    fn requests_round_as_recorded() {
        let plain = Settings::default();
        for (request, size) in [(1, 512), (512, 512), (513, 1024), (MIB + 1, MIB + 512)] {
            assert_eq!(block_size(request, &plain), Some(size));
        }
        let four = divided(4);
        let cases = [(1200, 1536), (2049, 2560), (3 * MIB, 3 * MIB), (5 * MIB + 1, 6 * MIB), (100 * MIB, 112 * MIB)];
        for (request, size) in cases {
            assert_eq!(block_size(request, &four), Some(size), "{request}");
        }
    }

    #[test]
    fn what_cannot_be_represented_is_refused() {
        assert_eq!(block_size(u64::MAX, &Settings::default()), None);
        assert_eq!(block_size(u64::MAX, &divided(4)), None);
        assert_eq!(segment_size(LARGEST, &Settings::default()), LARGEST);
    }

    #[test]
    fn segments_follow_the_size() {
        let plain = Settings::default();
        for (size, segment) in [(512, 2 * MIB), (MIB, 2 * MIB), (MIB + 512, 20 * MIB), (10 * MIB, 10 * MIB)] {
            assert_eq!(segment_size(size, &plain), segment);
        }
        assert_eq!(segment_size(10 * MIB + 512, &plain), 12 * MIB);
    }
}
