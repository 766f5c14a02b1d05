//! The command that repeats something, as a user would type it in the folder that `run` was called in.

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
    format!("{launcher} replay {}", quoted(&file.to_string_lossy()))
}

/// One word as a shell takes it.
#[must_use]
pub fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:@,%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
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
}
