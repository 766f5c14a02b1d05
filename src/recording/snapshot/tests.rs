//! Snapshots as PyTorch writes them, with something missing or wrong, and damaged.

use std::io::Read;
use std::path::PathBuf;

use super::super::pickle::{self, Writer};
use super::*;

fn whole(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.pickle.gz"));
    let mut bytes = Vec::new();
    crate::recording::open(&path).expect("is in the repository").read_to_end(&mut bytes).expect("is whole");
    bytes
}

fn read(bytes: &[u8]) -> Result<MemorySnapshot, SnapshotError> {
    let mut budget = Budget::for_file(bytes.len() as u64);
    let document =
        pickle::read(bytes, &mut budget).map_err(|source| SnapshotError::Pickle { file: "f".to_owned(), source })?;
    MemorySnapshot::of(&document, budget, "f")
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).expect_err("is refused").to_string()
}

#[test]
fn a_real_snapshot_is_read() {
    let snapshot = read(&whole("stacks")).expect("is read");
    assert_eq!(snapshot.traces.iter().map(Vec::len).collect::<Vec<_>>(), [1200, 0]);
    assert_eq!((snapshot.config.as_str(), snapshot.unknown, snapshot.stats.len()), ("", 0, 0));
    assert_eq!(
        snapshot.in_force,
        InForce {
            expandable_segments: Some(false),
            max_split_size: Some(-1),
            gc_threshold: Some(0.0),
            roundup_divisions: Some([0; 16]),
        }
    );
    let first = snapshot.traces[0][0];
    assert_eq!((first.index, first.event.action, first.event.bytes), (0, Action::SegmentAlloc, 2 << 20));
    let mapped: u64 = snapshot.segments.iter().map(|s| s.total_size).sum();
    let blocks: u64 = snapshot.segments.iter().flat_map(|s| &s.blocks).map(|b| b.size).sum();
    assert_eq!(mapped, blocks);
    assert_eq!(read(&whole("two-devices")).expect("is read").stats.len(), 2);
}

/// A snapshot of one event, after whatever `change` writes into its entry.
fn with_event(fields: &[(&str, i64)], action: &str) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.begin_dict();
    writer.str("segments");
    writer.list(std::iter::empty::<()>(), |_, ()| {});
    writer.str("device_traces");
    writer.list([()], |writer, ()| {
        writer.list([()], |writer, ()| {
            writer.begin_dict();
            writer.str("action");
            writer.str(action);
            for &(key, value) in fields {
                writer.str(key);
                writer.int(value);
            }
            writer.end_dict();
        });
    });
    writer.end_dict();
    writer.finish()
}

#[test]
fn what_is_missing_or_wrong_is_named_with_its_place() {
    let good = [("addr", 512), ("size", 1), ("stream", 0)];
    assert_eq!(read(&with_event(&good, "alloc")).expect("is read").traces[0].len(), 1);
    assert_eq!(refusal(&with_event(&good[..1], "alloc")), "f: device_traces[0][0] has no `size`");
    assert_eq!(
        refusal(&with_event(&[("addr", -1)], "alloc")),
        "f: `addr` of device_traces[0][0] is -1; it should be an int of 0 or more"
    );
    let huge = [("addr", 512), ("size", 1 << 45), ("stream", 0)];
    assert_eq!(
        refusal(&with_event(&huge, "segment_map")),
        "f: `size` of device_traces[0][0] is 35184372088832; it should be at most 16 TiB: no segment is larger"
    );
    assert!(read(&with_event(&huge, "alloc")).is_ok(), "what was asked for may be anything");
    assert_eq!(refusal(&with_event(&good, "oom")), "f: device_traces[0][0] has no `device_free`");
    let many: Vec<(String, i64)> = (0..100).map(|i| (format!("field {i}"), i)).collect();
    let many: Vec<(&str, i64)> = many.iter().map(|(name, i)| (name.as_str(), *i)).collect();
    assert_eq!(refusal(&with_event(&many, "alloc")), "f: device_traces[0][0] has 101 fields; at most 64 make sense");
}

