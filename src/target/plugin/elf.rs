//! What a shared library offers, read from its file before anything of it runs.
//!
//! Decides whether a file is a library that this machine can load, and which functions it has. Loads nothing.

/// Why a file is no library that can be loaded here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ElfError {
    #[error("it is no shared library: it does not begin as an ELF file does")]
    NotElf,
    #[error("it is no shared library, but {kind}: build it with `-shared -fPIC`")]
    NotShared { kind: &'static str },
    #[error("it is built for {found}, and this program for {own}")]
    OtherMachine { found: String, own: &'static str },
    #[error("it is cut short")]
    CutShort,
}

/// The machine of this program, as ELF numbers it.
const OWN: (u16, &str) = if cfg!(target_arch = "aarch64") { (183, "aarch64") } else { (62, "x86-64") };

const SHARED: u16 = 3;
const DYNAMIC_SYMBOLS: u32 = 11;

fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], ElfError> {
    let part = at.checked_add(N).and_then(|end| bytes.get(at..end));
    part.and_then(|part| part.try_into().ok()).ok_or(ElfError::CutShort)
}

fn half(bytes: &[u8], at: usize) -> Result<u16, ElfError> {
    number(bytes, at).map(u16::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> Result<u32, ElfError> {
    number(bytes, at).map(u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> Result<usize, ElfError> {
    let value = number(bytes, at).map(u64::from_le_bytes)?;
    usize::try_from(value).map_err(|_| ElfError::CutShort)
}

/// The functions that a library offers, in the order of their names; none where its file does not list them.
///
/// # Errors
/// It is no library for this machine.
pub(super) fn functions(bytes: &[u8]) -> Result<Vec<String>, ElfError> {
    if !bytes.starts_with(b"\x7fELF") {
        return Err(ElfError::NotElf);
    }
    let (is_wide, is_little) = (number::<1>(bytes, 4)? == [2], number::<1>(bytes, 5)? == [1]);
    let (kind, machine) = (half(bytes, 16)?, half(bytes, 18)?);
    if !is_wide || !is_little || machine != OWN.0 {
        return Err(ElfError::OtherMachine { found: machine_name(machine, is_wide, is_little), own: OWN.1 });
    }
    match kind {
        SHARED => {}
        1 => return Err(ElfError::NotShared { kind: "an object file" }),
        2 => return Err(ElfError::NotShared { kind: "a program" }),
        _ => return Err(ElfError::NotShared { kind: "something else" }),
    }
    let (headers, size, count) = (long(bytes, 40)?, usize::from(half(bytes, 58)?), usize::from(half(bytes, 60)?));
    let header = |index: usize| headers.checked_add(index * size).ok_or(ElfError::CutShort);
    let mut names = Vec::new();
    for index in 0..count {
        let at = header(index)?;
        if word(bytes, at + 4)? != DYNAMIC_SYMBOLS {
            continue;
        }
        let (start, length) = (long(bytes, at + 24)?, long(bytes, at + 32)?);
        let strings = header(word(bytes, at + 40)? as usize)?;
        let (text, text_length) = (long(bytes, strings + 24)?, long(bytes, strings + 32)?);
        let text = text.checked_add(text_length).and_then(|end| bytes.get(text..end)).ok_or(ElfError::CutShort)?;
        let table = start.checked_add(length).and_then(|end| bytes.get(start..end)).ok_or(ElfError::CutShort)?;
        names.extend(table.chunks_exact(24).filter_map(|symbol| function(symbol, text)));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// The name of a symbol, if it is a function that the library itself has.
fn function(symbol: &[u8], text: &[u8]) -> Option<String> {
    const FUNCTION: [u8; 2] = [2, 10]; // one may be chosen at load time
    const OFFERED: [u8; 2] = [1, 2]; // global, weak
    let (info, section) = (*symbol.get(4)?, half(symbol, 6).ok()?);
    let is_one = FUNCTION.contains(&(info & 15)) && OFFERED.contains(&(info >> 4)) && section != 0;
    let name = text.get(word(symbol, 0).ok()? as usize..)?;
    let name = name.split(|&byte| byte == 0).next().filter(|name| is_one && !name.is_empty())?;
    std::str::from_utf8(name).ok().map(str::to_owned)
}

fn machine_name(machine: u16, is_wide: bool, is_little: bool) -> String {
    let name = match machine {
        3 => "x86",
        40 => "arm",
        62 => "x86-64",
        183 => "aarch64",
        243 => "riscv",
        21 => "ppc64",
        _ => return format!("machine {machine} of the ELF list"),
    };
    let width = if is_wide { "" } else { ", 32 bits" };
    format!("{name}{width}{}", if is_little { "" } else { ", big-endian" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_is_said_so() {
        assert_eq!(functions(b"#!/bin/sh\n"), Err(ElfError::NotElf));
        assert_eq!(functions(b"\x7fELF\x02\x01"), Err(ElfError::CutShort));
        let mut header = [0; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[18] = 21;
        let refused = functions(&header).expect_err("another machine");
        assert!(refused.to_string().starts_with("it is built for ppc64, and this program for "), "{refused}");
        (header[16], header[18]) = (1, OWN.0.to_le_bytes()[0]);
        assert_eq!(functions(&header), Err(ElfError::NotShared { kind: "an object file" }));
        header[16] = 3;
        assert_eq!(functions(&header), Ok(Vec::new()), "it lists nothing");
        header[60] = 1;
        header[40] = 0xff;
        assert_eq!(functions(&header), Err(ElfError::CutShort));
    }

    #[test]
    fn every_beginning_of_a_library_is_read_without_a_panic() {
        // The C library of this machine, where it is found, is as odd as libraries get.
        let paths = ["/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/libc.so.6", "/lib64/libc.so.6"];
        let Some(bytes) = paths.iter().find_map(|path| std::fs::read(path).ok()) else { return };
        let all = functions(&bytes).expect("it is one");
        assert!(all.iter().any(|name| name == "malloc"));
        for length in (0..bytes.len()).step_by(bytes.len() / 97) {
            let _ = functions(&bytes[..length]);
        }
    }
}
