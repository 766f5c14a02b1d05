//! A worker taken through the whole protocol, one question after another, and what is wrong with its answers.
//!
//! Decides what is a mistake, and what is only worth knowing. Whether its allocator keeps its promises is not asked here.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::super::{TargetError, TargetName};
use super::process::Process;
use super::protocol::{About, Answer, Ask};
use super::recipe::Recipe;
use super::shown::{Described, Figures, MemoryKind};
use super::told::Told;
use crate::op::stats::{Column, Key, Row};
use crate::op::{BlockId, Capability, DeviceId, Drop, Op, RefusalClass, Reply, Setup, StreamId, TargetInfo, Via};

const MIB: u64 = 1 << 20;

/// What was found out about a worker.
#[derive(Debug, Default)]
pub struct Examination {
    /// What it must mend: with these, scenarios would break or convict it for its adapter's sake.
    pub mistakes: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    /// How many questions it answered.
    pub answered: usize,
    /// What it says of itself, with what the harness supplies; `None` if it did not come so far.
    pub info: Option<TargetInfo>,
}

/// Starts the command and asks it one thing of each kind that it says it can.
///
/// # Errors
/// An option of its name that makes no sense.
pub fn examine(name: &TargetName) -> Result<Examination, TargetError> {
    let recipe = Recipe::new(name)?;
    let mut asker =
        Asker { recipe, process: None, told: None, found: Examination::default(), figures: BTreeSet::new() };
    // `None` only says that there is nobody left to ask; why is among the mistakes.
    let _: Option<()> = asker.examine();
    asker.found.info = super::open(name, &world()).ok().map(|target| target.info().clone());
    Ok(asker.found)
}

/// Two devices of 64 MiB with 4 streams each.
fn world() -> Setup {
    Setup { device_bytes: vec![64 * MIB; 2], streams: 4, config: None }
}

struct Asker {
    recipe: Recipe,
    process: Option<Process>,
    told: Option<Told>,
    found: Examination,
    /// Statistics that it has told at least once.
    figures: BTreeSet<String>,
}

impl Asker {
    fn examine(&mut self) -> Option<()> {
        self.start()?;
        let described = self.open()?;
        self.describe(&described);
        let first = self.served(0, 4096)?;
        let second = self.served(1, 700)?;
        if first.address == second.address {
            self.found.mistakes.push(format!("two live blocks were given the same address, {:#x}", first.address));
        }
        self.refuse_what_cannot_be()?;
        self.zero()?;
        self.claims(&described, first)?;
        if described.ahead {
            self.asked_ahead()?;
        }
        self.free(0, first)?;
        self.free(1, second)?;
        self.figures_told(&described);
        match self.ask(&Ask::Observe {})? {
            Answer::Observed { .. } => {}
            other => self.mistake(format!("to `observe` it answered `{}`; due is {{\"observed\":{{}}}}", other.name())),
        }
        let mut restart = false;
        match self.ask(&Ask::Close {})? {
            Answer::Closed { restart: asked } => restart = asked,
            other => self.mistake(format!("to `close` it answered `{}`; due is {{\"closed\":{{}}}}", other.name())),
        }
        // The next sequence is opened in the same process, in a world of its own, unless it asks for a new one.
        if !restart {
            self.open()?;
            self.served(0, 4096)?;
        }
        let ended = self.process.take()?.dismiss();
        match ended {
            None => self.mistake(
                "it does not end when there are no more questions: leave the loop at the end of descriptor 3"
                    .to_owned(),
            ),
            Some(status) if !status.success() => {
                self.found.notes.push(format!("it ends with {status} when there are no more questions"));
            }
            Some(_) => {}
        }
        Some(())
    }

    fn mistake(&mut self, text: String) {
        self.found.mistakes.push(text);
    }

    fn start(&mut self) -> Option<()> {
        match self.recipe.start() {
            Ok(process) => {
                self.process = Some(process);
                self.found.answered += 1;
                Some(())
            }
            Err(lost) => {
                self.mistake(format!("`hello`: {}", lost.with_stderr()));
                None
            }
        }
    }

    fn ask(&mut self, ask: &Ask<'_>) -> Option<Answer> {
        self.ask_classed(ask, None)
    }

    /// Asks, and takes note of words in the answer that mean nothing.
    fn ask_classed(&mut self, ask: &Ask<'_>, unstated: Option<RefusalClass>) -> Option<Answer> {
        let process = self.process.as_mut()?;
        let answered = process.ask_for_message(ask, self.recipe.patience.with(0));
        let answer = answered.and_then(|message| process.read(&message, unstated));
        match answer {
            Ok((answer, unknown)) => {
                self.found.answered += 1;
                for path in unknown {
                    self.note(format!("`{path}`: nobody knows this field; it is passed over"));
                }
                if let Answer::Applied { devices, .. }
                | Answer::Observed { devices, .. }
                | Answer::Opened { devices, .. } = &answer
                {
                    let told = devices.iter().flatten().filter_map(|device| device.stats.as_ref());
                    for figures in told {
                        match figures {
                            Figures::All(_) => self.figures.extend(Key::all().map(|key| key.to_string())),
                            Figures::Some(some) => self.figures.extend(some.iter().map(|(key, _)| key.to_string())),
                        }
                    }
                }
                Some(answer)
            }
            Err(lost) => {
                self.mistake(format!("`{}`: {}", ask.name(), lost.with_stderr()));
                self.process = None;
                None
            }
        }
    }