#[test]
fn what_a_newer_pytorch_adds_is_counted_and_left_alone() {
    let newer = with_event(&[("addr", 512), ("size", 1), ("stream", 0), ("of_tomorrow", 0)], "alloc");
    let snapshot = read(&newer).expect("is read");
    assert_eq!((snapshot.unknown, snapshot.traces[0].len()), (1, 1));
    let snapshot = read(&with_event(&[], "workspace_snapshot")).expect("is read");
    assert_eq!((snapshot.unknown, snapshot.traces[0].len()), (1, 0));
}

#[test]
fn other_pickles_are_no_snapshots() {
    let no_snapshot = "f: no memory snapshot: the pickle holds";
    assert!(refusal(b"\x80\x04].").starts_with(&format!("{no_snapshot} a list")));
    assert!(refusal(b"\x80\x04}.").starts_with(&format!("{no_snapshot} a dict without them")));
    assert!(refusal(b"\x80\x04N.").starts_with(&format!("{no_snapshot} None")));
    let mut writer = Writer::default();
    writer.begin_dict();
    writer.str("segments");
    writer.int(1);
    writer.str("device_traces");
    writer.list(0..65, Writer::int);
    writer.end_dict();
    let refused = refusal(&writer.finish());
    assert_eq!(refused, "f: `device_traces` of the snapshot is a list; it should be a list of at most 64 devices");
}

#[test]
fn values_that_unfold_without_end_are_refused() {
    // One list of blocks, and a million segments that all have it.
    let mut bytes = b"\x80\x04}(\x8c\x08segments](".to_vec();
    let mut segment = Vec::new();
    segment.extend(b"}(\x8c\x06deviceK\0\x8c\x07addressK\0\x8c\x0atotal_sizeK\0\x8c\x0eallocated_sizeK\0");
    segment.extend(b"\x8c\x0bactive_sizeK\0\x8c\x0erequested_sizeK\0\x8c\x06streamK\0");
    segment.extend(b"\x8c\x0csegment_type\x8c\x05small\x8c\x06blocks](");
    segment.extend(b"}(\x8c\x07addressK\0\x8c\x04sizeK\0\x8c\x0erequested_sizeK\0\x8c\x05state\x8c\x08inactiveu\x94");
    segment.extend(b"h\0".repeat(10_000));
    segment.extend(b"eu\x94");
    bytes.extend(segment);
    bytes.extend(b"h\x01".repeat(10_000));
    bytes.extend(b"e\x8c\x0ddevice_traces]u.");
    assert!(refusal(&bytes).contains("unfold to more than"), "{}", refusal(&bytes));
}

#[test]
fn no_damage_is_a_panic() {
    let whole = whole("streams");
    for end in (0..whole.len() - 1).step_by(97) {
        assert!(read(&whole[..end]).is_err(), "cut at {end}");
    }
    let mut seed = 11_u64;
    for _ in 0..400 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut flipped = whole.clone();
        let at = (seed >> 33) as usize % flipped.len();
        flipped[at] ^= 1 << ((seed >> 20) % 8);
        let _ = read(&flipped);
    }
}

fn in_archive(name: &str, method: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04\x14\0\0\0".to_vec();
    bytes.extend(method.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(u32::try_from(data.len()).expect("it is short").to_le_bytes().repeat(2));
    bytes.extend(u16::try_from(name.len()).expect("it is short").to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(name.as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn what_torch_save_keeps_is_read_out_of_its_archive() {
    let file = |bytes: &[u8]| {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), bytes).expect("is written");
        MemorySnapshot::read(file.path()).map(|snapshot| snapshot.traces[0].len())
    };
    let pickle = whole("streams");
    let events = read(&pickle).expect("is read").traces[0].len();
    assert_eq!(file(&in_archive("s/data.pkl", 0, &pickle)).expect("is read"), events);
    let mut packed = Vec::new();
    flate2::read::DeflateEncoder::new(&pickle[..], flate2::Compression::fast())
        .read_to_end(&mut packed)
        .expect("packs");
    assert_eq!(file(&in_archive("data.pkl", 8, &packed)).expect("is read"), events);
    let second = [in_archive("version", 0, b"3"), in_archive("s.pickle", 0, &pickle)].concat();
    assert_eq!(file(&second).expect("is read"), events);
    let refused = file(&in_archive("readme.txt", 0, b"nothing")).expect_err("is no snapshot").to_string();
    assert!(refused.contains("a zip archive, and no snapshot kept by torch.save"), "{refused}");
    assert!(file(&in_archive("data.pkl", 0, &pickle)[..60]).is_err());
}
