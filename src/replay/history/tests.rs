//! Snapshots of the real PyTorch against the reference, and snapshots that cannot be lived again.

use std::path::PathBuf;

use super::*;
use crate::op::snapshot::BlockState;
use crate::op::trace::Action;
use crate::op::trace::TraceEvent;
use crate::recording::{self, Line, PlacedEvent, Reader};
use crate::replay::{self, Reading, Silent, what_if};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.pickle.gz"))
}

fn snapshot(name: &str) -> MemorySnapshot {
    MemorySnapshot::read(&path(name)).expect("is in the repository")
}

fn divergence(snapshot: &MemorySnapshot) -> Option<String> {
    let (report, _) = exact(snapshot, false, &Silent).expect("is replayed");
    assert_eq!(report.divergences, u64::from(report.first.is_some()));
    report.first.map(|first| first.to_string())
}

fn refusal(snapshot: &MemorySnapshot) -> String {
    exact(snapshot, false, &Silent).map(|(report, _)| report.operations).expect_err("is refused").to_string()
}

#[test]
fn the_reference_predicts_every_snapshot() {
    for (name, operations) in [("streams", 0), ("maxsplit-pressure", 0), ("two-devices", 0), ("stacks", 832)] {
        let report = replay::exact(&path(name)).expect("is replayed");
        let first = report.first.map(|d| d.to_string());
        assert_eq!((first, report.divergences, report.unknown_keys), (None, 0, 0), "{name}");
        assert!(report.operations >= operations.max(300), "{name}: {}", report.operations);
    }
}

/// The trace of a recording as a snapshot: without the calls, the streams, the fraction.
fn trace_alone(path: &std::path::Path) -> MemorySnapshot {
    let end = recording::endings(path).expect("is read").remove(0);
    let mut reader = Reader::open(path).expect("opens");
    let header = reader.header().expect("is read");
    assert!(matches!(reader.next_line(), Ok(Some(Line::Episode(_)))));
    let placed = |(index, event)| PlacedEvent { index, event, pool: None };
    MemorySnapshot {
        file: path.display().to_string(),
        config: header.config,
        traces: (0..header.devices.len()).map(|d| (0..).zip(end.events_of(d)).map(placed).collect()).collect(),
        segments: end.segments,
        ..MemorySnapshot::default()
    }
}

#[test]
fn a_trace_alone_tells_enough() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let mut diverged = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the recordings are in the repository") {
        let path = entry.expect("is listed").path();
        let name = path.file_name().expect("has a name").to_string_lossy().into_owned();
        let private = name.starts_with("pools") || name.starts_with("capture");
        if name.ends_with(".gz") && !private && divergence(&trace_alone(&path)).is_some() {
            diverged.push(name);
        }
    }
    diverged.sort();
    assert!(diverged.is_empty(), "{diverged:?}");
}

#[test]
fn a_doctored_snapshot_diverges_where_it_was_doctored() {
    let mut doctored = snapshot("streams");
    let at = doctored.traces[0].iter().rposition(|e| e.event.action == Action::Alloc).expect("there is one");
    doctored.traces[0][at].event.address += 512;
    let text = refusal(&doctored);
    assert!(text.contains(&format!("event {at} of device 0 is `alloc`, and it gave ")), "{text}");

    let mut doctored = snapshot("streams");
    let events = &mut doctored.traces[0];
    let freed = events.iter().rev().find(|e| e.event.action == Action::FreeCompleted).expect("there is one").event;
    for event in events.iter_mut().map(|e| &mut e.event).filter(|e| e.address == freed.address) {
        event.bytes -= u64::from(event.bytes == freed.bytes && event.action == Action::FreeRequested);
    }
    let text = divergence(&doctored).expect("is noticed");
    assert!(text.contains("recorded free_requested"), "{text}");

    let mut doctored = snapshot("streams");
    let blocks = doctored.segments.iter_mut().flat_map(|s| &mut s.blocks);
    let block = blocks.into_iter().find(|b| b.state == BlockState::ActiveAllocated).expect("there is one");
    block.requested_size += 1;
    assert!(divergence(&doctored).expect("is noticed").starts_with("the end of device 0, what stands:\n  segment "));

    let mut doctored = snapshot("two-devices");
    let change = doctored.stats.get_mut(&1).expect("has statistics");
    for (_, value) in change.changes.iter_mut().filter(|(key, _)| key.to_string() == "active.all.current") {
        *value += 1;
    }
    assert!(divergence(&doctored).expect("is noticed").contains("active.all.current on device 1"));
}