    fn note(&mut self, text: String) {
        if !self.found.notes.contains(&text) {
            self.found.notes.push(text);
        }
    }

    fn open(&mut self) -> Option<Described> {
        let answer = self.ask(&Ask::Open { setup: Cow::Owned(world()) })?;
        match Told::opened(answer) {
            Ok(Ok(told)) => {
                let described = told.described.clone();
                self.told = Some(told);
                Some(described)
            }
            Ok(Err(error)) => {
                let why = if let TargetError::Unavailable { reason, .. } = &error {
                    reason.clone()
                } else {
                    error.to_string()
                };
                self.mistake(format!("`open` was refused: {why}"));
                None
            }
            Err(reason) => {
                self.mistake(format!("`open`: {reason}"));
                None
            }
        }
    }

    fn describe(&mut self, described: &Described) {
        for word in described.known().1 {
            let nearest = Capability::names().into_iter().min_by_key(|name| strsim::levenshtein(name, word));
            let hint = nearest.filter(|name| strsim::levenshtein(name, word) <= 3);
            let hint = hint.map_or_else(String::new, |name| format!(": did you mean `{name}`?"));
            self.note(format!("`{word}` is no capability{hint}; it is passed over"));
        }
        if described.devices.is_empty() {
            self.mistake("it has no devices: `devices` lists at least one, with its total_bytes".to_owned());
        }
        if described.devices.iter().any(|device| device.total_bytes == 0) {
            self.mistake("a device of 0 bytes: `total_bytes` is the size of the device".to_owned());
        }
        if described.alignment.is_none() {
            self.note("`alignment` is not said: addresses are not judged by it".to_owned());
        }
        if described.growth.is_none() {
            self.note("`growth` is not said: a request is held to take at most twice what it asks for, in pieces of 2 MiB, and 20 MiB for a small one".to_owned());
        }
        let sizes: Vec<u64> = described.devices.iter().map(|device| device.total_bytes).collect();
        if sizes != world().device_bytes {
            self.note(format!(
                "it was asked for devices of {:?} bytes and has {sizes:?}: scenarios for small worlds may not apply",
                world().device_bytes
            ));
        }
        let has_contents = described.known().0.contains(&Capability::Contents);
        if described.memory == MemoryKind::Addresses && !has_contents {
            self.note("blocks are taken to lie nowhere (`memory`: `addresses`): what is written to them is kept on record; say `host` if they are memory of the process".to_owned());
        }
    }

    /// Asks for memory that must be served.
    fn served(&mut self, block: u32, bytes: u64) -> Option<About> {
        match self.alloc(block, 0, bytes)? {
            Reply::Allocated { address } => Some(About { address, bytes, device: 0, stream: 0 }),
            other => {
                self.mistake(format!("a request of {bytes} B on an empty device was answered `{}`", other.to_line()));
                None
            }
        }
    }

    fn alloc(&mut self, block: u32, device: i32, bytes: u64) -> Option<Reply> {
        let op = Op::Alloc {
            block: BlockId(block),
            device: Some(DeviceId(device)),
            stream: StreamId(0),
            bytes,
            via: Via::Raw,
        };
        self.apply(&op, None)
    }

    fn apply(&mut self, op: &Op, about: Option<About>) -> Option<Reply> {
        let ask = asked(op, about, false);
        let answer = self.ask_classed(&ask, Some(RefusalClass::InvalidArgument))?;
        match self.told.as_mut()?.applied(answer) {
            Ok((reply, _)) => Some(reply),
            Err(reason) => {
                self.mistake(format!("`{}`: {reason}", op.name()));
                None
            }
        }
    }

    /// Asks before the harness would know what came before, and after a refusal, when what is asked so is to be passed over.
    fn asked_ahead(&mut self) -> Option<()> {
        let block = BlockId(8);
        let request = |bytes| Op::Alloc { block, device: Some(DeviceId(0)), stream: StreamId(0), bytes, via: Via::Raw };
        let refused = self.ask_classed(&asked(&request(u64::MAX), None, false), Some(RefusalClass::InvalidArgument))?;
        if !matches!(refused, Answer::Applied { reply: Reply::Refused(_), .. }) {
            return Some(()); // that it serves what cannot be was told, and nothing need be passed over
        }
        let passed = self.ask_classed(&asked(&request(512), None, true), None)?;
        if !matches!(passed, Answer::PassedOver {}) {
            let due = "{\"passed_over\":{}}, until one comes without the mark, and nothing is done";
            self.mistake(format!("what is asked ahead after a refusal it answered `{}`; due is {due}", passed.name()));
        }
        self.served(8, 512)?;
        let freed = self.ask_classed(&asked(&Op::Free { block }, None, true), Some(RefusalClass::InvalidArgument))?;
        if !matches!(freed, Answer::Applied { reply: Reply::Done, .. }) {
            self.mistake(
                "`free`, asked ahead, was not `done`: it comes without `about`, as its block may not be known yet"
                    .to_owned(),
            );
        }
        Some(())
    }

