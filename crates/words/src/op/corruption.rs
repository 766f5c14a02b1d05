//! One observable that is told wrongly: which, how, and after which operations.
//!
//! Decides the names and which of them go together. How a value is made wrong is `target::unfaithful`'s.

use std::fmt;
use std::str::FromStr;

use super::observable::{BlockField, DeviceFigure, EventField, Observable, RefusalNumber, ReplyField, SegmentField};
use super::stats::Key;

macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($variant:ident => $text:literal, $what:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $(#[doc = $what] $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The name in target options.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }

            /// What it means.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $($name::$variant => $what),+ }
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                $name::ALL.iter().copied().find(|one| one.name() == text).ok_or(())
            }
        }
    };
}

named!(
    /// How a value is wrong.
    Wrong {
        OneMore => "one-more", "one too many, in the last digit that is shown";
        OneLess => "one-less", "one too few, in the last digit that is shown";
        Stale => "stale", "what it was when it was told before";
        OtherDevice => "other-device", "the value of the next device";
        OtherPool => "other-pool", "the value of another pool's row";
        Zero => "zero", "0, or nothing";
        Swapped => "swapped", "exchanged with the value beside it, or its opposite";
        Wrapped => "wrapped", "what is left of it in 32 bits";
        Lost => "lost", "the first change in or after a failed call is never counted";
    }
);

named!(
    /// After which operations it is.
    Occasion {
        Always => "always", "after every operation";
        AfterFailure => "after-failure", "after an operation that failed, until the next one";
        SinceFailure => "since-failure", "from the first operation that failed";
        OtherDevices => "other-devices", "on every device but the first";
        NowAndThen => "now-and-then", "after every 64th operation; in an answer, every fourth time";
    }
);

/// What an unfaithful reporter does: `KEY/KIND/WHEN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Corruption {
    /// Which value is wrong.
    pub observable: Observable,
    /// How.
    pub wrong: Wrong,
    /// When.
    pub occasion: Occasion,
}

/// Why a text is no corruption. The parts are named as they were given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what is wrong")]
pub enum CorruptionError {
    #[error("`{text}` is not KEY/KIND/WHEN")]
    Malformed { text: String },
    #[error("there is no observable `{text}`")]
    Observable { text: String },
    #[error("there is no kind `{text}`; there are {}", names(Wrong::ALL, |w| w.name()))]
    Wrong { text: String },
    #[error("there is no occasion `{text}`; there are {}", names(Occasion::ALL, |o| o.name()))]
    Occasion { text: String },
    #[error("{observable} cannot be {wrong}; it can be {}", names(&kinds(*observable), |w| w.name()))]
    Unfitting { observable: Observable, wrong: &'static str },
    #[error("{wrong} has its own occasion; it goes with {}", names(occasions(*wrong, true), |o| o.name()))]
    OwnOccasion { wrong: Wrong },
}

fn names<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str) -> String {
    all.iter().map(|&one| name(one)).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a value can be wrong: what has no neighbour is not swapped, what has no pool is not another pool's.
#[must_use]
pub fn kinds(observable: Observable) -> Vec<Wrong> {
    use Wrong::{Lost, OneLess, OneMore, OtherDevice, OtherPool, Stale, Swapped, Wrapped, Zero};
    match observable {
        Observable::Statistic(Key::Family(..)) => Wrong::ALL.to_vec(),
        Observable::Statistic(_) => {
            vec![OneMore, OneLess, Stale, OtherDevice, Zero, Swapped, Wrapped, Lost]
        }
        Observable::Device(DeviceFigure::Idle) => vec![Stale, OtherDevice, Zero, Swapped],
        Observable::Device(DeviceFigure::Fraction) => vec![OneMore, OneLess, Stale, OtherDevice, Zero, Swapped],
        Observable::Device(_) => vec![OneMore, OneLess, Stale, OtherDevice, Zero, Swapped, Wrapped],
        Observable::Dictionary(_) | Observable::Table(_) => vec![OneMore, OneLess, Stale, Zero, Swapped],
        Observable::Segment(field) => match field {
            SegmentField::Type | SegmentField::Expandable => vec![Swapped],
            SegmentField::List => vec![OneMore, OneLess, Stale, Zero],
            SegmentField::Device => vec![OneMore, Zero],
            SegmentField::Stream | SegmentField::Pool => vec![OneMore, Stale, OtherDevice, OtherPool, Zero],
            _ => vec![OneMore, OneLess, Stale, OtherDevice, OtherPool, Zero, Swapped, Wrapped],
        },
        Observable::Block(field) => match field {
            BlockField::State => vec![Swapped, Zero],
            BlockField::List => vec![OneMore, OneLess, Zero],
            _ => vec![OneMore, OneLess, Stale, OtherDevice, Zero, Swapped, Wrapped],
        },
        Observable::Refusal(RefusalNumber::Device) => vec![OneMore, Stale, Zero],
        Observable::Refusal(_) => vec![OneMore, OneLess, Stale, Zero, Swapped],
        Observable::Reply(field) => match field {
            ReplyField::Address => vec![OneMore, OneLess, Stale, Zero, Wrapped],
            ReplyField::FreeBytes | ReplyField::TotalBytes => {
                vec![OneMore, OneLess, Stale, OtherDevice, Zero, Swapped, Wrapped]
            }
            ReplyField::Fraction => vec![OneMore, OneLess, Stale, OtherDevice, Zero, Swapped],
            ReplyField::Contents => vec![Swapped, Zero],
            ReplyField::Class => vec![Swapped],
        },
        Observable::Event(field) => match field {
            EventField::List => vec![OneMore, OneLess, Zero],
            EventField::Order => vec![OtherDevice, Swapped],
            EventField::Action => vec![Swapped],
            EventField::Address | EventField::Bytes => vec![OneMore, OneLess, Stale, Zero, Swapped, Wrapped],
            EventField::Stream => vec![OneMore, Stale, Zero],
        },
    }
}

/// When a value can be so wrong. What is lost after a failure is lost from there on.
#[must_use]
pub fn occasions(wrong: Wrong, is_figure: bool) -> &'static [Occasion] {
    match wrong {
        Wrong::Lost => &[Occasion::Always, Occasion::OtherDevices],
        _ if is_figure => Occasion::ALL,
        _ => &[Occasion::Always, Occasion::SinceFailure, Occasion::OtherDevices, Occasion::NowAndThen],
    }
}

