//! A drawn world: devices, streams, callers, pools and settings, and the phases that a sequence goes through in it.
//!
//! Decides all that is fixed before the first operation is drawn. Which of several candidates a sequence gets is
//! `choice`'s.

use std::ops::RangeInclusive;

use super::Offers;
use super::dice::Dice;
use super::mood::{Group, Mood, Scale, group};
use super::settings::{self, Drawn};
use crate::op::{Capability, PROCESS_ADDRESSES, Setup, StreamId};
use crate::spec::{DrawnWorld, Generate, OpKind, Scenario, Weights};

const MIB: u64 = 1 << 20;

/// What real devices play at most: each byte of a block is written and read.
const MOST_ON_CARDS: u64 = 1 << 30;
/// The longest sequence on real devices, whose calls take thousands of times as long.
const LONGEST_ON_CARDS: u64 = 400;
/// As many streams as a card has queues to work on at once, and a few more.
const MOST_STREAMS_ON_CARDS: u8 = 12;

/// A part of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Phase {
    pub(super) mood: Mood,
    /// Operations drawn for it.
    pub(super) length: u32,
    /// It is drawn as this earlier one was, in other conditions.
    pub(super) again: Option<usize>,
    /// The device that it is mostly about.
    pub(super) home: usize,
    /// The first of the streams of its requests, and how many they are.
    pub(super) lanes: (u8, u8),
}

/// A world and the course of a sequence in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) settings: Drawn,
    /// Settings strings that a sequence changes to.
    pub(super) changes: Vec<String>,
    pub(super) callers: u8,
    pub(super) pools: u8,
    pub(super) scale: Scale,
    /// No request is larger.
    pub(super) most: u64,
    /// Of the kinds that the sequence has at all.
    pub(super) weights: Weights,
    pub(super) phases: Vec<Phase>,
}

impl World {
    pub(super) fn length(&self) -> u32 {
        self.phases.iter().map(|p| p.length).sum()
    }
}

/// One candidate.
pub(super) fn draw(
    scenario: &Scenario,
    generate: &Generate,
    drawn: &DrawnWorld,
    offers: &Offers<'_>,
    dice: &mut Dice,
) -> World {
    let device_bytes = devices(scenario, drawn, offers, dice);
    let least = device_bytes.iter().copied().min().unwrap_or(0);
    let takes_settings = offers.can(Capability::Settings) && *drawn.settings.end() > 0;
    let settings = if takes_settings {
        let count = dice.few(&drawn.settings);
        settings::draw(dice, count, least)
    } else {
        Drawn::default()
    };
    let most_streams = if offers.real { MOST_STREAMS_ON_CARDS } else { StreamId::LIMIT };
    let streams = if offers.can(Capability::Streams) {
        dice.few(&within(&generate.streams, scenario.streams.min(most_streams)))
    } else {
        1
    };
    let callers = if offers.can(Capability::Callers) { dice.few(&generate.callers) } else { 1 };
    let pools = dice.few(&drawn.pools).max(1);
    let scale = dice.one(&[Scale::Small, Scale::Mixed, Scale::Mixed, Scale::Large]);
    let mut weights = weights(generate, offers, &settings, dice);
    without_captures(&mut weights);
    let longest = if offers.real { LONGEST_ON_CARDS } else { u64::MAX };
    let lengths = u64::from(*generate.length.start())..=u64::from(*generate.length.end());
    // Candidates for one sequence are of one length, so that choosing among them takes no longer runs.
    let length = dice.shared().doubling(&lengths).min(longest);
    let length = u32::try_from(length).unwrap_or(u32::MAX); // in the range of a u32
    let most = tamed(&settings, &mut weights, least, length);
    let changes = changes(generate, &settings, &mut weights, least, dice);
    let may_page = |text: &String| text.contains("expandable_segments:True");
    let pages = settings.text.iter().chain(&scenario.config).chain(&changes).any(may_page);
    let streams = if pages { streams.min(addressed(&device_bytes, pools)) } else { streams };
    let phases = phases(dice, drawn, length, device_bytes.len(), streams, &weights);
    let config = settings.text.clone().or_else(|| scenario.config.clone());
    let setup = Setup { device_bytes, streams, config };
    World { setup, settings, changes, callers, pools, scale, most, weights, phases }
}

