//! What a moment comes down to, in one word: the largest of what stood in the way.
//!
//! Decides which it was. Where a request was refused though the card could not have held what was asked for, no part of
//! the cache is to blame, whatever its size.

use serde::Serialize;

use super::parts::Part;
use super::watch::Moment;

/// What kept a request from memory, or reserved memory from being of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// What was asked for and is alive does not fit on the card together with the request.
    Demand,
    /// It would fit on the card, and others hold too much of it.
    OthersOnTheCard,
    /// It would fit on the card, and not into the memory fraction that the program set.
    Fraction,
    /// Cached in pieces too short, pinned by live blocks.
    Fragmentation,
    /// The same, and no live block pins most of it: nothing was given back, as a pool is used or a graph captured.
    NotGivenBack,
    /// Cached for other streams.
    OtherStream,
    /// Cached in private pools or by graphs.
    PrivatePool,
    /// Cached outside of the private pool that the request went to.
    OutsideThePool,
    /// Cached for the other size class.
    OtherClass,
    /// Kept for oversize requests by `max_split_size`.
    MaxSplit,
    /// Freed, and waited for.
    Waiting,
    /// Rounding of live blocks.
    Rounding,
    /// The rest of what was got for this request.
    Remainder,
    /// Mapped for the request and given back.
    Moment,
    /// Next to nothing is in the way: what is reserved was asked for.
    NothingElse,
}

/// A cause and how much of reserved memory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub cause: Cause,
    pub bytes: u64,
}

/// So much of reserved memory may be something else where nothing is said to be in the way.
const NEGLIGIBLE: u64 = 10;

/// What the most memory could be held at that moment, by this program.
pub(super) fn available(moment: &Moment) -> Option<u64> {
    let card = moment.free.map(|free| moment.account.reserved.saturating_add(free));
    [card, moment.limit].into_iter().flatten().min()
}

/// Whether the limit that the program set refused the request, and not the driver.
pub(super) fn is_limited(moment: &Moment) -> bool {
    let wanted = moment.account.reserved.saturating_add(moment.asked.segment);
    moment.limit.is_some_and(|limit| wanted > limit)
}

/// Why a request was refused; `total` is the card's size where that is known.
pub(super) fn of_refusal(moment: &Moment, total: Option<u64>) -> Verdict {
    let asked = moment.account.bytes(Part::Requested);
    let needed = asked.saturating_add(moment.asked.size);
    if available(moment).is_some_and(|available| needed > available) {
        let fits = total.is_some_and(|total| needed <= total);
        let cause = match (fits, is_limited(moment)) {
            (false, _) => Cause::Demand,
            (true, true) => Cause::Fraction,
            (true, false) => Cause::OthersOnTheCard,
        };
        return Verdict { cause, bytes: asked };
    }
    largest(moment).unwrap_or(Verdict { cause: Cause::Demand, bytes: asked })
}

/// What of the peak was of no use.
pub(super) fn of_peak(moment: &Moment) -> Verdict {
    let reserved = moment.account.reserved;
    let asked = moment.account.bytes(Part::Requested);
    if reserved - asked <= reserved / NEGLIGIBLE {
        return Verdict { cause: Cause::NothingElse, bytes: reserved - asked };
    }
    largest(moment).unwrap_or(Verdict { cause: Cause::NothingElse, bytes: reserved - asked })
}

fn largest(moment: &Moment) -> Option<Verdict> {
    let account = &moment.account;
    let parts = account.shares.iter().filter(|share| share.part != Part::Requested && share.bytes > 0);
    // Of equal ones the first.
    let most = parts.rev().max_by_key(|share| share.bytes)?;
    let cause = match most.part {
        Part::Requested => return None,
        Part::Rounding => Cause::Rounding,
        Part::Waiting => Cause::Waiting,
        Part::Usable => Cause::Remainder,
        Part::TooShort if most.pinned * 2 >= most.bytes => Cause::Fragmentation,
        Part::TooShort => Cause::NotGivenBack,
        Part::Oversize => Cause::MaxSplit,
        Part::OtherClass => Cause::OtherClass,
        Part::OtherStream => Cause::OtherStream,
        Part::OtherPool if moment.asked.pool == (0, 0) => Cause::PrivatePool,
        Part::OtherPool => Cause::OutsideThePool,
        Part::Moment => Cause::Moment,
    };
    Some(Verdict { cause, bytes: most.bytes })
}
