//! What a moment comes down to, in one word: the largest of what stood in the way.
//!
//! Decides which it was. Where a request was refused though the card could not have held what was asked for, no part of
//! the cache is to blame, whatever its size.

use serde::Serialize;

use super::parts::{Part, Share};
use super::watch::AccountedMoment;

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
    /// The driver had enough free: something refused it that the file does not tell.
    Untold,
    /// Cached in pieces too short, pinned by live blocks.
    Fragmentation,
    /// The same, and no live block pins most of it: nothing was given back, as a pool is used or a graph captured.
    NotGivenBack,
    /// Cached in whole segments or pages, at a peak: given back before anything is refused.
    Cached,
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

/// All that a program could hold: what it has and what the driver has free, within the limit that it set itself.
pub(super) fn room(reserved: u64, free: Option<u64>, limit: Option<u64>) -> Option<u64> {
    let card = free.map(|free| reserved.saturating_add(free));
    [card, limit].into_iter().flatten().min()
}

/// Whether the limit that the program set refused the request, and not the driver.
pub(super) fn is_limited(moment: &AccountedMoment) -> bool {
    let wanted = moment.account.reserved.saturating_add(moment.asked.segment);
    moment.limit.is_some_and(|limit| wanted > limit)
}

/// Why a request was refused; `total` is the card's size where that is known.
pub(super) fn of_refusal(moment: &AccountedMoment, total: Option<u64>) -> Verdict {
    let asked = moment.account.bytes(Part::Requested);
    let needed = asked.saturating_add(moment.asked.size);
    if room(moment.account.reserved, moment.free, moment.limit).is_some_and(|room| needed > room) {
        let fits = total.is_some_and(|total| needed <= total);
        let cause = match (fits, is_limited(moment)) {
            (false, _) => Cause::Demand,
            (true, true) => Cause::Fraction,
            (true, false) => Cause::OthersOnTheCard,
        };
        return Verdict { cause, bytes: asked };
    }
    let is_free = moment.free.is_some_and(|free| free >= moment.asked.segment);
    if is_free && !is_limited(moment) {
        return Verdict { cause: Cause::Untold, bytes: moment.asked.segment };
    }
    largest(moment).unwrap_or(Verdict { cause: Cause::Demand, bytes: asked })
}

/// What of the peak was of no use. What is cached and not pinned is counted together: it would be given back.
pub(super) fn of_peak(moment: &AccountedMoment) -> Verdict {
    let account = &moment.account;
    let asked = account.bytes(Part::Requested);
    let nothing = Verdict { cause: Cause::NothingElse, bytes: account.reserved - asked };
    if nothing.bytes <= account.reserved / NEGLIGIBLE {
        return nothing;
    }
    let is_returnable =
        |share: &Share| matches!(share.part, Part::TooShort | Part::Oversize | Part::OtherClass | Part::OtherStream);
    let returnable = account.shares.iter().filter(|s| is_returnable(s)).map(|s| s.bytes - s.pinned).sum();
    let parts = account.shares.iter().filter_map(|share| {
        let bytes = if is_returnable(share) { share.pinned } else { share.bytes };
        Some(Verdict { cause: cause_of(share.part, moment)?, bytes })
    });
    most(parts.chain([Verdict { cause: Cause::Cached, bytes: returnable }])).unwrap_or(nothing)
}

fn largest(moment: &AccountedMoment) -> Option<Verdict> {
    let of = |share: &Share| Some(Verdict { cause: cause_of(share.part, moment)?, bytes: share.bytes });
    let verdict = most(moment.account.shares.iter().filter_map(of))?;
    let short = moment.account.shares.iter().find(|share| share.part == Part::TooShort);
    let is_whole = !moment.asked.flushes && short.is_some_and(|share| share.pinned * 2 < share.bytes);
    let cause = if verdict.cause == Cause::Fragmentation && is_whole { Cause::NotGivenBack } else { verdict.cause };
    Some(Verdict { cause, ..verdict })
}

/// The largest; of equal ones the first.
fn most(verdicts: impl Iterator<Item = Verdict>) -> Option<Verdict> {
    let some = verdicts.filter(|verdict| verdict.bytes > 0);
    some.reduce(|most, next| if next.bytes > most.bytes { next } else { most })
}

/// What a part comes down to, if it is in the way.
fn cause_of(part: Part, moment: &AccountedMoment) -> Option<Cause> {
    Some(match part {
        Part::Requested => return None,
        Part::Rounding => Cause::Rounding,
        Part::Waiting => Cause::Waiting,
        Part::Usable => Cause::Remainder,
        Part::TooShort => Cause::Fragmentation,
        Part::Oversize => Cause::MaxSplit,
        Part::OtherClass => Cause::OtherClass,
        Part::OtherStream => Cause::OtherStream,
        Part::OtherPool if moment.asked.pool == (0, 0) => Cause::PrivatePool,
        Part::OtherPool => Cause::OutsideThePool,
        Part::Moment => Cause::Moment,
    })
}
