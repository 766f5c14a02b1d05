//! The operations that the harness adds to a sequence: filling and reading blocks (not while a stream captures; all of
//! them wherever memory went back to a device), an identical retry after a refusal, a snapshot after some calls that failed
//! and at the end, and the closing operations.
//!
//! Decides when they are added. Judges nothing: they reach the oracles like any other step.

use std::collections::BTreeSet;

use crate::op::{BlockId, Capability, DeviceId, Op, OracleName, Step, StreamId, TargetInfo};

use super::ahead;
use super::session::{Role, Session, StepOutcome, Stop};

/// Retries get block ids from here on; sequences number theirs from 0.
const RETRY_BLOCKS: u32 = 0xF000_0000;

/// A snapshot follows each of so many refused calls, and later ever fewer of them.
const ALL_REFUSALS: u32 = 4;

/// So many live blocks are read at once at most: of tens of thousands, reading would take all the time there is.
const AT_ONCE: usize = 256;

/// Which probes a sequence gets, and the retry that is due.
#[derive(Debug)]
pub(super) struct Probes {
    contents: bool,
    retries: bool,
    snapshots: bool,
    /// Given calls that were refused.
    refused: u32,
    next_retry: u32,
    /// The step that was refused, and what it asked.
    due: Option<(usize, Op)>,
    /// Blocks asked for during a capture, when nothing could be written to them.
    unwritten: BTreeSet<BlockId>,
    /// Live blocks are to be read once that is possible.
    to_be_read: bool,
    /// The address up to which they were read last.
    read_up_to: u64,
}

impl Probes {
    pub(super) fn new(oracles: &BTreeSet<OracleName>, info: &TargetInfo) -> Self {
        Probes {
            contents: oracles.contains(&OracleName::Contents) && info.can(Capability::Contents),
            retries: oracles.contains(&OracleName::Exhaustion) && info.can(Capability::OomTyped),
            snapshots: oracles.contains(&OracleName::Summary) && info.can(Capability::Snapshot),
            refused: 0,
            next_retry: RETRY_BLOCKS,
            due: None,
            unwritten: BTreeSet::new(),
            to_be_read: false,
            read_up_to: 0,
        }
    }

    /// What is asked next as long as every answer is plain, from the first of these steps on.
    pub(super) fn plan(&self, session: &Session<'_>, steps: &[Step]) -> Vec<Op> {
        if !self.unwritten.is_empty() || self.to_be_read {
            return Vec::new();
        }
        ahead::plan(&session.model, self.contents, session.info.streams, steps)
    }

    /// Reads a block before it is given back.
    pub(super) fn before(&self, session: &mut Session<'_>, op: &Op) -> Result<(), Stop> {
        match op {
            Op::Free { block } => self.verify(session, *block),
            _ => Ok(()),
        }
    }

    pub(super) fn after(&mut self, session: &mut Session<'_>, op: &Op, answer: StepOutcome) -> Result<(), Stop> {
        // Whatever gave the memory back (a flush before a retry, an unmapping, the end of a pool), it may have been
        // more than was free.
        self.to_be_read |= session.gave_back;
        match (op, answer) {
            (Op::Alloc { block, .. }, StepOutcome::Served) if session.model.pools().is_capturing() => {
                self.unwritten.insert(*block);
            }
            (Op::Alloc { block, .. }, StepOutcome::Served) => self.fill(session, *block)?,
            (Op::CaptureEnd { .. }, _) => self.catch_up(session)?,
            (Op::Alloc { .. }, StepOutcome::OutOfMemory) => {
                let device = session.model.device_of(op);
                if self.retries && device.is_some_and(|d| session.armed_on(d) == 0) {
                    self.due = Some((session.step, op.clone()));
                }
                self.to_be_read = true;
            }
            (Op::EmptyCache, StepOutcome::Served | StepOutcome::Refused | StepOutcome::OutOfMemory) => {
                self.to_be_read = true
            }
            _ => {}
        }
        if self.to_be_read && !session.model.pools().is_capturing() {
            self.to_be_read = false;
            self.verify_all(session)?;
        }
        if matches!(answer, StepOutcome::OutOfMemory | StepOutcome::Refused) {
            self.refused += 1;
            if self.refused <= ALL_REFUSALS || self.refused.is_power_of_two() {
                self.look(session)?;
            }
        }
        Ok(())
    }

    /// Takes a snapshot, for what it shows to be judged.
    pub(super) fn look(&self, session: &mut Session<'_>) -> Result<(), Stop> {
        if self.snapshots {
            session.ask(&Op::Snapshot, None, Role::Added)?;
        }
        Ok(())
    }

