//! Settings of a drawn world: some of those that change what PyTorch's allocator does, with values that it accepts.
//!
//! Decides which and how they are written. What they mean is the target's to know.

use super::dice::Dice;

/// The settings that there are to draw from, as their names are written.
pub(super) const NAMES: [&str; 7] = [
    "expandable_segments",
    "max_split_size_mb",
    "garbage_collection_threshold",
    "roundup_power2_divisions",
    "large_segment_size_mb",
    "per_process_memory_fraction",
    "max_non_split_rounding_mb",
];

const MIB: u64 = 1 << 20;
/// What a shared segment holds unless a setting says otherwise, in MiB.
const SEGMENT: u64 = 20;
/// Even ones, for pages of an odd number of MiB are no multiple of what a device maps.
const SEGMENTS: [u64; 6] = [12, 16, 24, 32, 64, 128];
/// How far above the least a size in MiB is that must not be below a segment.
const ABOVE: [u64; 8] = [0, 1, 2, 12, 44, 180, 1004, 8172];
const THRESHOLDS: [&str; 6] = ["0.05", "0.3", "0.6", "0.8", "0.99", "0.000001"];
const FRACTIONS: [&str; 7] = ["0.25", "0.5", "0.75", "0.9", "0.99", "1.0", "1"];
/// Powers of two up to more steps than there are bytes in the least request.
const DIVISIONS: [u64; 9] = [1, 2, 2, 4, 4, 8, 16, 64, 4096];
/// Settings that change nothing that is seen of a device.
const WITHOUT_EFFECT: [&str; 6] = [
    "backend:native",
    "release_lock_on_cudamalloc:True",
    "graph_capture_record_stream_reuse:False",
    "pinned_use_cuda_host_register:False",
    "pinned_num_register_threads:8",
    "pinned_use_background_threads:True",
];

/// What a world has in force: the text, and which of `NAMES`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) text: Option<String>,
    pub(super) named: [bool; NAMES.len()],
    /// What a shared segment, or a page of a large one, has.
    pub(super) segment: u64,
}

impl Drawn {
    /// Segments grow page by page.
    pub(super) fn pages(&self) -> bool {
        self.named[0]
    }

    /// Large blocks are never cut.
    pub(super) fn oversize(&self) -> bool {
        self.named[1]
    }

    /// Devices start with a limit.
    pub(super) fn limits(&self) -> bool {
        self.named[5]
    }
}

/// So many settings for devices of which the smallest has `least` bytes.
pub(super) fn draw(dice: &mut Dice, count: u8, least: u64) -> Drawn {
    let mut drawn = Drawn::default();
    let mut left: Vec<usize> = (0..NAMES.len()).collect();
    for _ in 0..count {
        let place = dice.below(left.len());
        drawn.named[left.swap_remove(place)] = true;
    }
    // A segment that no device has room for leaves nothing to see.
    let fits: Vec<u64> = SEGMENTS.into_iter().filter(|s| s * MIB <= least / 2).collect();
    drawn.named[4] &= !fits.is_empty();
    // Whole pages go past a limit, in PyTorch too.
    drawn.named[5] &= !drawn.pages();
    let segment = if drawn.named[4] { dice.one(&fits) } else { SEGMENT };
    drawn.segment = segment * MIB;
    let mut parts = Vec::new();
    for (name, _) in NAMES.iter().zip(drawn.named).filter(|(_, named)| *named) {
        let value = match *name {
            "expandable_segments" => "True".to_owned(),
            "large_segment_size_mb" => segment.to_string(),
            "garbage_collection_threshold" => dice.one(&THRESHOLDS).to_owned(),
            "roundup_power2_divisions" => divisions(dice),
            "per_process_memory_fraction" => dice.one(&FRACTIONS).to_owned(),
            _ => (segment + dice.one(&ABOVE)).to_string(),
        };
        parts.push(format!("{name}:{value}"));
    }
    drawn.text = written(dice, parts);
    drawn
}

/// Settings to change to. Large blocks that are never cut are left out: PyTorch gives parts of segments that were cut before
/// back to the device, whatever lives in them (`specs/expect`). The size of segments is always named, as it stays.
pub(super) fn change(dice: &mut Dice, least: u64, pages: bool) -> String {
    if dice.percent(15) {
        return String::new();
    }
    let fits: Vec<u64> = SEGMENTS.into_iter().filter(|s| s * MIB <= least / 2).collect();
    let segment = if !fits.is_empty() && dice.percent(40) { dice.one(&fits) } else { SEGMENT };
    let mut parts = vec![format!("large_segment_size_mb:{segment}")];
    if pages && dice.percent(70) {
        parts.push(format!("expandable_segments:{}", dice.one(&["True", "False"])));
    }
    if dice.percent(40) {
        parts.push(format!("roundup_power2_divisions:{}", divisions(dice)));
    }
    if dice.percent(30) {
        parts.push(format!("garbage_collection_threshold:{}", dice.one(&THRESHOLDS)));
    }
    if dice.percent(10) {
        parts.push(format!("max_non_split_rounding_mb:{}", segment + dice.one(&ABOVE)));
    }
    // No device looks at it again.
    if dice.percent(10) {
        parts.push(format!("per_process_memory_fraction:{}", dice.one(&FRACTIONS)));
    }
    written(dice, parts).unwrap_or_default()
}

/// One number of steps for all sizes, or a list: the first entry counts for all sizes below it, too, an entry given again
/// counts as given last, sizes between entries have none, and `>` stands for all above the last.
fn divisions(dice: &mut Dice) -> String {
    if dice.percent(40) {
        return dice.one(&DIVISIONS).to_string();
    }
    let count = dice.below(6) + 1;
    let mut entries: Vec<String> = Vec::new();
    for nth in 0..count {
        let steps = if dice.percent(15) { 0 } else { dice.one(&DIVISIONS) };
        let size =
            if nth + 1 == count && dice.percent(60) { ">".to_owned() } else { (1_u64 << dice.below(17)).to_string() };
        entries.push(format!("{size}:{steps}"));
    }
    format!("[{}]", entries.join(","))
}

/// In any order, with blanks or without, and now and then with what changes nothing or is overruled by what follows.
fn written(dice: &mut Dice, mut parts: Vec<String>) -> Option<String> {
    if parts.is_empty() {
        return None;
    }
    for at in (1..parts.len()).rev() {
        let with = dice.below(at + 1);
        parts.swap(at, with);
    }
    if dice.percent(20) {
        let at = dice.below(parts.len() + 1);
        parts.insert(at, dice.one(&WITHOUT_EFFECT).to_owned());
    }
    if dice.percent(10) {
        let overruled = dice.one(&["expandable_segments:False", "roundup_power2_divisions:[1:16,>:32]"]);
        let key = overruled.split(':').next().unwrap_or(overruled);
        if parts.iter().any(|part| part.starts_with(key)) {
            parts.insert(0, overruled.to_owned());
        }
    }
    let end = if dice.percent(10) { "," } else { "" };
    Some(parts.join(dice.one(&[",", ",", ",", ", "])) + end)
}
