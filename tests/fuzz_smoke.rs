//! The bodies of the fuzz targets on stable: over their seeds, over kept crashes, and over a few thousand inputs.
//!
//! Decides that `fuzz/` does not rot: what it calls is compiled and run here. Finds little that coverage would find.

#[path = "../fuzz/bodies/mod.rs"]
#[expect(dead_code, reason = "the fuzz targets use the rest")]
mod bodies;

use std::panic::catch_unwind;
use std::path::Path;

use bodies::coverage::Cells;
use bodies::{BODIES, Body, canary, seeds};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count.max(1) as u64).unwrap_or(0)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// A seed with a few bytes changed, cut out or doubled.
    fn mutated(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(24)).min(bytes.len());
            match self.below(4) {
                _ if bytes.is_empty() => bytes = self.bytes(16),
                0 => drop(bytes.drain(at..end)),
                1 => {
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
                2 => bytes[at] = self.next().to_le_bytes()[0],
                _ => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'-', b'9', b'"'][self.below(8)],
            }
        }
        bytes
    }
}

/// Runs one input; the error says how to run it again.
fn input(name: &str, body: Body, bytes: &[u8], cells: &mut Cells) {
    let ran = catch_unwind(|| {
        let mut seen = Cells::default();
        body(bytes, &mut seen);
        seen
    });
    match ran {
        Ok(seen) => seen.counts().iter().enumerate().filter(|(_, c)| **c > 0).for_each(|(i, _)| cells.mark(i)),
        Err(_) => {
            let kept = std::env::temp_dir().join(format!("poolproof-{name}-crash"));
            std::fs::write(&kept, bytes).expect("a folder for temporary files");
            panic!("{name} fails on {}: `cargo fuzz run {name} {}` repeats it", kept.display(), kept.display());
        }
    }
}

/// Seeds, kept crashes, mutated seeds and noise; answers how many states of an allocator were seen.
fn smoke(name: &str, mutated: usize, noise: usize) -> usize {
    let (_, body) = BODIES.into_iter().find(|(n, _)| *n == name).expect("a target of that name");
    let seeds = seeds::of(name, root());
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let mut cells = Cells::default();
    for (_, bytes) in &seeds {
        input(name, body, bytes, &mut cells);
    }
    for path in seeds::below(&root().join("fuzz/regressions").join(name), "") {
        input(name, body, &std::fs::read(&path).expect("a file of the repository"), &mut cells);
    }
    let mut numbers = Numbers(0x706f_6f6c);
    for _ in 0..mutated {
        let seed = &seeds[numbers.below(seeds.len())].1;
        input(name, body, &numbers.mutated(seed), &mut cells);
    }
    for _ in 0..noise {
        let length = numbers.below(400);
        input(name, body, &numbers.bytes(length), &mut cells);
    }
    cells.marked()
}

#[test]
fn operations() {
    let states = smoke("operations", 600, 400);
    assert!(states > 180, "only {states} states of the allocator");
}

#[test]
fn settings() {
    smoke("settings", 1500, 1500);
}

#[test]
fn scenario() {
    smoke("scenario", 1500, 500);
}

#[test]
fn recording() {
    smoke("recording", 500, 1500);
}

#[test]
fn pickle() {
    smoke("pickle", 1500, 1500);
}

#[test]
fn reproducer() {
    smoke("reproducer", 600, 1000);
}

#[test]
fn worker() {
    smoke("worker", 900, 900);
}

/// Not a test: writes the seeds to `fuzz/corpus/<target>/`, for `fuzz/run_all.sh`.
#[test]
#[ignore = "writes files: `cargo test --test fuzz_smoke -- --ignored write_seeds`"]
fn write_seeds() {
    for name in BODIES.iter().map(|(name, _)| *name).chain(["naive"]) {
        let folder = root().join("fuzz/corpus").join(name);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        for (file, bytes) in seeds::of(name, root()) {
            std::fs::write(folder.join(file), bytes).expect("a file can be written");
        }
    }
}

/// Sequences as seeds are the same sequences, less what has no bytes.
#[test]
fn a_seed_means_what_it_was_made_of() {
    use arbitrary::{Arbitrary, Unstructured};
    let mut held = 0;
    for (name, bytes) in seeds::of("operations", root()) {
        let plan = bodies::draft::Plan::arbitrary(&mut Unstructured::new(&bytes)).expect("bytes are never refused");
        assert_eq!(plan.ops.len(), bytes.len() / 8 - 1, "{name}: an operation needs a block that is not there");
        held += plan.ops.len();
    }
    assert!(held > 1000, "{held} operations in all seeds");
}

/// A planted mistake in the allocator fails the same body.
#[test]
fn the_canary_crashes() {
    let mut numbers = Numbers(1);
    let seeds = seeds::of("canary", root());
    let dies = |bytes: &[u8]| {
        use arbitrary::{Arbitrary, Unstructured};
        let plan = bodies::draft::Plan::arbitrary(&mut Unstructured::new(bytes)).expect("bytes are never refused");
        let steps: Vec<_> = plan.ops.into_iter().map(poolproof::op::Step::from).collect();
        bodies::operations::failure(&canary::broken(), &plan.setup, &steps, &mut Cells::default()).is_some()
    };
    let found = seeds.iter().any(|(_, bytes)| dies(bytes))
        || (0..500).any(|_| {
            let seed = numbers.below(seeds.len());
            dies(&numbers.mutated(&seeds[seed].1))
        });
    assert!(found, "{} is never noticed", canary::DEFECT);
}
