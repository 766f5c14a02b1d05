//! Parts of snapshots: which events a range takes, what goes with them, and that a part is lived again exactly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::recording::pickle::{Document, Value, Writer, read};
use crate::recording::snapshot::told::Mark;
use crate::recording::snapshot::{MemorySnapshot, Opened};

fn snapshot(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}"))
}

fn range(from: &str, to: &str) -> Range {
    let bound = |text: &str| (!text.is_empty()).then(|| text.parse().expect("a bound"));
    Range { from: bound(from), to: bound(to) }
}

fn reading(range: Range) -> Reading<'static> {
    Reading { range, ..Reading::default() }
}

/// The part of a file, kept as a file of its own; it was followed, and is followed again.
fn part(path: &Path, range: Range) -> tempfile::NamedTempFile {
    let (report, bytes) = copied(path, reading(range)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((report.divergences, report.first), (0, None), "{} {range:?}", path.display());
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("is written");
    let again = exact(file.path()).unwrap_or_else(|error| panic!("{} {range:?}: {error}", path.display()));
    assert_eq!((again.divergences, again.first), (0, None), "{} {range:?}", path.display());
    assert_eq!(again.operations, report.operations);
    file
}

fn refused(path: &Path, range: Range) -> String {
    copied(path, reading(range)).map(|(report, _)| report.operations).expect_err("is refused").to_string()
}

fn opened(path: &Path) -> Opened {
    Opened::read(path, &mut |_| {}).expect("is read")
}

#[test]
fn parts_of_every_snapshot_are_lived_again() {
    for name in [
        "stacks.pickle.gz",
        "streams.pickle.gz",
        "maxsplit-pressure.pickle.gz",
        "two-devices.pickle.gz",
        "trials/late_history.pickle",
        "trials/oom_small_card.pickle",
        "trials/private_pool.pickle",
        "trials/private_pool_with_pool_id.pickle",
        "trials/protocol_0.pickle",
        "trials/skip_free_requested.pickle",
        "trials/toggled_expandable.pickle",
        "trials/torch_2_0.pickle",
    ] {
        let path = snapshot(name);
        let whole = MemorySnapshot::read(&path).expect("is read");
        let events = whole.traces.iter().map(Vec::len).max().unwrap_or(0);
        for (from, to) in [(0, events - 1), (0, events / 2), (events / 3, events - 1), (events / 3, events / 2)] {
            let file = part(&path, range(&from.to_string(), &to.to_string()));
            let read = MemorySnapshot::read(file.path()).expect("is read");
            for (part, whole) in read.traces.iter().zip(&whole.traces) {
                let own = whole.iter().filter(|e| (from..=to).contains(&(e.index as usize)));
                assert!(part.iter().map(|e| e.event).eq(own.map(|e| e.event)), "{name} {from} to {to}");
            }
            for segment in &read.segments {
                assert_eq!(segment.blocks.iter().map(|b| b.size).sum::<u64>(), segment.total_size, "{name}");
            }
        }
        let single = events / 2;
        part(&path, range(&single.to_string(), &single.to_string()));
    }
}

/// The whole of a file, copied: what stands and all that its events say is what it was.
#[test]
fn a_copy_of_the_whole_loses_nothing() {
    let path = snapshot("stacks.pickle.gz");
    let file = part(&path, Range::default());
    let (old, new) = (opened(&path), opened(file.path()));
    assert_eq!(old.told().expect("is read"), new.told().expect("is read"), "stacks, times and marks");
    let (old, new) = (old.snapshot().expect("is one"), new.snapshot().expect("is one"));
    assert_eq!((old.segments, old.traces, old.in_force), (new.segments, new.traces, new.in_force));
}

/// Stacks go with the events and with what they allocated.
#[test]
fn stacks_go_with_their_part() {
    let path = snapshot("stacks.pickle.gz");
    let whole = opened(&path).told().expect("is read");
    let times = &whole.devices[0].times;
    let file = part(&path, range("300", "700"));
    let told = opened(file.path()).told().expect("is read");
    let site = |told: &crate::recording::snapshot::told::Told, at: usize| {
        told.devices[0].stacks[at].and_then(|stack| told.site(stack).map(str::to_owned))
    };
    assert!((0..401).all(|at| site(&told, at) == site(&whole, 300 + at)));
    assert!((0..401).any(|at| site(&told, at).is_some()));
    assert_eq!(told.devices[0].times[..], times[300..701]);
    let (document, blocks) = (document(file.path()), live_blocks(file.path()));
    assert!(blocks.len() > 5);
    let allocated = events(&document).filter(|e| text(&document, *e, "action") == "alloc");
    let by_address: BTreeMap<i64, Value> =
        allocated.filter_map(|e| Some((int(&document, e, "addr"), document.entries(e)?.get("frames")?))).collect();
    let stands = standing(&document);
    assert!(blocks.iter().any(|address| by_address.contains_key(address)));
    for (address, frames) in by_address.iter().filter(|(address, _)| blocks.contains(address)) {
        assert_eq!(stands.get(address), Some(frames), "{address:#x}");
    }
}

fn document(path: &Path) -> Document {
    let bytes = std::fs::read(path).expect("is there");
    read(&bytes[..], &mut crate::recording::pickle::Budget::for_file(1 << 20)).expect("is a pickle")
}

fn list<'d>(document: &'d Document, value: Value, key: &str) -> impl Iterator<Item = Value> + use<'d> {
    let list = document.entries(value).and_then(|entries| entries.get(key));
    list.and_then(|list| document.items(list)).into_iter().flat_map(|items| items.iter())
}

