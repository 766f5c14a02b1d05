//! The page on planted runs and on small real ones: the cause, the sums, what is proposed, and how it reads.

use std::path::{Path, PathBuf};

use super::planted_test::path;
use super::{
    Cause, Change, Compared, Comparison, Explained, FilePosition, Options, Part, Progress, Range, StepsBy, explain,
    json, markdown, text,
};
use crate::replay::Bound;

/// Tells nobody, and has had enough before settings are tried, or not.
struct Quiet {
    stops: bool,
}

impl Progress for Quiet {
    fn begin(&self, _: u64, _: &'static str) {}

    fn done(&self) {}

    fn ran(&self, _: u64) {}

    fn is_stopped(&self) -> bool {
        self.stops
    }
}

const OPTIONS: Options = Options { device: None, search: false, later: 2, range: Range { from: None, to: None } };

fn explained(path: &Path, options: Options) -> Explained {
    watched(path, options, &Quiet { stops: false })
}

fn watched(path: &Path, options: Options, progress: &Quiet) -> Explained {
    let mut explained = explain(path, options, progress).unwrap_or_else(|error| panic!("{error}"));
    let name = path.file_name().expect("a file").to_string_lossy().into_owned();
    explained.file = name;
    sums(&explained);
    explained
}

/// Every account adds up, to the byte.
fn sums(explained: &Explained) {
    for one in explained.refusals.iter().chain([&explained.peak]) {
        let account = &one.account;
        assert_eq!(account.shares.iter().map(|s| s.bytes).sum::<u64>(), account.reserved, "{}", one.place);
        let pins = &account.pins;
        assert_eq!(pins.groups.iter().map(|g| g.alone).sum::<u64>() + pins.several, account.pinned(), "{}", one.place);
        let live: u64 = one.live.iter().map(|(_, bytes, _)| bytes).sum();
        assert_eq!(live, account.bytes(Part::Requested), "{}", one.place);
        if let (Some(others), Some(free), Some(card)) = (one.others, one.free, explained.card_bytes) {
            assert_eq!(others + free + account.reserved, card, "{}", one.place);
        }
    }
}

fn comparison(explained: &Explained) -> &Comparison {
    match &explained.compared {
        Compared::Tried { comparison, .. } => comparison,
        other => panic!("{other:?}"),
    }
}

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

#[test]
fn small_live_blocks_that_pin_segments_are_named() {
    let page = explained(&path("fragmentation"), OPTIONS);
    let refusal = &page.refusals[0];
    assert_eq!(refusal.verdict.cause, Cause::Fragmentation);
    assert_eq!(refusal.verdict.bytes, 5 * (38 << 20));
    let group = &refusal.account.pins.groups[0];
    assert_eq!((group.blocks, group.bytes, group.alone), (5, 10 << 20, 190 << 20));
    let compared = comparison(&page);
    assert_eq!(compared.recorded.refusals, 1);
    let proposal = &compared.proposals[0];
    assert!(proposal.change.is_none() && proposal.outcome.fits(), "{proposal:?}");
    assert_eq!(proposal.outcome.config, "max_split_size_mb:32");
    let own = compared.smallest.as_ref().expect("some card serves it");
    let best = compared.smallest_of_all.as_ref().expect("a setting does better");
    assert!(best.card < 256 << 20 && own.card == 264 << 20, "{own:?} {best:?}");
}

#[test]
fn a_second_streams_cache_is_named() {
    let page = explained(&path("stream-cache"), OPTIONS);
    let refusal = &page.refusals[0];
    assert_eq!(refusal.verdict.cause, Cause::OtherStream);
    assert_eq!(refusal.account.bytes(Part::OtherStream), 5 * (38 << 20));
    let compared = comparison(&page);
    assert!(compared.proposals.iter().all(|p| p.outcome.fits()));
    assert!(compared.proposals.iter().any(|p| p.change == Some(Change::OneStream)), "{:?}", compared.proposals);
}

#[test]
fn what_graphs_keep_is_named() {
    let page = explained(&path("graph-pool"), OPTIONS);
    let refusal = &page.refusals[0];
    assert_eq!(refusal.verdict.cause, Cause::PrivatePool);
    assert_eq!(refusal.account.bytes(Part::OtherPool), 2 * (80 << 20) + 2 * (1 << 20));
    let compared = comparison(&page);
    let [proposal] = compared.proposals.as_slice() else { panic!("{:?}", compared.proposals) };
    assert_eq!(proposal.change, Some(Change::OnePoolForGraphs), "no setting gives a graph's pool back");
    assert!(proposal.outcome.fits());
}

#[test]
fn the_page_reads_so_in_a_terminal() {
    let page = explained(&path("fragmentation"), Options { search: true, ..OPTIONS });
    insta::assert_snapshot!("fragmentation", text(&page));
    insta::assert_snapshot!("stream_cache", text(&explained(&path("stream-cache"), OPTIONS)));
    insta::assert_snapshot!("graph_pool", text(&explained(&path("graph-pool"), OPTIONS)));
}

#[test]
fn the_page_of_a_real_run_reads_so_in_both_languages() {
    let page = explained(&kept("snapshots/stacks.pickle.gz"), OPTIONS);
    insta::assert_snapshot!("stacks_in_english", markdown(&page, false));
    insta::assert_snapshot!("stacks_in_chinese", markdown(&page, true));
    let value: serde_json::Value = serde_json::from_str(&json(&page).expect("it can be written")).expect("JSON");
    assert_eq!(value["format"], "poolproof-explain/1");
    assert_eq!(value["peak"]["account"]["reserved"], page.peak.account.reserved);
}

#[test]
fn every_kept_run_adds_up() {
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in ["recordings", "snapshots"] {
        let entries =
            std::fs::read_dir(kept(folder)).expect("it is there").map(|entry| entry.expect("an entry").path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|e| e == "gz")));
    }
    files.sort();
    assert!(files.len() > 20);
    for file in files {
        let page = watched(&file, Options { later: 1, ..OPTIONS }, &Quiet { stops: true });
        assert_ne!(matches!(page.compared, Compared::Differs { .. }), page.is_interrupted(), "{}", page.file);
        assert!(page.peak.account.reserved > 0, "{}", page.file);
        for rendered in [text(&page), markdown(&page, false), markdown(&page, true)] {
            assert!(rendered.lines().all(|line| !line.contains("NaN")), "{rendered}");
        }
        if page.steps.source == StepsBy::None {
            assert!(page.steps.left.is_empty());
        }
    }
}

