//! What a file is that is not what was asked for: by its first bytes.
//!
//! Decides the name of the kind and what to do about it. Formats that a command does read are told apart by whoever
//! reads them; a pickle is the one that is sometimes wanted and sometimes not.

/// A kind of file, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looks {
    /// No bytes, or white space alone.
    Empty,
    LfsPointer,
    AnnexPointer,
    Gzip,
    /// Another compression, by its name.
    Compressed(&'static str),
    /// What `torch.save` writes, since PyTorch 1.6, is one.
    Zip,
    Tar,
    /// What `torch.save` wrote before PyTorch 1.6: several pickles, the first of which is a number.
    TorchLegacy,
    /// Of protocol 2 or later, which says its protocol.
    Pickle(u8),
    /// Of protocol 0 or 1, which says nothing of itself.
    OldPickle,
    Html,
    Xml,
    Utf16,
    Utf32,
    /// Something else that says its name: a picture, a program.
    Other(&'static str),
    /// Bytes that are no text and say nothing of themselves.
    Binary,
}

/// What begins so is that.
const BEGINNINGS: &[(&[u8], Looks)] = &[
    (b"version https://git-lfs.github.com/", Looks::LfsPointer),
    (b"/annex/objects/", Looks::AnnexPointer),
    (b"\x1f\x8b", Looks::Gzip),
    (b"\x28\xb5\x2f\xfd", Looks::Compressed("zstd")),
    (b"\xfd7zXZ\0", Looks::Compressed("xz")),
    (b"BZh", Looks::Compressed("bzip2")),
    (b"\x04\x22\x4d\x18", Looks::Compressed("lz4")),
    (b"7z\xbc\xaf\x27\x1c", Looks::Compressed("7z")),
    (b"PK\x03\x04", Looks::Zip),
    (b"PK\x05\x06", Looks::Zip),
    (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", Looks::TorchLegacy),
    (b"\0\0\xfe\xff", Looks::Utf32),
    (b"\xff\xfe\0\0", Looks::Utf32),
    (b"\xff\xfe", Looks::Utf16),
    (b"\xfe\xff", Looks::Utf16),
    (b"\x89PNG", Looks::Other("a PNG picture")),
    (b"\xff\xd8\xff", Looks::Other("a JPEG picture")),
    (b"GIF8", Looks::Other("a GIF picture")),
    (b"%PDF", Looks::Other("a PDF document")),
    (b"\x7fELF", Looks::Other("a program or library (ELF)")),
    (b"\x93NUMPY", Looks::Other("a NumPy array")),
    (b"\x89HDF", Looks::Other("an HDF5 file")),
    (b"SQLite format 3\0", Looks::Other("an SQLite database")),
    (b"PAR1", Looks::Other("a Parquet file")),
    (b"RIFF", Looks::Other("a RIFF file (sound or video)")),
];

/// How pickles of protocols 0 and 1 begin: an empty or marked container that is put into the memo, or a name.
const OLD_PICKLES: &[&[u8]] = &[
    b"(dp",
    b"(lp",
    b"(tp",
    b"(d.",
    b"(l.",
    b"}q",
    b"]q",
    b"}.",
    b"].",
    b"ccopy_reg\n",
    b"c__builtin__\n",
    b"ccollections\n",
];

/// Tells what a file is by its first bytes ([`super::HEAD`] of them); `None` for text and for what says nothing.
#[must_use]
pub fn looks(head: &[u8]) -> Option<Looks> {
    let text = super::without_mark(head).trim_ascii_start();
    if text.is_empty() {
        return Some(Looks::Empty);
    }
    if let Some((_, looks)) = BEGINNINGS.iter().find(|(start, _)| head.starts_with(start)) {
        return Some(*looks);
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some(Looks::Tar);
    }
    if let [0x80, protocol, ..] = head {
        return Some(Looks::Pickle(*protocol));
    }
    if OLD_PICKLES.iter().any(|start| head.starts_with(start)) {
        return Some(Looks::OldPickle);
    }
    let begins = |word: &str| text.get(..word.len()).is_some_and(|t| t.eq_ignore_ascii_case(word.as_bytes()));
    if begins("<!doctype html") || begins("<html") {
        return Some(Looks::Html);
    }
    if begins("<?xml") {
        return Some(Looks::Xml);
    }
    nameless(head)
}

/// Text of two bytes a character without a mark has a zero in every other byte; other bytes that no text has are
/// told from text by their number, so that one slip in a text is left to whoever reads it.
fn nameless(head: &[u8]) -> Option<Looks> {
    let (pairs, _) = head.as_chunks::<2>();
    let of = |at: usize| pairs.iter().filter(|pair| pair[at] == 0 && pair[1 - at] != 0).count();
    if pairs.len() >= 2 && (of(0) * 4 > pairs.len() * 3 || of(1) * 4 > pairs.len() * 3) {
        return Some(Looks::Utf16);
    }
    let controls = head.iter().filter(|b| **b < 0x20 && !b.is_ascii_whitespace() && **b != 0x1b).count();
    (controls * 8 > head.len()).then_some(Looks::Binary)
}

impl Looks {
    /// The kind, to stand after "this is".
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Looks::Empty => "an empty file".to_owned(),
            Looks::LfsPointer => "a Git LFS pointer, not the file that it points to".to_owned(),
            Looks::AnnexPointer => "a git-annex pointer, not the file that it points to".to_owned(),
            Looks::Gzip => "a gzip file".to_owned(),
            Looks::Compressed(how) => format!("a file compressed with {how}"),
            Looks::Zip => "a zip archive (torch.save writes such)".to_owned(),
            Looks::Tar => "a tar archive".to_owned(),
            Looks::TorchLegacy => "a file of torch.save in its form before PyTorch 1.6".to_owned(),
            Looks::Pickle(protocol) => format!("a pickle of protocol {protocol}"),
            Looks::OldPickle => "a pickle of protocol 0 or 1".to_owned(),
            Looks::Html => "an HTML page".to_owned(),
            Looks::Xml => "an XML file".to_owned(),
            Looks::Utf16 => "text in UTF-16".to_owned(),
            Looks::Utf32 => "text in UTF-32".to_owned(),
            Looks::Other(name) => name.to_owned(),
            Looks::Binary => "binary data of an unknown kind".to_owned(),
        }
    }

    /// What to do about it, whatever was wanted.
    #[must_use]
    pub fn advice(self) -> Option<&'static str> {
        Some(match self {
            Looks::Empty => "was it written to the end? a full disk or a failed download leaves such files",
            Looks::LfsPointer => "`git lfs pull` in its checkout fetches the file",
            Looks::AnnexPointer => "`git annex get` in its checkout fetches the file",
            Looks::Gzip => "unpack it with gunzip",
            Looks::Compressed(_) => "unpack it first; gzip is the one compression that poolproof undoes",
            Looks::Zip | Looks::TorchLegacy => {
                "load it with torch.load(FILE, weights_only=False) and write what is in it with pickle.dump; \
                 torch.cuda.memory._dump_snapshot(FILE) writes a snapshot that is read as it is"
            }
            Looks::Tar => "unpack it and name a file that is in it",
            Looks::Pickle(2..=5) => "`poolproof replay` reads memory snapshots",
            Looks::OldPickle => "`poolproof replay` reads memory snapshots",
            Looks::Pickle(_) => {
                "write it again with a protocol from 2 to 5: \
                 pickle.dump(pickle.load(open(FILE, 'rb')), open('new.pickle', 'wb'), protocol=4)"
            }
            Looks::Html => {
                "the download answered with a page (a login, or the page about the file); fetch the raw file"
            }
            Looks::Utf16 | Looks::Utf32 => "save it as UTF-8",
            Looks::Xml | Looks::Other(_) | Looks::Binary => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_say_what_they_are() {
        let mut tar = [b'a'; 300];
        tar[257..262].copy_from_slice(b"ustar");
        let utf16: Vec<u8> = "scenario: it".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (head, is) in [
            (&b""[..], Looks::Empty),
            (b"\xef\xbb\xbf \r\n", Looks::Empty),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", Looks::LfsPointer),
            (b"\x1f\x8b\x08\0", Looks::Gzip),
            (b"PK\x03\x04rest", Looks::Zip),
            (b"\x80\x04\x95", Looks::Pickle(4)),
            (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", Looks::TorchLegacy),
            (b"(dp0\nVsegments\n", Looks::OldPickle),
            (b"}q\x00U\x08segments", Looks::OldPickle),
            (b"\n <!DOCTYPE HTML><html>", Looks::Html),
            (b"<?xml version='1.0'?>", Looks::Xml),
            (b"\xff\xfes\0c\0", Looks::Utf16),
            (&utf16, Looks::Utf16),
            (b"\xff\xfe\0\0s\0\0\0", Looks::Utf32),
            (b"\x01\x02\x03\x04\x05\x06", Looks::Binary),
            (&tar, Looks::Tar),
        ] {
            assert_eq!(looks(head), Some(is), "{head:?}");
        }
    }

    #[test]
    fn text_is_left_to_its_reader() {
        let text = [
            &b"scenario: it\n"[..],
            b"{\"trace\":\"poolproof/1\"}",
            b"{}",
            b"[]",
            b"(a)",
            b"]",
            b"a\0b: the rest is text and long enough",
            "\u{feff}标题".as_bytes(),
            b"hello",
        ];
        assert!(text.iter().all(|head| looks(head).is_none()), "{text:?}");
    }
}