/// What a sequence changes its settings to, if it does. Beside pools, and beside limits, nothing is switched under which
/// PyTorch is known to break promises (`specs/expect`): see `tamed` and `is_allowed`.
fn changes(generate: &Generate, settings: &Drawn, weights: &mut Weights, least: u64, dice: &mut Dice) -> Vec<String> {
    if !weights.entries.iter().any(|&(kind, weight)| kind == OpKind::SetSettings && weight > 0) {
        return Vec::new();
    }
    let has = |kept: fn(OpKind) -> bool| weights.entries.iter().any(|&(kind, weight)| weight > 0 && kept(kind));
    let private = has(|kind| matches!(group(kind), Group::Pools | Group::Capture));
    let limited = has(|kind| kind == OpKind::SetFraction) || settings.limits() || generate.limit_bytes.is_some();
    if private && settings.pages() {
        weights.entries.retain(|&(kind, _)| kind != OpKind::SetSettings);
        return Vec::new();
    }
    let count = dice.below(4) + 1;
    (0..count).map(|_| settings::change(dice, least, !private && !limited)).collect()
}

/// The largest request of a world in which private pools meet settings under which PyTorch is known to break promises
/// (`specs/expect`): it forgets a pool that grew by several pages at once, and gives large blocks of a pool back without
/// trying again when memory runs short. Pools go where that leaves no room for them.
fn tamed(settings: &Drawn, weights: &mut Weights, least: u64, length: u32) -> u64 {
    let has = |of: Group| weights.entries.iter().any(|&(kind, weight)| weight > 0 && group(kind) == of);
    if !has(Group::Pools) {
        return u64::MAX;
    }
    if settings.pages() {
        return settings.segment;
    }
    if !settings.oversize() {
        return u64::MAX;
    }
    let share = least / u64::from(length.max(1));
    if settings.limits() || share < 256 * MIB {
        weights.entries.retain(|&(kind, _)| group(kind) != Group::Pools);
        return u64::MAX;
    }
    weights.entries.retain(|&(kind, _)| !matches!(kind, OpKind::SetFraction | OpKind::Neighbour));
    share
}

/// So many streams can have expandable segments of every pool before a process has no addresses left: each takes 9/8 of the
/// device, for small and for large blocks.
fn addressed(device_bytes: &[u64], pools: u8) -> u8 {
    let each = device_bytes.iter().fold(0_u64, |sum, bytes| sum.saturating_add(bytes / 8 * 9));
    let all = each.saturating_mul(2 * (u64::from(pools) + 1)).max(1);
    u8::try_from(PROCESS_ADDRESSES / all).unwrap_or(u8::MAX).max(1)
}

/// A world with the most devices, none of them larger than a card can play.
pub(super) fn widest(scenario: &Scenario, drawn: &DrawnWorld) -> Setup {
    let bytes = *capacities(drawn, true).end();
    let count = usize::from(*scenario.devices.end()).max(1);
    Setup {
        device_bytes: vec![bytes; count],
        streams: scenario.streams.clamp(1, StreamId::LIMIT),
        config: scenario.config.clone(),
    }
}

fn capacities(drawn: &DrawnWorld, real: bool) -> RangeInclusive<u64> {
    let most = if real { MOST_ON_CARDS } else { u64::MAX };
    let high = (*drawn.capacity.end()).min(most);
    (*drawn.capacity.start()).min(high)..=high
}

fn within(range: &RangeInclusive<u8>, most: u8) -> RangeInclusive<u8> {
    let most = most.max(1);
    let low = (*range.start()).clamp(1, most);
    low..=(*range.end()).clamp(low, most)
}

/// Half the worlds have devices of one size.
fn devices(scenario: &Scenario, drawn: &DrawnWorld, offers: &Offers<'_>, dice: &mut Dice) -> Vec<u64> {
    let most = u8::try_from(offers.devices).unwrap_or(u8::MAX);
    let count = dice.few(&within(&scenario.devices, most));
    let range = capacities(drawn, offers.real);
    let capacity = |dice: &mut Dice| {
        let bytes = dice.doubling(&range);
        // Cards have whole MiB mostly, and round numbers often.
        let unit = dice.one(&[2 * MIB, 16 * MIB, 16 * MIB, 1]);
        (bytes / unit * unit).clamp(*range.start(), *range.end())
    };
    let first = capacity(dice);
    if dice.percent(50) {
        return vec![first; usize::from(count)];
    }
    (0..count).map(|_| capacity(dice)).collect()
}

