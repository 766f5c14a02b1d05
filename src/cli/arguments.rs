//! The words of the command line, before they mean anything.
//!
//! Decides that a negative number is a value that is wrong, and no unknown option, and in which words a number that
//! is none is refused. What may be asked for is said in `super` and by each subcommand.

use std::io::{self, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, FromArgMatches};

use crate::op::size;

use super::Cli;

/// Reads the command line of this process.
///
/// # Errors
/// What is wrong with it; or that help is wanted.
pub(super) fn parse() -> Result<Cli, clap::Error> {
    let mut command = with_signs(Cli::command());
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// The command, whose options take `-1` and `-5s` for values, so that they are told why not.
fn with_signs(command: Command) -> Command {
    command.mut_args(with_sign).mut_subcommands(with_signs)
}

fn with_sign(arg: Arg) -> Arg {
    let takes_one = arg.get_action().takes_values() && arg.get_num_args().is_none_or(|n| n.min_values() > 0);
    let names = arg.get_value_names().unwrap_or_default();
    let is_measure = names.iter().any(|name| MEASURES.contains(&name.as_str()));
    if takes_one && is_measure {
        // Paths and names are left out: of those, `--out --lang` is a slip.
        arg.allow_hyphen_values(true)
    } else if arg.get_action().takes_values() {
        arg.allow_negative_numbers(true)
    } else {
        arg
    }
}

/// Values that are numbers with more to them: `10m`, `4GiB`, `1/4`.
const MEASURES: [&str; 5] = ["N", "K/N", "DURATION", "SIZE", "SEED"];

/// The memory of a simulated device.
///
/// # Errors
/// No size, or more than any device has.
pub(super) fn device_bytes(text: &str) -> Result<u64, String> {
    const MOST: u64 = 1 << 50;
    match size::parse(text) {
        Ok(bytes) if bytes <= MOST => Ok(bytes),
        Ok(_) => Err("more than 1024 TiB, which no device has".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What Rust's own readers of numbers say, and what a person is told.
const WORDS: [(&str, &str); 5] = [
    ("invalid digit found in string", "not a whole number of 0 or more"),
    ("number too large to fit in target type", "too large a number"),
    ("number too small to fit in target type", "too small a number"),
    ("cannot parse integer from empty string", "a number is wanted, and nothing was given"),
    ("invalid float literal", "not a number"),
];

/// Prints an error of the command line, or the help that was wanted.
///
/// # Errors
/// Nobody reads it.
pub(super) fn print(error: &clap::Error) -> io::Result<()> {
    let said = error.to_string();
    let Some((theirs, ours)) = WORDS.iter().find(|(theirs, _)| said.contains(theirs)) else { return reworded(error) };
    io::stderr().lock().write_all(said.replace(theirs, ours).as_bytes())
}

/// Words that are no text cannot be shown, and clap names neither the word nor the option.
fn reworded(error: &clap::Error) -> io::Result<()> {
    if error.kind() != ErrorKind::InvalidUtf8 {
        return error.print();
    }
    let wrong = std::env::args_os().find(|word| word.to_str().is_none()).unwrap_or_default();
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => format!("\n{usage}\n"),
        _ => String::new(),
    };
    let shown = crate::engine::command::quoted(wrong);
    let text = format!(
        "error: {shown} is not UTF-8, which only file names need not be\n{usage}\nFor more information, try '--help'.\n"
    );
    io::stderr().lock().write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every option of every subcommand that takes a number says so of `-1`, and none takes it for an option.
    #[test]
    fn minus_one_is_a_value_everywhere() {
        let mut tried = 0;
        let command = with_signs(Cli::command());
        for sub in command.get_subcommands() {
            for arg in sub.get_arguments().filter(|a| a.get_action().takes_values() && !a.is_positional()) {
                let Some(long) = arg.get_long() else { continue };
                let words = ["poolproof", sub.get_name(), &format!("--{long}"), "-1"];
                let Err(error) = command.clone().try_get_matches_from(words) else { continue };
                assert_ne!(error.kind(), ErrorKind::UnknownArgument, "{words:?}: {error}");
                tried += 1;
            }
        }
        assert!(tried > 20, "{tried} options");
    }
}
