//! Sizes: from raw draws to bytes, by the size classes of a scenario.
//!
//! Decides how a drawn number becomes a size. Integer arithmetic alone: logarithms of the standard
//! library differ between machines.

use crate::spec::{SizeClass, SizeDraw};

/// What sizes are drawn from where a scenario names none.
pub(super) const DEFAULT: SizeDraw = SizeDraw::LogUniform(1, 32 << 20);

/// A position in `0..count`; 0 if `count` is 0.
#[inline]
pub(super) fn below(draw: u32, count: usize) -> usize {
    let scaled = (u128::from(draw) * count as u128) >> 32;
    usize::try_from(scaled).unwrap_or(0) // below `count`
}

/// A number in `0..count`; 0 if `count` is 0.
#[inline]
fn scale(draw: u64, count: u128) -> u64 {
    u64::try_from((u128::from(draw) * count) >> 64).unwrap_or(u64::MAX) // `count` is at most 2^64
}

/// A size of one of the classes.
pub(super) fn draw(classes: &[SizeClass], class: u32, draw: u64) -> u64 {
    let total: u64 = classes.iter().map(|c| u64::from(c.weight)).sum();
    let mut left = (u64::from(class) * total) >> 32;
    for class in classes {
        let weight = u64::from(class.weight);
        if left < weight {
            return of(&class.draw, draw);
        }
        left -= weight;
    }
    of(classes.first().map_or(&DEFAULT, |c| &c.draw), draw)
}

fn of(size: &SizeDraw, draw: u64) -> u64 {
    match size {
        SizeDraw::LogUniform(low, high) => log_uniform(*low, *high, draw),
        SizeDraw::Around { centres, within } => {
            // One draw serves twice: its high bits choose the centre, all of it, scattered, the distance.
            let at = below(high_half(draw), centres.len());
            let centre = centres.get(at).copied().unwrap_or(0);
            let low = centre.saturating_sub(*within);
            let high = centre.saturating_add(*within);
            low + scale(super::seed::scatter(draw), u128::from(high - low) + 1)
        }
        SizeDraw::Exactly(values) => values.get(below(high_half(draw), values.len())).copied().unwrap_or(0),
    }
}

fn high_half(draw: u64) -> u32 {
    (draw >> 32) as u32
}

/// Every doubling equally likely, and every size within a doubling.
pub(super) fn log_uniform(low: u64, high: u64, draw: u64) -> u64 {
    let low = low.max(1);
    let high = high.max(low);
    let (from, to) = (logarithm(low), logarithm(high));
    power(from + scale(draw, u128::from(to - from) + 1)).clamp(low, high)
}

/// The binary logarithm in units of 2^-32, straight between powers of two.
fn logarithm(x: u64) -> u64 {
    let whole = x.ilog2();
    let part = ((u128::from(x) << 32) >> whole) - (1 << 32);
    (u64::from(whole) << 32) + u64::try_from(part).unwrap_or(0) // below 2^32
}

/// The inverse of `logarithm`, rounded down.
fn power(logarithm: u64) -> u64 {
    let (whole, part) = (logarithm >> 32, logarithm & 0xffff_ffff);
    (1 << whole) + u64::try_from((u128::from(part) << whole) >> 32).unwrap_or(0) // below 2^whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws() -> impl Iterator<Item = u64> {
        (0..4000).map(super::super::seed::scatter).chain([0, u64::MAX])
    }

    #[test]
    fn log_uniform_keeps_its_bounds_and_favours_no_doubling() {
        let mut by_doubling = [0; 64];
        for draw in draws() {
            let size = log_uniform(1, 1 << 20, draw);
            assert!((1..=1 << 20).contains(&size));
            by_doubling[size.ilog2() as usize] += 1;
        }
        assert!(by_doubling[..20].iter().all(|&n| (140..=260).contains(&n)), "{by_doubling:?}");
        assert_eq!((log_uniform(0, 0, 9), log_uniform(7, 7, 9), log_uniform(9, 3, 9)), (1, 7, 9));
        assert_eq!((log_uniform(1, u64::MAX, 0), log_uniform(1, u64::MAX, u64::MAX).ilog2()), (1, 63));
    }

    #[test]
    fn around_reaches_both_sides_of_every_centre() {
        let size = SizeDraw::Around { centres: vec![512, 0, u64::MAX], within: 2 };
        let seen: std::collections::BTreeSet<u64> = draws().map(|d| of(&size, d)).collect();
        let expected = [0, 1, 2, 510, 511, 512, 513, 514, u64::MAX - 2, u64::MAX - 1, u64::MAX];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn classes_are_drawn_by_weight_and_bad_ones_do_no_harm() {
        let class = |weight, value| SizeClass { weight, draw: SizeDraw::Exactly(vec![value]) };
        let classes = [class(3, 1), class(0, 2), class(1, 3)];
        assert_eq!([0, 1 << 31, 3 << 30, u32::MAX].map(|c| draw(&classes, c, 0)), [1, 1, 3, 3]);
        assert_eq!(draw(&[class(0, 5)], 7, 0), 5);
        assert_eq!(draw(&[SizeClass { weight: 1, draw: SizeDraw::Exactly(vec![]) }], 7, 0), 0);
        assert_eq!(draw(&[], 7, 0), 1);
    }
}
