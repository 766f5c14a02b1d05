//! Ways for a worker to go wrong on request, so that the harness can be seen to survive them.
//!
//! For tests only: `worker:reference@sim?misbehave=hang-at:7`. Operations are counted from 1 in each sequence; 0 is the
//! first question to the process, before any sequence.

use std::io::Write;
use std::str::FromStr;

use super::super::TargetName;
use crate::cuda;

/// The GPU that kernels go wrong on.
const GPU: u32 = 0;

/// What goes wrong, and at which operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each does at an operation what its name says")]
pub enum Misbehaviour {
    HangAt(u64),
    ExitAt(u64),
    AbortAt(u64),
    PanicAt(u64),
    /// A line that is no answer.
    GarbageAt(u64),
    /// A line that does not end.
    FloodAt(u64),
    /// Words without end on stderr, and no answer.
    ChatterAt(u64),
    /// Answers without end, and nothing more is read. (Those of a target with one device.)
    DeafAt(u64),
    /// The operation is answered, and the process said to be unusable from then on.
    PoisonAt(u64),
    /// A kernel that does not end is waited for in the driver. On a GPU only, as is the next.
    SpinAt(u64),
    /// A kernel writes where there is no memory, and the operation is then asked.
    IllegalAt(u64),
    /// Everybody else goes first so many times before the first answer.
    SlowStart(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no misbehaviour: hang-at, exit-at, abort-at, panic-at, garbage-at, flood-at, chatter-at, deaf-at, poison-at, spin-at, illegal-at or slow-start, each with `:N`"
)]
/// A text that names no misbehaviour.
pub struct UnknownMisbehaviour {
    text: String,
}

impl FromStr for Misbehaviour {
    type Err = UnknownMisbehaviour;

    fn from_str(text: &str) -> Result<Self, UnknownMisbehaviour> {
        let unknown = || UnknownMisbehaviour { text: text.to_owned() };
        let (kind, number) = text.split_once(':').ok_or_else(unknown)?;
        let number = number.parse().map_err(|_| unknown())?;
        Ok(match kind {
            "hang-at" => Misbehaviour::HangAt(number),
            "exit-at" => Misbehaviour::ExitAt(number),
            "abort-at" => Misbehaviour::AbortAt(number),
            "panic-at" => Misbehaviour::PanicAt(number),
            "garbage-at" => Misbehaviour::GarbageAt(number),
            "flood-at" => Misbehaviour::FloodAt(number),
            "chatter-at" => Misbehaviour::ChatterAt(number),
            "deaf-at" => Misbehaviour::DeafAt(number),
            "poison-at" => Misbehaviour::PoisonAt(number),
            "spin-at" => Misbehaviour::SpinAt(number),
            "illegal-at" => Misbehaviour::IllegalAt(number),
            "slow-start" => Misbehaviour::SlowStart(number),
            _ => return Err(unknown()),
        })
    }
}

impl Misbehaviour {
    /// Whether a target can go wrong in this way: kernels need a GPU.
    #[must_use]
    pub fn suits(self, name: &TargetName) -> bool {
        !matches!(self, Misbehaviour::SpinAt(_) | Misbehaviour::IllegalAt(_)) || name.place == "cuda"
    }

    /// Whether it has come to it, or is past it.
    pub(super) fn has_begun(self, operation: u64) -> bool {
        operation >= self.at()
    }

    /// Whether it shows however the target is asked: the others are about the lines that a worker writes, or its kernels.
    pub(in crate::target) fn needs_no_answers(self) -> bool {
        use Misbehaviour as M;
        matches!(self, M::HangAt(_) | M::ExitAt(_) | M::AbortAt(_) | M::PanicAt(_) | M::ChatterAt(_))
    }

    /// The operation that goes wrong.
    pub(in crate::target) fn at(self) -> u64 {
        match self {
            Misbehaviour::HangAt(at)
            | Misbehaviour::ExitAt(at)
            | Misbehaviour::AbortAt(at)
            | Misbehaviour::PanicAt(at)
            | Misbehaviour::GarbageAt(at)
            | Misbehaviour::FloodAt(at)
            | Misbehaviour::ChatterAt(at)
            | Misbehaviour::DeafAt(at)
            | Misbehaviour::PoisonAt(at)
            | Misbehaviour::SpinAt(at)
            | Misbehaviour::IllegalAt(at) => at,
            Misbehaviour::SlowStart(_) => 0,
        }
    }

    /// Before the first answer.
    pub(super) fn at_start(self, output: &mut impl Write) {
        if let Misbehaviour::SlowStart(times) = self {
            (0..times).for_each(|_| std::thread::yield_now());
        }
        self.at_operation(0, output);
    }

    /// Before an operation.
    pub(in crate::target) fn at_operation(self, operation: u64, output: &mut impl Write) {
        if self.at() != operation {
            return;
        }
        match self {
            Misbehaviour::HangAt(_) => loop {
                std::thread::park();
            },
            Misbehaviour::ExitAt(_) => {
                eprintln!("leaving on request");
                std::process::exit(42);
            }
            Misbehaviour::AbortAt(_) => std::process::abort(),
            Misbehaviour::PanicAt(_) => panic!("a panic on request"),
            // A pipe that nobody reads any more is as good an end as any.
            Misbehaviour::GarbageAt(_) => drop(output.write_all(b"Segmentation fault (not really)\n")),
            Misbehaviour::FloodAt(_) => while output.write_all(&[b'x'; 4096]).is_ok() {},
            Misbehaviour::ChatterAt(_) => while std::io::stderr().write_all(&[b'x'; 4096]).is_ok() {},
            Misbehaviour::DeafAt(_) => {
                const ANSWER: &[u8] = b"{\"applied\":{\"reply\":\"done\",\"devices\":[null]}}\n";
                while output.write_all(ANSWER).and_then(|()| output.flush()).is_ok() {}
            }
            // What comes back from these is told on stderr, and the target's next answer says the rest.
            Misbehaviour::SpinAt(_) => eprintln!("a kernel that was not to end: {:?}", cuda::hang(GPU)),
            Misbehaviour::IllegalAt(_) => match cuda::touch_nowhere(GPU) {
                Ok(code) => eprintln!("error {code} on request"),
                Err(error) => eprintln!("no error on request: {error}"),
            },
            Misbehaviour::PoisonAt(_) | Misbehaviour::SlowStart(_) => {}
        }
    }
}
