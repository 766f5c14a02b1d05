//! Intervals around what few values show: a median's and a share's.
//!
//! Decides by which formulas, and when two intervals are apart.

/// A median and an interval around it; `None` stands for "longer than was hunted".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Half of the values are no larger.
    pub median: Option<f64>,
    /// The lower end of the interval.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// The least probability that the interval holds the true median, whatever the distribution.
    pub coverage: f64,
}

/// What an interval's coverage must reach for a difference to be stated: six values do.
pub const COVERAGE: f64 = 0.95;

/// The standard normal distribution's quantile for two sides of 95 %.
const Z: f64 = 1.959_963_984_540_054;

impl Spread {
    /// Whether all of this interval lies below the other, and both are of 95 % at least.
    #[must_use]
    pub fn is_below(&self, other: &Spread) -> bool {
        let apart = self.high.is_some_and(|high| other.low.is_none_or(|low| high < low));
        apart && self.coverage.min(other.coverage) >= COVERAGE
    }
}

/// Wilson's score interval of 95 % for a share of which `hits` of `all` were seen (Wilson 1927).
#[must_use]
pub fn wilson(hits: u64, all: u64) -> Option<(f64, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "there are few hunts")]
    let (hits, all) = (hits.min(all) as f64, all as f64);
    if all == 0.0 {
        return None;
    }
    let (share, weight) = (hits / all, Z * Z / all);
    let centre = (share + weight / 2.0) / (1.0 + weight);
    let reach = Z / (1.0 + weight) * (share * (1.0 - share) / all + weight / (4.0 * all)).sqrt();
    Some(((centre - reach).max(0.0), (centre + reach).min(1.0)))
}

/// The median and a distribution-free interval of 95 % around it: the ranks between which the median of all
/// possible seeds lies so often, as the sign test has it. With too few values for that, the least and the greatest.
/// What was not killed lives longer than any that was.
#[must_use]
pub fn spread(hunts: impl Iterator<Item = (f64, bool)>) -> Spread {
    let mut values: Vec<f64> = hunts.map(|(value, killed)| if killed { value } else { f64::INFINITY }).collect();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let at = |rank: usize| values.get(rank).copied().filter(|v| v.is_finite());
    let (rank, coverage) = rank_for(n);
    let median = match n % 2 {
        1 => at(n / 2),
        // Halfway to a value beyond the limit is beyond it.
        _ => at((n / 2).wrapping_sub(1)).zip(at(n / 2)).map(|(a, b)| f64::midpoint(a, b)),
    };
    Spread { median, low: at(rank), high: at((n.wrapping_sub(1)).wrapping_sub(rank)), coverage }
}

/// The rank (from 0) of the interval's lower end among `n` sorted values, and the interval's coverage: the
/// largest with at most 2.5 % in each tail of the binomial distribution, or 0.
fn rank_for(n: usize) -> (usize, f64) {
    #[expect(clippy::cast_precision_loss, reason = "few seeds")]
    let float = |n: usize| n as f64;
    let mut term = -float(n) * std::f64::consts::LN_2; // a logarithm: with a thousand seeds it is too small for itself
    let (mut tail, mut best) = (0.0, (0, 0.0));
    for k in 0..n / 2 {
        tail += term.exp(); // how often at most k of the values lie below the median
        if k == 0 || tail <= 0.025 {
            best = (k, 1.0 - 2.0 * tail);
        }
        term += (float(n - k) / float(k + 1)).ln();
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Spread {
        spread(values.iter().map(|&value| (value, true)))
    }

    #[test]
    fn twenty_seeds_give_the_sixth_and_the_fifteenth() {
        let all: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        let spread = of(&all);
        assert_eq!((spread.median, spread.low, spread.high), (Some(10.5), Some(6.0), Some(15.0)));
        assert!((spread.coverage - 0.9586).abs() < 1e-4, "{}", spread.coverage);
    }

    #[test]
    fn five_seeds_give_the_least_and_the_greatest() {
        let spread = of(&[5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!((spread.median, spread.low, spread.high), (Some(3.0), Some(1.0), Some(5.0)));
        assert!((spread.coverage - 0.9375).abs() < 1e-9, "{}", spread.coverage);
    }

    #[test]
    fn many_seeds_give_the_ranks_of_the_normal_distribution() {
        let (rank, coverage) = rank_for(4000); // 2,000 less 1.96 times the deviation, which is the root of 1,000
        assert!((1936..=1938).contains(&rank) && (0.95..0.952).contains(&coverage), "{rank}, {coverage}");
    }

    #[test]
    fn wilson_gives_the_published_figures() {
        // Newcombe 1998, Statistics in Medicine 17, table I: method 3 for 81/263, 15/148, 0/20 and 1/29.
        for (hits, all, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let (l, h) = wilson(hits, all).expect("there are hunts");
            assert!((l - low).abs() < 5e-5 && (h - high).abs() < 5e-5, "{hits}/{all}: {l} to {h}");
        }
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn intervals_that_touch_are_not_apart() {
        let wide = |low: i32, high: i32| of(&[low, low, low, high, high, high].map(f64::from));
        assert!(
            wide(1, 3).is_below(&wide(4, 5)) && !wide(1, 4).is_below(&wide(4, 5)) && !wide(4, 5).is_below(&wide(1, 3))
        );
        assert!(!of(&[1.0; 5]).is_below(&of(&[2.0; 6])), "five values have no interval of 95 %");
        let lives = spread([(9.0, false); 6].into_iter());
        assert!(wide(1, 3).is_below(&lives) && !lives.is_below(&wide(1, 3)) && !lives.is_below(&lives));
    }
}
