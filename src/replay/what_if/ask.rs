//! One thing asked of a device's allocator, or done on the device, in the course of a recorded run.
//!
//! Decides how it is asked again. A failure of the device is none of the settings' doing, and a card has none but for
//! want of memory.

use std::collections::BTreeMap;

use super::Row;
use super::pools::PoolAsk;
use crate::device::StreamHandle;
use crate::device::card::Card;
use crate::op::Counter;
use crate::reference::{Catch, DeviceAllocator, PoolFlags, PoolId, Reference, Settings, Sound};

/// A private pool that no request goes to, and a caller whom nobody is.
const ELSEWHERE: PoolId = (u64::MAX, u64::MAX);
const NOBODY: Catch = Catch::Caller(u64::MAX);
const CALLER: Catch = Catch::Caller(0);

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::replay) enum Ask {
    /// A block that the recorded run was refused is given back at once if it is served here.
    Alloc {
        block: u64,
        bytes: u64,
        stream: StreamHandle,
        refused: bool,
        /// Where it goes, if the trace tells; otherwise the redirections in force decide.
        to: Option<Towards>,
    },
    /// A tensor so large that no allocator is asked.
    Unaskable {
        bytes: u64,
    },
    Free {
        block: u64,
    },
    Record {
        block: u64,
        stream: StreamHandle,
    },
    Occupy {
        stream: StreamHandle,
    },
    Finish {
        stream: StreamHandle,
    },
    WaitStream {
        stream: StreamHandle,
        on: StreamHandle,
    },
    Synchronize,
    Flush,
    /// Private pools that nobody uses any more give back what they cached; `whole`: the default ones as well.
    FlushDead {
        dead: Vec<PoolId>,
        whole: bool,
    },
    /// The settings changed in the recorded run.
    Settings(Box<Settings>),
    Limit {
        fraction: f64,
    },
    /// So much memory can be had from now on.
    Available {
        bytes: u64,
    },
    /// The caller makes a stream current, or what was current before.
    Current {
        stream: Option<StreamHandle>,
    },
    /// On private pools and captures.
    Pool(PoolAsk),
    /// Everything is given back.
    Clear,
    /// What the recorded run held here: reserved and allocated.
    RecordedUsage(RecordedUsage),
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replay) struct Towards {
    pub pool: PoolId,
    /// Somebody's requests are sent to a private pool, so that nothing is flushed.
    pub redirected: bool,
}

/// What the recorded run held at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replay) struct RecordedUsage {
    /// A line of a recording, or an event of a trace.
    pub at: u64,
    pub reserved: u64,
    pub allocated: u64,
}

/// Blocks on their way through the calls.
#[derive(Debug, Default)]
pub(super) struct Asked {
    blocks: BTreeMap<(usize, u64), u64>,
    requests: u64,
    /// Blocks that stood at the start have numbers below this.
    standing: u64,
    /// Private pools whose blocks are never split.
    uncut: Vec<PoolId>,
}

impl Asked {
    pub fn new(standing: u64, uncut: &[PoolId]) -> Self {
        Asked { standing, uncut: uncut.to_vec(), ..Asked::default() }
    }

    /// A block is there already.
    pub fn holds(&mut self, device: usize, block: u64, address: u64) {
        self.blocks.insert((device, block), address);
    }

    /// Whether anything stood at the start.
    pub fn has_standing(&self) -> bool {
        self.standing > 0
    }

