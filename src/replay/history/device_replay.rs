//! One device's trace, lived again: each call asked of the reference, its events held against the trace.
//!
//! Decides what is asked when. What the trace leaves open is tried: each hypothesis on a copy, until one gives
//! the recorded events.

use std::collections::BTreeMap;

use super::asking::{Refusal, Towards};
use super::call_events::{Call, CallEvents, Left, PrecedingEvents, Survey};
use super::collections::{Offered, Thresholds};
use super::hypothesis::{self, Flush, Hypothesis, Known};
use super::told::Told;
use crate::device::recorded::RecordedDevice;
use crate::device::{DeviceError, StreamHandle};
use crate::op::Stats;
use crate::op::trace::{Action, TraceEvent};
use crate::recording::PlacedEvent;
use crate::reference::{DeviceAllocator, PoolFlags, PoolId, Settings, Sound};
use crate::replay::divergence::{Divergence, DivergenceKind, FilePosition};
use crate::replay::note::{Changed, Note};
use crate::replay::onlooker::Onlooker;
use crate::replay::{ReplayReport, closing};

/// A stand-in for the streams that a block waits for: one stream for each block that waits.
pub(super) fn stand_in(slot: usize) -> StreamHandle {
    StreamHandle(u64::MAX - slot as u64)
}

/// A device on its way through its trace.
pub(super) struct DeviceReplay<'r> {
    pub device: usize,
    pub allocator: &'r mut DeviceAllocator<RecordedDevice, Sound>,
    /// Those in force; and what else they may have been, should they not explain what happened.
    pub settings: Settings,
    pub others: Vec<Settings>,
    pub events: &'r [PlacedEvent],
    /// The private pool of each event; empty where there are none.
    pub pools: &'r [PoolId],
    pub left: Left,
    pub survey: Survey,
    /// What the recorder counted in the end, if it did.
    pub counted: Option<Stats>,
    /// Requests answered so far.
    pub(super) requests: u64,
    /// Blocks that wait, by address, and the stand-ins not in use.
    waiting: BTreeMap<u64, usize>,
    unused: Vec<usize>,
    /// Several blocks became free in a flush: in which order is PyTorch's hash order.
    pub hash_order: bool,
    /// Garbage collections followed as they were recorded.
    pub collections: u64,
    /// What they tell of the limit that they went by; and what one would give back for the call under way.
    pub thresholds: Thresholds,
    pub(super) offered: Option<Offered>,
    /// What the allocator did, if it is to be kept.
    pub kept: Option<(Vec<TraceEvent>, Vec<PoolId>)>,
    /// What was asked when, if it is to be asked again.
    pub told: Option<Vec<Vec<Told>>>,
    /// What a request was refused with so much memory held, and so much asked of the driver: for the card's size.
    pub refusals: Vec<Refusal>,
}

impl<'r> DeviceReplay<'r> {
    pub fn new(
        device: usize,
        allocator: &'r mut DeviceAllocator<RecordedDevice, Sound>,
        events: &'r [PlacedEvent],
        pools: &'r [PoolId],
        survey: Survey,
    ) -> Self {
        let unused = (0..survey.most_waiting).collect();
        let settings = *allocator.settings();
        DeviceReplay {
            device,
            allocator,
            settings,
            others: Vec::new(),
            events,
            pools,
            left: Left::default(),
            survey,
            counted: None,
            requests: 0,
            waiting: BTreeMap::new(),
            unused,
            hash_order: false,
            collections: 0,
            thresholds: Thresholds::default(),
            offered: None,
            kept: None,
            told: None,
            refusals: Vec::new(),
        }
    }

    /// Blocks that were freed before the trace begins, and wait.
    pub fn wait(&mut self, addresses: impl Iterator<Item = u64>) {
        for address in addresses {
            let Some(slot) = self.unused.pop() else { continue };
            self.allocator.device_mut().occupy(slot);
            self.allocator.record_stream(address, stand_in(slot));
            // What is not live is found out when it becomes free.
            let _ = self.allocator.free(address);
            self.waiting.insert(address, slot);
        }
        self.allocator.reset_accumulated();
        self.allocator.reset_peak();
        self.allocator.taken_trace();
    }

