//! Processes that hold the rest of a card, so that the one with the allocator finds it small and did not make it so.
//!
//! Decides when one is started, told another size, and replaced. It is `poolproof neighbour`, one for each GPU, kept
//! until this process ends.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::cuda::{self, Ballast, CudaError};

/// What a neighbour is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Holder {
    /// Nobody holds anything: `ballast=budget`.
    #[default]
    Nobody,
    /// This process: `ballast=real`.
    Here,
    /// Another one: `ballast=neighbour`.
    Neighbour,
}

impl std::str::FromStr for Holder {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "budget" => Ok(Holder::Nobody),
            "real" => Ok(Holder::Here),
            "neighbour" => Ok(Holder::Neighbour),
            _ => Err(()),
        }
    }
}

impl Holder {
    /// Has the rest of a card held, if a neighbour is to do it. The context of this process is made first: it takes
    /// memory too.
    pub(super) fn ballast(self, ordinal: u32, streams: u8, leave: u64) -> Result<Ballast, CudaError> {
        match self {
            Holder::Nobody => Ok(Ballast::Budget),
            Holder::Here => Ok(Ballast::Real),
            Holder::Neighbour => {
                cuda::prepare(ordinal, streams)?;
                let held = hold(ordinal, leave);
                held.map(Ballast::Neighbour).map_err(|reason| CudaError::NoNeighbour { ordinal, reason })
            }
        }
    }
}

/// A running neighbour.
#[derive(Debug)]
struct Neighbour {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    leave: u64,
}

static NEIGHBOURS: Mutex<BTreeMap<u32, Neighbour>> = Mutex::new(BTreeMap::new());

/// Leaves this much of a card to others; answers the number of the process that holds the rest.
fn hold(ordinal: u32, leave: u64) -> Result<u32, String> {
    let mut all = NEIGHBOURS.lock().unwrap_or_else(PoisonError::into_inner);
    let told = all.get_mut(&ordinal).map(|neighbour| neighbour.tell(leave));
    if !matches!(told, Some(Ok(()))) {
        all.remove(&ordinal); // one that ended is replaced
        all.insert(ordinal, Neighbour::start(ordinal, leave)?);
    }
    Ok(all.get(&ordinal).map_or(0, |neighbour| neighbour.child.id()))
}

impl Neighbour {
    fn start(ordinal: u32, leave: u64) -> Result<Self, String> {
        let mut command = Command::new(super::worker::program());
        command.args(["neighbour", "--gpu", &ordinal.to_string(), "--leave", &leave.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A terminal sends INT to the whole group; the card is to stay as it is until the run has come to its end.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("its pipes are missing".to_owned());
        };
        let mut neighbour = Neighbour { child, stdin, stdout: BufReader::new(stdout), leave };
        neighbour.await_word()?;
        Ok(neighbour)
    }

    fn tell(&mut self, leave: u64) -> Result<(), String> {
        if self.leave == leave && matches!(self.child.try_wait(), Ok(None)) {
            return Ok(());
        }
        writeln!(self.stdin, "{leave}").and_then(|()| self.stdin.flush()).map_err(|e| e.to_string())?;
        self.leave = leave;
        self.await_word()
    }

    /// It says in one line that it holds what it was told to.
    fn await_word(&mut self) -> Result<(), String> {
        let mut line = String::new();
        match self.stdout.read_line(&mut line) {
            Ok(_) if line.starts_with("holding ") => Ok(()),
            Ok(0) => Err(self.child.wait().map_or_else(|e| e.to_string(), |status| format!("it ended: {status}"))),
            Ok(_) => Err(format!("it said `{}`", line.trim_end())),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // One that ended already cannot be killed, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
