//! A file on a server, read where it is wanted: what was fetched is kept, and only what is missing is asked for.
//!
//! Decides how much is asked for at once. Reads as any file does, so that whoever reads archives need not know.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::TorchError;
use super::web::{Progress, Span, Web};

/// What is read without having been announced is asked for in pieces of this size.
const PIECE: u64 = 128 << 10;

/// What lies between two wanted ranges is fetched along up to so much: an answer takes longer.
const GAP: u64 = 64 << 10;

pub(super) struct Remote<'a> {
    web: &'a Web,
    url: String,
    size: u64,
    at: u64,
    /// What there is, by where it begins.
    parts: Vec<(u64, Vec<u8>)>,
    fetched: u64,
    /// What was announced, for whoever is told how far it is.
    total: u64,
    progress: Progress<'a>,
}

impl<'a> Remote<'a> {
    /// Asks for so much of the end of the file; how long it is comes along.
    pub(super) fn open(web: &'a Web, url: &str, tail: u64, progress: Progress<'a>) -> Result<Self, TorchError> {
        let part = web.part(url, &Span::Last(tail), &mut |done, of| progress(done, of))?;
        let fetched = part.bytes.len() as u64;
        let parts = vec![(part.start, part.bytes)];
        Ok(Remote { web, url: url.to_owned(), size: part.of, at: 0, parts, fetched, total: fetched, progress })
    }

    /// How many bytes were fetched.
    pub(super) fn fetched(&self) -> u64 {
        self.fetched
    }

    /// Fetches ranges that will be read, in few answers.
    pub(super) fn announce(&mut self, wanted: Vec<Range<u64>>) -> Result<(), TorchError> {
        let missing = wanted.into_iter().map(|range| range.start..range.end.min(self.size));
        let missing = missing.filter(|range| {
            range.start < range.end
                && self.held(range.start).is_none_or(|held| held.len() < (range.end - range.start) as usize)
        });
        let ranges = joined(missing.collect());
        self.total += ranges.iter().map(|range| range.end - range.start).sum::<u64>();
        ranges.into_iter().try_for_each(|range| self.fetch(range))
    }

    fn fetch(&mut self, range: Range<u64>) -> Result<(), TorchError> {
        let (before, total) = (self.fetched, self.total.max(self.fetched + (range.end - range.start)));
        let progress = &mut self.progress;
        let part = self.web.part(&self.url, &Span::Bytes(range), &mut |done, _| progress(before + done, total))?;
        if part.of != self.size {
            let reason = format!("it had {} bytes, and has {} now", self.size, part.of);
            return Err(TorchError::Unreachable { url: super::web::without_secret(&self.url), reason });
        }
        self.fetched += part.bytes.len() as u64;
        self.total = total;
        self.parts.push((part.start, part.bytes));
        Ok(())
    }

    /// What there is from here on.
    fn held(&self, at: u64) -> Option<&[u8]> {
        let from = |(start, bytes): &'_ (u64, Vec<u8>)| Some((at.checked_sub(*start)? as usize, bytes.len()));
        let part = self.parts.iter().find(|part| from(part).is_some_and(|(skip, len)| skip < len))?;
        part.1.get(from(part)?.0..)
    }
}

/// In order, those that nearly touch as one.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP) => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

impl Read for Remote<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size || into.is_empty() {
            return Ok(0);
        }
        if self.held(self.at).is_none() {
            let end = self.size.min(self.at + PIECE);
            self.fetch(self.at..end).map_err(io::Error::other)?;
        }
        let held = self.held(self.at).unwrap_or_default();
        let count = held.len().min(into.len());
        into[..count].copy_from_slice(&held[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Remote<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_nearly_touch_become_one() {
        let ranges = vec![10..20, 1 << 20..(1 << 20) + 5, 0..12, 20 + GAP..30 + GAP];
        assert_eq!(joined(ranges), [0..30 + GAP, 1 << 20..(1 << 20) + 5]);
        assert_eq!(joined(vec![5..6, 7 + GAP..8 + GAP]), [5..6, 7 + GAP..8 + GAP]);
    }
}