    /// Whether some hypothesis explains the first call.
    pub fn begins_well(&mut self) -> bool {
        let Some(moment) = CallEvents::at(self.events, 0, self.left) else { return true };
        let lead = PrecedingEvents::of(&self.events[moment.lead.clone()]);
        let recorded: Vec<TraceEvent> = self.events[..moment.end].iter().map(|e| e.event).collect();
        let hypotheses = hypothesis::possible(&lead, moment.call, self.known(&lead, &moment));
        let ahead = Ahead { lead: &lead, moment: &moment, recorded: &recorded };
        self.first_fit(&hypotheses, &ahead).is_some()
    }

    /// Lives the whole trace, up to the first divergence. Answers also where it ended: before the last events, if
    /// they are of a call that the trace has cut.
    pub fn live(
        &mut self,
        may_be_cut: bool,
        report: &mut ReplayReport,
        onlooker: &mut dyn Onlooker,
    ) -> (usize, Option<Divergence>) {
        self.show_start(onlooker);
        let mut cursor = 0;
        while let Some(moment) = CallEvents::at(self.events, cursor, self.left) {
            if moment.call == Call::End && self.is_cut(&moment, may_be_cut) {
                return (cursor, None);
            }
            let divergence = self.step(cursor, &moment, report);
            if divergence.is_some() {
                return (cursor, divergence);
            }
            self.show(&moment, onlooker);
            cursor = moment.end;
        }
        (cursor, None)
    }

    /// Whether the last events are the beginning of a call: memory was got for it, or nothing else explains them.
    fn is_cut(&mut self, moment: &CallEvents, may_be_cut: bool) -> bool {
        let lead = PrecedingEvents::of(&self.events[moment.lead.clone()]);
        if lead.is_empty() || lead.acquired > 0 || !may_be_cut {
            return lead.acquired > 0;
        }
        let recorded: Vec<TraceEvent> = self.events[moment.lead.clone()].iter().map(|e| e.event).collect();
        let hypotheses = hypothesis::possible(&lead, moment.call, self.known(&lead, moment));
        self.first_fit(&hypotheses, &Ahead { lead: &lead, moment, recorded: &recorded }).is_none()
    }

    fn step(&mut self, start: usize, moment: &CallEvents, report: &mut ReplayReport) -> Option<Divergence> {
        let lead = PrecedingEvents::of(&self.events[moment.lead.clone()]);
        let recorded: Vec<TraceEvent> = self.events[start..moment.end].iter().map(|e| e.event).collect();
        let ahead = Ahead { lead: &lead, moment, recorded: &recorded };
        let before_settings = self.settings;
        let hypothesis = self.choose(&ahead, report);
        let before = *self.allocator.stats();
        let mut kinds = self.act(hypothesis, &ahead);
        let undisturbed = hypothesis.flush == Flush::Nothing && hypothesis.collected == 0;
        self.note_refusals(undisturbed.then_some(&before), moment);
        self.note_collected(hypothesis.collected, &lead, moment);
        self.tell(hypothesis, &ahead, before_settings);
        report.operations += u64::from(hypothesis.flush != Flush::Nothing) + u64::from(moment.call != Call::End);
        self.collections += u64::from(hypothesis.collected > 0);
        self.requests += u64::from(matches!(moment.call, Call::Alloc { .. }));
        if let Call::Free { address, waits: true } = moment.call
            && let Some(slot) = self.unused.pop()
        {
            self.waiting.insert(address, slot);
        }
        for address in lead.early.iter().chain(&lead.late) {
            self.unused.extend(self.waiting.remove(address));
        }
        let (predicted, pools) = self.allocator.taken_trace_and_pools();
        let place = self.compare(start..moment.end, recorded, &predicted, &mut kinds, report);
        if let Some((events, of)) = &mut self.kept {
            events.extend(predicted);
            of.extend(pools);
        }
        (!kinds.is_empty()).then(|| Divergence { place, at: describe(moment.call), kinds })
    }

