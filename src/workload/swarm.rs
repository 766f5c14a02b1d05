//! Swarm testing: each sequence draws from a part of the operations, by weights of its own.
//!
//! Decides which kinds a sequence has: leaving some out lets the others do what they never do in company. Requests and
//! frees always stay, or there would be nothing to do anything with.

use super::seed::scatter;
use crate::spec::{Generate, OpKind, Weights};

/// What a kind's weight is multiplied and divided by, each as likely as leaving it out twice over.
const FACTORS: [(u32, u32); 5] = [(1, 4), (1, 2), (1, 1), (2, 1), (4, 1)];

/// The same with weights of its own; the same seed, name and number give the same.
#[must_use]
pub fn swarm(generate: &Generate, seed: u64, scenario: &str, index: u32) -> Generate {
    let name = scenario.bytes().fold(seed, |h, b| scatter(h ^ u64::from(b)));
    let mut state = scatter(name ^ u64::from(index).rotate_left(32));
    let mut entries = Vec::with_capacity(generate.weights.entries.len());
    for &(kind, weight) in &generate.weights.entries {
        state = scatter(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
        let stays = matches!(kind, OpKind::Alloc | OpKind::AllocTensor | OpKind::Free);
        let choice = usize::try_from(state >> 32).unwrap_or(0) % (FACTORS.len() * 2);
        match FACTORS.get(choice) {
            Some(&(times, over)) => {
                entries.push((kind, (weight.saturating_mul(times) / over).max(u32::from(weight > 0))))
            }
            None if stays => entries.push((kind, weight)),
            None => {}
        }
    }
    Generate { weights: Weights { entries }, ..generate.clone() }
}
