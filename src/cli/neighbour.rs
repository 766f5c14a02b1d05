//! `poolproof neighbour`: holds memory of a GPU, so that other processes find a small or crowded card.
//!
//! Decides when what is held changes and when it ends. How memory is taken is `device::cuda`'s.

use std::io::{self, BufRead};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::cuda::Neighbour;
use crate::op::size::{self, human};
use crate::target::worker;
use crate::workload;

use super::flags::duration;
use super::output::note;
use super::{CliError, Context, Exit};

/// Hold memory of a GPU, so that others find a small or crowded card
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Says in one line how much it holds once it does, and at the end what it did. A size written to stdin comes instead of
--leave. Ends when stdin is closed (or after --time), and with the process that started it; whatever ends it, the
driver has the memory back. Nothing is written to the memory. A context of its own takes some hundred MiB more.

Exit codes: 0 it held, 2 there is no such GPU, 3 no GPU can be used (the reason is printed).

Examples:
  poolproof neighbour --leave 4GiB                          a card of 4 GiB, until Ctrl-D
  poolproof neighbour --gpu 1 --leave 512MiB --time 10m     a second card on which hardly anything starts
  poolproof neighbour --leave 8GiB --churn --rate 50        a neighbour that takes and gives back, 50 times a second")]
pub(super) struct Args {
    /// The GPU's number, as CUDA numbers them
    #[arg(long, value_name = "N", default_value_t = 0)]
    gpu: u32,
    /// Hold everything but this: 512MiB, 4GiB
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    leave: u64,
    /// Instead of holding still, take and give back random amounts, between nothing and everything but --leave
    #[arg(long)]
    churn: bool,
    /// The amounts are drawn from this
    #[arg(long, default_value_t = 0, requires = "churn")]
    seed: u64,
    /// Changes a second [default: as many as the driver makes]
    #[arg(long, value_name = "N", requires = "churn", value_parser = pause)]
    rate: Option<Duration>,
    /// End by itself after this much time: 30s, 10m; stdin is not read then
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,
}

/// The time between two changes.
fn pause(text: &str) -> Result<Duration, String> {
    let rate: Option<f64> = text.parse().ok().filter(|rate: &f64| *rate > 0.0);
    let pause = rate.and_then(|rate| Duration::try_from_secs_f64(rate.recip()).ok());
    pause.ok_or_else(|| format!("`{text}` is not a number of changes a second, such as 50 or 0.5"))
}

pub(super) fn run(args: &Args, context: &mut Context) -> Result<Exit, CliError> {
    worker::follow_parent();
    let mut neighbour = Neighbour::open(args.gpu)?;
    let end = End::new(args.time);
    if args.churn {
        let most = human(neighbour.most(args.leave)?);
        context.out.line(format_args!("holding up to {most} of GPU {}, {} are left", args.gpu, human(args.leave)))?;
        let (changes, refused) = churn(&mut neighbour, args, &end)?;
        drop(neighbour);
        context.out.line(format_args!("gave everything back: {changes} changes were made, {refused} refused"))?;
    } else {
        let before = neighbour.free_bytes()?;
        let mut next = Some(args.leave);
        let mut held = String::new();
        while let Some(leave) = next {
            neighbour.hold(leave)?;
            let left = neighbour.free_bytes()?;
            held = human(before.saturating_sub(left));
            context.out.line(format_args!("holding {held} of GPU {}, {} are left", args.gpu, human(left)))?;
            next = end.next_size();
        }
        drop(neighbour);
        context.out.line(format_args!("gave {held} of GPU {} back", args.gpu))?;
    }
    Ok(Exit::Conformant)
}

/// Changes what is held until the end; answers how many changes were made and how many refused.
fn churn(neighbour: &mut Neighbour, args: &Args, end: &End) -> Result<(u64, u64), CliError> {
    let (mut changes, mut refused) = (0, 0);
    let start = workload::scatter(args.seed);
    loop {
        let share = workload::scatter(start.wrapping_add(changes + refused));
        if neighbour.change(args.leave, share)? {
            changes += 1;
        } else {
            refused += 1;
        }
        if end.wait(args.rate.unwrap_or_default()) {
            return Ok((changes, refused));
        }
    }
}

/// When to end: at a moment, or when stdin is closed. Sizes that come before are handed on.
struct End {
    sizes: Receiver<u64>,
    /// Where stdin is not read, nobody closes it.
    _open: Option<Sender<u64>>,
    at: Option<Instant>,
}

#[expect(clippy::disallowed_methods, reason = "how long memory is held is asked for on the command line")]
fn now() -> Instant {
    Instant::now()
}

impl End {
    fn new(time: Option<Duration>) -> Self {
        let (open, sizes) = mpsc::channel();
        let at = time.and_then(|time| now().checked_add(time));
        if time.is_some() {
            return End { sizes, _open: Some(open), at };
        }
        std::thread::spawn(move || {
            // However reading ends, nothing more comes: dropping the sender says so.
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                match size::parse(&line) {
                    Ok(size) if open.send(size).is_ok() => {}
                    Ok(_) => break,
                    Err(error) => note(format_args!("{error}; what is held stays as it is")),
                }
            }
        });
        End { sizes, _open: None, at }
    }

    /// The next size that comes before the end.
    fn next_size(&self) -> Option<u64> {
        match self.left() {
            None => self.sizes.recv().ok(),
            Some(left) => self.sizes.recv_timeout(left).ok(),
        }
    }

    /// Waits this long, or for the end; whether it has come.
    fn wait(&self, pause: Duration) -> bool {
        let left = self.left();
        let limit = left.map_or(pause, |left| left.min(pause));
        match self.sizes.recv_timeout(limit) {
            Err(RecvTimeoutError::Timeout) => left.is_some_and(|left| left <= limit),
            Err(RecvTimeoutError::Disconnected) => true,
            Ok(_) => false, // what changes by itself takes no sizes
        }
    }

    fn left(&self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_time_between_changes() {
        assert_eq!(pause("50"), Ok(Duration::from_millis(20)));
        assert_eq!(pause("0.5"), Ok(Duration::from_secs(2)));
        for text in ["0", "-1", "nan", "fast", "1e-300", ""] {
            assert!(pause(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_end_comes_in_time() {
        let end = End::new(Some(Duration::from_millis(20)));
        assert!(!end.wait(Duration::ZERO));
        assert_eq!(end.next_size(), None, "the moment itself");
        assert!(end.wait(Duration::from_secs(600)), "and from then on");
    }
}
