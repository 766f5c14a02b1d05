//! Small snapshots of kinds that people have, each with the value that is right (`tests/snapshots/README.md`).

use std::path::PathBuf;

use super::what_if::{SizeFrom, Table};
use super::*;

const MIB: u64 = 1 << 20;

fn trial(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/trials/{name}.pickle"))
}

/// It replays with no divergence; the notes, in words.
fn notes(name: &str) -> Vec<String> {
    let report = exact(&trial(name)).expect("is read");
    assert_eq!((report.divergences, report.first), (0, None), "{name}");
    report.notes.iter().map(ToString::to_string).collect()
}

fn table(name: &str) -> Table {
    let table = what_if::compare(&trial(name), &["expandable_segments:True".to_owned()], None, Reading::default())
        .expect("is read");
    assert_eq!((&table.disagreement, table.rows.len()), (&None, 1), "{name}");
    table
}

fn peaks(table: &Table) -> (u64, u64, u64) {
    let row = &table.recorded[0];
    (row.peak_reserved / MIB, row.peak_allocated / MIB, row.device_calls)
}

#[test]
fn a_history_that_began_late() {
    assert!(notes("late_history")[0].contains("the history began late; 1 GiB stood already, with 1 block of 1 GiB"));
    let table = table("late_history");
    assert_eq!((peaks(&table), table.standing, table.rows[0].standing_then), ((1124, 1124, 1), 1, 1 << 30));
}

#[test]
fn frees_that_were_left_out() {
    assert!(notes("skip_free_requested")[0].contains("`free_requested` was left out"));
    assert_eq!(peaks(&table("skip_free_requested")), (100, 100, 1));
}

#[test]
fn private_pools_with_and_without_ids() {
    assert!(notes("private_pool")[0].contains("the trace has no `pool_id`"));
    assert!(notes("private_pool_with_pool_id").is_empty());
    for name in ["private_pool", "private_pool_with_pool_id"] {
        assert_eq!(peaks(&table(name)), (600, 300, 2), "{name}");
    }
}

#[test]
fn an_out_of_memory_gives_the_card() {
    let table = table("oom_small_card");
    assert!(notes("oom_small_card").is_empty());
    assert_eq!((table.cards[0].bytes, table.cards[0].from), (100 * MIB, SizeFrom::Refusal { index: 20 }));
    assert_eq!((peaks(&table), table.recorded[0].first_refusal), ((100, 90, 5), Some((16, 6 * MIB))));
    assert_eq!((table.rows[0].refusals, table.rows[0].peak_reserved), (0, 100 * MIB));
}

#[test]
fn settings_that_were_changed_while_it_was_recorded() {
    let notes = notes("toggled_expandable");
    let said = "the settings changed while it was recorded; event 3 is the first that shows it: expandable_segments from False";
    assert!(notes[0].contains(said), "{notes:?}");
    assert_eq!(peaks(&table("toggled_expandable")), (40, 22, 2));
}

#[test]
fn forms_and_settings_of_other_releases() {
    assert!(notes("protocol_0").is_empty());
    assert!(notes("torch_2_0")[0].starts_with("the snapshot tells no settings string"));
    assert!(notes("conf_throw_on_cudamalloc_oom")[0].contains("accepted, has no effect on a replay"));
    assert!(notes("conf_hip_host_register")[0].contains("concerns pinned host memory"));
    for name in ["torch_2_0", "protocol_0", "conf_throw_on_cudamalloc_oom", "conf_hip_host_register"] {
        assert_eq!(peaks(&table(name)), (20, 5, 1), "{name}");
    }
}

#[test]
fn a_pointer_is_named() {
    let error = exact(&trial("lfs_pointer")).expect_err("is no snapshot").to_string();
    assert!(error.contains("this is a Git LFS pointer") && error.contains("git lfs pull"), "{error}");
}