impl Corruption {
    /// Every one that makes sense.
    pub fn all() -> impl Iterator<Item = Corruption> {
        Observable::all().flat_map(Corruption::of)
    }

    /// Every one of an observable.
    #[must_use]
    pub fn of(observable: Observable) -> Vec<Corruption> {
        let is_figure = observable.is_figure();
        let each = |wrong: Wrong| {
            occasions(wrong, is_figure).iter().map(move |&occasion| Corruption { observable, wrong, occasion })
        };
        kinds(observable).into_iter().flat_map(each).collect()
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.observable, self.wrong.name(), self.occasion.name())
    }
}

impl FromStr for Corruption {
    type Err = CorruptionError;

    fn from_str(text: &str) -> Result<Self, CorruptionError> {
        let parts: Vec<&str> = text.split('/').collect();
        let [key, kind, when] = parts[..] else { return Err(CorruptionError::Malformed { text: text.to_owned() }) };
        let observable = key.parse().map_err(|()| CorruptionError::Observable { text: key.to_owned() })?;
        let wrong: Wrong = kind.parse().map_err(|()| CorruptionError::Wrong { text: kind.to_owned() })?;
        let occasion = when.parse().map_err(|()| CorruptionError::Occasion { text: when.to_owned() })?;
        if !kinds(observable).contains(&wrong) {
            return Err(CorruptionError::Unfitting { observable, wrong: wrong.name() });
        }
        if wrong == Wrong::Lost && !occasions(wrong, true).contains(&occasion) {
            return Err(CorruptionError::OwnOccasion { wrong });
        }
        Ok(Corruption { observable, wrong, occasion })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_corruption_reads_back() {
        let mut count = 0;
        for corruption in Corruption::all() {
            assert_eq!(corruption.to_string().parse(), Ok(corruption));
            count += 1;
        }
        assert!(count > 5_000, "{count}");
    }

    #[test]
    fn what_is_wrong_with_a_name_is_said() {
        let error = |text: &str| text.parse::<Corruption>().expect_err("is wrong").to_string();
        assert_eq!(error("active.all.current"), "`active.all.current` is not KEY/KIND/WHEN");
        assert_eq!(error("activ.all.current/zero/always"), "there is no observable `activ.all.current`");
        assert!(error("num_ooms/zer0/always").starts_with("there is no kind `zer0`; there are one-more, one-less"));
        assert!(error("num_ooms/zero/never").starts_with("there is no occasion `never`; there are always, "));
        assert!(error("num_ooms/other-pool/always").starts_with("num_ooms cannot be other-pool; it can be one-more"));
        assert_eq!(
            error("num_ooms/lost/now-and-then"),
            "lost has its own occasion; it goes with always, other-devices"
        );
    }
}
