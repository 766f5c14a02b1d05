//! Where a failure is expected: on which versions, devices and options of a target.
//!
//! Decides whether an entry is about the target at hand. How it is written, its parent says.

use globset::GlobMatcher;

use super::range::Range;
use crate::op::{Capability, Versions};

/// Where it is expected; what is not given may be anything.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub(super) allocator: Option<Range>,
    pub(super) device: Option<GlobMatcher>,
    pub(super) driver: Option<Range>,
    pub(super) options: Option<GlobMatcher>,
    pub(super) lacks: Option<Capability>,
}

/// Whether an entry is about the target at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It is.
    Here,
    /// It is about others.
    Elsewhere,
    /// The target does not tell this figure.
    Unknown(&'static str),
}

impl Scope {
    /// Whether it names no condition: the failure is expected wherever the target runs.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        let Scope { allocator, device, driver, options, lacks } = self;
        allocator.is_none() && device.is_none() && driver.is_none() && options.is_none() && lacks.is_none()
    }

    /// Whether a target of these versions, devices, capabilities and options (as its name gives them) is meant.
    #[must_use]
    pub fn reach(&self, versions: &Versions, devices: &[&str], capabilities: &[String], options: &str) -> Reach {
        if self.options.as_ref().is_some_and(|glob| !glob.is_match(options)) {
            return Reach::Elsewhere;
        }
        if self.lacks.is_some_and(|capability| capabilities.contains(&capability.to_string())) {
            return Reach::Elsewhere;
        }
        for (what, range, version) in [
            ("allocator version", &self.allocator, &versions.allocator),
            ("driver version", &self.driver, &versions.driver),
        ] {
            match (range, version) {
                (Some(_), None) => return Reach::Unknown(what),
                (Some(range), Some(version)) if !range.holds(version) => return Reach::Elsewhere,
                _ => {}
            }
        }
        match &self.device {
            Some(glob) if !devices.iter().any(|name| glob.is_match(name)) => Reach::Elsewhere,
            _ => Reach::Here,
        }
    }
}
