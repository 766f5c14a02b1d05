//! What differs between releases of PyTorch, each rule by the first release that has it. Seen in lockstep with the released
//! libraries (`c10@sim`).
//!
//! Decides which rules a release has. Releases that differ otherwise, too, are not here: nothing is claimed of them.

use super::allocator::DeviceAllocator;
use super::block::Order;
use super::defect::Planting;
use super::oom::Advice;
use crate::device::Device;

/// The rules of a release. By default those of 2.11.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Which of free blocks of one size comes first: until 2.11 that at the lower address, in 2.12 that whose object is older
    /// (`Block::registration_counter`), since 2.13 that in the older segment.
    pub order: Order,
    /// 2.13: the limit is a fraction of the device in bytes, rounded to the nearest; before, truncated.
    pub limit_rounds: bool,
    /// 2.13: only a capture puts frees off and keeps the cache from being given back, and only for the thread whose current
    /// stream captures (`is_capture_context`); before, every redirection to a pool does for all.
    pub captures_alone: bool,
    /// Before 2.15: who unmaps memory of a device that is not current waits for the default stream of the one that is
    /// (`ExpandableSegment::unmapHandles`).
    pub waits_elsewhere: bool,
    /// 2.15: a request that no range of addresses can hold (9/8 of the device) gets none; before, it leaves one behind
    /// (`find_expandable_block`).
    pub ranges_hold_requests: bool,
    /// Until 2.10 pools that help out are asked after the cache was given back; since then before (`alloc_block` in `malloc`).
    pub helpers_last: bool,
    /// 2.11: `large_segment_size_mb` is a setting.
    pub large_segments_known: bool,
    /// What a refusal advises with `expandable_segments`.
    pub advice: Advice,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            order: Order::Address,
            limit_rounds: false,
            captures_alone: false,
            waits_elsewhere: true,
            ranges_hold_requests: false,
            helpers_last: false,
            large_segments_known: true,
            advice: Advice::Expandable,
        }
    }
}

impl Rules {
    /// Releases, by their minor version, whose rules are known here.
    pub const RELEASES: [u32; 6] = [10, 11, 12, 13, 14, 15];

    /// The rules of 2.`minor`; `None` for a release that is not known to go by any of them.
    #[must_use]
    pub fn of(minor: u32) -> Option<Rules> {
        let newer = minor >= 13;
        let advice = match minor {
            15.. => Advice::FewerAddresses,
            14 => Advice::Nothing,
            11.. => Advice::Expandable,
            10 => Advice::ExpandableRenamed,
            _ => Advice::ExpandableBefore,
        };
        let order = match minor {
            13.. => Order::Segment,
            12 => Order::Object,
            _ => Order::Address,
        };
        let rules = Rules {
            order,
            limit_rounds: newer,
            captures_alone: newer,
            waits_elsewhere: minor < 15,
            ranges_hold_requests: minor >= 15,
            helpers_last: minor < 11,
            large_segments_known: minor >= 11,
            advice,
        };
        Self::RELEASES.contains(&minor).then_some(rules)
    }
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// Goes by the rules of another release. Before the first call.
    pub(super) fn go_by(&mut self, rules: Rules) {
        self.arena.order_by(rules.order);
        self.private.context.captures_alone = rules.captures_alone;
        self.advice = rules.advice;
        self.limit_rounds = rules.limit_rounds;
        self.waits_elsewhere = rules.waits_elsewhere;
        self.ranges_hold_requests = rules.ranges_hold_requests;
        self.helpers_last = rules.helpers_last;
        self.large_segments_known = rules.large_segments_known;
        self.set_limit(self.settings.fraction);
    }
}
