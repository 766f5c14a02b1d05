//! How a message lies in the bytes that go over a pipe: a line of JSON, or a frame of MessagePack that begins with its length.
//!
//! Decides where a message ends, and that what is no message costs no memory: a length is believed only up to its limit, and
//! nothing inside a frame makes room for more than the frame holds. Which messages there are is `protocol`'s.

use std::io::Write;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// The word for frames among the features of a hello.
pub const BINARY: &str = "binary";

/// How deep lists and objects may lie in one another, as in JSON.
const DEEPEST: usize = 128;

/// How many characters are shown of what is no message.
const SHOWN: usize = 80;

/// How many bytes of a frame say how many follow.
const PREFIX: usize = 4;

/// How messages lie in a stream of bytes. Both sides begin with lines, and turn to frames after a hello that says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Framing {
    /// One JSON object on a line of its own.
    #[default]
    Lines,
    /// Four bytes, the lowest first, that say how many bytes of MessagePack follow: the same object, by the same names.
    Frames,
}

/// What a reader has of the next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It is these bytes, and the one after it begins at `ends`.
    Whole { begins: usize, length: usize, ends: usize },
    /// It has not come to its end yet.
    Partial,
    /// It is longer than it may be.
    TooLong,
}

impl Framing {
    /// Writes a message behind what is there, with all that tells it from the next.
    ///
    /// # Errors
    /// Why it cannot be written down.
    pub fn append(self, message: &impl Serialize, into: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Framing::Lines => {
                serde_json::to_writer(&mut *into, message).map_err(|e| e.to_string())?;
                into.push(b'\n');
            }
            Framing::Frames => {
                let begins = into.len();
                into.extend([0; PREFIX]);
                rmp_serde::encode::write_named(into, message).map_err(|e| e.to_string())?;
                let length = u32::try_from(into.len() - begins - PREFIX).map_err(|e| e.to_string())?;
                let _ = (&mut into[begins..]).write(&length.to_le_bytes());
            }
        }
        Ok(())
    }

    /// Where the message at the beginning of some bytes ends, of which the first `searched` hold no end of a line.
    pub(super) fn next(self, bytes: &[u8], searched: usize, longest: usize) -> Next {
        match self {
            Framing::Lines => match bytes[searched..].iter().position(|&b| b == b'\n') {
                Some(at) => Next::Whole { begins: 0, length: searched + at, ends: searched + at + 1 },
                None if bytes.len() > longest => Next::TooLong,
                None => Next::Partial,
            },
            Framing::Frames => {
                let Some(prefix) = bytes.first_chunk::<PREFIX>() else { return Next::Partial };
                match usize::try_from(u32::from_le_bytes(*prefix)) {
                    Ok(length) if length <= longest => {
                        let ends = PREFIX + length;
                        if bytes.len() < ends {
                            return Next::Partial;
                        }
                        Next::Whole { begins: PREFIX, length, ends }
                    }
                    _ => Next::TooLong,
                }
            }
        }
    }

    /// Reads a message, and tells `unknown` of each field that nobody knows.
    pub(super) fn read<T: DeserializeOwned>(
        self,
        message: &[u8],
        mut unknown: impl FnMut(String),
    ) -> Result<T, String> {
        let note = |path: serde_ignored::Path<'_>| unknown(path.to_string());
        match self {
            Framing::Lines => {
                let mut reader = serde_json::Deserializer::from_slice(message);
                let read = serde_ignored::deserialize(&mut reader, note);
                read.and_then(|read| reader.end().map(|()| read)).map_err(|e| e.to_string())
            }
            Framing::Frames => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(message);
                reader.set_max_depth(DEEPEST);
                let read = serde_ignored::deserialize(&mut reader, note).map_err(|e| wrong(&e))?;
                match IgnoredAny::deserialize(&mut reader) {
                    // Nothing is left to read.
                    Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(read),
                    _ => Err("bytes follow the message in its frame".to_owned()),
                }
            }
        }
    }

    /// The beginning of a message that makes no sense, for somebody to look at.
    pub(super) fn beginning(self, message: &[u8]) -> String {
        match self {
            Framing::Lines => {
                let bytes = &message[..message.len().min(SHOWN * 4)];
                String::from_utf8_lossy(bytes).chars().take(SHOWN).collect()
            }
            Framing::Frames => {
                let bytes: Vec<String> = message.iter().take(SHOWN / 3).map(|byte| format!("{byte:02x}")).collect();
                if bytes.is_empty() { "it is empty".to_owned() } else { bytes.join(" ") }
            }
        }
    }

    /// What it is called where somebody is told of it.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Framing::Lines => "line",
            Framing::Frames => "frame",
        }
    }
}