fn events(document: &Document) -> impl Iterator<Item = Value> + '_ {
    let traces = list(document, document.root(), "device_traces");
    traces.filter_map(|trace| document.items(trace)).flat_map(|items| items.iter())
}

fn text<'d>(document: &'d Document, value: Value, key: &str) -> &'d str {
    document.entries(value).and_then(|entries| document.text(entries.get(key)?)).unwrap_or_default()
}

fn int(document: &Document, value: Value, key: &str) -> i64 {
    match document.entries(value).and_then(|entries| entries.get(key)) {
        Some(Value::Int(number)) => number,
        other => panic!("{key}: {other:?}"),
    }
}

/// The stacks of the blocks that stand at the end.
fn standing(document: &Document) -> BTreeMap<i64, Value> {
    let segments = list(document, document.root(), "segments");
    let blocks = segments.flat_map(|segment| list(document, segment, "blocks"));
    blocks.filter_map(|b| Some((int(document, b, "address"), document.entries(b)?.get("frames")?))).collect()
}

fn live_blocks(path: &Path) -> Vec<i64> {
    let segments = MemorySnapshot::read(path).expect("is one").segments;
    let blocks = segments.into_iter().flat_map(|s| s.blocks);
    let live = blocks.filter(|b| b.state != crate::op::snapshot::BlockState::Inactive);
    live.map(|b| b.address.cast_signed()).collect()
}

/// A snapshot of one segment and three events, one of them not the allocator's, with what newer releases tell.
fn annotated(times: [i64; 3]) -> tempfile::NamedTempFile {
    let mut writer = Writer::default();
    let number = |writer: &mut Writer, key: &str, value: i64| {
        writer.str(key);
        writer.int(value);
    };
    writer.begin_dict();
    writer.str("segments");
    writer.list([()], |writer, ()| {
        writer.begin_dict();
        for (key, value) in [("device", 0), ("address", 4096), ("total_size", 20 << 20), ("allocated_size", 20 << 20)] {
            number(writer, key, value);
        }
        for (key, value) in [("active_size", 20 << 20), ("requested_size", 20 << 20), ("stream", 0)] {
            number(writer, key, value);
        }
        writer.str("segment_type");
        writer.str("large");
        writer.str("blocks");
        writer.list([()], |writer, ()| {
            writer.begin_dict();
            for (key, value) in [("address", 4096), ("size", 20 << 20), ("requested_size", 20 << 20)] {
                number(writer, key, value);
            }
            writer.str("state");
            writer.str("active_allocated");
            writer.end_dict();
        });
        writer.end_dict();
    });
    writer.str("device_traces");
    writer.list([()], |writer, ()| {
        writer.list([("annotate", 0), ("segment_alloc", 1), ("alloc", 2)], |writer, (action, at)| {
            writer.begin_dict();
            writer.str("action");
            writer.str(action);
            for (key, value) in [("addr", 4096), ("size", 20 << 20), ("stream", 0), ("time_us", times[at])] {
                number(writer, key, value);
            }
            writer.str("user_metadata");
            if at == 2 {
                // Since 2.15 it may be a dict.
                writer.begin_dict();
                writer.str("layer");
                writer.int(7);
                writer.end_dict();
            } else {
                writer.str("epoch 1");
            }
            writer.end_dict();
        });
    });
    writer.str("external_annotations");
    writer.list([times[0], times[2]], |writer, time| {
        writer.begin_dict();
        for (key, value) in [("stage", "START"), ("name", "step")] {
            writer.str(key);
            writer.str(value);
        }
        for (key, value) in [("device", 0), ("time_us", time)] {
            number(writer, key, value);
        }
        writer.end_dict();
    });
    writer.end_dict();
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), writer.finish()).expect("is written");
    file
}

