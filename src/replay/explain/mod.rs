//! Why a job ran out of memory, or needed as much as it did: a page of figures that add up.
//!
//! Decides what is looked at and in which order. The recorded run is lived again exactly, and its memory accounted for
//! to the byte; what settings or changes would have come to is tried on simulated cards, and only where these come
//! to what was recorded under the recorded settings. A history that cannot be lived again exactly is not explained.

mod cause;
mod changes;
mod compared;
mod page;
mod parts;
mod pins;
#[cfg(test)]
mod planted_test;
mod search;
mod steps;
#[cfg(test)]
mod tests;
mod told;
mod trial;
mod watch;

use std::path::Path;

use serde::{Serialize, Serializer};

pub use cause::{Cause, Verdict};
pub use changes::Change;
pub use compared::{Card, CardFrom, Compared, Comparison, Proposal};
pub use page::{markdown, text};
pub use parts::{Account, Asked, Part, Unbalanced};
pub use pins::PinGroup;
pub use steps::{Left, Source as StepsBy, Steps};
pub use trial::Outcome;
pub use watch::MOST_REFUSALS;

use super::divergence::{Divergence, FilePosition};
use super::history::Guess;
use super::onlooker::Onlooker;
use super::what_if::{self, Workload};
use super::{Note, Progress, Range, Reading, ReplayError, history, is_pickle, shown};
use crate::recording::{MemorySnapshot, Reader};
use steps::Lives;
use told::Told;
use trial::Trials;
use watch::{AccountedMoment, DeviceOverview, First, Second};

/// Why nothing is explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("{file}: {source}")]
    Unbalanced { file: String, source: Unbalanced },
    #[error(
        "{file}: the reference does not follow this run, so that its memory cannot be accounted for; the first \
         divergence: {divergence}"
    )]
    Diverges { file: String, divergence: Box<Divergence> },
    #[error("{file}: nothing was ever reserved on any device")]
    Nothing { file: String },
    #[error(
        "{file}: the history of device {device} holds no request for memory, so that nothing can be explained by one"
    )]
    NoRequest { file: String, device: usize },
    #[error("{file}: no device {device} reserved anything; those that did: {}", listed(there))]
    Device { file: String, device: usize, there: Vec<usize> },
    #[error("cannot put the page into JSON: {source}")]
    Json { source: serde_json::Error },
}

fn listed(devices: &[usize]) -> String {
    devices.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// By position; where it is left out, the one that was refused memory first, else the one that reserved most.
    pub device: Option<usize>,
    /// Try pairs of settings too, and list what nothing beats.
    pub search: bool,
    /// What a step allocates is looked for so many steps later.
    pub later: u64,
    /// Of a snapshot, only this part.
    pub range: Range,
}

/// A moment of the recorded run: what was asked, where memory was, and what that comes down to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The line of a recording, or the event of a snapshot.
    #[serde(serialize_with = "in_words")]
    pub place: FilePosition,
    /// Which request of the device it was, from 1.
    pub request: u64,
    pub verdict: Verdict,
    pub asked: Asked,
    pub account: Account,
    /// What the driver had free, where the recording tells.
    pub free: Option<u64>,
    /// Nothing is reserved beyond this: the memory fraction that the program set.
    pub limit: Option<u64>,
    /// On the card, and neither free nor reserved by this program; where the card's size is recorded.
    pub others: Option<u64>,
    /// Live blocks by where they were allocated: bytes as requested, and how many; the most first.
    pub live: Vec<(String, u64, u64)>,
}

impl Explanation {
    /// All that the program could hold then, where that is known.
    #[must_use]
    pub fn available(&self) -> Option<u64> {
        cause::room(self.account.reserved, self.free, self.limit)
    }
}

fn in_words<S: Serializer>(place: &FilePosition, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(place)
}

fn in_bounds<S: Serializer>(range: &Range, serializer: S) -> Result<S::Ok, S::Error> {
    let bounds = [range.from, range.to].map(|bound| bound.map(|bound| bound.to_string()));
    serializer.collect_seq(bounds)
}

fn all_in_words<S: Serializer>(notes: &[Note], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(notes.iter().map(ToString::to_string))
}

/// Another device of the same file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OtherDevice {
    /// By position.
    pub device: usize,
    pub peak_reserved: u64,
    pub refusals: u64,
}

