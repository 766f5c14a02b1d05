//! Floor 1, recordings: what a real PyTorch allocator did, in the format `poolproof/1` or as its own memory snapshot.
//!
//! Decides how a recording is read and what is wrong with one that cannot be. Replays nothing.
//!
//! A recording is JSON Lines, gzipped or not: a header, then episodes of operations, each episode closed
//! by its trace events and final segments. Files are read twice and never held whole: first for the
//! driver's acts (they stand behind the operations they belong to), then operation by operation.

pub mod ahead;
pub mod archive;
mod line;
pub mod pickle;
pub mod snapshot;
mod stats;

use std::io::{BufRead, BufReader, Error, ErrorKind, Read};
use std::path::Path;

pub use line::{End, Episode, Header, Line, PoolName, RecordedOp, Verb};
pub use snapshot::{MemorySnapshot, PlacedEvent, SnapshotError};
pub use stats::StatsChange;

use crate::input::{self, Looks};

/// The version this code reads.
pub const FORMAT: &str = "poolproof/1";

/// A line with the final segments of a whole run is far shorter; a few bytes of gzip can stand for one without end.
const LONGEST_LINE: u64 = input::MOST_BYTES;

/// Why a recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("{file}: {source}")]
    Open { file: String, source: std::io::Error },
    #[error("{file}: the file ends in the middle, after line {line}: {source}")]
    Cut { file: String, line: u64, source: std::io::Error },
    #[error("{file}:{line}: {source}")]
    Malformed { file: String, line: u64, source: serde_json::Error },
    #[error("{file}: the recording is of version `{found}`; this program reads `{FORMAT}`")]
    Version { file: String, found: String },
    #[error("{file}: this is {}{}", looks.name(), looks.advice().map_or_else(String::new, |a| format!("; {a}")))]
    Foreign { file: String, looks: Looks },
    #[error("{file}: the file is empty")]
    Empty { file: String },
    #[error("{file}:{line}: {what}")]
    OutOfPlace { file: String, line: u64, what: &'static str },
    #[error("{file}: the recording ends inside episode {episode}: its closing line is missing")]
    Unfinished { file: String, episode: u64 },
}

/// A recording, being read line by line.
pub struct Reader {
    file: String,
    input: Box<dyn BufRead + Send>,
    line: u64,
    buffer: String,
    /// The line read last by `next_bytes`.
    bytes: Vec<u8>,
}

impl Reader {
    /// Opens a recording, gzipped or not.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let file = path.display().to_string();
        let failed = |source| RecordingError::Open { file: file.clone(), source };
        let input = open(path).map_err(failed)?;
        Ok(Reader { file, input, line: 0, buffer: String::new(), bytes: Vec::new() })
    }

    /// The next line's text, or `None` at the end of the file.
    ///
    /// # Errors
    /// The file ends in the middle of its compression, or is not text.
    pub fn next_text(&mut self) -> Result<Option<&str>, RecordingError> {
        self.buffer.clear();
        let cut = |source| RecordingError::Cut { file: self.file.clone(), line: self.line, source };
        let read = self.input.by_ref().take(LONGEST_LINE).read_line(&mut self.buffer).map_err(cut)?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        self.check_length(read)?;
        Ok(Some(self.buffer.trim_end()))
    }

    /// Reads the next line into `bytes`, whether it is text or not; `false` at the end of the file.
    fn next_bytes(&mut self) -> Result<bool, RecordingError> {
        self.bytes.clear();
        let cut = |source| RecordingError::Cut { file: self.file.clone(), line: self.line, source };
        let read = self.input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.bytes).map_err(cut)?;
        self.line += u64::from(read > 0);
        self.check_length(read)?;
        Ok(read > 0)
    }

    /// Adds the next line with its end to some text; `false` at the end of the file.
    ///
    /// # Errors
    /// As [`Reader::next_text`].
    pub fn append_line(&mut self, text: &mut String) -> Result<bool, RecordingError> {
        let cut = |source| RecordingError::Cut { file: self.file.clone(), line: self.line, source };
        let read = self.input.by_ref().take(LONGEST_LINE).read_line(text).map_err(cut)?;
        self.line += u64::from(read > 0);
        self.check_length(read)?;
        Ok(read > 0)
    }

    fn check_length(&self, read: usize) -> Result<(), RecordingError> {
        if (read as u64) < LONGEST_LINE { Ok(()) } else { Err(self.out_of_place("a line of more than 256 MiB")) }
    }

    /// The next line, read.
    ///
    /// # Errors
    /// As [`Reader::next_text`]; or the line is not what the format allows.
    pub fn next_line(&mut self) -> Result<Option<Line>, RecordingError> {
        if self.next_text()?.is_none() {
            return Ok(None);
        }
        let parsed = Line::parse(self.buffer.trim_end());
        let malformed = |source| RecordingError::Malformed { file: self.file.clone(), line: self.line, source };
        parsed.map(Some).map_err(malformed)
    }

    /// The first line, which must be a header of a known version.
    ///
    /// # Errors
    /// Anything else.
    pub fn header(&mut self) -> Result<Header, RecordingError> {
        #[derive(serde::Deserialize)]
        struct Version {
            trace: String,
        }
        let Some(text) = self.next_text()?.map(|text| text.trim_start_matches('\u{feff}').to_owned()) else {
            return Err(RecordingError::Empty { file: self.file.clone() });
        };
        let malformed = |source| RecordingError::Malformed { file: self.file.clone(), line: 1, source };
        let version: Version = serde_json::from_slice(text.as_bytes()).map_err(malformed)?;
        if version.trace != FORMAT {
            return Err(RecordingError::Version { file: self.file.clone(), found: version.trace });
        }
        let header: Header = serde_json::from_slice(text.as_bytes()).map_err(malformed)?;
        header.check().map_err(|what| self.out_of_place(what))?;
        Ok(header)
    }

    /// The number of the line read last, from 1.
    #[must_use]
    pub fn line_number(&self) -> u64 {
        self.line
    }

    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// An error at the line read last.
    #[must_use]
    pub fn out_of_place(&self, what: &'static str) -> RecordingError {
        RecordingError::OutOfPlace { file: self.file.clone(), line: self.line, what }
    }
}

