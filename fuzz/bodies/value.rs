//! Numbers that break things: small ones, ends of ranges, and what was used before.
//!
//! Decides which numbers hostile files are made of.

use arbitrary::{Result, Unstructured};

const MIB: u64 = 1 << 20;

/// A number of one byte's choice; some take more bytes.
pub fn number(u: &mut Unstructured<'_>) -> Result<u64> {
    const ENDS: [u64; 12] = [
        u64::MAX,
        u64::MAX - 511,
        1 << 63,
        (1 << 63) - 1,
        1 << 62,
        1 << 53,
        1 << 32,
        u32::MAX as u64,
        i32::MAX as u64,
        1 << 40,
        65,
        1 << 16,
    ];
    Ok(match u.arbitrary::<u8>()? {
        small @ 0..=63 => u64::from(small),
        n @ 64..=127 => u64::from(n - 63) * 512,
        n @ 128..=191 => u64::from(n - 127) * MIB,
        n @ 192..=203 => ENDS[usize::from(n - 192)],
        204..=223 => u64::from(u.arbitrary::<u32>()?),
        _ => u.arbitrary()?,
    })
}

/// An address in a heap of a few segments, or any number.
pub fn address(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match u.arbitrary::<u8>()? {
        n @ 0..=127 => 0x7000_0000_0000 + u64::from(n & 31) * 20 * MIB,
        n @ 128..=223 => 0x7000_0000_0000 + u64::from(n & 7) * 20 * MIB + u64::from(n >> 3 & 15) * 512 * 1024,
        _ => number(u)?,
    })
}

/// One of a list that is not empty.
pub fn one_of<T: Copy>(u: &mut Unstructured<'_>, from: &[T]) -> Result<T> {
    Ok(from[usize::from(u.arbitrary::<u8>()?) % from.len()])
}

/// True once in `times`.
pub fn rarely(u: &mut Unstructured<'_>, times: u8) -> Result<bool> {
    Ok(u.arbitrary::<u8>()? % times == times - 1)
}

/// Sizes: below 2^31 as they are; above, one of those at which something changes.
pub fn size_of(draw: u32) -> u64 {
    const EDGES: [u64; 12] =
        [0, 512, 1024, 4096, MIB, 2 * MIB, 10 * MIB, 20 * MIB, 32 * MIB, 64 * MIB, 128 * MIB, 1 << 30];
    const HUGE: [u64; 8] =
        [1 << 40, 1 << 47, 1 << 60, (1 << 63) - 512, 1 << 63, u64::MAX - 511, u64::MAX - 1, u64::MAX];
    let by = u64::from(draw & 0x3ff);
    match draw >> 29 {
        0..4 => u64::from(draw),
        4 => 1 + u64::from(draw & 0xfff),
        5 => MIB + u64::from(draw & 0xff_ffff),
        6 => (EDGES[(draw >> 10) as usize % EDGES.len()] + by).saturating_sub(512),
        _ => HUGE[(draw >> 10) as usize % HUGE.len()],
    }
}
