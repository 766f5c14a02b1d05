//! Settings that might have served the run better, and which of them nothing beats.
//!
//! Decides which settings are tried, and what beats what: less memory, fewer calls of the driver, fewer retries.

use super::Progress;
use super::trial::{Bound, Outcome, Trials};
use crate::reference::Settings;

/// What may be set: each line holds values of one key, of which one at a time makes sense.
const FAMILIES: [&[&str]; 5] = [
    &["expandable_segments:True"],
    &["max_split_size_mb:32", "max_split_size_mb:64", "max_split_size_mb:128", "max_split_size_mb:512"],
    &["roundup_power2_divisions:4", "roundup_power2_divisions:8", "roundup_power2_divisions:16"],
    &["garbage_collection_threshold:0.6", "garbage_collection_threshold:0.8"],
    &["large_segment_size_mb:12", "large_segment_size_mb:32", "large_segment_size_mb:64"],
];

/// Collection goes by a limit: without one it does nothing.
const LIMIT: &str = "per_process_memory_fraction:0.999";

/// Settings to try, and how many keys of them are other than recorded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    pub config: String,
    pub settings: Settings,
    pub changed: u32,
}

/// All that is tried, the recorded settings first; with `pairs` two keys at a time too.
pub(super) fn candidates(config: &str, settings: &Settings, is_limited: bool, pairs: bool) -> Vec<Candidate> {
    let mut all = vec![Candidate { config: config.to_owned(), settings: *settings, changed: 0 }];
    let mut add = |config: String, changed: u32| {
        // A combination that PyTorch refuses is none.
        let Ok(settings) = config.parse::<Settings>() else { return };
        if all.iter().all(|known| known.settings != settings) {
            all.push(Candidate { config, settings, changed });
        }
    };
    let own = entries(config);
    for at in 0..own.len() {
        let rest: Vec<&str> = own.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, e)| *e).collect();
        add(rest.join(","), 1);
    }
    let limit = |value: &str| if value.starts_with("garbage") && !is_limited { vec![LIMIT] } else { Vec::new() };
    let single: Vec<(usize, Vec<&str>)> = FAMILIES
        .iter()
        .enumerate()
        .flat_map(|(family, values)| values.iter().map(move |value| (family, *value)))
        .map(|(family, value)| (family, [vec![value], limit(value)].concat()))
        .collect();
    for (_, values) in &single {
        add(with(config, values), 1);
    }
    if pairs {
        for (at, (family, first)) in single.iter().enumerate() {
            for (_, second) in single[at + 1..].iter().filter(|(other, _)| other != family) {
                add(with(config, &[first.as_slice(), second.as_slice()].concat()), 2);
            }
        }
    }
    all
}

/// The settings string cut into its `key:value`.
fn entries(config: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let mut parts = config.split(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        c == ',' && depth <= 0
    });
    let mut entries: Vec<&str> = Vec::new();
    entries.extend(parts.by_ref().map(str::trim).filter(|part| !part.is_empty()));
    entries
}

fn key_of(entry: &str) -> &str {
    entry.split(':').next().unwrap_or_default().trim()
}

/// Some settings put in the place of those of the same key; the others stay.
fn with(config: &str, values: &[&str]) -> String {
    let replaced = |entry: &&str| values.iter().any(|value| key_of(value) == key_of(entry));
    let kept = entries(config).into_iter().filter(|entry| !replaced(entry));
    kept.chain(values.iter().copied()).collect::<Vec<_>>().join(",")
}

/// Every candidate on the recorded card, the recorded settings as they came to it; `None` where it was interrupted.
pub(super) fn on_card(
    trials: &Trials,
    candidates: &[Candidate],
    recorded: &Outcome,
    progress: &dyn Progress,
) -> Option<Vec<Outcome>> {
    let others = candidates.get(1..).unwrap_or_default();
    progress.begin(others.len() as u64, "settings");
    let mut outcomes = vec![recorded.clone()];
    for candidate in others {
        if progress.is_stopped() {
            return None;
        }
        outcomes.push(trials.run(&candidate.config, &candidate.settings, Bound::Recorded, false));
        progress.done();
    }
    Some(outcomes)
}