/// Opens a file for reading, through gzip if it starts with gzip's magic.
///
/// # Errors
/// The file cannot be opened or read.
pub fn open(path: &Path) -> std::io::Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::with_capacity(1 << 16, input::open(path)?);
    let gzipped = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    if gzipped {
        let unpacked = Unpacked(flate2::bufread::MultiGzDecoder::new(file));
        return Ok(Box::new(BufReader::with_capacity(1 << 16, unpacked)));
    }
    Ok(Box::new(file))
}

/// Undoes gzip, and says so where it cannot.
struct Unpacked<R>(flate2::bufread::MultiGzDecoder<R>);

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into).map_err(|e| match e.kind() {
            ErrorKind::Interrupted => e,
            ErrorKind::UnexpectedEof => Error::new(e.kind(), "the file is cut off: its gzip ends in the middle"),
            kind => Error::new(kind, format!("it begins as gzip does, and cannot be unpacked: {e}")),
        })
    }
}

/// The first bytes of a file's contents, gzip undone: enough to tell what kind of file it is.
///
/// # Errors
/// The file cannot be opened or read.
pub fn first_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(input::HEAD);
    open(path)?.take(input::HEAD as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the closing lines of each episode say, in order: read ahead of the operations.
///
/// # Errors
/// As [`Reader::next_line`], and an episode that is never closed.
pub fn endings(path: &Path) -> Result<Vec<End>, RecordingError> {
    let mut reader = Reader::open(path)?;
    reader.header()?;
    let mut ends = Vec::new();
    let mut open_episode: Option<u64> = None;
    while reader.next_bytes()? {
        let text = reader.bytes.trim_ascii_end();
        let malformed = |source| RecordingError::Malformed { file: reader.file.clone(), line: reader.line, source };
        if text.starts_with(b"{\"end\"") {
            ends.push(End::parse(text).map_err(malformed)?);
            open_episode = None;
        } else if text.starts_with(b"{\"episode\"") {
            let episode: Episode = serde_json::from_slice(text).map_err(malformed)?;
            open_episode = Some(episode.episode);
        } else if !text.ends_with(b"}") {
            // A line cut in the middle: let the parser say where.
            Line::parse(&String::from_utf8_lossy(text)).map_err(malformed)?;
        }
    }
    match open_episode {
        Some(episode) => Err(RecordingError::Unfinished { file: reader.file, episode }),
        None => Ok(ends),
    }
}
