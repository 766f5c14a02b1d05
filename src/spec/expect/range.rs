//! Ranges of versions: `2.12`, or comparisons such as `>=2.11, <2.13`, all of which must hold.
//!
//! Decides how versions compare: number by number, whatever follows the numbers left aside. A bare
//! version stands for itself and everything that refines it: `2.12` for `2.12.1+cu130`.

use std::cmp::Ordering;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Refines,
    AtLeast,
    AtMost,
    More,
    Less,
}

/// What a version must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    parts: Vec<(Comparison, Vec<u64>)>,
}

/// The text is no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRange;

/// The numbers that a version begins with.
fn numbers(text: &str) -> Option<Vec<u64>> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].trim_end_matches('.').split('.').map(|part| part.parse().ok()).collect()
}

impl FromStr for Range {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        const SIGNS: [(&str, Comparison); 6] = [
            (">=", Comparison::AtLeast),
            ("<=", Comparison::AtMost),
            (">", Comparison::More),
            ("<", Comparison::Less),
            ("=", Comparison::Refines),
            ("", Comparison::Refines),
        ];
        let part = |part: &str| {
            let part = part.trim();
            let (sign, comparison) = SIGNS.iter().find(|(sign, _)| part.starts_with(sign))?;
            let version = part[sign.len()..].trim();
            let is_plain = version.chars().all(|c| c.is_ascii_digit() || c == '.');
            numbers(version).filter(|_| is_plain).map(|n| (*comparison, n))
        };
        text.split(',').map(part).collect::<Option<_>>().map(|parts| Range { parts }).ok_or(NoRange)
    }
}

impl Range {
    /// Whether a version lies within. One that does not begin with a number lies nowhere.
    pub(super) fn holds(&self, version: &str) -> bool {
        let Some(version) = numbers(version) else { return false };
        self.parts.iter().all(|(comparison, bound)| match comparison {
            Comparison::Refines => version.starts_with(bound),
            Comparison::AtLeast => compare(&version, bound).is_ge(),
            Comparison::AtMost => compare(&version, bound).is_le(),
            Comparison::More => compare(&version, bound).is_gt(),
            Comparison::Less => compare(&version, bound).is_lt(),
        })
    }
}

/// Numbers that are not there count as 0.
fn compare(a: &[u64], b: &[u64]) -> Ordering {
    let at = |list: &[u64], i: usize| list.get(i).copied().unwrap_or(0);
    (0..a.len().max(b.len())).map(|i| at(a, i).cmp(&at(b, i))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        for (range, version, holds) in [
            ("2.12", "2.12.1+cu130", true),
            ("2.12", "2.120", false),
            ("=570.86", "570.86.15", true),
            (">=2.9, <2.12", "2.11.0", true),
            (">=2.9,<2.12", "2.12", false),
            ("<=2.12", "2.12.0", true),
            (">2.12", "2.12.0", false),
            (">=1", "nightly", false),
        ] {
            assert_eq!(range.parse::<Range>().expect("a range").holds(version), holds, "{range} {version}");
        }
        for text in ["", "new", ">=", "1..2", "2.12a", ">=1,", "=>2"] {
            assert_eq!(text.parse::<Range>(), Err(NoRange), "{text}");
        }
    }
}
