//! Target names: `[worker:]allocator@where[?key=value[&key=value]]`.

use std::fmt;
use std::str::FromStr;

/// A target as a user names it: `reference@sim?defect=stale-peak`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName {
    /// What stands before `@`, `worker:` included.
    pub allocator: String,
    /// Where it allocates: `sim`, `cuda`.
    pub place: String,
    /// Everything after `?`, in order. `torch@cuda?expandable_segments:True` has one key without a value.
    pub options: Vec<(String, Option<String>)>,
}

/// Why a target name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetNameError {
    /// No `@`, or nothing on one side of it.
    #[error("`{name}` is not a target name: write allocator@where, for example reference@sim")]
    Malformed {
        /// As it was given.
        name: String,
    },
}

impl FromStr for TargetName {
    type Err = TargetNameError;

    fn from_str(name: &str) -> Result<Self, TargetNameError> {
        let (head, options) = name.split_once('?').map_or((name, None), |(head, rest)| (head, Some(rest)));
        let (allocator, place) =
            head.split_once('@').ok_or_else(|| TargetNameError::Malformed { name: name.to_owned() })?;
        if allocator.is_empty() || place.is_empty() {
            return Err(TargetNameError::Malformed { name: name.to_owned() });
        }
        let options = options.map_or_else(Vec::new, |text| {
            let pairs = text.split('&').filter(|p| !p.is_empty());
            pairs
                .map(|p| p.split_once('=').map_or((p.to_owned(), None), |(k, v)| (k.to_owned(), Some(v.to_owned()))))
                .collect()
        });
        Ok(TargetName { allocator: allocator.to_owned(), place: place.to_owned(), options })
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.allocator, self.place)?;
        for (i, (key, value)) in self.options.iter().enumerate() {
            write!(f, "{}{key}", if i == 0 { '?' } else { '&' })?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

/// In front of a name: the target runs in a process of its own.
const APART: &str = "worker:";

/// Targets in these places always do: a failed kernel takes its process along.
const RISKY_PLACES: [&str; 1] = ["cuda"];

impl TargetName {
    /// Whether the target runs in a process of its own: `worker:reference@sim`, and whatever runs on real devices.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.allocator.starts_with(APART) || RISKY_PLACES.contains(&self.place.as_str())
    }

    /// The name without `worker:`, and without the options in `taken`.
    #[must_use]
    pub fn inner(&self, taken: &[&str]) -> TargetName {
        let allocator = self.allocator.strip_prefix(APART).unwrap_or(&self.allocator).to_owned();
        let options = self.options.iter().filter(|(key, _)| !taken.contains(&key.as_str())).cloned().collect();
        TargetName { allocator, place: self.place.clone(), options }
    }

    /// A name for a folder: everything but letters, digits, `@`, `.` and `-` becomes `_`.
    #[must_use]
    pub fn folder(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "@.-".contains(c) { c } else { '_' };
        self.to_string().chars().map(plain).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for name in ["reference@sim", "reference@sim?defect=stale-peak", "torch@cuda?expandable_segments:True"] {
            assert_eq!(name.parse::<TargetName>().expect("well formed").to_string(), name);
        }
        assert!("reference".parse::<TargetName>().is_err());
        assert!("@sim".parse::<TargetName>().is_err());
    }

    #[test]
    fn a_name_says_where_it_runs() {
        let name = |text: &str| text.parse::<TargetName>().expect("well formed");
        let apart = name("worker:reference@sim?deadline=2s&defect=stale-peak");
        assert!(apart.is_apart() && name("reference@cuda").is_apart() && !name("reference@sim").is_apart());
        assert_eq!(apart.inner(&["deadline"]).to_string(), "reference@sim?defect=stale-peak");
        assert_eq!(apart.folder(), "worker_reference@sim_deadline_2s_defect_stale-peak");
    }

    #[test]
    fn folders_are_plain() {
        let name: TargetName = "reference@sim?defect=stale-peak".parse().expect("well formed");
        assert_eq!(name.folder(), "reference@sim_defect_stale-peak");
    }
}
