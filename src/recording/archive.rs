//! Archives of `torch.save`: a zip file whose first entry but few is a pickle.
//!
//! Decides where in the archive the pickle begins. The tensors beside it are not read.

use std::io::{BufRead, BufReader, Read, Result};

use flate2::bufread::DeflateDecoder;

/// How each entry begins.
pub const ENTRY: &[u8] = b"PK\x03\x04";

/// Entries that may stand before the pickle, and how long a name may be.
const MOST_ENTRIES: usize = 64;
const LONGEST_NAME: u16 = 4096;

/// The pickle of an archive that begins here; `None` if there is none that can be found without its end.
///
/// # Errors
/// The file cannot be read.
pub fn pickle_in(mut input: Box<dyn BufRead + Send>) -> Result<Option<Box<dyn BufRead + Send>>> {
    for _ in 0..MOST_ENTRIES {
        let mut head = [0; 30];
        if input.read_exact(&mut head).is_err() || !head.starts_with(ENTRY) {
            return Ok(None);
        }
        let two = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let (flags, method, name_length, extra_length) = (two(6), two(8), two(26), two(28));
        let packed = u32::from_le_bytes([head[18], head[19], head[20], head[21]]);
        if name_length > LONGEST_NAME {
            return Ok(None);
        }
        let mut name = Vec::new();
        input.by_ref().take(u64::from(name_length)).read_to_end(&mut name)?;
        skip(&mut input, u64::from(extra_length))?;
        if [&b".pkl"[..], b".pickle"].iter().any(|end| name.ends_with(end)) {
            return Ok(match method {
                0 => Some(input),
                8 => Some(Box::new(BufReader::new(DeflateDecoder::new(input)))),
                _ => None,
            });
        }
        // Where the length stands behind the entry, nothing tells where the next one begins.
        if flags & 8 != 0 || packed == u32::MAX {
            return Ok(None);
        }
        skip(&mut input, u64::from(packed))?;
    }
    Ok(None)
}

fn skip(input: &mut impl Read, bytes: u64) -> Result<()> {
    std::io::copy(&mut input.take(bytes), &mut std::io::sink()).map(drop)
}
