//! The sound reference under other settings than the default ones: nothing fails that is not expected to, and little comes
//! to no verdict.
//!
//! A sample of `tests/settings.txt`, which `.ci/settings` runs whole; the published table is `reports/2026-11-28-settings/`.

use std::path::PathBuf;

use poolproof::engine::{self, Minimise, Plan, RunOptions, Silent};
use poolproof::spec;
use poolproof::target::TargetName;
use poolproof::verdict::Outcome;

/// Settings, and how many scenarios must pass under them at least: a world with less room has fewer.
const SAMPLE: [(&str, usize); 5] = [
    ("max_split_size_mb:20", 160),
    ("roundup_power2_divisions:[256:1,512:2,1024:4,>:8]", 180),
    ("large_segment_size_mb:21", 180),
    ("expandable_segments:True,large_segment_size_mb:64", 140),
    ("max_split_size_mb:64,garbage_collection_threshold:0.4,per_process_memory_fraction:0.5", 180),
];

/// Of a hundred scenarios, how many may come to no verdict.
const MOST_INCONCLUSIVE: usize = 5;

fn judge(settings: &str, least_passes: usize) {
    let target: TargetName = format!("reference@sim?config={settings}").parse().expect("a target name");
    // Its few sequences are so long that they take as much time as all others together.
    let mut scenarios = spec::built_in();
    scenarios.retain(|s| s.id != "live::long-lives");
    let options = RunOptions {
        target: target.clone(),
        plan: Plan::new(scenarios, &[], None).expect("all others are chosen"),
        seed: 0,
        exact: true,
        cases: Some(12),
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        time: None,
        minimise: Minimise::default(),
        stop: poolproof::engine::Stop::default(),
        out: PathBuf::from("unused"),
        regressions: None,
        command: String::new(),
    };
    let mut record = engine::run(&options, &Silent).expect("the target opens");
    let known = spec::expect::built_in("reference", "sim").expect("it is well formed").expect("there is one");
    engine::expect::apply(&mut record, &[&known]);
    let of = |outcome: Outcome| record.scenarios.iter().filter(move |s| s.outcome == outcome);
    for amiss in [Outcome::Fail, Outcome::UnexpectedPass, Outcome::Broken, Outcome::Skipped] {
        let named: Vec<_> = of(amiss).map(|s| (&s.id, s.reason.clone().unwrap_or_default().en)).collect();
        assert_eq!(named, [], "{settings}: {}", amiss.name());
    }
    let (passed, none) = (of(Outcome::Pass).count(), of(Outcome::Inconclusive).count());
    assert!(passed >= least_passes, "{settings}: {passed} scenarios passed");
    assert!(none * 100 <= MOST_INCONCLUSIVE * record.scenarios.len(), "{settings}: {none} came to no verdict");
    for scenario in of(Outcome::NotApplicable) {
        assert!(scenario.reason.is_some(), "{settings}: {} says no reason", scenario.id);
    }
}

#[test]
fn the_sound_reference_is_not_convicted_under_other_settings() {
    for (settings, least) in SAMPLE {
        judge(settings, least);
    }
}

/// What a card would never serve is told before anything runs.
#[test]
fn pages_that_no_device_maps_are_refused_with_the_reason() {
    let target: TargetName =
        "reference@sim?config=expandable_segments:True,large_segment_size_mb:11".parse().expect("a target name");
    let setup = poolproof::op::Setup { device_bytes: vec![1 << 30], streams: 1, config: None };
    let said = poolproof::target::open(&target, &setup).err().expect("it is refused").to_string();
    assert!(said.contains("11 MiB are no multiple of 2 MiB"), "{said}");
}
