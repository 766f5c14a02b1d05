//! How much a request may take from the device: the bound that an allocator promises.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much more than asked an allocator may take from the device to serve a request: for `n` bytes at
/// most `max(least, round_up(n * numerator / denominator, granule))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Growth {
    /// So much may be taken for any request.
    pub least: u64,
    /// What is taken is a multiple of this.
    pub granule: u64,
    /// Requests may grow by this over `denominator` before they are rounded up.
    pub numerator: u64,
    /// See `numerator`.
    pub denominator: u64,
    /// The largest request that is served at all, where there is one: what is larger may be refused whatever is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<u64>,
    /// Where so much is not left, a request takes no more than it asks for, rounded up to `granule`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backs_off: bool,
}

impl Growth {
    /// What an allocator that says nothing of it is held to: a request takes at most twice what it asks for, in whole
    /// pieces of 2 MiB, and 20 MiB for a small one. Buddies, bins and segments of the usual sizes keep to it.
    pub const USUAL: Growth = Growth { numerator: 2, ..Growth::plain(20 << 20, 2 << 20) };

    /// Whole pieces of `granule`, and no less than `least`.
    #[must_use]
    pub const fn plain(least: u64, granule: u64) -> Growth {
        Growth { least, granule, numerator: 1, denominator: 1, largest: None, backs_off: false }
    }

    /// The most that may be taken to serve `bytes`, saturating; all there is for a request that need not be served.
    #[must_use]
    pub fn at_most(&self, bytes: u64) -> u64 {
        if self.is_too_large(bytes) { u64::MAX } else { self.rounded(bytes).max(self.least) }
    }

    /// How much must be free for a request to be owed, saturating.
    #[must_use]
    pub fn owed_from(&self, bytes: u64) -> u64 {
        if self.backs_off && !self.is_too_large(bytes) { self.rounded(bytes) } else { self.at_most(bytes) }
    }

    fn is_too_large(&self, bytes: u64) -> bool {
        self.largest.is_some_and(|largest| bytes > largest)
    }

    /// The most that `bytes` may be rounded to, saturating.
    #[must_use]
    pub fn rounded(&self, bytes: u64) -> u64 {
        // Most contracts scale nothing, and most requests are far from the end of the figures: no wide division then.
        let scales = self.numerator != self.denominator || self.denominator == 0;
        if let Some(rounded) = bytes.checked_next_multiple_of(self.granule.max(1)).filter(|_| !scales) {
            return rounded;
        }
        let scaled = u128::from(bytes) * u128::from(self.numerator) / u128::from(self.denominator.max(1));
        let rounded = scaled.div_ceil(u128::from(self.granule.max(1))) * u128::from(self.granule.max(1));
        u64::try_from(rounded).unwrap_or(u64::MAX)
    }

    /// The largest request that takes no more than `room`; `None` where even the smallest may.
    #[must_use]
    pub fn fits(&self, room: u64) -> Option<u64> {
        let whole = u128::from(room - room % self.granule.max(1));
        let bytes = whole * u128::from(self.denominator.max(1)) / u128::from(self.numerator.max(1));
        let bytes = u64::try_from(bytes).unwrap_or(room).min(room).min(self.largest.unwrap_or(u64::MAX));
        (bytes > 0 && self.at_most(bytes) <= room).then_some(bytes)
    }

    /// Whether it promises no less than segments of 20 MiB and whole pieces of 2 MiB, which steps may count on that
    /// say nothing else.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        let scales = self.numerator > self.denominator;
        self.least <= 20 << 20 && self.granule <= 2 << 20 && !scales && self.largest.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_the_larger_of_least_and_rounded() {
        let growth = Growth::plain(20 << 20, 2 << 20);
        assert_eq!(growth.at_most(1), 20 << 20);
        assert_eq!(growth.at_most((30 << 20) + 1), 32 << 20);
        assert_eq!(growth.at_most(u64::MAX), u64::MAX);
    }

    #[test]
    fn what_is_owed_is_told_from_what_may_be_taken() {
        let growth = Growth { largest: Some(1 << 20), backs_off: true, ..Growth::plain(20 << 20, 256) };
        assert_eq!((growth.at_most(1), growth.owed_from(1)), (20 << 20, 256));
        assert_eq!((growth.at_most((1 << 20) + 1), growth.owed_from((1 << 20) + 1)), (u64::MAX, u64::MAX));
        assert_eq!(growth.fits(1 << 30), Some(1 << 20));
        assert!(!growth.is_ordinary());
        let words = r#"{"least":1,"granule":1,"numerator":1,"denominator":1}"#;
        let read: Growth = serde_json::from_str(words).expect("the rest may be left out");
        assert_eq!((read, serde_json::to_string(&read).expect("numbers").as_str()), (Growth::plain(1, 1), words));
    }

    #[test]
    fn what_fits_takes_no_more_and_a_byte_more_does() {
        let plain = Growth::plain(20 << 20, 2 << 20);
        let pages = Growth { granule: 20 << 20, ..plain };
        let divided = Growth { numerator: 5, denominator: 4, ..plain };
        for (growth, bytes) in [(plain, 64 << 20), (pages, 60 << 20), (divided, 53_687_091)] {
            assert_eq!(growth.fits(64 << 20), Some(bytes));
            assert!(growth.at_most(bytes) <= 64 << 20 && growth.at_most(bytes + 1) > 64 << 20);
        }
        assert_eq!(plain.fits((20 << 20) - 1), None);
        assert_eq!(plain.fits(u64::MAX), Some(u64::MAX - u64::MAX % (2 << 20)));
    }
}
