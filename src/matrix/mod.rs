//! Floor 5, releases of one allocator against each other: the same scenarios on each, and each one's findings on all.
//!
//! Decides which releases are meant, which sequences are asked of which, and what counts as a change from one to the next. How a
//! run goes is `engine`'s, and how the page reads `report`'s.

mod across;
mod bisect;
mod changes;
mod merge;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use crate::target::TargetName;
use crate::target::released::{self, RELEASES};
use crate::verdict::record::RunRecord;

pub use bisect::{Bisected, bisect, differing};
pub use merge::{Meant, compare};

/// The releases that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Every one that is known, as far as it is set up.
    All,
    /// These, the oldest first.
    These(Vec<&'static str>),
}

/// A text that names no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{asked}` is no release of PyTorch that is known here: write all, or some of {}", RELEASES.join(","))]
pub struct UnknownRelease {
    asked: String,
}

impl FromStr for Asked {
    type Err = UnknownRelease;

    fn from_str(text: &str) -> Result<Self, UnknownRelease> {
        if text == "all" {
            return Ok(Asked::All);
        }
        let named = |asked: &str| released::known(asked).ok_or_else(|| UnknownRelease { asked: asked.to_owned() });
        let named: Vec<&str> = text.split(',').map(str::trim).map(named).collect::<Result<_, _>>()?;
        Ok(Asked::These(oldest_first(|release| named.contains(&release))))
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asked::All => f.write_str("all"),
            Asked::These(releases) => f.write_str(&releases.join(",")),
        }
    }
}

impl Asked {
    /// The releases to run, and those that were meant and are not set up. Whoever names one wants to be told that it is
    /// missing, and not to do without: those that are named are all to run.
    #[must_use]
    pub fn releases(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        match self {
            Asked::These(releases) => (releases.clone(), Vec::new()),
            Asked::All => {
                let is_there = |release: &str| released::set_up(release).is_some();
                (oldest_first(is_there), oldest_first(|release| !is_there(release)))
            }
        }
    }
}

fn oldest_first(wanted: impl Fn(&'static str) -> bool) -> Vec<&'static str> {
    RELEASES.into_iter().rev().filter(|release| wanted(release)).collect()
}

/// The target that a release is, under settings if there are any.
#[must_use]
pub fn target(release: &str, config: Option<&str>) -> TargetName {
    let option = |(key, value): (&str, &str)| (key.to_owned(), Some(value.to_owned()));
    let options = [Some(("torch", release)), config.map(|config| ("config", config))];
    TargetName {
        allocator: "c10".to_owned(),
        place: "sim".to_owned(),
        options: options.into_iter().flatten().map(option).collect(),
    }
}

/// A release, and what its run came to.
#[derive(Debug, Clone)]
pub struct Ran {
    /// As it is called.
    pub release: String,
    /// What ran.
    pub target: TargetName,
    /// What came of it.
    pub record: RunRecord,
}

impl Ran {
    /// Where its record is, relative to that of the matrix.
    #[must_use]
    pub fn folder(&self) -> String {
        self.target.folder()
    }
}
