//! Processes that hold the rest of a card, so that the one with the allocator finds it small and did not make it so.
//!
//! Decides when one is started, told another size, and replaced. It is `poolproof neighbour`, one for each GPU, kept
//! until this process ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::child::{Program, Talk};
use crate::cuda::{self, Ballast, CudaError};

/// What a neighbour is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum BallastHolder {
    /// Nobody holds anything: `ballast=budget`.
    #[default]
    Nobody,
    /// This process: `ballast=real`.
    Here,
    /// Another one: `ballast=neighbour`.
    Neighbour,
}

impl std::str::FromStr for BallastHolder {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "budget" => Ok(BallastHolder::Nobody),
            "real" => Ok(BallastHolder::Here),
            "neighbour" => Ok(BallastHolder::Neighbour),
            _ => Err(()),
        }
    }
}

impl BallastHolder {
    /// Has the rest of a card held, if a neighbour is to do it. The context of this process is made first: it takes
    /// memory too.
    pub(super) fn ballast(self, ordinal: u32, streams: u8, leave: u64) -> Result<Ballast, CudaError> {
        match self {
            BallastHolder::Nobody => Ok(Ballast::Budget),
            BallastHolder::Here => Ok(Ballast::Real),
            BallastHolder::Neighbour => {
                cuda::prepare(ordinal, streams)?;
                let held = hold(ordinal, leave);
                held.map(Ballast::Neighbour).map_err(|reason| CudaError::NoNeighbour { ordinal, reason })
            }
        }
    }
}

/// How long one may take to hold what it is told to: a card of many gigabytes is filled piece by piece.
const DEADLINE: Duration = Duration::from_secs(120);

/// A running neighbour.
#[derive(Debug)]
struct Neighbour {
    talk: Talk,
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
    Ok(all.get(&ordinal).map_or(0, |neighbour| neighbour.talk.id()))
}

impl Neighbour {
    fn start(ordinal: u32, leave: u64) -> Result<Self, String> {
        let (ordinal, leaves) = (ordinal.to_string(), leave.to_string());
        let arguments = ["neighbour", "--gpu", &ordinal, "--leave", &leaves];
        let talk = Talk::start(&Program::new(super::worker::program(), arguments)).map_err(|e| e.to_string())?;
        let mut neighbour = Neighbour { talk, leave };
        neighbour.await_word()?;
        Ok(neighbour)
    }

    fn tell(&mut self, leave: u64) -> Result<(), String> {
        if self.leave == leave && self.talk.is_running() {
            return Ok(());
        }
        self.talk.tell(&leave.to_string()).map_err(|e| e.to_string())?;
        self.leave = leave;
        self.await_word()
    }

    /// It says in one line that it holds what it was told to.
    fn await_word(&mut self) -> Result<(), String> {
        match self.talk.hear(DEADLINE) {
            Ok(line) if line.starts_with("holding ") => Ok(()),
            Ok(line) => Err(format!("it said `{}`", line.trim_end())),
            Err(silence) => Err(silence.to_string()),
        }
    }
}