    /// Asks again what was just refused for lack of memory. If it is served after all and nobody
    /// objects, it is given back at once.
    pub(super) fn retry(&mut self, session: &mut Session<'_>) -> Result<(), Stop> {
        let Some((step, Op::Alloc { device, stream, bytes, via, .. })) = self.due.take() else { return Ok(()) };
        session.step = step;
        let block = BlockId(self.next_retry);
        self.next_retry = self.next_retry.saturating_add(1);
        let again = Op::Alloc { block, device, stream, bytes, via };
        if session.ask(&again, None, Role::Retry)? == StepOutcome::Served {
            session.ask(&Op::Free { block }, None, Role::Added)?;
        }
        Ok(())
    }

    /// Ends captures and redirections, finishes all work, gives everything back, lets graphs and pools go and
    /// empties the cache. A planted fault that is still
    /// waiting may spoil a call; it is then asked again, once for each fault.
    pub(super) fn close(&mut self, session: &mut Session<'_>) -> Result<(), Stop> {
        let spare = session.armed();
        self.look(session)?;
        let (ends, _) = session.model.pools().endings();
        for op in ends {
            let answer = session.ask(&op, None, Role::Added)?;
            self.after(session, &op, answer)?;
        }
        finish_work(session)?;
        for _ in 0..=spare {
            let live = session.model.live_ids();
            if live.is_empty() {
                break;
            }
            for block in live {
                self.verify(session, block)?;
                session.ask(&Op::Free { block }, None, Role::Added)?;
            }
        }
        finish_work(session)?;
        let (_, deaths) = session.model.pools().endings();
        for op in deaths {
            session.ask(&op, None, Role::Added)?;
        }
        if !session.info.can(Capability::EmptyCache) {
            return Ok(());
        }
        for _ in 0..=spare {
            let waiting = session.armed();
            let role = if session.model.live_ids().is_empty() { Role::Last } else { Role::Added };
            session.ask(&Op::EmptyCache, None, role)?;
            if session.armed() == waiting {
                break;
            }
        }
        self.look(session)
    }

    /// Reads the live blocks: all, or of very many the next ones by address, in turn. Each is read once more before it is
    /// given back.
    pub(super) fn verify_all(&mut self, session: &mut Session<'_>) -> Result<(), Stop> {
        if !self.contents {
            return Ok(());
        }
        let mut blocks = session.model.live_from(self.read_up_to, AT_ONCE);
        if blocks.len() < AT_ONCE {
            blocks.sort_unstable(); // all of them
        }
        self.read_up_to = blocks.last().and_then(|b| session.model.block(*b)).map_or(0, |live| live.end());
        blocks.into_iter().try_for_each(|block| self.verify(session, block))
    }

    /// Writes to the blocks of a capture that has ended.
    fn catch_up(&mut self, session: &mut Session<'_>) -> Result<(), Stop> {
        if session.model.pools().is_capturing() {
            return Ok(());
        }
        let blocks = std::mem::take(&mut self.unwritten);
        blocks.into_iter().try_for_each(|b| self.fill(session, b))
    }

    fn fill(&self, session: &mut Session<'_>, block: BlockId) -> Result<(), Stop> {
        if self.contents && has_bytes(session, block) {
            session.ask(&Op::Fill { block }, None, Role::Added)?;
        }
        Ok(())
    }

    fn verify(&self, session: &mut Session<'_>, block: BlockId) -> Result<(), Stop> {
        let written = !self.unwritten.contains(&block) && !session.model.pools().is_capturing();
        if self.contents && written && has_bytes(session, block) {
            session.ask(&Op::Verify { block }, None, Role::Added)?;
        }
        Ok(())
    }
}

fn has_bytes(session: &Session<'_>, block: BlockId) -> bool {
    session.model.block(block).is_some_and(|live| live.bytes > 0)
}

/// Ends the work of every stream that has some, then waits for every device.
fn finish_work(session: &mut Session<'_>) -> Result<(), Stop> {
    for position in 0..session.before.devices.len() {
        // Positions come from a list of at most a few devices.
        let Ok(number) = i32::try_from(position) else { break };
        let device = DeviceId(number);
        if session.info.can(Capability::StreamControl) {
            for stream in (0..session.info.streams).map(StreamId) {
                if !session.before.devices[position].is_idle(stream) {
                    session.ask(&Op::Finish { device, stream }, None, Role::Added)?;
                }
            }
        }
        session.ask(&Op::Synchronize { device }, None, Role::Added)?;
    }
    Ok(())
}