#[test]
fn annotations_within_the_trace_and_metadata_of_any_kind_are_carried() {
    let source = annotated([1000, 1001, 1002]);
    let file = part(source.path(), range("0", "2"));
    let document = document(file.path());
    let all: Vec<Value> = events(&document).collect();
    let actions: Vec<&str> = all.iter().map(|&event| text(&document, event, "action")).collect();
    assert_eq!(actions, ["annotate", "segment_alloc", "alloc"]);
    assert_eq!(text(&document, all[0], "user_metadata"), "epoch 1");
    let metadata = document.entries(all[2]).and_then(|event| event.get("user_metadata")).expect("is there");
    assert_eq!(int(&document, metadata, "layer"), 7);
    let marks = |path: &Path| opened(path).told().expect("is read").devices[0].marks.clone();
    let mark = |name: &str, event| Mark { name: name.to_owned(), event, is_start: true };
    assert_eq!(marks(file.path()), [mark("epoch 1", 0), mark("step", 0), mark("step", 2)]);
    let later = part(source.path(), range("1", ""));
    assert_eq!(marks(later.path()), [mark("step", 1)], "those of its time");
}

#[test]
fn bounds_that_make_no_part_say_what_there_is() {
    let source = annotated([1000, 2000, 3000]);
    let refused = |from: &str, to: &str| refused(source.path(), range(from, to));
    let there = "events 0 to 2 of device 0, from 1000us to 3000us (+0.002s)";
    for (from, to, what) in [
        ("3", "", "--from 3 is outside the trace, which has "),
        ("", "3", "--to 3 is outside the trace, which has "),
        ("999us", "", "--from 999us is outside the trace, which has "),
        ("", "+2001us", "--to +2001us is outside the trace, which has "),
        ("2", "1", "--from 2 is after --to 1; the trace has "),
        ("3000us", "2000us", "--from 3000us is after --to 2000us; the trace has "),
        ("2", "1500us", "--from 2 is after --to 1500us; the trace has "),
        ("0", "0", "no event of the allocator lies from 0 to 0; the trace has "),
        ("1200us", "1300us", "no event of the allocator lies from 1200us to 1300us; the trace has "),
    ] {
        assert!(refused(from, to).ends_with(&format!("{what}{there}")), "{}", refused(from, to));
    }
    for (from, to, operations) in [("1", "2", 1), ("+1ms", "", 1), ("2000us", "3000us", 1), ("", "2000us", 0)] {
        let (report, _) = copied(source.path(), reading(range(from, to))).expect("is there");
        assert_eq!((report.operations, report.divergences), (operations, 0), "{from} {to}");
    }
    let timeless = self::refused(&snapshot("trials/torch_2_0.pickle"), range("+1s", ""));
    assert!(
        timeless.ends_with(
            "--from +1000000us is a time, and the events of this trace have none; it has events 0 to 1 of device 0"
        ),
        "{timeless}"
    );
    let recording = snapshot("../recordings/default.jsonl.gz");
    assert!(
        self::refused(&recording, range("1", ""))
            .ends_with("--from and --to are for memory snapshots; this is a recording")
    );
}

/// Of two devices, one has no event in the time asked for: it stands as it did then, not as in the end.
#[test]
fn a_device_without_events_in_a_part_stands_as_it_did_then() {
    let path = snapshot("two-devices.pickle.gz");
    let whole = opened(&path).told().expect("is read");
    let first = |device: usize| whole.devices[device].times.iter().flatten().min().copied().expect("has times");
    let (early, late) = if first(0) < first(1) { (0, 1) } else { (1, 0) };
    assert!(first(early) < first(late));
    let to = format!("{}us", first(late) - 1);
    let file = part(&path, range("", &to));
    let read = MemorySnapshot::read(file.path()).expect("is read");
    assert!(read.traces[late].is_empty() && !read.traces[early].is_empty());
    assert!(read.segments.iter().all(|segment| segment.device as usize == early), "nothing had been reserved");
}