    fn refuse_what_cannot_be(&mut self) -> Option<()> {
        let due = "{\"applied\":{\"reply\":{\"refused\":{\"class\":\"...\",\"message\":\"...\"}}}}";
        for (device, bytes, what) in
            [(99, 4096, "on device 99, which does not exist"), (0, u64::MAX, "of 2^64 - 1 bytes")]
        {
            if let Reply::Allocated { .. } | Reply::Done = self.alloc(7, device, bytes)? {
                self.mistake(format!("a request {what} was served; due is {due}"));
            }
        }
        Some(())
    }

    fn zero(&mut self) -> Option<()> {
        match self.alloc(5, 0, 0)? {
            Reply::Allocated { address } => self.free(5, About { address, bytes: 0, device: 0, stream: 0 }),
            other => {
                self.mistake(format!("a request of 0 B was answered `{}`; due is an address, or 0", other.to_line()));
                Some(())
            }
        }
    }

    fn free(&mut self, block: u32, about: About) -> Option<()> {
        let reply = self.apply(&Op::Free { block: BlockId(block) }, Some(about))?;
        if reply != Reply::Done {
            self.mistake(format!(
                "the free of a live block of {} B was answered `{}`; due is `done`",
                about.bytes,
                reply.to_line()
            ));
        }
        Some(())
    }

    /// One operation of each capability that it says it has.
    fn claims(&mut self, described: &Described, block: About) -> Option<()> {
        let (capabilities, _) = described.known();
        let device = DeviceId(0);
        let tried: [(Capability, Op, &str); 12] = [
            (Capability::RecordStream, Op::RecordStream { block: BlockId(0), stream: StreamId(0) }, "done"),
            (Capability::EmptyCache, Op::EmptyCache, "done"),
            (Capability::MemoryFraction, Op::SetFraction { device: Some(device), fraction: 1.0 }, "done"),
            (Capability::MemoryFraction, Op::GetFraction { device: Some(device) }, "fraction"),
            (Capability::MemoryInfo, Op::MemoryInfo { device }, "memory_info"),
            (Capability::Dictionary, Op::Dictionary { device }, "dictionary"),
            (Capability::Summary, Op::Summary { device, abbreviated: false }, "text"),
            (Capability::Snapshot, Op::Snapshot, "snapshot"),
            (Capability::PeakReset, Op::ResetPeak { device }, "done"),
            (Capability::AccumulatedReset, Op::ResetAccumulated { device }, "done"),
            (Capability::CurrentDevice, Op::SetCurrent { device }, "done"),
            (Capability::StreamControl, Op::Synchronize { device }, "done"),
        ];
        for (capability, op, due) in tried {
            if !capabilities.contains(&capability) {
                continue;
            }
            let reply = self.apply(&op, op.block().map(|_| block))?;
            if kind(&reply) != due {
                self.mistake(format!(
                    "it says `{capability}`, and answered `{}` with `{}`; due is `{due}`",
                    op.name(),
                    reply.to_line()
                ));
            }
        }
        Some(())
    }

    /// Figures that it says it shows and never told.
    fn figures_told(&mut self, described: &Described) {
        let (capabilities, _) = described.known();
        let columns = |capability: &Capability| match *capability {
            Capability::Figure(family, column) => vec![(family, column)],
            Capability::Stats(family) => Column::ALL.iter().map(|&column| (family, column)).collect(),
            _ => Vec::new(),
        };
        for (family, column) in capabilities.iter().flat_map(columns) {
            let key = Key::Family(family, Row::All, column).to_string();
            if !self.figures.contains(&key) {
                self.mistake(format!("it says that it shows `{key}`, and told it in no answer: \"devices\":[{{\"stats\":{{\"{key}\":0}}}}, ...]"));
            }
        }
    }
}

fn asked(op: &Op, about: Option<About>, ahead: bool) -> Ask<'_> {
    Ask::Apply { op: Cow::Borrowed(op), about, thread: 0, busy: Cow::Borrowed(&[]), ahead, more: false }
}

fn kind(reply: &Reply) -> &'static str {
    match reply {
        Reply::Done => "done",
        Reply::Allocated { .. } => "allocated",
        Reply::Refused(_) => "refused",
        Reply::Fraction(_) => "fraction",
        Reply::MemoryInfo(_) => "memory_info",
        Reply::Dictionary(_) => "dictionary",
        Reply::Text(_) => "text",
        Reply::Snapshot(_) => "snapshot",
        Reply::Contents(_) => "contents",
        Reply::Terms(_) => "terms",
        Reply::Dropped(Drop::NoSuchBlock | _) => "dropped",
    }
}
