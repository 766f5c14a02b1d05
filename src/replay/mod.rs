//! Floor 4, replay: a recorded life of a real allocator, lived again by the reference, or by a released library itself.
//!
//! Decides whether the reference agrees with a recording: every statistic after every operation, every
//! address, the order of driver calls, the final segments; and what the same life would have come to under
//! other settings. Does not decide what the reference does.
//!
//! One tolerance exists, and its uses are counted: where several events pass in one step, PyTorch
//! handles them in hash order, so that peak, allocated and freed of `inactive_split*` may differ there.

mod closing;
mod divergence;
mod driver;
mod episode;
pub(crate) mod explain;
mod export;
mod history;
mod invariants;
mod library;
mod note;
mod onlooker;
mod own_account;
mod pools;
pub mod range;
mod reading;
mod release;
pub mod what_if;

use std::path::Path;

pub use divergence::{Divergence, DivergenceKind, FilePosition};
pub use export::pickled;
pub use history::shape::Trouble;
pub use library::{Apart, apart, on_library};
pub use note::{Changed, Note};
pub use range::{Bound, Range, RangeError};
pub use reading::{Progress, Reading, Silent, copied};

use crate::device::recorded::RecordedDevice;
use crate::input::{self, Looks};
use crate::op::snapshot::SegmentView;
use crate::op::trace::TraceEvent;
use crate::recording::{self, Line, Reader, RecordingError, SnapshotError};
use crate::reference::{PoolId, PrimeError, Reference, Settings, SettingsError, Sound};
use crate::target::TargetError;
use episode::Replayed;
use invariants::Invariants;
use onlooker::Onlooker;
pub use release::ReleaseFrom;
use release::rules_of;

