//! A finding as a program of its own, which needs nothing of this one: Python for `torch`, C++ for c10's library, C for a library of the
//! pluggable form, Rust for the reference.
//!
//! Decides what a program does and checks, and refuses what it could only pretend to show. A file a language says how it reads.

mod c;
mod check;
mod cpp;
mod cpp_calls;
mod python;
mod python_calls;
mod rust;
mod rust_calls;
mod steps;

use crate::op::{BlockId, DeviceId, GraphName, Op, OracleName, PoolSource};
use crate::verdict::{Reproducer, TranscriptLine, Violation};

use check::Check;
use steps::Line;

/// The language of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tongue {
    /// `torch`, by its public interface.
    Python,
    /// c10's library alone, over the stand-in for CUDA beside the trophies.
    Cpp,
    /// A library of PyTorch's pluggable form, loaded by `dlopen`.
    C,
    /// The reference on simulated devices, as an example of its crate.
    Rust,
}

impl Tongue {
    /// As it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Tongue::Python => "Python",
            Tongue::Cpp => "C++",
            Tongue::C => "C",
            Tongue::Rust => "Rust",
        }
    }
}

/// Where a finding was made, by the parts of the target's name.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// What stands before the `@`.
    pub allocator: String,
    /// What stands after it.
    pub place: String,
    /// What stands after the `?`.
    pub options: Vec<(String, Option<String>)>,
}

impl Origin {
    fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_deref())
    }

    /// The settings that the target's name gives, in the way of a settings string.
    fn settings(&self) -> Option<String> {
        let bare = self.options.iter().filter(|(key, value)| value.is_none() && key.contains(':'));
        let bare: Vec<&str> = bare.map(|(key, _)| key.as_str()).collect();
        self.option("config").map(str::to_owned).or_else(|| (!bare.is_empty()).then(|| bare.join(",")))
    }
}

/// A finding: its sequence, what was said of it, and how it went.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The sequence.
    pub reproducer: &'a Reproducer,
    /// What is wrong.
    pub violation: &'a Violation,
    /// How it went, up to the violation.
    pub transcript: &'a [TranscriptLine],
    /// Where.
    pub origin: &'a Origin,
}

/// Why a finding cannot be said in a language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says why")]
pub enum Unsaid {
    #[error("`{op}` cannot be said in {language}: {why}", language = language.name())]
    Op { op: String, language: Tongue, why: &'static str },
    #[error("what {oracle} convicts of here cannot be checked by a program of its own: {why}", oracle = oracle.name())]
    Violation { oracle: OracleName, why: String },
    #[error("that {what} cannot be checked in {language}: {why}", language = language.name())]
    Check { what: String, language: Tongue, why: &'static str },
    #[error("a finding on `{target}` is not one that {language} can be written for: {why}", language = language.name())]
    Target { target: String, language: Tongue, why: &'static str },
    #[error("step {number} (`{asked}`) is none that a program can ask")]
    Unknown { number: usize, asked: String },
}

/// What a program does and checks.
struct Program<'a> {
    source: Source<'a>,
    lines: Vec<Line>,
    /// The line whose answer is checked, if one is.
    judged: usize,
    checks: Vec<Check>,
}

/// The finding as a program, or why it is none.
///
/// # Errors
/// An operation that the language has no public call for, a violation that a program cannot check by its own means.
pub fn program(source: Source<'_>, language: Tongue) -> Result<String, Unsaid> {
    let lines = steps::lines(&source)?;
    let (judged, checks) = check::derive(&source, &lines)?;
    let program = Program { source, lines, judged, checks };
    match language {
        Tongue::Python => python::write(&program),
        Tongue::Cpp => cpp::write(&program),
        Tongue::C => c::write(&program),
        Tongue::Rust => rust::write(&program),
    }
}

impl Program<'_> {
    /// What is said on top: the promise, where it was found, what should be and what was.
    fn head(&self) -> Vec<String> {
        let Source { reproducer, violation, .. } = self.source;
        let requirement = violation.requirement.unwrap_or(reproducer.requirement);
        let mut head = vec![
            format!("{requirement}: {}.", requirement.get().broken.0),
            String::new(),
            format!("Found by poolproof in {} on {}.", reproducer.scenario, reproducer.target),
            format!("What was seen: {}", plain(&violation.message.en)),
        ];
        if let Some(figure) = &violation.figure {
            head.push(format!(
                "{}: expected {}; actual {}",
                figure.what.en,
                plain(&figure.expected.en),
                plain(&figure.actual.en)
            ));
        }
        head.push(String::new());
        head.push(
            "Exits with 1 while the defect is there, with 0 when it is gone, with 2 where it could not be tried."
                .to_owned(),
        );
        head
    }

    fn devices(&self) -> usize {
        self.source.reproducer.setup.device_bytes.len()
    }

    /// The settings that the allocator starts with.
    fn settings(&self) -> Option<String> {
        self.source.reproducer.setup.config.clone().or_else(|| self.source.origin.settings())
    }

    /// Whether this line may be refused: it was, or whether it is, is what is checked.
    fn may_be_refused(&self, at: usize) -> bool {
        self.answers(at) || self.lines[at].answered.starts_with("refused")
    }

    fn any(&self, is: impl Fn(&Op) -> bool) -> bool {
        self.lines.iter().any(|line| is(&line.op))
    }

    /// The current device before a line.
    fn current(&self, at: usize) -> i32 {
        let set = self.lines[..at].iter().rev().find_map(|line| match line.op {
            Op::SetCurrent { device } if !line.answered.starts_with("refused") => Some(device.0),
            _ => None,
        });
        set.unwrap_or(0)
    }

    /// The device and the stream that a block was asked for on.
    fn home(&self, block: BlockId) -> (i32, u8) {
        let made = self.lines.iter().enumerate().find_map(|(at, line)| match line.op {
            Op::Alloc { block: made, device, stream, .. } if made == block => {
                Some((device.map_or_else(|| self.current(at), |d| d.0), stream.0))
            }
            _ => None,
        });
        made.unwrap_or((0, 0))
    }

    /// Whether how this line is answered is what is checked.
    fn answers(&self, at: usize) -> bool {
        at == self.judged && self.checks.iter().any(Check::is_of_the_answer)
    }

    fn has(&self, device: DeviceId) -> bool {
        device.index(self.devices()).is_some()
    }

    /// The device and the stream of a capture, and the pool that it goes to.
    fn captured(&self, graph: GraphName) -> Option<(i32, u8, Option<PoolSource>)> {
        self.lines.iter().find_map(|line| match line.op {
            Op::CaptureBegin { graph: begun, device, stream, pool } if begun == graph => {
                Some((device.0, stream.0, pool))
            }
            _ => None,
        })
    }

    fn unsaid(&self, at: usize, language: Tongue, why: &'static str) -> Unsaid {
        Unsaid::Op { op: self.lines[at].op.to_line(), language, why }
    }

    fn expected(&self) -> String {
        let all: Vec<String> = self.checks.iter().map(Check::expected).collect();
        all.join("; ")
    }
}

/// A text of somebody's on one line, with nothing in it that ends a comment or a string.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .replace("*/", "* /")
        .replace("\"\"\"", "'''")
}

/// A string literal of C, C++, Python and Rust alike.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out + "\""
}