/// All that is said about a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// `poolproof-explain/1`.
    pub format: &'static str,
    pub file: String,
    /// The settings as PyTorch writes them.
    pub config: String,
    /// The first and the last event or time, if only a part of the file is explained.
    #[serde(skip_serializing_if = "Range::is_whole", serialize_with = "in_bounds")]
    pub part: Range,
    /// What else is to be known of the file.
    #[serde(serialize_with = "all_in_words")]
    pub notes: Vec<Note>,
    /// More than at the peak below was reserved in calls of which the history holds only a part.
    pub peak_in_cut_calls: Option<u64>,
    /// The peak stood when the history began; what is cached is looked at with the eyes of its first request.
    pub is_from_before: bool,
    /// Blocks that stood when the history began: under other settings they are asked for first.
    pub standing: u64,
    /// By position.
    pub device: usize,
    pub others: Vec<OtherDevice>,
    /// Requests of the device.
    pub requests: u64,
    /// The memory of the card as recorded.
    pub card_bytes: Option<u64>,
    /// Whether blocks are named by where they were allocated.
    pub has_stacks: bool,
    pub peak: Explanation,
    /// Up to [`MOST_REFUSALS`], in order.
    pub refusals: Vec<Explanation>,
    /// All there were.
    pub refused: u64,
    pub compared: Compared,
    pub steps: Steps,
}

impl Explained {
    /// The first refusal of a request that some card could serve, else the first.
    #[must_use]
    pub fn first_refusal(&self) -> Option<&Explanation> {
        let sensible = self.refusals.iter().find(|refusal| refusal.asked.bytes < trial::ABSURD);
        sensible.or(self.refusals.first())
    }

    /// What the first sentence is about: a refusal, or where there was none the peak.
    #[must_use]
    pub fn subject(&self) -> &Explanation {
        self.first_refusal().unwrap_or(&self.peak)
    }

    /// Not all was tried that was to be.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.compared == Compared::Interrupted
    }
}

/// The page's figures, for programs.
///
/// # Errors
/// None that is known: everything in it can be written.
pub fn json(explained: &Explained) -> Result<String, ExplainError> {
    let text = serde_json::to_string_pretty(explained).map_err(|source| ExplainError::Json { source })?;
    Ok(text + "\n")
}

/// A file that is read: a snapshot whole, a recording line by line whenever it is lived again.
struct Source<'p> {
    path: &'p Path,
    snapshot: Option<(MemorySnapshot, Guess)>,
    told: Told,
    progress: &'p dyn Progress,
}

impl<'p> Source<'p> {
    fn read(path: &'p Path, how: Reading<'p>) -> Result<(Self, Workload), ReplayError> {
        let progress = how.progress;
        if !is_pickle(path)? {
            how.refuse_recording(path)?;
            let workload = what_if::calls_of_recording(path)?;
            return Ok((Source { path, snapshot: None, told: Told::default(), progress }, workload));
        }
        let (snapshot, told) = how.snapshot_and_told(path)?;
        progress.begin(3, "readings of the run");
        let (workload, way) = what_if::calls_of_snapshot(&snapshot, progress)?;
        Ok((Source { path, snapshot: Some((snapshot, way)), told: Told::of(told), progress }, workload))
    }

    /// Lives it again exactly, the way that reading its calls found.
    fn shown(&self, workload: &Workload, onlooker: &mut dyn Onlooker) -> Result<Option<Divergence>, ReplayError> {
        match &self.snapshot {
            Some((snapshot, way)) => {
                history::shown(snapshot, way, onlooker, self.progress)?;
                Ok(workload.diverged.clone())
            }
            None => shown(self.path, false, Some(onlooker)).map(|(report, _)| report.first),
        }
    }

    fn lives(&self, device: usize, workload: &Workload) -> Lives {
        self.snapshot.as_ref().map_or_else(
            || Lives::of_asks(device, &workload.asks),
            |(snapshot, _)| Lives::of_trace(device, snapshot.traces.get(device).map_or(&[], Vec::as_slice), &self.told),
        )
    }

    /// The memory of the card, where the file names it.
    fn card_bytes(&self, device: usize) -> Result<Option<u64>, ReplayError> {
        if self.snapshot.is_some() {
            return Ok(None);
        }
        let header = Reader::open(self.path)?.header()?;
        Ok(header.devices.get(device).map(|info| info.total_bytes))
    }
}

