//! Runs with garbage collections whose limit is known here and not in the snapshot that is made of them.

use super::*;
use crate::device::StreamHandle;
use crate::device::sim::SimDevice;
use crate::op::trace::TraceEvent;
use crate::recording::{MemorySnapshot, PlacedEvent};
use crate::reference::{AllocError, PoolId, Reference, Settings, Sound};
use crate::replay::Silent;
use crate::replay::what_if::{Table, of_snapshot};

const MIB: u64 = 1 << 20;
const CARD: u64 = 4 << 30;
const CONFIG: &str = "garbage_collection_threshold:0.6";

/// A run of requests that grow and shrink, under fractions that change after so many requests.
struct Run {
    reference: Reference<SimDevice>,
    fractions: Vec<(usize, f64)>,
}

impl Run {
    fn new(config: &str, fractions: &[(usize, f64)]) -> Run {
        let settings: Settings = config.parse().expect("it is well formed");
        let mut reference = Reference::new(SimDevice::process(&[CARD], 2), &settings, Sound);
        reference.record_trace();
        Run { reference, fractions: fractions.to_vec() }
    }

    /// Asks as the seed has it.
    fn asked(&mut self, seed: u64) {
        let mut state = seed;
        let mut dice = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut live: Vec<u64> = Vec::new();
        for at in 0..600 {
            for &(_, fraction) in self.fractions.iter().filter(|(from, _)| *from == at) {
                self.reference.set_fraction(0, fraction).expect("it is a fraction");
            }
            // Two sizes go out of use now and then, and new ones come in.
            let phase = at as u64 / 120;
            if live.len() > 6 && dice(3) > 0 {
                let block = live.swap_remove(usize::try_from(dice(live.len() as u64)).expect("is small"));
                self.reference.free(block).expect("it is live");
            } else {
                let bytes = (12 + 9 * phase + dice(40)) * MIB + dice(MIB);
                match self.reference.device_mut(0).alloc(bytes, StreamHandle(0)) {
                    Ok(block) => live.push(block),
                    Err(AllocError::OutOfMemory(_)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }

    fn snapshot(mut self, config: &str) -> MemorySnapshot {
        let (events, _): (Vec<TraceEvent>, Vec<PoolId>) = self.reference.device_mut(0).taken_trace_and_pools();
        let placed = |(index, event)| PlacedEvent { index, event, pool: None };
        MemorySnapshot {
            config: config.to_owned(),
            traces: vec![(0..).zip(events).map(placed).collect()],
            segments: self.reference.snapshot().segments,
            ..MemorySnapshot::default()
        }
    }
}

fn recorded(seed: u64, fractions: &[(usize, f64)]) -> MemorySnapshot {
    let mut run = Run::new(CONFIG, fractions);
    run.asked(seed);
    run.snapshot(CONFIG)
}

fn table(snapshot: MemorySnapshot, configs: &[&str]) -> Table {
    let configs: Vec<String> = configs.iter().map(|config| (*config).to_owned()).collect();
    of_snapshot(snapshot, &configs, None, &Silent).expect("it has a history")
}

fn fitted(table: &Table) -> Option<Fitted> {
    table.notes.iter().find_map(|note| match note {
        Note::Fitted { fitted, .. } => Some(*fitted),
        _ => None,
    })
}

fn collections(table: &Table) -> u64 {
    let times = table.notes.iter().find_map(|note| match note {
        Note::Collected { times, .. } => Some(*times),
        _ => None,
    });
    times.unwrap_or(0)
}

#[test]
fn a_limit_that_stayed_is_found() {
    let (mut tables, mut collected) = (0, 0);
    for seed in 0..24 {
        let limit = CARD / 4;
        let table = table(recorded(seed, &[(0, 0.25)]), &[CONFIG]);
        collected += u64::from(collections(&table) > 0);
        let Some(fitted) = fitted(&table) else { continue };
        tables += 1;
        assert!((fitted.least..=fitted.most).contains(&limit), "seed {seed}: {limit} and {fitted:?}");
        assert_eq!(table.disagreement, None, "seed {seed}");
        // The recorded settings again, at other addresses: which of equal blocks is taken depends on these.
        assert!(table.rows[0].peak_reserved <= limit, "seed {seed}");
        let text = table.notes.iter().map(ToString::to_string).find(|text| text.contains("fitted")).expect("is noted");
        assert!(text.contains(&format!("limits from {} B", fitted.least)), "{text}");
    }
    assert!(collected >= 20 && tables * 10 >= collected * 8, "{tables} tables of {collected} runs with collections");
}

#[test]
fn other_settings_come_to_what_the_limit_would_have_made_of_them() {
    let (mut right, mut matters) = (0, 0);
    for seed in 0..12 {
        for config in ["garbage_collection_threshold:0.8", "expandable_segments:True", "max_split_size_mb:32"] {
            let table = table(recorded(seed, &[(0, 0.25)]), &[config]);
            if let Some(disagreement) = &table.disagreement {
                assert!(table.rows.is_empty());
                matters += u64::from(matches!(disagreement.reason, Reason::LimitMatters { .. }));
                continue;
            }
            let mut truly = Run::new(config, &[(0, 0.25)]);
            // Requests that were refused in one run and not in the other change what is asked later.
            if table.rows[0].refusals + table.recorded[0].refusals > 0 {
                continue;
            }
            truly.asked(seed);
            let stats = truly.reference.device(0).stats();
            let peak = stats.all(crate::op::Family::ReservedBytes).peak;
            assert_eq!(u64::try_from(peak), Ok(table.rows[0].peak_reserved), "seed {seed}, {config}");
            right += 1;
        }
    }
    assert!(right >= 8 && matters > 0, "{right} right, {matters} times it matters which limit it was");
}

#[test]
fn a_limit_that_changed_is_found_to_have_changed() {
    let mut refused = 0;
    for seed in 0..12 {
        let table = table(recorded(seed, &[(0, 0.5), (300, 0.2)]), &[CONFIG]);
        if let Some(Disagreement { reason: Reason::Collections { why, .. }, .. }) = &table.disagreement {
            refused += u64::from(matches!(why, Some(Unfitted::Parted { .. } | Unfitted::Exceeded { .. })));
            assert!(table.rows.is_empty());
        }
    }
    assert!(refused >= 8, "{refused}");
}

#[test]
fn a_history_that_begins_late_has_a_table_or_a_reason() {
    let (mut tables, mut reasons) = (0, 0);
    for seed in 0..6 {
        let whole = recorded(seed, &[(0, 0.25)]);
        for point in 0..10 {
            let mut late = whole.clone();
            let from = late.traces[0].len() * point / 10;
            late.traces[0].drain(..from);
            late.traces[0].iter_mut().zip(0..).for_each(|(event, index)| event.index = index);
            let table = table(late, &[CONFIG]);
            if let Some(fitted) = fitted(&table) {
                assert!((fitted.least..=fitted.most).contains(&(CARD / 4)), "seed {seed}, {point}: {fitted:?}");
            }
            tables += u64::from(table.disagreement.is_none());
            reasons += u64::from(table.disagreement.is_some());
        }
    }
    assert!(tables > 0, "{tables} tables, {reasons} reasons");
    println!("{tables} tables, {reasons} reasons");
}
