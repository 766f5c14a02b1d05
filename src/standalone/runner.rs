//! What runs a program: an interpreter, or a compiler and what it made.
//!
//! Decides what a program is built with and what it is handed. Everything that is built lies in a folder that goes when it has run.

use std::fmt::Display;
use std::path::Path;

use super::{LIMIT, c10, kept};
use crate::child::{Finished, Program, finish};
use crate::op::Text;
use crate::report::Tongue;
use crate::target::{self, TargetName};
use crate::verdict::standalone::Came;

/// Builds the program and runs it.
pub(super) fn run(name: &TargetName, tongue: Tongue, file: &Path) -> Came {
    let folder = match tempfile::Builder::new().prefix(".poolproof-program-").tempdir() {
        Ok(folder) => folder,
        Err(error) => return not_run(format!("no folder to build it in: {error}")),
    };
    let program = match tongue {
        Tongue::Python => target::script(name, file).map_err(|error| error.to_string()),
        Tongue::Cpp => c10::program(name, file, folder.path()),
        Tongue::C => compiled(name, file, folder.path()),
        Tongue::Rust => Err("a program in Rust is an example of the crate poolproof-reference".to_owned()),
    };
    match program {
        Err(why) => not_run(why),
        Ok(program) => match finish(&program, LIMIT) {
            Err(error) => not_run(error),
            Ok(finished) => came(tongue, &finished),
        },
    }
}

fn not_run(why: impl Display) -> Came {
    Came::NotRun { why: Text::new(why.to_string(), why.to_string()) }
}

fn came(tongue: Tongue, finished: &Finished) -> Came {
    let told = finished.text();
    let ended = match tongue {
        Tongue::Cpp => c10::ended(&told),
        Tongue::Python | Tongue::C | Tongue::Rust => finished.status.code(),
    };
    // An interpreter that finds no module, and whatever stands between, exits 1 as well: only a program that told both has judged.
    let judged = told.contains("expected:") && told.contains("actual:");
    match ended {
        Some(1) if judged => Came::Shows { printed: kept(&told) },
        Some(0) if judged => Came::Holds { printed: kept(&told) },
        _ => Came::Otherwise {
            end: ended.map_or_else(|| finished.status.to_string(), |code| format!("exit status: {code}")),
            printed: kept(&format!("{told}{}", finished.stderr)),
        },
    }
}

/// A program in C for a library of the pluggable form: it is handed the library's path.
fn compiled(name: &TargetName, file: &Path, folder: &Path) -> Result<Program, String> {
    let library = name.library().ok_or("the target is no library")?;
    let built = folder.join("program");
    let cc = Program::new("cc", ["-O1".as_ref(), "-o".as_ref(), built.as_os_str(), file.as_os_str(), "-ldl".as_ref()]);
    let finished = finish(&cc, LIMIT).map_err(|error| format!("cc: {error}"))?;
    if finished.status.success() {
        Ok(Program::new(built, [library]))
    } else {
        Err(format!("cc: {}", finished.complaint()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(program: &str) -> Came {
        let finished = finish(&Program::new("sh", ["-c", program]), LIMIT).expect("there is a shell");
        came(Tongue::Python, &finished)
    }

    #[test]
    fn only_who_tells_what_is_expected_and_what_there_is_has_judged() {
        let told = "echo 'expected: 1'; echo 'actual:   2';";
        assert!(matches!(ran(&format!("{told} exit 1")), Came::Shows { printed } if printed.ends_with("2")));
        assert!(matches!(ran(&format!("{told} exit 0")), Came::Holds { .. }));
        let complaint = "No module named 'torch'";
        let lacking = ran(&format!("echo \"{complaint}\" >&2; exit 1"));
        let Came::Otherwise { end, printed } = lacking else { panic!("{lacking:?}") };
        assert_eq!((end.as_str(), printed.as_str()), ("exit status: 1", complaint));
        assert!(matches!(ran("exit 0"), Came::Otherwise { .. }));
        assert!(matches!(ran(&format!("{told} kill -SEGV $$")), Came::Otherwise { end, .. } if end.contains("signal")));
    }
}