/// Explains a recording or a memory snapshot.
///
/// # Errors
/// The file cannot be read or lived again exactly, or the device reserved nothing.
pub fn explain(path: &Path, options: Options, progress: &dyn Progress) -> Result<Explained, ExplainError> {
    let file = path.display().to_string();
    progress.begin(3, "readings of the run");
    let (source, workload) = Source::read(path, Reading { range: options.range, progress })?;
    progress.done();
    let mut first = First::default();
    let divergence = source.shown(&workload, &mut first)?;
    progress.done();
    if let Some(divergence) = divergence {
        return Err(ExplainError::Diverges { file, divergence: Box::new(divergence) });
    }
    let device = chosen(&file, &first.overviews, options.device)?;
    let course = &first.overviews[device];
    let mut second = Second::new(device, course, &source.told);
    source.shown(&workload, &mut second)?;
    progress.done();
    if let Some(source) = second.unbalanced {
        return Err(ExplainError::Unbalanced { file, source });
    }
    let (peak, refusals) = (second.peak.take(), std::mem::take(&mut second.refusals));
    let peak = peak.ok_or(ExplainError::NoRequest { file, device })?;
    let marks = source.told.device(device).map_or(&[][..], |told| &told.marks);
    let steps = source.lives(device, &workload).steps(marks, options.later);
    let card_bytes = source.card_bytes(device)?;
    let has_stacks = source.told.has_stacks(device);
    // What follows goes by the calls alone.
    drop(second);
    drop(source);
    let found = Found { overviews: &first.overviews, peak, refusals, workload, steps, card_bytes, has_stacks };
    Ok(assembled(path, device, found, options, progress))
}

/// What was found out about a run before anything is tried.
struct Found<'f> {
    overviews: &'f [DeviceOverview],
    peak: AccountedMoment,
    refusals: Vec<AccountedMoment>,
    workload: Workload,
    steps: Steps,
    card_bytes: Option<u64>,
    has_stacks: bool,
}

fn assembled(path: &Path, device: usize, found: Found<'_>, options: Options, progress: &dyn Progress) -> Explained {
    let Found { overviews, peak, refusals, workload, steps, card_bytes, has_stacks } = found;
    let course = &overviews[device];
    let config = workload.config.clone();
    let (mut notes, standing) = (workload.notes.clone(), workload.standing());
    let cut = workload.recorded.get(device).map(|row| row.peak_reserved);
    let peak_in_cut_calls = cut.filter(|&peak| peak > course.peak_reserved);
    let is_from_before = matches!(course.peak, Some((_, watch::Within::Start)));
    let trials = Trials::new(workload, device);
    let compared = compared::compare(&trials, options.search, progress);
    if matches!(compared, Compared::Tried { .. }) {
        notes.extend(trials.workload().fitted_notes().filter(|(at, _)| *at == device).map(|(_, note)| note));
    }
    let others = overviews.iter().enumerate().filter(|(at, course)| *at != device && course.peak_reserved > 0);
    Explained {
        format: "poolproof-explain/1",
        file: path.display().to_string(),
        config,
        part: options.range,
        notes,
        peak_in_cut_calls,
        is_from_before,
        standing,
        device,
        others: others
            .map(|(device, course)| OtherDevice {
                device,
                peak_reserved: course.peak_reserved,
                refusals: course.refusals.len() as u64,
            })
            .collect(),
        requests: course.requests,
        card_bytes,
        has_stacks,
        refused: course.refusals.len() as u64,
        peak: explained(peak, card_bytes, false),
        refusals: refusals.into_iter().map(|moment| explained(moment, card_bytes, true)).collect(),
        compared,
        steps,
    }
}

fn explained(moment: AccountedMoment, card: Option<u64>, is_refusal: bool) -> Explanation {
    let verdict = if is_refusal { cause::of_refusal(&moment, card) } else { cause::of_peak(&moment) };
    let others = card.zip(moment.free);
    let others = others.map(|(card, free)| card.saturating_sub(free).saturating_sub(moment.account.reserved));
    let AccountedMoment { place, request, asked, account, free, limit, live } = moment;
    Explanation { place, request, verdict, asked, account, free, limit, others, live }
}

fn chosen(file: &str, overviews: &[DeviceOverview], wanted: Option<usize>) -> Result<usize, ExplainError> {
    let there: Vec<usize> = (0..overviews.len()).filter(|&at| overviews[at].peak.is_some()).collect();
    let file = file.to_owned();
    if there.is_empty() {
        return Err(ExplainError::Nothing { file });
    }
    if let Some(device) = wanted {
        return if there.contains(&device) { Ok(device) } else { Err(ExplainError::Device { file, device, there }) };
    }
    let refused = there.iter().copied().find(|&at| !overviews[at].refusals.is_empty());
    let most = there.iter().copied().max_by_key(|&at| (overviews[at].peak_reserved, std::cmp::Reverse(at)));
    refused.or(most).ok_or(ExplainError::Nothing { file })
}
