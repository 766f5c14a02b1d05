//! The reference against recordings of the real PyTorch, and against broken ones.

use std::io::{Read, Write};
use std::path::PathBuf;

use super::*;

fn recordings() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the recordings are in the repository")
        .filter_map(|entry| Some(entry.ok()?.path()).filter(|p| p.extension().is_some_and(|e| e == "gz")))
        .collect();
    files.sort();
    files
}

fn recording(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/recordings/{name}.jsonl.gz"))
}

fn text_of(name: &str) -> String {
    let mut text = String::new();
    recording::open(&recording(name)).expect("opens").read_to_string(&mut text).expect("is text");
    text
}

fn written(text: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text).expect("is written");
    file
}

#[test]
fn the_reference_predicts_every_recording() {
    let files = recordings();
    assert_eq!(files.len(), 26, "every native recording");
    for file in files {
        let report = exact(&file).expect("is read");
        let first = report.first.map(|d| d.to_string());
        assert_eq!((first, report.divergences, report.operations), (None, 0, 400), "{}", file.display());
    }
}

#[test]
fn the_reference_predicts_what_newer_releases_did_by_their_rules() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/released");
    let files = std::fs::read_dir(folder).expect("the recordings are in the repository");
    let mut count = 0;
    for file in files.map(|entry| entry.expect("is listed").path()) {
        let report = exact(&file).expect("is read");
        let first = report.first.map(|d| d.to_string());
        assert_eq!((first, report.divergences, report.notes), (None, 0, Vec::new()), "{}", file.display());
        assert!(report.operations >= 400, "{}", file.display());
        count += 1;
    }
    assert_eq!(count, 20, "ten of 2.13 and of 2.15");
}

#[test]
fn a_release_without_rules_is_named() {
    let text = text_of("default").replacen("torch 2.11.0", "torch 2.9.1", 1);
    let report = exact(written(text.as_bytes()).path()).expect("is read");
    let notes: Vec<String> = report.notes.iter().map(ToString::to_string).collect();
    assert!(
        notes[0].starts_with("recorded from torch 2.9.1+cu130, whose rules the reference does not know"),
        "{notes:?}"
    );
}

/// Changes one figure of the recording and expects the replay to notice it where it stands.
fn doctored(name: &str, from: &str, to: &str) -> Divergence {
    let text = text_of(name);
    assert!(text.contains(from), "{from} is in the recording");
    let report = exact(written(text.replacen(from, to, 1).as_bytes()).path()).expect("is read");
    report.first.expect("the change is noticed")
}

#[test]
fn a_doctored_recording_diverges_where_it_was_doctored() {
    let statistic = doctored("default", "\"requested_bytes.all.peak\":5082576", "\"requested_bytes.all.peak\":5082577");
    assert_eq!(statistic.place, FilePosition::Line(3));
    assert_eq!(statistic.kinds[0].to_string(), "requested_bytes.all.peak on device 0: recorded 5082577, here 5082576");
    let address = doctored("default", "\"address\":140194857455104", "\"address\":140194857455616");
    assert!(matches!(address.kinds[0], DivergenceKind::Address { recorded: 140194857455616, .. }));
    let event = doctored("default", "[\"free_completed\",0,140194857455104,", "[\"free_completed\",0,140194857455105,");
    assert!(matches!(event.kinds[0], DivergenceKind::Event { .. }));
    let segment = doctored("default", "\"state\":\"inactive\"", "\"state\":\"active_pending_free\"");
    assert!(matches!(segment.kinds[0], DivergenceKind::Segment { .. }));
}

#[test]
fn broken_recordings_are_refused_with_their_place() {
    let text = text_of("default");
    let refused =
        |bytes: &[u8]| exact(written(bytes).path()).map(|r| r.operations).expect_err("is refused").to_string();
    assert!(refused(b"").ends_with("the file is empty"));
    assert!(refused(text.replacen("poolproof/1", "poolproof/9", 1).as_bytes()).contains("version `poolproof/9`"));
    assert!(refused(&text.as_bytes()[..text.len() / 2]).contains("EOF while parsing"));
    let lines: Vec<&str> = text.lines().collect();
    assert!(refused(lines[..lines.len() - 1].join("\n").as_bytes()).contains("ends inside episode 0"));
    assert!(refused([lines[0], lines[2]].join("\n").as_bytes()).contains(":2: an operation before any episode"));
    assert!(refused(text.replacen("\"config\":\"\"", "\"config\":\"speed:9\"", 1).as_bytes()).contains("`speed`"));
    let packed = std::fs::read(recording("default")).expect("is read");
    assert!(refused(&packed[..packed.len() / 2]).contains("ends in the middle"));
}

