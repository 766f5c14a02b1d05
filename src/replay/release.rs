//! Of which release of PyTorch a file is, as far as it tells, and by whose rules it is lived again.
//!
//! Decides what is tried where a snapshot does not tell. What the rules are is said in `reference`.

use crate::recording::{self, MemorySnapshot};
use crate::reference::Rules;

/// The release whose rules the reference has by default, by its minor version.
pub const USUAL: u32 = 11;

/// What tells of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseFrom {
    /// The header of a recording, which names it so.
    Header(String),
    /// An export of this program.
    Export,
    /// Something in a snapshot that PyTorch writes since 2.`minor`.
    Since(u32),
    /// Nothing, and nothing is there that releases since 2.12 write.
    Nothing,
}

/// The minor version that a recording names; `None` where it is not of a release of PyTorch.
fn named(header: &recording::Header) -> Option<u32> {
    header.recorded_from.strip_prefix("torch 2.")?.split('.').next()?.parse().ok()
}

/// The rules of the release that was recorded; `None` where they are not known.
pub(super) fn rules_of(header: &recording::Header) -> Option<Rules> {
    named(header).and_then(Rules::of)
}

/// The release by whose rules a recording is lived again.
pub(super) fn of_recording(header: &recording::Header) -> u32 {
    named(header).filter(|&minor| Rules::of(minor).is_some()).unwrap_or(USUAL)
}

/// What tells of a snapshot's release.
pub(super) fn from(snapshot: &MemorySnapshot) -> ReleaseFrom {
    match (snapshot.release, snapshot.since) {
        (Some(_), _) => ReleaseFrom::Export,
        (None, 0) => ReleaseFrom::Nothing,
        (None, since) => ReleaseFrom::Since(since),
    }
}

/// The releases of which a snapshot may be, those first whose rules hold for most. Releases that differ only in what a snapshot
/// does not show are tried once.
pub(super) fn candidates(snapshot: &MemorySnapshot) -> &'static [u32] {
    match snapshot.release.unwrap_or(0) {
        10 => return &[10],
        11 => return &[11],
        12 => return &[12],
        13 => return &[13],
        14 => return &[14],
        15 => return &[15],
        _ => {}
    }
    match snapshot.since {
        0..12 => &[USUAL],
        // Older exports of this program have `pool_id`, whatever was recorded.
        12 | 13 => &[13, 12, 15, USUAL],
        14.. => &[14, 15],
    }
}

/// The rules by which a snapshot is lived again. Whether a request was made in a capture is found out for each, so that nothing
/// but what is taken for one keeps the cache.
pub(super) fn of_snapshot(minor: u32) -> Rules {
    Rules { captures_alone: false, ..Rules::of(minor).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_with_rules_can_be_told_by_an_export() {
        for minor in Rules::RELEASES {
            let snapshot = MemorySnapshot { release: Some(minor), since: 12, ..MemorySnapshot::default() };
            assert_eq!(candidates(&snapshot), [minor]);
            assert_eq!(from(&snapshot), ReleaseFrom::Export);
        }
        let unknown = MemorySnapshot { release: Some(99), ..MemorySnapshot::default() };
        assert_eq!(candidates(&unknown), [USUAL]);
    }

    #[test]
    fn what_a_snapshot_holds_tells_the_least_release() {
        let since = |since| MemorySnapshot { since, ..MemorySnapshot::default() };
        assert_eq!((candidates(&since(0)), from(&since(0))), (&[11][..], ReleaseFrom::Nothing));
        assert_eq!((candidates(&since(12))[0], from(&since(12))), (13, ReleaseFrom::Since(12)));
        assert!(candidates(&since(14)).iter().all(|&minor| minor >= 14));
    }
}