    fn known(&self, lead: &PrecedingEvents, moment: &CallEvents) -> Known {
        let open = lead.is_open(moment.call);
        let likely_flushed =
            open && hypothesis::likely_flushed(lead, self.allocator.stats(), self.counted.as_ref(), &self.survey);
        let collects = self.settings.gc_threshold > 0.0;
        Known { likely_flushed, collects, private: !self.pools.is_empty(), died: !self.dead(moment).is_empty() }
    }

    /// The private pools whose memory is given back before a call.
    pub(super) fn dead(&self, moment: &CallEvents) -> Vec<PoolId> {
        if self.pools.is_empty() {
            return Vec::new();
        }
        let gives_back =
            |at: &usize| matches!(self.events[*at].event.action, Action::SegmentFree | Action::SegmentUnmap);
        let pools = moment.lead.clone().filter(gives_back).filter_map(|at| self.pools.get(at).copied());
        let mut dead: Vec<PoolId> = pools.filter(|&pool| pool != (0, 0)).collect();
        dead.dedup();
        dead
    }

    /// The hypothesis that explains the events before the call; where none does, the likeliest. Where it takes other
    /// settings to explain them, these are in force from here on.
    fn choose(&mut self, ahead: &Ahead<'_>, report: &mut ReplayReport) -> Hypothesis {
        let (lead, call) = (ahead.lead, ahead.moment.call);
        let known = self.known(lead, ahead.moment);
        self.survey.open -= i64::from(lead.is_open(call));
        self.survey.refusals -= i64::from(call.is_refused());
        let hypotheses = hypothesis::possible(lead, call, known);
        if hypotheses.len() == 1 && (self.others.is_empty() || !matches!(call, Call::Alloc { .. })) {
            return hypotheses[0];
        }
        if let Some(hypothesis) = self.first_fit(&hypotheses, ahead) {
            return hypothesis;
        }
        let before = self.settings;
        for other in self.others.clone() {
            self.change(other);
            if let Some(hypothesis) = self.first_fit(&hypotheses, ahead) {
                let index = self.events[ahead.moment.end - 1].index;
                let changed = Changed::between(&before, &other);
                report.notes.push(Note::SettingsChanged { device: self.device, index, changed });
                self.others.retain(|&known| known != other);
                self.others.push(before);
                return hypothesis;
            }
        }
        self.change(before);
        hypotheses[0]
    }

    fn change(&mut self, settings: Settings) {
        self.settings = settings;
        self.allocator.change_settings(settings);
    }

    /// The first hypothesis that gives the recorded events, tried on a copy; before others those whose collections go by ages.
    fn first_fit(&mut self, hypotheses: &[Hypothesis], ahead: &Ahead<'_>) -> Option<Hypothesis> {
        let before = self.allocator.clone();
        let mut fitting = None;
        for &hypothesis in hypotheses {
            let kinds = self.act(hypothesis, ahead);
            let by_age = self.is_by_age(hypothesis.collected, ahead.lead);
            self.offered = None;
            let predicted = self.allocator.taken_trace();
            let predicted = self.shown(predicted);
            let several = self.allocator.passed_together() > 1;
            self.allocator.clone_from(&before);
            let fits = kinds.is_empty()
                && closing::first_event(self.device, ahead.recorded.to_vec(), predicted, several).is_none();
            if fits && by_age {
                return Some(hypothesis);
            }
            fitting = fitting.or(fits.then_some(hypothesis));
        }
        fitting
    }

    fn shown(&self, mut events: Vec<TraceEvent>) -> Vec<TraceEvent> {
        events.retain(|e| !self.left.has(e.action));
        events
    }