/// What is wrong with a frame, which is no file and has an end of its own.
fn wrong(error: &rmp_serde::decode::Error) -> String {
    use rmp_serde::decode::Error;
    match error {
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => "it ends within a value".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::Answer;
    use super::*;

    fn frame(answer: &Answer) -> Vec<u8> {
        let mut bytes = Vec::new();
        Framing::Frames.append(answer, &mut bytes).expect("numbers and words");
        bytes
    }

    #[test]
    fn a_message_comes_back_from_either() {
        let text = r#"{"applied":{"reply":{"allocated":{"address":18446744073709551615}},"devices":[null,{"stats":{"allocated_bytes.all.current":-3},"fraction":"nan"}],"waited":[{"device":0}],"pool":[0,7]}}"#;
        let answer: Answer = Framing::Lines.read(text.as_bytes(), |_| {}).expect("an answer");
        for framing in [Framing::Lines, Framing::Frames] {
            let mut bytes = b"before".to_vec();
            framing.append(&answer, &mut bytes).expect("numbers and words");
            bytes.extend(b"behind");
            let Next::Whole { begins, length, ends } = framing.next(&bytes[6..], 0, 1 << 20) else {
                panic!("{framing:?}: it is whole")
            };
            assert_eq!(&bytes[6 + ends..], b"behind");
            let read: Answer = framing.read(&bytes[6 + begins..6 + begins + length], |_| {}).expect("as written");
            let text = |answer: &Answer| serde_json::to_string(answer).expect("numbers and words");
            assert_eq!(text(&read), text(&answer), "{framing:?}");
        }
    }

    #[test]
    fn a_frame_is_whole_or_too_long_as_its_first_bytes_say() {
        let bytes = frame(&Answer::Closed { restart: true });
        for cut in 0..bytes.len() {
            assert_eq!(Framing::Frames.next(&bytes[..cut], 0, 64), Next::Partial, "{cut}");
        }
        assert!(matches!(Framing::Frames.next(&bytes, 0, 64), Next::Whole { .. }));
        assert_eq!(Framing::Frames.next(&65_u32.to_le_bytes(), 0, 64), Next::TooLong);
        assert_eq!(Framing::Frames.next(b"Segmentation fault\n", 0, 64 << 20), Next::TooLong);
    }

    /// Lengths inside a frame that it does not have room for, depth without end, and words that are none.
    #[test]
    fn a_frame_that_is_no_message_is_an_error_and_takes_no_memory() {
        let huge_text = [0xdb, 0xff, 0xff, 0xff, 0xff, b'x'];
        let huge_list = [0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0];
        let huge_map = [0xdf, 0xff, 0xff, 0xff, 0xff, 0xc0];
        let deep = [0x91; 100_000];
        let in_vain = [&b"\x81\xa8observed\x81\xa7devices"[..], &huge_list].concat();
        let unknown_and_deep = [&b"\x81\xa8observed\x81\xa6colour"[..], &deep].concat();
        let twice = [&b"\x81\xa6closed\x80"[..], &b"\x81\xa6closed\x80"[..]].concat();
        for bytes in
            [&[][..], &huge_text, &huge_list, &huge_map, &deep, &in_vain, &unknown_and_deep, &twice, &[0xc1], b"{}"]
        {
            let read = Framing::Frames.read::<Answer>(bytes, |_| {});
            assert!(read.is_err(), "{read:?}");
        }
        let read = Framing::Frames.read::<Answer>(&in_vain, |_| {});
        assert_eq!(read, Err("it ends within a value".to_owned()));
        assert_eq!(Framing::Frames.beginning(&huge_text), "db ff ff ff ff 78");
    }

    #[test]
    fn what_nobody_knows_in_a_frame_is_told() {
        let mut unknown = Vec::new();
        let bytes = b"\x81\xa8observed\x81\xa6colour\xa3red";
        let read = Framing::Frames.read::<Answer>(bytes, |path| unknown.push(path));
        assert!(read.is_ok(), "{read:?}");
        assert_eq!(unknown, ["colour"]);
    }
}
