//! How a target is opened for one sequence, and panics caught meanwhile: they become a value and print nothing.
//!
//! Decides which errors of opening are a loss.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::op::{Setup, TargetInfo, Versions};
use crate::target::{self, Lost, Target, TargetError, TargetName};

use super::forked;

/// Builds the target under test for one sequence.
pub trait Opens: Sync {
    /// Builds it in this process.
    ///
    /// # Errors
    /// What the target says where it cannot be built.
    fn open(&self, setup: &Setup) -> Result<Box<dyn Target>, TargetError>;

    /// The target whose sequences are judged elsewhere, each in a process of its own, so that nobody opens it here.
    fn forked(&self) -> Option<&TargetName> {
        None
    }
}

/// Whatever builds a target.
pub type Opener<'a> = dyn Opens + 'a;

impl<F: Fn(&Setup) -> Result<Box<dyn Target>, TargetError> + Sync> Opens for F {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
        self(setup)
    }
}

/// The target of a name, wherever its sequences are judged.
#[derive(Debug, Clone, Copy)]
pub struct Named<N>(pub N);

impl<N: Borrow<TargetName> + Sync> Opens for Named<N> {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
        target::open(self.0.borrow(), setup)
    }

    fn forked(&self) -> Option<&TargetName> {
        Some(self.0.borrow()).filter(|name| name.is_forked())
    }
}

/// The same as another one.
pub(super) struct Same<'a>(pub(super) &'a Opener<'a>);

impl Opens for Same<'_> {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Target>, TargetError> {
        self.0.open(setup)
    }

    fn forked(&self) -> Option<&TargetName> {
        self.0.forked()
    }
}

/// The loss that an error of opening is: of a process, or of room on a card. What is wrong with the name stays an error.
pub(super) fn lost_by(error: TargetError) -> Result<Lost, TargetError> {
    match error {
        TargetError::Lost { lost, .. } => Ok(lost),
        TargetError::Unavailable { reason, .. } => Ok(Lost::Unavailable { reason }),
        TargetError::SettingsRefused { settings, reason, .. } => Ok(Lost::SettingsRefused { settings, reason }),
        small @ TargetError::TooSmall { .. } => Ok(Lost::Unavailable { reason: small.to_string() }),
        other => Err(other),
    }
}

/// What the target says of itself in a world; `Ok(Err)` if it panics before it can.
///
/// # Errors
/// What the target says where it cannot be built.
pub fn inspect(open: &Opener<'_>, setup: &Setup) -> Result<Result<(TargetInfo, Versions), String>, TargetError> {
    if let Some(name) = open.forked() {
        return forked::inspect(name, setup);
    }
    match catch_panic(|| open.open(setup).map(|target| (target.info().clone(), target.versions()))) {
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
