//! Inputs that are read as files: one temporary file for each process, written again for each input.
//!
//! Decides nothing of what is in them.

use std::cell::RefCell;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::NamedTempFile;

thread_local! {
    static FILE: RefCell<Option<NamedTempFile>> = const { RefCell::new(None) };
}

/// Calls `then` with the path of a file that holds `bytes`.
pub fn on_disk<T>(bytes: &[u8], then: impl FnOnce(&Path) -> T) -> T {
    FILE.with_borrow_mut(|file| {
        let mut kept = file.take().unwrap_or_else(|| NamedTempFile::new().expect("a temporary file"));
        let inner = kept.as_file_mut();
        let written =
            inner.set_len(0).and_then(|()| inner.seek(SeekFrom::Start(0))).and_then(|_| inner.write_all(bytes));
        written.expect("room for a temporary file");
        let answer = then(kept.path());
        *file = Some(kept);
        answer
    })
}

/// The bytes as gzip.
pub fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes it")
}