    /// Asks what a hypothesis says, then the call.
    fn act(&mut self, hypothesis: Hypothesis, ahead: &Ahead<'_>) -> Vec<DivergenceKind> {
        let failed = |error: &dyn std::fmt::Display| DivergenceKind::Refusal {
            recorded: "served".to_owned(),
            predicted: error.to_string(),
        };
        let (lead, moment) = (ahead.lead, ahead.moment);
        let mut kinds = Vec::new();
        for address in lead.early.iter().filter(|_| hypothesis.finished) {
            let Some(&slot) = self.waiting.get(address) else { continue };
            self.allocator.device_mut().finish(slot);
            kinds.extend(self.allocator.process_events().err().map(|e| failed(&e)));
        }
        let dead = self.dead(moment);
        for &id in &dead {
            let _ = self.allocator.release_pool_user(id); // one that was dead already stays so
        }
        kinds.extend(self.flush(hypothesis.flush, &dead).err().map(|e| failed(&e)));
        self.offered = self.offered(lead, moment);
        if hypothesis.collected > 0 {
            let collected = &lead.released[..hypothesis.collected.min(lead.released.len())];
            kinds.extend(self.allocator.collect_at(collected).err().map(|e| failed(&e)));
        }
        if hypothesis.refused {
            self.allocator.device_mut().refuse_once();
        }
        match moment.call {
            Call::Alloc { bytes, stream, address } => {
                let pool = self.pools.get(moment.end - 1).copied().unwrap_or_default();
                let to = Towards { pool, redirected: hypothesis.redirected };
                kinds.extend(self.alloc(bytes, stream, address, to));
            }
            Call::Free { address, waits } => {
                if let Some(&slot) = self.unused.last().filter(|_| waits) {
                    self.allocator.device_mut().occupy(slot);
                    self.allocator.record_stream(address, stand_in(slot));
                }
                kinds.extend(self.allocator.free(address).err().map(|e| failed(&e)));
            }
            Call::End => {}
        }
        for id in dead {
            if self.allocator.has_pool(id) {
                self.allocator.retain_pool(id, PoolFlags::default());
            }
        }
        kinds
    }

    fn flush(&mut self, flush: Flush, dead: &[PoolId]) -> Result<(), DeviceError> {
        match flush {
            Flush::Nothing => Ok(()),
            Flush::Whole => self.allocator.release_cached(),
            Flush::Dead => {
                let mut result = Ok(());
                for &id in dead {
                    self.allocator.retain_pool(id, PoolFlags::default());
                    // With its one user gone it is there, and nothing is redirected.
                    result = result.and(self.allocator.drop_pool(id).unwrap_or(Ok(())));
                }
                result
            }
        }
    }

    /// Holds what the allocator did against the trace. Answers the place of the call, or of the first
    /// event that differs.
    fn compare(
        &mut self,
        range: std::ops::Range<usize>,
        recorded: Vec<TraceEvent>,
        predicted: &[TraceEvent],
        kinds: &mut Vec<DivergenceKind>,
        report: &mut ReplayReport,
    ) -> FilePosition {
        let last = self.events[range.end - 1].index;
        let predicted = self.shown(predicted.to_vec());
        let mut differs = closing::first_event(self.device, recorded.clone(), predicted.clone(), false);
        if differs.is_some() && self.allocator.passed_together() > 1 {
            differs = closing::first_event(self.device, recorded, predicted, true);
            let tolerated = differs.is_none();
            self.hash_order |= tolerated;
            report.hash_order += u64::from(tolerated);
        }
        let Some(DivergenceKind::Event { device, index, recorded, predicted }) = differs else {
            return FilePosition::Event { device: self.device, index: last };
        };
        let at = self.events[range].get(index).map_or(last + 1, |e| e.index);
        kinds.push(DivergenceKind::Event { device, index: at as usize, recorded, predicted });
        FilePosition::Event { device: self.device, index: at }
    }
}

/// A call, and what is known of it.
pub(super) struct Ahead<'a> {
    pub lead: &'a PrecedingEvents,
    pub moment: &'a CallEvents,
    recorded: &'a [TraceEvent],
}

fn describe(call: Call) -> String {
    match call {
        Call::Alloc { bytes, stream, address: Some(_) } => format!("alloc of {bytes} bytes on stream {stream}"),
        Call::Alloc { bytes, stream, address: None } => format!("refused alloc of {bytes} bytes on stream {stream}"),
        Call::Free { address, .. } => format!("free of {address:#x}"),
        Call::End => "end of the trace".to_owned(),
    }
}
