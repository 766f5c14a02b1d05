//! The page on planted runs and on small real ones: the cause, the sums, what is proposed, and how it reads.

use std::path::{Path, PathBuf};

use super::planted_test::path;
use super::{
    Cause, Change, Compared, Comparison, Explained, Options, Part, Progress, Range, StepsBy, explain, json, markdown,
    text,
};

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