/// Why a recording could not be replayed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum ReplayError {
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error("{file}: the recording's settings `{config}` were refused: {source}")]
    Settings { file: String, config: String, source: SettingsError },
    #[error("{file}: the recording is of backend `{backend}`; only `native` has an exact reference")]
    Backend { file: String, backend: String },
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(
        "{file}: the snapshot has no history: `torch.cuda.memory._record_memory_history()` was not called before \
         the run (or was called with `enabled=\"state\"`, which keeps one event), or nothing was asked of the allocator \
         since"
    )]
    NoHistory { file: String },
    #[error(
        "{file}: {place} is `{action}`, and {trouble}: the segments of this snapshot are not those that its history led \
         to. Events are missing (`skip_actions` of `_record_memory_history()`), or segments and history are of different moments"
    )]
    Contradicted { file: String, place: FilePosition, action: &'static str, trouble: Trouble },
    #[error("{file}: the segments of device {device} make no sense: {trouble}")]
    Nonsense { file: String, device: usize, trouble: Trouble },
    #[error("{file}: what stood on device {device} when the history began makes no sense: {source}")]
    Primed { file: String, device: usize, source: PrimeError },
    #[error(transparent)]
    Range(#[from] RangeError),
    #[error(transparent)]
    Target(#[from] Box<TargetError>),
    #[error("--config '{config}': {source}")]
    Config { config: String, source: SettingsError },
}

/// What came of replaying one file.
#[derive(Debug, Default)]
pub struct ReplayReport {
    /// Operations replayed.
    pub operations: u64,
    /// How many of them came to something else.
    pub divergences: u64,
    /// The first divergence, in full.
    pub first: Option<Divergence>,
    /// How often the hash-order tolerance was used.
    pub hash_order: u64,
    /// Statistics keys of the recording that this program does not know, and a snapshot's other unknown fields.
    pub unknown_keys: u64,
    /// Flushes that a snapshot counts but shows no event of: they found nothing to give back.
    pub silent_flushes: u64,
    /// The backend that was recorded, if it has no exact reference: then only invariants were checked.
    pub invariants_only: Option<String>,
    /// What else is to be known.
    pub notes: Vec<Note>,
}

/// What the reference came to, to be looked at: of a recording, its last episode.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lived {
    /// The settings as PyTorch writes them.
    pub config: String,
    /// The same, read.
    pub settings: Settings,
    /// By device, oldest first.
    pub traces: Vec<Vec<TraceEvent>>,
    /// The private pool of each event, (0, 0) for none.
    pub pools: Vec<Vec<PoolId>>,
    /// By device, then by address.
    pub segments: Vec<SegmentView>,
    /// The release that was recorded, by its minor version, where that is known.
    release: Option<u32>,
    /// Of all episodes: where ranges of addresses were reserved, by device.
    ranges: Vec<Vec<u64>>,
}

impl ReplayReport {
    fn diverged(&mut self, divergence: Divergence) {
        self.divergences += 1;
        if self.first.is_none() {
            self.first = Some(divergence);
        }
    }
}

/// Replays a recording or a memory snapshot on the reference and compares everything that was recorded.
///
/// After the first divergence of an episode, or of a snapshot's device, the rest of it is skipped: what
/// follows would only echo it.
///
/// # Errors
/// The file cannot be read, or was made under settings the reference does not know.
pub fn exact(path: &Path) -> Result<ReplayReport, ReplayError> {
    lived(path, false, Reading::default()).map(|(report, _)| report)
}

/// As [`exact`]; with `keep` also what the reference did, and what stood at the end.
///
/// # Errors
/// As [`exact`]; or the file has no such range.
pub fn lived(path: &Path, keep: bool, how: Reading<'_>) -> Result<(ReplayReport, Lived), ReplayError> {
    if is_pickle(path)? {
        return history::exact(&how.snapshot(path)?, keep, how.progress);
    }
    how.refuse_recording(path)?;
    let header = Reader::open(path)?.header()?;
    if header.backend != "native" && !keep {
        return held_to_invariants(path, header.backend).map(|report| (report, Lived::default()));
    }
    recorded(path, keep)
}

/// A backend without an exact reference: only what must hold of any allocator.
fn held_to_invariants(path: &Path, backend: String) -> Result<ReplayReport, ReplayError> {
    let mut reader = Reader::open(path)?;
    reader.header()?;
    let mut report = ReplayReport { invariants_only: Some(backend), ..ReplayReport::default() };
    let mut current: Option<Invariants> = None;
    while let Some(line) = reader.next_line()? {
        match line {
            Line::Episode(start) => current = Some(Invariants::start(&start)),
            Line::Op(op) => {
                report.operations += 1;
                let line = reader.line_number();
                let episode = current.as_mut().ok_or_else(|| reader.out_of_place("an operation before any episode"))?;
                episode.step(line, &op, &mut report);
            }
            Line::End(_) => {
                current.take().ok_or_else(|| reader.out_of_place("no episode is open here"))?;
            }
        }
    }
    if current.is_some() {
        return Err(reader.out_of_place("the recording ends inside an episode: its closing line is missing").into());
    }
    Ok(report)
}

/// A file that is no recording in lines is taken for a snapshot if it begins as pickles or archives of them do.
fn is_pickle(path: &Path) -> Result<bool, RecordingError> {
    let failed = |source| RecordingError::Open { file: path.display().to_string(), source };
    let looks = recording::first_bytes(path).map(|bytes| input::looks(&bytes)).map_err(failed)?;
    match looks {
        Some(Looks::Pickle(_) | Looks::OldPickle | Looks::Zip) => Ok(true),
        None | Some(Looks::Empty) => Ok(false),
        Some(looks) => Err(RecordingError::Foreign { file: path.display().to_string(), looks }),
    }
}

/// The reference by the rules of the release that was recorded, or else those of 2.11.
fn by_release(
    header: &recording::Header,
    devices: Vec<RecordedDevice>,
    settings: &Settings,
) -> Reference<RecordedDevice> {
    Reference::new(devices, settings, Sound).by(rules_of(header).unwrap_or_default()).as_recorded()
}

/// Raw handles of a device's streams when an episode begins, by position.
fn streams_of(start: &recording::Episode, device: usize) -> &[u64] {
    start.streams.get(&device).map_or(&[], Vec::as_slice)
}

/// A recording's header and its settings, read.
fn header_of(reader: &mut Reader) -> Result<(recording::Header, Settings), ReplayError> {
    let header = reader.header()?;
    if header.backend != "native" {
        return Err(ReplayError::Backend { file: reader.file().to_owned(), backend: header.backend });
    }
    let settings: Settings = header.config.parse().map_err(|source| ReplayError::Settings {
        file: reader.file().to_owned(),
        config: header.config.clone(),
        source,
    })?;
    Ok((header, settings))
}

fn recorded(path: &Path, keep: bool) -> Result<(ReplayReport, Lived), ReplayError> {
    shown(path, keep, None)
}

/// As [`recorded`], perhaps with somebody looking on.
fn shown(
    path: &Path,
    keep: bool,
    mut onlooker: Option<&mut dyn Onlooker>,
) -> Result<(ReplayReport, Lived), ReplayError> {
    let mut ends = recording::endings(path)?.into_iter();
    let mut reader = Reader::open(path)?;
    let (header, mut settings) = header_of(&mut reader)?;
    let mut owners =
        if settings.expandable_segments { pools::owners(path)?.into_iter() } else { Vec::new().into_iter() };
    let mut report = ReplayReport::default();
    if header.recorded_from.starts_with("torch ") && rules_of(&header).is_none() {
        report.notes.push(Note::OtherRelease { recorded: header.recorded_from.clone() });
    }
    let release = rules_of(&header).map(|_| release::of_recording(&header));
    let mut lived = Lived { config: header.config.clone(), settings, release, ..Lived::default() };
    let mut current: Option<Replayed> = None;
    recording::ahead::each_line(reader, |place, line| -> Result<(), ReplayError> {
        match line {
            Line::Episode(start) => {
                let end = ends.next().ok_or_else(|| place.out_of_place("this episode is never closed"))?;
                let owners = owners.next().unwrap_or_default();
                let episode = Replayed::start((&header, &settings), start, end, owners, &mut report);
                if let Some(onlooker) = &mut onlooker {
                    episode.show(*onlooker);
                }
                current = Some(episode);
            }
            Line::Op(op) => {
                report.operations += 1;
                let episode = current.as_mut().ok_or_else(|| place.out_of_place("an operation before any episode"))?;
                match &mut onlooker {
                    Some(onlooker) => episode.shown_step(place.line, op, &mut report, *onlooker),
                    None => episode.step(place.line, op, &mut report),
                }
            }
            Line::End(_) => {
                let episode = current.take().ok_or_else(|| place.out_of_place("no episode is open here"))?;
                settings = episode.settings();
                let stood = episode.finish(place.line, &mut report);
                lived.ranges.resize(stood.ranges.len().max(lived.ranges.len()), Vec::new());
                lived.ranges.iter_mut().zip(stood.ranges).for_each(|(all, more)| all.extend(more));
                if keep {
                    (lived.traces, lived.pools) = stood.traces.into_iter().unzip();
                    lived.segments = stood.segments;
                }
            }
        }
        Ok(())
    })?;
    Ok((report, lived))
}

#[cfg(test)]
mod parts_test;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trials_test;
