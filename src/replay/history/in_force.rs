//! The settings of a recorded run: at its end, at first, and which else may have been in force meanwhile.
//!
//! Decides what a snapshot tells of its settings. When they changed shows in what happened.

use crate::op::trace::Action;
use crate::recording::MemorySnapshot;
use crate::reference::Settings;
use crate::replay::note::Note;

/// The settings of the recorded run at its end: what the string says, but for what is shown to have been in force.
pub(in crate::replay) fn settings(snapshot: &MemorySnapshot) -> (Settings, Vec<Note>) {
    let (mut settings, remarks) = Settings::of_any_release(&snapshot.config);
    let mut notes: Vec<Note> = remarks.into_iter().map(Note::Setting).collect();
    notes.extend(snapshot.without_settings.then_some(Note::SettingsNotTold));
    let mut take = |key, differs: bool| {
        notes.extend(differs.then_some(Note::InForce { key }));
    };
    let in_force = snapshot.in_force;
    if snapshot.without_settings && in_force.expandable_segments.is_none() {
        // How memory was got shows it, where it was got in one way alone.
        settings.expandable_segments = !got(snapshot, false) && got(snapshot, true);
    }
    if let Some(is) = in_force.expandable_segments {
        take("expandable_segments", is != settings.expandable_segments);
        settings.expandable_segments = is;
    }
    if let Some(is) = in_force.max_split_size {
        let is = u64::try_from(is).unwrap_or(u64::MAX);
        let none = is == i64::MAX.unsigned_abs() || is == u64::MAX;
        let is = if none { u64::MAX } else { is };
        // A maximum that the string gives and that does not fit a signed number shows as none.
        let differs = is != settings.max_split && !(none && i64::try_from(settings.max_split).is_err());
        take("max_split_size", differs);
        settings.max_split = if differs { is } else { settings.max_split };
    }
    if let Some(is) = in_force.gc_threshold {
        let differs = (is - settings.gc_threshold).abs() > 1e-9;
        take("garbage_collection_threshold", differs);
        settings.gc_threshold = if differs && (0.0..1.0).contains(&is) { is } else { settings.gc_threshold };
    }
    if let Some(is) = in_force.roundup_divisions {
        take("roundup_power2_divisions", is != settings.roundup_divisions);
        settings.roundup_divisions = is;
    }
    (settings, notes)
}

/// Whether memory was got in one of the two ways: page by page, or in segments.
fn got(snapshot: &MemorySnapshot, expandable: bool) -> bool {
    let action = if expandable { Action::SegmentMap } else { Action::SegmentAlloc };
    snapshot.traces.iter().flatten().any(|e| e.event.action == action)
        || snapshot.segments.iter().any(|s| s.is_expandable == expandable)
}

/// Memory was got both ways.
fn is_mixed(snapshot: &MemorySnapshot) -> bool {
    got(snapshot, false) && got(snapshot, true)
}

/// Whether expandable segments were on at first: as at the end, unless the first memory was got the other way.
pub(super) fn expandable_at_first(snapshot: &MemorySnapshot, settings: &Settings) -> bool {
    let grows = |action: Action| matches!(action, Action::SegmentAlloc | Action::SegmentMap);
    let firsts = snapshot.traces.iter().filter_map(|t| t.iter().map(|e| e.event.action).find(|&a| grows(a)));
    let mixed = is_mixed(snapshot);
    firsts.map(|action| action == Action::SegmentMap).next().filter(|_| mixed).unwrap_or(settings.expandable_segments)
}

/// Settings that may have been in force at another time than those at first.
pub(super) fn others(snapshot: &MemorySnapshot, settings: &Settings) -> Vec<Settings> {
    let (at_the_end, _) = self::settings(snapshot);
    let (by_string, _) = Settings::of_any_release(&snapshot.config);
    let toggled = Settings { expandable_segments: !settings.expandable_segments, ..*settings };
    let reset = Settings { expandable_segments: settings.expandable_segments, ..Settings::default() };
    let mut others = vec![at_the_end, by_string];
    others.extend(is_mixed(snapshot).then_some(toggled));
    others.extend((at_the_end != by_string).then_some(reset));
    let mut distinct: Vec<Settings> = Vec::new();
    for other in others.into_iter().map(|other| Settings { fraction: 1.0, ..other }) {
        if other != (Settings { fraction: 1.0, ..*settings }) && !distinct.contains(&other) {
            distinct.push(other);
        }
    }
    distinct
}