/// Of the kinds that the target offers, a part: groups are left out whole, and single kinds of the others.
fn weights(generate: &Generate, offers: &Offers<'_>, settings: &Drawn, dice: &mut Dice) -> Weights {
    let mut groups: Vec<(Group, bool)> = Vec::new();
    let mut entries = Vec::new();
    for &(kind, weight) in &generate.weights.entries {
        let of = group(kind);
        let stays = match groups.iter().find(|(g, _)| *g == of) {
            Some((_, stays)) => *stays,
            None => {
                let stays = dice.percent(65);
                groups.push((of, stays));
                stays
            }
        };
        let (kept, factor) = (dice.percent(85), dice.one(&[25, 50, 100, 100, 200, 400]));
        let always = matches!(kind, OpKind::Alloc | OpKind::AllocTensor | OpKind::Free);
        let offered = kind.needs().is_none_or(|c| offers.can(c)) && is_allowed(kind, offers, settings);
        if offered && (always || (stays && kept)) {
            let factor = if always { 100 } else { factor };
            entries.push((kind, (weight.saturating_mul(factor) / 100).max(u32::from(weight > 0))));
        }
    }
    Weights { entries }
}

/// Captures need streams beside the default one. What PyTorch is known to break under a setting (`specs/expect`) is left out:
/// it forgets a graph's pool that grew page by page, gives large blocks of a graph back, and does not look again at what is
/// left of a large block that lost pages for a request past a limit.
fn is_allowed(kind: OpKind, offers: &Offers<'_>, settings: &Drawn) -> bool {
    if matches!(kind, OpKind::SetFraction | OpKind::Neighbour) {
        return !(settings.pages() && settings.oversize());
    }
    let captures = offers.can(Capability::Streams) && !settings.pages() && !settings.oversize();
    group(kind) != Group::Capture || captures
}

/// Where caching is switched nothing captures: the device takes no call then.
fn without_captures(weights: &mut Weights) {
    if weights.entries.iter().any(|&(kind, weight)| kind == OpKind::SetCaching && weight > 0) {
        weights.entries.retain(|&(kind, _)| group(kind) != Group::Capture);
    }
}

/// Cuts a length into phases. One in four repeats an earlier one elsewhere.
fn phases(
    dice: &mut Dice,
    drawn: &DrawnWorld,
    length: u32,
    devices: usize,
    streams: u8,
    weights: &Weights,
) -> Vec<Phase> {
    let count = u32::from(dice.few(&drawn.phases)).clamp(1, length.max(1));
    let has = |of: Group| weights.entries.iter().any(|&(kind, weight)| weight > 0 && group(kind) == of);
    let makes_sense = |mood: &Mood| match mood {
        Mood::Fail => has(Group::Fault),
        Mood::Streams => streams > 1 && has(Group::Record),
        Mood::Pools => has(Group::Pools) || has(Group::Capture),
        Mood::Look => has(Group::Read),
        Mood::Misuse => has(Group::Bad),
        _ => true,
    };
    let moods: Vec<Mood> = Mood::ALL.into_iter().filter(makes_sense).collect();
    let mut phases: Vec<Phase> = Vec::new();
    let (mut left, mut parts) = (length, count);
    while parts > 0 && left > 0 {
        let fair = left / parts;
        let share =
            if parts == 1 { left } else { fair / 2 + u32::try_from(dice.below(fair as usize + 1)).unwrap_or(0) };
        let share = share.clamp(1, left);
        let home = dice.below(devices);
        let used = dice.few(&(1..=streams.max(1)));
        let first = u8::try_from(dice.below(usize::from(streams))).unwrap_or(0); // below a u8
        let lanes = (if dice.percent(60) { 0 } else { first }, used);
        let earlier = (0..phases.len()).filter(|&i| phases[i].again.is_none() && phases[i].length <= left);
        let earlier: Vec<usize> = earlier.collect();
        let phase = if !earlier.is_empty() && dice.percent(25) {
            let again = dice.one(&earlier);
            let mood = if dice.percent(50) { phases[again].mood } else { dice.one(&moods) };
            Phase { mood, length: phases[again].length, again: Some(again), home, lanes }
        } else {
            let opening = phases.is_empty() && dice.percent(60);
            let mood = if opening { Mood::Grow } else { dice.one(&moods) };
            // What was hoarded is there in all that follows.
            let length = if mood == Mood::Hoard { share.max(left / 2).max(1) } else { share };
            Phase { mood, length, again: None, home, lanes }
        };
        left -= phase.length;
        parts -= 1;
        phases.push(phase);
    }
    phases
}
