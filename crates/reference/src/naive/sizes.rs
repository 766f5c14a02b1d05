//! Sizes: what a request is rounded to, and how large a segment is got for it.

use super::Settings;

pub(super) const MIN: u64 = 512;
/// The largest size of the small pool.
pub(super) const SMALL: u64 = 1 << 20;
pub(super) const SMALL_SEGMENT: u64 = 2 << 20;
const MIN_LARGE: u64 = 10 << 20;

/// `n` up to the next multiple.
fn up(n: u64, multiple: u64) -> Option<u64> {
    n.div_ceil(multiple).checked_mul(multiple)
}

/// The size of the block for a request of `n` bytes.
pub(super) fn rounded(n: u64, settings: &Settings) -> Option<u64> {
    if n < MIN {
        return Some(MIN);
    }
    let mebibytes = n >> 20;
    let entry = if mebibytes == 0 { 0 } else { mebibytes.ilog2().min(15) };
    let divisions = settings.roundup_divisions[entry as usize];
    if divisions <= 1 || n <= MIN.saturating_mul(divisions) {
        return up(n, MIN);
    }
    if n.is_power_of_two() {
        return Some(n);
    }
    let below = 1_u64 << n.ilog2();
    let step = below >> divisions.ilog2();
    if step == 0 { below.checked_mul(2) } else { up(n, step) }
}

/// The size of the segment for a block of `size`.
pub(super) fn segment(size: u64, settings: &Settings) -> Option<u64> {
    if size <= SMALL {
        Some(SMALL_SEGMENT)
    } else if size < MIN_LARGE {
        Some(settings.large_segment)
    } else {
        up(size, 2 << 20)
    }
}
