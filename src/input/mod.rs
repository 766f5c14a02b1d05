//! Floor 0, what was given: files as they come, before anybody reads sense into them.
//!
//! Decides what a file is by its first bytes, never by its name, and how much of one is read. Does not decide what
//! was wanted: who asked says that, and names what came instead.

mod looks;

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

pub use looks::{Looks, looks};

/// More than any text that a person or this program writes to be read whole; a device file has no end at all.
pub const MOST_BYTES: u64 = 256 << 20;

/// How many first bytes tell what a file is.
pub const HEAD: usize = 512;

/// Reads a file whole, unless it is larger than [`MOST_BYTES`].
///
/// # Errors
/// What the system says, a folder, or a file that is too large.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    read_up_to(path, MOST_BYTES)
}

/// As [`read`], with a limit of one's own.
///
/// # Errors
/// As [`read`].
pub fn read_up_to(path: &Path, most: u64) -> Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let most = if most >= 1 << 20 { format!("{} MiB", most >> 20) } else { format!("{most} bytes") };
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it is larger than {most}")));
    }
    Ok(bytes)
}

/// As [`read`], of a file that may be packed by gzip; what comes out of it is held to the same limit.
///
/// # Errors
/// As [`read`], or a gzip file that is cut or damaged.
pub fn read_unpacked(path: &Path) -> Result<Vec<u8>> {
    const GZIP: &[u8] = b"\x1f\x8b";
    let bytes = read(path)?;
    if !bytes.starts_with(GZIP) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    let mut from = flate2::bufread::MultiGzDecoder::new(bytes.as_slice()).take(MOST_BYTES + 1);
    from.read_to_end(&mut unpacked)
        .map_err(|e| Error::new(e.kind(), format!("a gzip file that is cut or damaged: {e}")))?;
    if unpacked.len() as u64 > MOST_BYTES {
        return Err(Error::new(
            ErrorKind::FileTooLarge,
            format!("unpacked it is larger than {} MiB", MOST_BYTES >> 20),
        ));
    }
    Ok(unpacked)
}

/// Opens a file; a folder, which some systems open and then refuse to read, is told so.
///
/// # Errors
/// What the system says, or a folder.
pub fn open(path: &Path) -> Result<File> {
    let file = File::open(path)?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(Error::new(ErrorKind::IsADirectory, "this is a folder, and a file is wanted"));
    }
    Ok(file)
}

/// Text without the byte order mark that some editors put in front of UTF-8.
#[must_use]
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// A part of a text that somebody else wrote, fit for a message: at most `most` characters, and none that moves a
/// terminal's cursor or ends the line.
#[must_use]
pub fn shown(text: &str, most: usize) -> String {
    let mut short = String::new();
    let mut chars = text.chars();
    for c in chars.by_ref().take(most) {
        if c.is_control() { short.extend(c.escape_default()) } else { short.push(c) }
    }
    let more = chars.count();
    if more > 0 { format!("{short}… ({more} more characters)") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_a_limit_and_a_folder_is_none() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f");
        std::fs::write(&path, b"12345").expect("it is writable");
        assert_eq!(read_up_to(&path, 5).expect("it fits"), b"12345");
        assert_eq!(read_up_to(&path, 4).expect_err("too large").to_string(), "it is larger than 4 bytes");
        assert_eq!(read(folder.path()).expect_err("no file").kind(), ErrorKind::IsADirectory);
        assert_eq!(read(&folder.path().join("g")).expect_err("not there").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_packed_file_is_unpacked_and_a_cut_one_is_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f");
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut packer, &[7; 5000]).expect("into memory");
        let packed = packer.finish().expect("into memory");
        std::fs::write(&path, &packed).expect("it is writable");
        assert_eq!(read_unpacked(&path).expect("it is whole"), [7; 5000]);
        std::fs::write(&path, &packed[..packed.len() - 9]).expect("it is writable");
        assert!(read_unpacked(&path).expect_err("cut").to_string().contains("cut or damaged"));
        std::fs::write(&path, b"plain").expect("it is writable");
        assert_eq!(read_unpacked(&path).expect("plain"), b"plain");
    }

    #[test]
    fn what_is_shown_is_short_and_on_one_line() {
        assert_eq!(shown("a\nb\u{1b}[2J", 10), "a\\nb\\u{1b}[2J");
        assert_eq!(shown("abcdef", 4), "abcd… (2 more characters)");
        assert_eq!(shown("用例", 2), "用例");
    }
}
