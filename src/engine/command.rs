//! The command that repeats something, as a user would type it in the folder that `run` was called in.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// `poolproof`, or the cargo command that runs it where the program was built in this folder.
#[must_use]
pub fn launcher() -> &'static str {
    let here = std::env::current_dir().and_then(std::fs::canonicalize);
    let program = std::env::current_exe().and_then(std::fs::canonicalize);
    let (Ok(here), Ok(program)) = (here, program) else { return "poolproof" };
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| here.join("target"), PathBuf::from);
    let target = std::fs::canonicalize(&target).unwrap_or(target);
    let is_own = here.join("Cargo.toml").is_file() && program.starts_with(target);
    if is_own { "cargo run --release --" } else { "poolproof" }
}

/// `poolproof replay FILE`, with the file quoted where a shell needs it.
#[must_use]
pub fn replay(launcher: &str, file: &Path) -> String {
    // A path that begins with `-` would be taken for an option.
    let file = if file.as_os_str().as_encoded_bytes().starts_with(b"-") { &Path::new(".").join(file) } else { file };
    format!("{launcher} replay {}", quoted(file))
}

/// The command line that this process was started with, on one line, as a shell would read it back.
#[must_use]
pub fn typed() -> String {
    std::env::args_os().map(quoted).collect::<Vec<_>>().join(" ")
}

/// A word as a shell (bash, zsh, ksh) reads it back, on one line and in printable characters, whatever its bytes.
#[must_use]
pub fn quoted(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:@,%".contains(c);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(is_plain) => text.to_owned(),
        Some(text) if !text.chars().any(is_unprintable) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => escaped(word),
    }
}

/// Would end the line, move the cursor, or turn the text around.
fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `$'...'`, in which bytes can be written as numbers.
fn escaped(word: &OsStr) -> String {
    let mut text = "$'".to_owned();
    for chunk in word.as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' | '\\' => text.extend(['\\', c]),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                c if is_unprintable(c) => {
                    c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| text.push_str(&octal(b)));
                }
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| text.push_str(&octal(*b)));
    }
    text.push('\'');
    text
}

/// Three digits: what follows cannot be taken for a part of it, as after `\x`.
fn octal(byte: u8) -> String {
    format!("\\{byte:03o}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_path_back() {
        let command = |path: &str| replay("poolproof", Path::new(path));
        assert_eq!(
            command("reports/latest/reference@sim/F01.json"),
            "poolproof replay reports/latest/reference@sim/F01.json"
        );
        assert_eq!(command("my runs/it's.json"), r"poolproof replay 'my runs/it'\''s.json'");
    }

    #[test]
    fn any_word_is_one_line_and_reads_back() {
        for (word, shown) in [
            ("", "''"),
            ("reference@sim?defect=x", "'reference@sim?defect=x'"),
            ("$(rm -rf ~)", "'$(rm -rf ~)'"),
            ("a`b|c;d", "'a`b|c;d'"),
            ("a\nb'c\\", r"$'a\nb\'c\\'"),
            ("\u{1b}[2Jx\u{202e}", r"$'\033[2Jx\342\200\256'"),
            ("用例", "用例"),
        ] {
            assert_eq!(quoted(word), shown, "{word:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_read_back_in_bash() {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let words: [&[u8]; 4] = [b"caf\xe97", b"\xff\n'\\ $x", b"plain", b"it's"];
        for word in words {
            let typed = quoted(OsStr::from_bytes(word));
            let bash = crate::child::Program::new("bash", ["-c", &format!("printf %s {typed}")]);
            let Ok(echo) = crate::child::finish(&bash, std::time::Duration::from_secs(60)) else { return }; // no bash here
            assert_eq!(std::ffi::OsString::from_vec(echo.stdout), OsStr::from_bytes(word), "{typed}");
        }
    }
}