/// No exact reference: figures and addresses are held to what any allocator owes.
#[test]
fn another_backend_is_held_to_invariants_only() {
    let header = r#"{"trace":"poolproof/1","recorded_from":"torch","profile":"mixed","config":"backend:cudaMallocAsync","backend":"cudaMallocAsync","devices":[{"index":0,"name":"H200","total_bytes":1073741824}]}"#;
    let episode = r#"{"episode":0,"fraction":{"0":1.0},"streams":{"0":[0]},"stats":{"0":{}}}"#;
    let alloc = |block: u32, address: u64, allocated: u64| {
        format!(
            r#"{{"op":"alloc","block":{block},"device":0,"stream":0,"bytes":512,"via":"raw","address":{address},"stats":{{"0":{{"allocated_bytes.all.current":{allocated},"allocated_bytes.all.peak":{allocated},"active_bytes.all.current":{allocated},"active_bytes.all.peak":{allocated},"reserved_bytes.all.current":4096,"reserved_bytes.all.peak":4096}}}}}}"#
        )
    };
    let recorded = |lines: &[String]| {
        let body = [&[header.to_owned(), episode.to_owned()], lines, &[r#"{"end":0}"#.to_owned()]].concat().join("\n");
        exact(written(body.as_bytes()).path()).expect("is read")
    };
    let lawful = recorded(&[alloc(0, 4096, 512), alloc(1, 4608, 1024)]);
    assert_eq!((lawful.divergences, lawful.operations), (0, 2));
    assert_eq!(lawful.invariants_only.as_deref(), Some("cudaMallocAsync"));
    let first = |lines: &[String]| recorded(lines).first.expect("is convicted").to_string();
    assert!(first(&[alloc(0, 4096, 512), alloc(1, 4352, 1024)]).contains("overlaps block 0"));
    assert!(first(&[alloc(0, 4097, 512)]).contains("given address 0x1001"));
    assert!(first(&[alloc(0, 4096, 256)]).contains("live blocks hold 512 B"));
    assert!(first(&[alloc(0, 4096, 8192)]).contains("8192 B allocated of 4096 B reserved"));
}

/// Private pools and captures are asked again under other settings; under the recorded ones, on a device of the
/// recorded size, they come to what was recorded.
#[test]
fn pools_and_captures_can_be_tried_under_other_settings() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/capture.jsonl.gz");
    let configs = ["expandable_segments:True".to_owned()];
    let table = what_if::compare(&path, &configs, None, Reading::default()).expect("reads");
    assert_eq!(table.disagreement, None, "{table:#?}");
    assert_eq!(table.rows.len(), 1);
    assert!(table.rows[0].peak_reserved >= table.rows[0].peak_allocated && table.rows[0].peak_allocated > 0);
    assert_ne!(table.reference[0].peak_reserved, table.rows[0].peak_reserved, "{:#?}", table.rows);
}

/// The header knows the card, and the refusals what of it could be had: the reference comes to what the recording counted.
#[test]
fn every_recording_comes_to_its_own_figures() {
    for file in recordings() {
        let table = what_if::compare(&file, &[], None, Reading::default()).expect("reads");
        assert_eq!(table.disagreement, None, "{}", file.display());
        for (recorded, reference) in table.recorded.iter().zip(&table.reference) {
            let figures = |r: &what_if::Row| (r.peak_reserved, r.peak_allocated, r.device_calls, r.retries, r.refusals);
            assert_eq!(figures(recorded), figures(reference), "{}", file.display());
        }
    }
    let table = what_if::compare(&recording("default-pressure"), &[], None, Reading::default()).expect("reads");
    assert_eq!((table.recorded[0].peak_reserved, table.recorded[0].refusals), (2_998_927_360, 24));
}

/// A recording that was doctored has no table, but the first figure that is not what the reference comes to.
#[test]
fn a_table_is_refused_where_the_figures_disagree() {
    let text = text_of("default");
    let one = text.replacen("\"num_device_alloc\":2", "\"num_device_alloc\":3", 1);
    assert_ne!(text, one, "the figure is there");
    let table = what_if::compare(
        written(one.as_bytes()).path(),
        &["expandable_segments:True".to_owned()],
        None,
        Reading::default(),
    );
    let table = table.expect("is read");
    let disagreement = table.disagreement.expect("is noticed").to_string();
    assert!(table.rows.is_empty() && disagreement.contains("num_device_alloc"), "{disagreement}");
}

/// Tables of recordings of later releases go by the rules of these, and so do the exports of them.
#[test]
fn tables_go_by_the_rules_of_the_recorded_release() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/released");
    let files = std::fs::read_dir(folder).expect("the recordings are in the repository");
    for file in files.map(|entry| entry.expect("is listed").path()) {
        let name = file.file_name().expect("has a name").to_string_lossy().into_owned();
        let table = what_if::compare(&file, &[], None, Reading::default()).expect("reads");
        // Other processes took and gave back memory of that card while these two were recorded, which nothing tells.
        assert_eq!(table.disagreement.is_some(), name.ends_with("-gc60.jsonl.gz"), "{name}: {:?}", table.disagreement);
        let minor: u32 =
            name.split(['.', '-']).nth(1).and_then(|minor| minor.parse().ok()).expect("is named after one");
        let said = table.notes.iter().map(ToString::to_string).any(|text| {
            text.starts_with(&format!(
                "other settings are asked by the rules of PyTorch 2.{minor}: the recording is from"
            ))
        });
        assert!(said, "{name}: {:?}", table.notes);
        let (_, lived) = lived(&file, true, Reading::default()).expect("is read");
        let snapshot = recording::MemorySnapshot::read(written(&pickled(&lived)).path()).expect("is read");
        assert_eq!((snapshot.release, snapshot.since), (Some(minor), 12), "{name}");
    }
}

