//! Deadlines, and waiting for descriptors no longer than until one.
//!
//! Decides nothing but that a wait ends. The one place below the engine that reads a clock.

#[cfg(target_os = "linux")]
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A point in time until which is waited.
#[derive(Debug, Clone, Copy)]
pub struct Until(Instant);

impl Until {
    /// So long from now; one that no clock reaches is over at once.
    #[expect(clippy::disallowed_methods, reason = "the deadline of a call to another process")]
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        let now = Instant::now();
        Until(now.checked_add(limit).unwrap_or(now))
    }

    /// How long that is still.
    #[expect(clippy::disallowed_methods, reason = "the deadline of a call to another process")]
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Waits until one of the descriptors can be read, or has ended; answers which, all `false` if the time is up.
///
/// # Errors
/// Whatever the system answers.
#[cfg(target_os = "linux")]
pub fn wait<const N: usize>(on: [BorrowedFd<'_>; N], until: Until) -> io::Result<[bool; N]> {
    polled(on.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)), until)
}

/// Whether the descriptor can be read now, or has ended.
#[cfg(target_os = "linux")]
#[must_use]
pub fn is_readable(on: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(on, PollFlags::IN)];
    matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1))
}

/// Waits until the descriptor can be written to; `false` if the time is up.
///
/// # Errors
/// As `wait`.
#[cfg(target_os = "linux")]
pub fn wait_to_write(on: BorrowedFd<'_>, until: Until) -> io::Result<bool> {
    polled([PollFd::from_borrowed_fd(on, PollFlags::OUT)], until).map(|[ready]| ready)
}

#[cfg(target_os = "linux")]
fn polled<const N: usize>(mut polled: [PollFd<'_>; N], until: Until) -> io::Result<[bool; N]> {
    loop {
        let left = until.left();
        let timeout =
            Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut polled, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(std::array::from_fn(|i| !polled[i].revents().is_empty())),
        }
    }
}
