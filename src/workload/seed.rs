//! Seeds: one stream of random numbers for each sequence of each scenario.
//!
//! Decides which numbers a sequence is drawn from, the same on every machine and in every build.

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// FNV-1a: names have to hash the same in every build, which the standard hasher does not promise.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of SplitMix64: the numbers of a counter, well mixed.
#[must_use]
pub fn scatter(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// 32 bytes of key for one sequence.
fn key(seed: u64, scenario: &str, index: u32) -> [u8; 32] {
    let mut state = scatter(seed.wrapping_add(GOLDEN));
    state = scatter(state.wrapping_add(hash(scenario)));
    state = scatter(state.wrapping_add(u64::from(index).wrapping_mul(GOLDEN)));
    let mut key = [0; 32];
    for part in key.chunks_exact_mut(8) {
        state = state.wrapping_add(GOLDEN);
        part.copy_from_slice(&scatter(state).to_le_bytes());
    }
    key
}

/// A proptest runner whose numbers depend on nothing but these three.
pub(super) fn runner(seed: u64, scenario: &str, index: u32) -> TestRunner {
    // No file of failing seeds: failures are stored as operations, by the engine.
    let config = Config { failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &key(seed, scenario, index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hash_as_fnv_1a_does() {
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_part_of_the_seed_counts() {
        let keys = [key(1, "a", 1), key(2, "a", 1), key(1, "b", 1), key(1, "a", 2)];
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }
}