/// What PyTorch 2.11 did over simulated devices: settings that changed, the cache switched off, memory held by others.
#[test]
fn settings_the_cache_and_neighbours_may_change_in_a_recording() {
    let notes = |table: &what_if::Table| table.notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for name in ["settings", "settings-expandable", "caching", "caching-off", "neighbour", "neighbour-expandable"] {
        let file = recording(&format!("simulated/{name}"));
        let report = exact(&file).expect("is read");
        let first = report.first.map(|d| d.to_string());
        assert_eq!((first, report.divergences), (None, 0), "{name}");
        assert!(report.operations >= 300, "{name}");
        let table =
            what_if::compare(&file, &["max_split_size_mb:64".to_owned()], None, Reading::default()).expect("reads");
        assert_eq!((&table.disagreement, table.rows.len()), (&None, 1), "{name}");
        assert_eq!(notes(&table).contains("went past the cache"), name.starts_with("caching"), "{name}");
        let others = matches!(table.cards[0].from, what_if::SizeFrom::Others { most } if most > table.cards[0].bytes);
        assert_eq!(others, name.starts_with("neighbour") || name == "caching", "{name}: {:?}", table.cards);
    }
}

/// A block that went past the cache cannot lie where the cache has memory.
#[test]
fn a_block_of_the_driver_lies_beside_the_cache() {
    let text = text_of("simulated/caching");
    let cached =
        text.lines().find(|line| line.contains("\"op\":\"alloc\"") && !line.contains("direct")).expect("is there");
    let address = |line: &str| {
        let at = line.find("\"address\":").expect("is there") + 10;
        line[at..].split([',', '}']).next().expect("a number").to_owned()
    };
    let direct = |line: &&str| line.contains("\"direct\":true") && line.contains("\"op\":\"alloc\"");
    let first = text.lines().find(direct).expect("is there");
    let doctored = text.replacen(first, &first.replace(&address(first), &address(cached)), 1);
    let report = exact(written(doctored.as_bytes()).path()).expect("is read");
    let first = report.first.expect("it is seen").to_string();
    assert!(first.contains("a block past the cache at"), "{first}");
}
