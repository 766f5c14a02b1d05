//! How a target is opened for one sequence, and panics caught meanwhile: they become a value and print nothing.
//!
//! Decides which errors of opening are a loss.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::op::{Setup, TargetInfo, Versions};
use crate::target::{Lost, Target, TargetError};

/// Builds the target under test for one sequence.
pub type Opener<'a> = dyn Fn(&Setup) -> Result<Box<dyn Target>, TargetError> + Sync + 'a;

/// The loss that an error of opening is: of a process, or of room on a card. What is wrong with the name stays an error.
pub(super) fn lost_by(error: TargetError) -> Result<Lost, TargetError> {
    match error {
        TargetError::Lost { lost, .. } => Ok(lost),
        TargetError::Unavailable { reason, .. } => Ok(Lost::Unavailable { reason }),
        small @ TargetError::TooSmall { .. } => Ok(Lost::Unavailable { reason: small.to_string() }),
        other => Err(other),
    }
}

/// What the target says of itself in a world; `Ok(Err)` if it panics before it can.
///
/// # Errors
/// What the target says where it cannot be built.
pub fn inspect(open: &Opener<'_>, setup: &Setup) -> Result<Result<(TargetInfo, Versions), String>, TargetError> {
    match catch_panic(|| open(setup).map(|target| (target.info().clone(), target.versions()))) {
        Ok(result) => result.map(Ok),
        Err(text) => Ok(Err(text)),
    }
}

thread_local! {
    /// What the last panic under `catch_panic` said; `None` outside of it.
    static HEARD: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `body`; if it panics, answers what the panic said instead of printing it. Other threads, and
/// this one afterwards, panic as they always did.
pub(crate) fn catch_panic<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let said = info.payload_as_str().unwrap_or("a panic without a text");
            let place = info.location().map_or_else(String::new, |l| format!(" ({}:{})", l.file(), l.line()));
            let listens = HEARD.try_with(|heard| {
                let mut heard = heard.borrow_mut();
                if let Some(text) = heard.as_mut() {
                    *text = format!("{said}{place}");
                }
                heard.is_some()
            });
            if listens != Ok(true) {
                usual(info);
            }
        }));
    });
    HEARD.set(Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    let text = HEARD.take().unwrap_or_default();
    result.map_err(|_| text)
}