    /// The addresses of a device's blocks that stood at the start and still do.
    pub fn standing(&self, device: usize) -> impl Iterator<Item = u64> + '_ {
        self.blocks.range((device, 0)..(device, self.standing)).map(|(_, &address)| address)
    }

    /// Asks one call.
    pub fn ask(&mut self, reference: &mut Reference<Card, Sound>, device: usize, ask: &Ask, row: &mut Row) {
        let allocator = reference.device_mut(device);
        match *ask {
            Ask::Alloc { block, bytes, stream, refused, to } => {
                self.requests += u64::from(block >= self.standing);
                match answer(allocator, bytes, stream, to, &self.uncut) {
                    Ok(address) if refused => drop(allocator.free(address)),
                    Ok(address) => drop(self.blocks.insert((device, block), address)),
                    Err(_) => {
                        row.refusals += 1;
                        row.first_refusal.get_or_insert((self.requests, bytes));
                    }
                }
            }
            Ask::Unaskable { bytes } => {
                self.requests += 1;
                row.refusals += 1;
                row.first_refusal.get_or_insert((self.requests, bytes));
            }
            Ask::Free { block } => {
                if let Some(address) = self.blocks.remove(&(device, block)) {
                    let _ = allocator.free(address);
                }
            }
            Ask::Record { block, stream } => {
                if let Some(&address) = self.blocks.get(&(device, block)) {
                    allocator.record_stream(address, stream);
                }
            }
            Ask::Occupy { stream } => allocator.device_mut().occupy(stream),
            Ask::Finish { stream } => allocator.device_mut().finish(stream),
            Ask::WaitStream { stream, on } => allocator.device_mut().hold_for(stream, on),
            Ask::Synchronize => allocator.device_mut().synchronize(),
            Ask::Flush => drop(allocator.release_cached()),
            Ask::FlushDead { ref dead, whole } => flush_dead(allocator, dead, whole),
            Ask::Settings(ref settings) => allocator.change_settings(**settings),
            Ask::Current { stream } => allocator.set_current_stream(stream),
            Ask::Pool(asked) => asked.ask(reference, device),
            Ask::Limit { fraction } => drop(reference.set_fraction(device, fraction)),
            Ask::Available { bytes } => allocator.device_mut().make_available(bytes),
            Ask::Clear => {
                for (_, address) in self.blocks.extract_if((device, 0)..=(device, u64::MAX), |_, _| true) {
                    let _ = allocator.free(address);
                }
                allocator.device_mut().synchronize();
                let before = calls_of(allocator);
                let _ = allocator.release_cached();
                row.between += calls_of(allocator) - before;
            }
            Ask::RecordedUsage(_) => {}
        }
    }
}

/// Calls that got memory from the driver or gave it back.
pub(super) fn calls_of(allocator: &DeviceAllocator<Card, Sound>) -> u64 {
    let count = |counter| u64::try_from(allocator.stats().counter(counter)).unwrap_or(0);
    count(Counter::NumDeviceAlloc) + count(Counter::NumDeviceFree)
}

fn answer(
    allocator: &mut DeviceAllocator<Card, Sound>,
    bytes: u64,
    stream: StreamHandle,
    to: Option<Towards>,
    uncut: &[PoolId],
) -> Result<u64, crate::reference::AllocError> {
    let Some(Towards { pool, redirected }) = to.filter(|to| to.redirected || to.pool != (0, 0)) else {
        return allocator.alloc(bytes, stream);
    };
    let (id, catch) = if pool == (0, 0) { (ELSEWHERE, NOBODY) } else { (pool, CALLER) };
    if !allocator.has_pool(id) {
        allocator.retain_pool(id, PoolFlags { no_split: uncut.contains(&id), ..PoolFlags::default() });
    }
    if !redirected {
        return allocator.alloc_in(id, bytes, stream);
    }
    allocator.begin_redirection(id, catch);
    let answer = allocator.alloc(bytes, stream);
    let _ = allocator.end_redirection(id); // begun just now
    let _ = allocator.release_pool_user(id);
    answer
}

fn flush_dead(allocator: &mut DeviceAllocator<Card, Sound>, dead: &[PoolId], whole: bool) {
    for &id in dead {
        if !allocator.has_pool(id) {
            continue;
        }
        if whole {
            let _ = allocator.release_pool_user(id);
        } else {
            let _ = allocator.drop_pool(id);
        }
    }
    if whole {
        let _ = allocator.release_cached();
    }
    for &id in dead {
        if allocator.has_pool(id) {
            allocator.retain_pool(id, PoolFlags::default());
        }
    }
}
