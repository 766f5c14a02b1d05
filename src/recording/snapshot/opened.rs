//! The values of a snapshot's file, before anything is made of them.
//!
//! Decides where in the file the pickle is, and what memory reading it may take.

use std::io::BufRead;
use std::path::Path;

use super::{MemorySnapshot, SnapshotError};
use crate::recording::pickle::{self, Budget, Document};
use crate::recording::{self, archive};

/// A file whose values were read, whatever they mean.
#[derive(Debug)]
pub struct Opened {
    pub(super) document: Document,
    /// What memory its size still allows.
    pub(super) budget: Budget,
    pub(super) file: String,
}

impl Opened {
    /// Reads the values of a file; `told` is given from time to time how many bytes of the pickle were read.
    ///
    /// # Errors
    /// The file cannot be read, or is no pickle of plain data.
    pub fn read(path: &Path, told: &mut dyn FnMut(u64)) -> Result<Self, SnapshotError> {
        let file = path.display().to_string();
        let failed = |source| SnapshotError::Open { file: file.clone(), source };
        let bytes = std::fs::metadata(path).map_err(failed)?.len();
        let mut input = recording::open(path).map_err(failed)?;
        if input.fill_buf().map_err(failed)?.starts_with(archive::ENTRY) {
            let found = archive::pickle_in(input).map_err(failed)?;
            input = found.ok_or_else(|| SnapshotError::Archive { file: file.clone() })?;
        }
        let mut budget = Budget::for_file(bytes);
        let document = pickle::read_telling(input, &mut budget, told)
            .map_err(|source| SnapshotError::Pickle { file: file.clone(), source })?;
        Ok(Opened { document, budget, file })
    }

    /// What it says as a snapshot.
    ///
    /// # Errors
    /// It is no snapshot.
    pub fn snapshot(&self) -> Result<MemorySnapshot, SnapshotError> {
        MemorySnapshot::of(&self.document, self.budget, &self.file)
    }
}
