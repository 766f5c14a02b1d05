//! A case from bytes, for a fuzzer: a header of 8, then 8 for each call, so that calls can be moved and copied.
//!
//! Decides what the bytes mean. What must agree is decided in `pair`.

use super::pair::{Call, Case, MIB, STREAMS, live_through_watched};
use crate::op::Stats;
use crate::{Settings, Sound};

/// Longer cases are slower, and reach nothing new.
const MOST: usize = 400;

/// Lives the case through on both allocators; `watch` sees the statistics of a device before and after each call.
///
/// # Errors
/// The first disagreement, in words.
pub fn differ(bytes: &[u8], watch: &mut dyn FnMut(&Stats, &Stats)) -> Result<(), String> {
    let Some((header, calls)) = bytes.split_first_chunk::<8>() else { return Ok(()) };
    let settings = settings(header);
    let granules = 8 + u64::from(u16::from_le_bytes([header[2], header[3]]) % 512);
    let devices = 1 + usize::from(header[0] >> 1 & 1);
    let totals = vec![granules * 2 * MIB; devices];
    let calls = calls.as_chunks::<8>().0.iter().take(MOST).map(|chunk| call(*chunk, devices)).collect();
    live_through_watched(&Case { settings, totals, calls }, Sound, watch).map(|_| ())
}

/// The bits stand for what they stand for in the fuzz target `operations`, so that the two share seeds.
fn settings(header: &[u8; 8]) -> Settings {
    let bit = |n: u8| header[0] >> n & 1 == 1;
    let large = match (header[6], bit(0)) {
        (0, _) => 20,
        // Pages of whole granules, as the device wants them.
        (n, true) => 12 + u64::from(n % 14) * 2,
        (n, false) => 11 + u64::from(n % 29),
    };
    let mut divisions = [0; 16];
    match header[0] >> 2 & 3 {
        1 => divisions = [4; 16],
        2 => divisions = [8, 8, 8, 8, 4, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        _ => {}
    }
    let (max_split, rounding) = match header[0] >> 6 & 3 {
        0 => (u64::MAX, large),
        1 => (40 * MIB, large),
        2 => (64 * MIB, 44),
        _ => (128 * MIB, large),
    };
    Settings {
        max_split,
        max_non_split_rounding: rounding.max(large) * MIB,
        gc_threshold: if bit(5) { (f64::from(header[5]) + 1.0) / 257.0 } else { 0.0 },
        roundup_divisions: divisions,
        expandable_segments: bit(0),
        large_segment: large * MIB,
        fraction: if bit(4) { f64::from(header[4]) / 255.0 } else { 1.0 },
    }
}

/// The kinds of `operations` in its order; those that ask the harness instead of the allocator become requests.
fn call([kind, place, pick, more, size @ ..]: [u8; 8], devices: usize) -> Call {
    let size = u32::from_le_bytes(size);
    let nth = usize::from(u16::from_le_bytes([pick, more]));
    let device = usize::from(place & 3) % devices;
    let stream = (place >> 2 & 7) % STREAMS;
    match kind % 64 {
        1 | 40..=50 => Call::Free { nth },
        2 | 3 | 51..=55 => Call::Record { nth, stream },
        4 | 56 | 57 => Call::Occupy { device, stream },
        5 | 58 | 59 => Call::Finish { device, stream },
        6 => Call::Synchronize { device },
        62 => Call::Wait { device, stream, on: (place >> 5) % STREAMS },
        7 | 60 => Call::EmptyCache,
        8 => Call::ResetPeak { device },
        9 => Call::ResetAccumulated { device },
        10 => Call::Fraction { device, fraction: f64::from(size % 1001) / 1000.0 },
        63 => Call::Neighbour { device, bytes: u64::from(size % 1001) * MIB },
        18 if place >> 5 & 1 == 0 => Call::FreeAgain { nth },
        18 => Call::FreeInside { nth, offset: 1 + u64::from(size & 0xffff) },
        _ => Call::Alloc { device, stream, bytes: bytes(size) },
    }
}

/// Sizes below 2^31 as they are; above, one of those at which something changes.
fn bytes(draw: u32) -> u64 {
    const EDGES: [u64; 12] =
        [0, 512, 1024, 4096, MIB, 2 * MIB, 10 * MIB, 20 * MIB, 32 * MIB, 64 * MIB, 128 * MIB, 1 << 30];
    const HUGE: [u64; 8] =
        [1 << 40, 1 << 47, 1 << 60, (1 << 63) - 512, 1 << 63, u64::MAX - 511, u64::MAX - 1, u64::MAX];
    match draw >> 29 {
        0..4 => u64::from(draw),
        4 => 1 + u64::from(draw & 0xfff),
        5 => MIB + u64::from(draw & 0xff_ffff),
        6 => (EDGES[(draw >> 10) as usize % EDGES.len()] + u64::from(draw & 0x3ff)).saturating_sub(512),
        _ => HUGE[(draw >> 10) as usize % HUGE.len()],
    }
}