/// The smallest card of any candidate, and whose it is: the first of those that are equally good.
pub(super) fn smallest(
    trials: &Trials,
    candidates: &[Candidate],
    progress: &dyn Progress,
) -> Option<Vec<(String, u64)>> {
    progress.begin(candidates.len() as u64, "smallest cards");
    let mut found: Vec<(String, u64)> = Vec::new();
    for candidate in candidates {
        if progress.is_stopped() {
            return None;
        }
        let most = found.last().map(|(_, card)| card.saturating_sub(crate::op::GRANULE));
        found.extend(trials.smallest_card(&candidate.settings, most).map(|card| (candidate.config.clone(), card)));
        progress.done();
    }
    Some(found)
}

/// Those that no other one beats: with the fewest refusals, and of these less or equal in everything and less
/// in something. Of equal ones the first.
pub(super) fn unbeaten(outcomes: &[Outcome]) -> Vec<Outcome> {
    let fewest = outcomes.iter().map(|o| o.refusals).min().unwrap_or(0);
    let figures = |o: &Outcome| [o.peak_reserved, o.device_calls, o.retries];
    let beats = |a: &Outcome, b: &Outcome| {
        let (a, b) = (figures(a), figures(b));
        a != b && a.iter().zip(b).all(|(a, b)| *a <= b)
    };
    let contenders: Vec<&Outcome> = outcomes.iter().filter(|o| o.refusals == fewest).collect();
    let mut kept: Vec<Outcome> = Vec::new();
    for &one in &contenders {
        let equal = kept.iter().any(|k| figures(k) == figures(one));
        if !equal && !contenders.iter().any(|other| beats(other, one)) {
            kept.push(one.clone());
        }
    }
    kept.sort_by(|a, b| (figures(a), &a.config).cmp(&(figures(b), &b.config)));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(config: &str, peak_reserved: u64, device_calls: u64, retries: u64, refusals: u64) -> Outcome {
        let config = config.to_owned();
        Outcome {
            config,
            card: 0,
            peak_reserved,
            peak_allocated: 0,
            device_calls,
            retries,
            refusals,
            standing: 0,
            served_now: 0,
            refused_now: 0,
        }
    }

    #[test]
    fn what_is_beaten_is_left_out() {
        let all = [
            outcome("most calls, least memory", 10, 9, 0, 0),
            outcome("beaten", 12, 9, 0, 0),
            outcome("fewest calls", 20, 2, 0, 0),
            outcome("equal to the first", 10, 9, 0, 0),
            outcome("refuses", 1, 1, 0, 1),
        ];
        let kept: Vec<String> = unbeaten(&all).into_iter().map(|o| o.config).collect();
        assert_eq!(kept, ["most calls, least memory", "fewest calls"]);
        assert!(unbeaten(&[]).is_empty());
    }

    #[test]
    fn settings_are_exchanged_and_not_repeated() {
        let own = "max_split_size_mb:64,roundup_power2_divisions:[1:4,>:8]";
        assert_eq!(entries(own), ["max_split_size_mb:64", "roundup_power2_divisions:[1:4,>:8]"]);
        assert_eq!(
            with(own, &["max_split_size_mb:32", "expandable_segments:True"]),
            "roundup_power2_divisions:[1:4,>:8],max_split_size_mb:32,expandable_segments:True"
        );
        assert_eq!(with("", &["expandable_segments:True"]), "expandable_segments:True");
        let settings: Settings = own.parse().expect("as PyTorch writes them");
        let singles = candidates(own, &settings, false, false);
        assert_eq!(singles[0].config, own);
        assert_eq!(singles[1].config, "roundup_power2_divisions:[1:4,>:8]", "without one of its own");
        assert!(singles.iter().all(|c| c.config.matches("max_split").count() <= 1));
        assert!(
            singles
                .iter()
                .any(|c| c.config.ends_with("garbage_collection_threshold:0.6,per_process_memory_fraction:0.999"))
        );
        let pairs = candidates(own, &settings, false, true);
        assert!(pairs.len() > singles.len());
        for (at, one) in pairs.iter().enumerate() {
            assert!(pairs[..at].iter().all(|other| other.settings != one.settings), "{} twice", one.config);
        }
    }
}
