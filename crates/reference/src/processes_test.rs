//! Several processes on one device, each with an allocator and a limit of its own.

use super::*;
use crate::device::sim::{SimDevice, Tenant};
use crate::op::{Counter, Family};

const MIB: u64 = 1 << 20;
const TOTAL: u64 = 256 * MIB;
const STREAM: StreamHandle = StreamHandle(0);

type Process = Reference<Tenant>;

/// One process for each fraction.
fn processes<const N: usize>(settings: &str, fractions: [f64; N]) -> (Tenant, [Process; N]) {
    let device = Tenant::new(SimDevice::new(0, TOTAL, 2));
    let settings: Settings = settings.parse().expect("settings are read");
    let all = fractions.map(|fraction| {
        let mut process = Reference::new(vec![device.clone()], &settings, Sound);
        process.set_fraction(0, fraction).expect("a fraction");
        process
    });
    (device, all)
}

fn reserved(process: &Process) -> u64 {
    process.device(0).stats().all(Family::ReservedBytes).current.cast_unsigned()
}

fn alloc(process: &mut Process, mib: u64) -> Result<u64, AllocError> {
    process.device_mut(0).alloc(mib * MIB, STREAM)
}

fn fill(process: &mut Process) -> Vec<u64> {
    std::iter::from_fn(|| alloc(process, 20).ok()).collect()
}

fn free_bytes(device: &Tenant) -> u64 {
    device.with(|d| d.free_bytes()).expect("a simulated device knows")
}

#[test]
fn a_limit_holds_for_its_process_and_a_refusal_leaves_the_others_alone() {
    let (device, [mut quarter, mut half, mut whole]) = processes("", [0.25, 0.5, 1.0]);
    let mine = alloc(&mut half, 30).expect("fits");
    let before = *half.device(0).stats();
    let held = fill(&mut quarter);
    assert_eq!((held.len(), reserved(&quarter)), (3, 60 * MIB));
    assert_eq!(*half.device(0).stats(), before, "the refusal is the other's");
    assert!(half.device(0).owns(mine) && !quarter.device(0).owns(mine));
    assert_eq!(quarter.free(mine), Err(FreeError::InvalidPointer { address: mine }));
    // The device is full before this limit is reached, and what others have cached is not this one's to flush.
    let all = fill(&mut whole);
    assert_eq!(free_bytes(&device), TOTAL - reserved(&quarter) - reserved(&half) - reserved(&whole));
    whole.free(all[0]).expect("its own");
    let refused = alloc(&mut half, 20).expect_err("the memory is only cached, but elsewhere");
    let AllocError::OutOfMemory(figures) = refused else { panic!("{refused}") };
    assert!(figures.free < 20 * MIB && figures.limit == Some(128 * MIB));
    assert_eq!(half.device(0).stats().counter(Counter::NumOoms), 1);
    assert_eq!(whole.device(0).stats().counter(Counter::NumDeviceFree), 0, "its cache is its own");
    // Given back by one, it is there for the other.
    whole.empty_cache().expect("nothing fails");
    alloc(&mut half, 20).expect("the other gave it back");
}

#[test]
fn processes_that_run_at_once_keep_their_limits_and_leave_nothing() {
    for settings in ["", "expandable_segments:True", "garbage_collection_threshold:0.5"] {
        let fractions = [0.125, 0.25, 0.25, 1.0];
        let (device, all) = processes(settings, fractions);
        let used: u64 = std::thread::scope(|scope| {
            let run = |(nth, (mut process, fraction)): (u64, (Process, f64))| {
                scope.spawn(move || {
                    let held = churn(&mut process, nth, fraction);
                    let at_rest = reserved(&process);
                    (process, held, at_rest)
                })
            };
            let threads: Vec<_> = (0..).zip(all.into_iter().zip(fractions)).map(run).collect();
            let ended: Vec<_> = threads.into_iter().map(|t| t.join().expect("no panic")).collect();
            let used = TOTAL - free_bytes(&device);
            assert_eq!(ended.iter().map(|(_, _, reserved)| reserved).sum::<u64>(), used, "{settings:?}");
            for (mut process, held, _) in ended {
                held.into_iter().for_each(|address| process.free(address).expect("its own"));
                process.empty_cache().expect("nothing fails");
                assert_eq!(reserved(&process), 0);
            }
            used
        });
        assert!(used > 0, "{settings:?}: something was held");
        assert_eq!(free_bytes(&device), TOTAL, "{settings:?}");
    }
}

/// Requests and frees, with the limit held against what is reserved after each.
fn churn(process: &mut Process, seed: u64, fraction: f64) -> Vec<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "truncated, as PyTorch does"
    )]
    let limit = (fraction * TOTAL as f64) as u64;
    let (mut state, mut held) = (seed + 1, Vec::new());
    for _ in 0..400 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = state >> 33;
        if draw % 5 < 3 || held.is_empty() {
            let bytes = [512, 900 << 10, 3 * MIB, 11 * MIB, 24 * MIB][(draw / 5 % 5) as usize];
            held.extend(process.device_mut(0).alloc(bytes, STREAM));
        } else if draw % 50 == 3 {
            process.empty_cache().expect("nothing fails");
        } else {
            let address = held.swap_remove((draw / 50) as usize % held.len());
            process.free(address).expect("its own");
        }
        // A page of an expandable segment may reach past the limit, as in PyTorch: 20 MiB at most.
        assert!(reserved(process) <= limit + 20 * MIB * u64::from(process.device(0).settings.expandable_segments));
    }
    held
}
