//! What INT and TERM do to long work: the first asks it to end with what it has, the second ends the process at once.
//!
//! Decides which signals those are and the exit code of the second. How work ends that is asked to is `engine`'s.

use std::sync::Once;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::engine::Stop;

use super::output::note;

/// From now on the first of the signals asks for `stop`. A second one ends the process as shells expect of it: 130
/// after INT, 143 after TERM.
pub(super) fn listen(stop: &Stop) {
    // Twice over, the first signal would find the flag that it has just raised.
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down and raises it.
            let registered = flag::register_conditional_shutdown(signal, 128 + signal, stop.flag())
                .and_then(|_| flag::register(signal, stop.flag()));
            if let Err(error) = registered {
                note(format_args!("warning: signal {signal} will end this at once, without a report: {error}"));
            }
        }
    });
}