/// The driver had enough free: no part of the cache is to blame, and what is, the file does not tell.
#[test]
fn a_refusal_that_nothing_explains_is_not_explained() {
    let page = explained(&kept("snapshots/maxsplit-pressure.pickle.gz"), OPTIONS);
    let refusal = page.first_refusal().expect("there are some");
    assert_eq!((refusal.verdict.cause, refusal.verdict.bytes), (Cause::Untold, refusal.asked.segment));
    assert!(refusal.free.is_some_and(|free| free > refusal.asked.segment));
    let text = text(&page);
    assert!(text.contains("was refused, because something refused it that the file does not tell: the driver had 139.22 GiB free, and 3.79 GiB was to be got"), "{text}");
    assert!(text.contains("No block was alive.") && !text.contains("no setting makes that fit"), "{text}");
}

/// Notes are said in the language of the page, whole, and so is what stands for a stack.
#[test]
fn the_chinese_page_is_in_chinese() {
    for name in [
        "late_history",
        "skip_free_requested",
        "private_pool",
        "toggled_expandable",
        "torch_2_0",
        "conf_throw_on_cudamalloc_oom",
        "conf_hip_host_register",
    ] {
        let page = explained(&kept(&format!("snapshots/trials/{name}.pickle")), Options { search: true, ..OPTIONS });
        assert!(!page.notes.is_empty(), "{name}");
        let (chinese, english) = (markdown(&page, true), markdown(&page, false));
        assert_eq!(chinese.matches("\n注：").count(), page.notes.len(), "{chinese}");
        let is_ours = |line: &&str| !line.contains(".pickle");
        for word in ["device", "history", "stream ", "setting `", "snapshot ", "Note", "…"] {
            assert!(chinese.lines().filter(is_ours).all(|line| !line.contains(word)), "{name}, {word}: {chinese}");
        }
        for note in &page.notes {
            assert!(text(&page).contains(&format!("Note: {note}.")), "{english}");
        }
    }
    let page = explained(&kept("snapshots/trials/late_history.pickle"), OPTIONS);
    assert!(markdown(&page, true).contains("历史开始之前分配的") && markdown(&page, true).contains("100 MiB，流 0"));
    assert!(text(&page).contains("what stood then (1 block) is asked for first"), "{}", text(&page));
}

#[test]
fn settings_that_are_not_told_are_said_not_to_be() {
    let options = Options { search: true, ..OPTIONS };
    let page = explained(&kept("snapshots/trials/torch_2_0.pickle"), options);
    let text = text(&page);
    assert!(text.contains("recorded: (not told)") && text.contains("the snapshot tells no settings string"), "{text}");
    let told = explained(&kept("snapshots/stacks.pickle.gz"), options);
    assert!(super::text(&told).contains("recorded: (none)"), "its string is empty, and told");
}

/// A part of a snapshot is explained as one that was taken then.
#[test]
fn a_part_of_a_snapshot_has_a_page_of_its_own() {
    let range = |from, to| Range { from: Some(Bound::Event(from)), to: Some(Bound::Event(to)) };
    let path = kept("snapshots/stacks.pickle.gz");
    let whole = explained(&path, OPTIONS);
    let part = explained(&path, Options { range: range(0, 300), ..OPTIONS });
    assert!(part.peak.account.reserved < whole.peak.account.reserved && part.requests < whole.requests);
    assert!(part.has_stacks && part.standing == 0);
    let late = explained(&path, Options { range: range(900, 1100), ..OPTIONS });
    assert!(late.standing > 0 && late.has_stacks, "{:?}", late.standing);
    assert!(matches!(late.peak.place, FilePosition::Event { device: 0, index } if (900..=1100).contains(&index)));
    let nothing = explain(&path, Options { range: range(5000, 5001), ..OPTIONS }, &Quiet { stops: true });
    let error = nothing.expect_err("is outside").to_string();
    assert!(error.contains("--from 5000 is outside the trace, which has events 0 to 1199 of device 0"), "{error}");
}
