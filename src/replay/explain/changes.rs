//! Changes to a program that settings cannot make, tried on its recorded calls.
//!
//! Decides what each change does to the calls. Whether a program can be changed so is for its author to say: the
//! condition of each stands in its words.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::device::StreamHandle;
use crate::reference::{PoolFlags, PoolId};
use crate::replay::what_if::{Ask, PoolAsk};

/// Something that a program could do otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Pools of the user's are made with `use_on_oom=True`.
    PoolsHelpOut,
    /// All graphs are captured into the pool of the first.
    OnePoolForGraphs,
    /// Nothing goes to pools of the user's.
    NoPools,
    /// All requests come on one stream.
    OneStream,
    /// A graph is reset, or the last user of its pool gone, before the first request that was refused.
    ResetBefore(PoolId),
}

impl Change {
    /// What might be tried on these calls, what asks least of the program first.
    pub(super) fn possible(device: usize, asks: &[(usize, Ask)]) -> Vec<Change> {
        let own = || asks.iter().filter(|(at, _)| *at == device).map(|(_, ask)| ask);
        let made = own().any(|ask| matches!(ask, Ask::Pool(PoolAsk::Make { flags, .. }) if !flags.use_on_oom));
        let captured: BTreeSet<PoolId> = own()
            .filter_map(|ask| if let Ask::Pool(PoolAsk::Capture { id, .. }) = ask { Some(*id) } else { None })
            .collect();
        let streams: BTreeSet<StreamHandle> =
            own().filter_map(|ask| if let Ask::Alloc { stream, .. } = ask { Some(*stream) } else { None }).collect();
        let mut changes = Vec::new();
        if made {
            changes.extend([Change::PoolsHelpOut, Change::NoPools]);
        }
        if captured.len() > 1 {
            changes.push(Change::OnePoolForGraphs);
        }
        if streams.len() > 1 && captured.is_empty() {
            changes.push(Change::OneStream);
        }
        changes.extend(captured.into_iter().map(Change::ResetBefore));
        changes
    }

    /// Makes the change to the calls of a device.
    pub(super) fn apply(self, device: usize, asks: &mut Vec<(usize, Ask)>) {
        match self {
            Change::PoolsHelpOut => {
                for (_, ask) in asks {
                    if let Ask::Pool(PoolAsk::Make { flags, .. }) = ask {
                        *flags = PoolFlags { use_on_oom: true, ..*flags };
                    }
                }
            }
            Change::OnePoolForGraphs => one_pool(asks),
            Change::NoPools => {
                let redirects = |ask: &Ask| matches!(ask, Ask::Pool(PoolAsk::Enter { .. } | PoolAsk::Exit { .. }));
                asks.retain(|(_, ask)| !redirects(ask));
            }
            Change::OneStream => {
                let first = asks.iter().find_map(|(at, ask)| match ask {
                    Ask::Alloc { stream, .. } if *at == device => Some(*stream),
                    _ => None,
                });
                for (at, ask) in asks {
                    if let (Ask::Alloc { stream, .. }, Some(first)) = (ask, first.filter(|_| *at == device)) {
                        *stream = first;
                    }
                }
            }
            Change::ResetBefore(id) => {
                let refused =
                    |(at, ask): &(usize, Ask)| *at == device && matches!(ask, Ask::Alloc { refused: true, .. });
                if let Some(place) = asks.iter().position(refused) {
                    asks.insert(place, (device, Ask::Pool(PoolAsk::Reset { id })));
                }
            }
        }
    }
}

fn one_pool(asks: &mut [(usize, Ask)]) {
    let mut first = None;
    for (_, ask) in asks {
        let Ask::Pool(pool) = ask else { continue };
        let (PoolAsk::Capture { id, .. } | PoolAsk::EndCapture { id } | PoolAsk::Reset { id }) = pool else { continue };
        *id = *first.get_or_insert(*id);
    }
}