#[test]
fn what_cannot_be_lived_again_is_refused() {
    let mut none = snapshot("streams");
    none.traces.iter_mut().for_each(Vec::clear);
    assert!(refusal(&none).contains("has no history: `torch.cuda.memory._record_memory_history()` was not called"));

    let mut other = snapshot("streams");
    other.segments.remove(0);
    assert!(refusal(&other).contains("the segments of this snapshot are not those that its history led to"));

    let mut twice = snapshot("streams");
    let again = twice.segments[0].clone();
    twice.segments.push(again);
    assert!(refusal(&twice).contains("the segments of device 0 make no sense"));
}

#[test]
fn settings_in_force_count_more_than_the_string_and_unknown_ones_are_left_out() {
    let noted = |snapshot: &MemorySnapshot| -> Vec<String> {
        let (report, _) = exact(snapshot, false, &Silent).expect("is replayed");
        report.notes.iter().map(ToString::to_string).collect()
    };
    let mut changed = snapshot("streams");
    changed.in_force.max_split_size = Some(1 << 40);
    assert!(noted(&changed)[0].contains("does not say of `max_split_size` what was in force"), "{:?}", noted(&changed));
    let mut strange = snapshot("streams");
    strange.config = "speed:9".to_owned();
    assert_eq!(noted(&strange), ["warning: a setting is left out: `speed` is not a setting of the native allocator"]);
    assert_eq!(divergence(&strange), None);
}

#[test]
fn traces_that_make_no_sense_are_no_panic() {
    let whole = snapshot("maxsplit-pressure");
    for from in (0..whole.traces[0].len()).step_by(5) {
        let mut damaged = whole.clone();
        damaged.segments.clear();
        let event = &mut damaged.traces[0][from].event;
        match from % 4 {
            0 => event.bytes = u64::MAX - 7,
            1 => event.address = u64::MAX,
            2 => event.bytes = 0,
            _ => event.action = Action::Alloc,
        }
        let _ = exact(&damaged, true, &Silent);
        damaged.traces[0].remove(from);
        let _ = exact(&damaged, false, &Silent);
    }
}

#[test]
fn what_is_exported_is_read_back() {
    for name in ["streams", "two-devices"] {
        let (_, lived) = replay::lived(&path(name), true, Reading::default()).expect("is replayed");
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), replay::pickled(&lived)).expect("is written");
        let (read, original) = (MemorySnapshot::read(file.path()).expect("is read"), snapshot(name));
        assert_eq!((read.unknown, &read.config), (0, &original.config));
        assert_eq!(read.segments, lived.segments);
        let events = |s: &MemorySnapshot| -> Vec<TraceEvent> {
            let all = s.traces.iter().flatten().map(|e| e.event);
            all.filter(|e| e.action != Action::Oom).collect() // whose figure is the machine's
        };
        assert!(events(&read) == events(&original), "{name}");
        assert_eq!(divergence(&read), None);
    }
}

#[test]
fn other_settings_make_other_figures() {
    let configs = ["expandable_segments:True".to_owned(), String::new()];
    let table = what_if::compare(&path("stacks"), &configs, None, Reading::default()).expect("is replayed");
    assert_eq!((table.cards[0].bytes, table.cards[0].from), (what_if::DEVICE_BYTES, what_if::SizeFrom::Nothing));
    assert_eq!(table.disagreement, None);
    let ([recorded], [reference]) = (&table.recorded[..], &table.reference[..]) else {
        panic!("a row each: {table:?}")
    };
    let [expandable, none] = &table.rows[..] else { panic!("two rows: {:?}", table.rows) };
    assert_eq!(reference, none);
    let mapped: u64 = snapshot("stacks").segments.iter().map(|s| s.total_size).sum();
    assert_eq!(recorded.peak_reserved, mapped, "nothing was given back");
    assert_eq!(recorded.first_refusal, None);
    assert!(expandable.peak_reserved < recorded.peak_reserved && expandable.fragmentation() < 0.5);

    let small = what_if::compare(&path("stacks"), &[], Some(mapped / 2), Reading::default()).expect("is replayed");
    assert_eq!(&small.recorded[0], recorded, "whatever the size asked for");
    assert!(small.rows[0].refusals > 0 && small.rows[0].peak_reserved <= mapped / 2);
    assert!(what_if::compare(&path("streams"), &["speed:9".to_owned()], None, Reading::default()).is_err());
    let recording = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/multi.jsonl.gz");
    assert_eq!(what_if::compare(&recording, &configs, None, Reading::default()).expect("is replayed").rows.len(), 4);
}
