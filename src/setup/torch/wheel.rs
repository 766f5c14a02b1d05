//! Members of a wheel, taken out of it into a folder: from a server by parts, or from a file.
//!
//! Decides which members are wanted, and that each has the CRC-32 that the wheel states. A wheel is a zip file.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use super::TorchError;
use super::remote::Remote;
use super::web::{Progress, Web};

/// All wanted members together; PyTorch's come to 8 MB. A wheel that claims more is not unpacked.
const MOST: u64 = 256 << 20;

/// What is checked of members that came without the rest of the file.
pub(super) const CRC: &str = "CRC-32 of every member that was taken; not the SHA-256 of the file";

/// Before a member's data stand its name and what else is said of it.
const HEADER: u64 = 30 + 1024;

/// Where a member goes below the folder; `None` leaves it out.
pub(super) type Wanted<'a> = &'a dyn Fn(&str) -> Option<PathBuf>;

/// Takes members out of a wheel on a server, whose directory is not longer than `tail`, or takes more answers. Gives how many
/// bytes were fetched.
pub(super) fn from_server(
    web: &Web,
    url: &str,
    tail: u64,
    file: &str,
    wanted: Wanted<'_>,
    into: &Path,
    progress: Progress<'_>,
) -> Result<u64, TorchError> {
    let remote = Remote::open(web, url, tail, progress)?;
    let archive = ZipArchive::new(remote).map_err(|error| unreadable(file, "its directory", error))?;
    let ranges = ranges(&archive, file, wanted)?;
    let mut remote = archive.into_inner();
    remote.announce(ranges)?;
    let mut archive = ZipArchive::new(remote).map_err(|error| unreadable(file, "its directory", error))?;
    unpack(&mut archive, file, wanted, into)?;
    Ok(archive.into_inner().fetched())
}

/// Takes members out of a wheel that lies here.
pub(super) fn from_file(path: &Path, wanted: Wanted<'_>, into: &Path) -> Result<(), TorchError> {
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let opened = File::open(path).map_err(TorchError::file(path))?;
    let archive = ZipArchive::new(BufReader::new(opened));
    let mut archive = archive.map_err(|error| unreadable(&file, "its directory", error))?;
    unpack(&mut archive, &file, wanted, into)
}

/// Where in the file the members are.
fn ranges<R>(archive: &ZipArchive<R>, file: &str, wanted: Wanted<'_>) -> Result<Vec<Range<u64>>, TorchError>
where
    R: Read + Seek,
{
    let directory = archive.metadata();
    let (mut ranges, mut sum) = (Vec::new(), 0_u64);
    for index in 0..directory.len() {
        let entry = directory.entry(index).map_err(|error| unreadable(file, "its directory", error))?;
        if entry.name().is_ok_and(|name| wanted(&name).is_some()) {
            sum = sum.saturating_add(entry.compressed_size());
            let length = HEADER + entry.name_raw().len() as u64 + entry.compressed_size();
            ranges.push(entry.header_start()..entry.header_start().saturating_add(length));
        }
    }
    if sum > MOST { Err(too_much(file)) } else { Ok(ranges) }
}

fn unpack<R>(archive: &mut ZipArchive<R>, file: &str, wanted: Wanted<'_>, into: &Path) -> Result<(), TorchError>
where
    R: Read + Seek,
{
    let mut left = MOST;
    for index in 0..archive.len() {
        let directory = archive.metadata();
        let entry = directory.entry(index).map_err(|error| unreadable(file, "its directory", error))?;
        let Some(to) = entry.name().ok().and_then(|name| wanted(&name)) else { continue };
        // A name that leads out of the folder is nobody's.
        if !to.components().all(|part| matches!(part, Component::Normal(_))) || !entry.is_file() {
            continue;
        }
        let name = entry.name().unwrap_or_default().into_owned();
        let mut member = archive.by_index(index).map_err(|error| unreadable(file, &name, error))?;
        let path = into.join(to);
        let folder = path.parent().unwrap_or(into);
        fs::create_dir_all(folder).map_err(TorchError::file(folder))?;
        let mut out = File::create(&path).map_err(TorchError::file(&path))?;
        let mut step = vec![0; 64 << 10];
        loop {
            let count = match member.read(&mut step) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(file, &name, ZipError::Io(error))),
            };
            left = left.checked_sub(count as u64).ok_or_else(|| too_much(file))?;
            out.write_all(&step[..count]).map_err(TorchError::file(&path))?;
        }
    }
    Ok(())
}

fn too_much(file: &str) -> TorchError {
    let reason = format!("what is wanted of it takes more than {} MiB", MOST >> 20);
    TorchError::NotAWheel { file: file.to_owned(), reason }
}

/// What the server said comes through the reader of archives as it was.
fn unreadable(file: &str, member: &str, error: ZipError) -> TorchError {
    let file = file.to_owned();
    match error {
        ZipError::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<TorchError>()) => {
            let inner = error.into_inner().and_then(|inner| inner.downcast::<TorchError>().ok());
            inner.map_or_else(|| TorchError::NotAWheel { file, reason: String::new() }, |inner| *inner)
        }
        ZipError::Io(error) if error.to_string().contains("checksum") => {
            TorchError::Damaged { file, member: member.to_owned() }
        }
        other => TorchError::NotAWheel { file, reason: format!("{member}: {other}") },
    }
}
