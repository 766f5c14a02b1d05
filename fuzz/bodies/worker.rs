//! What goes over the pipes of `poolproof-worker/2`, in both directions: questions of anybody to the side that serves,
//! and answers of a worker that may be anybody's to the harness.
//!
//! The first byte says which: `{` questions and `<` answers as they are, below 128 questions made of operations and
//! spoilt, above answers of the reference, spoilt while a sequence runs. A line may be refused in words; no line may
//! cost the process, its memory or its time.

use std::borrow::Cow;

use arbitrary::{Arbitrary, Result, Unstructured};
use poolproof::engine::attempt::{Attempt, attempt};
use poolproof::engine::lockstep::JudgedSequence;
use poolproof::op::{Observation, Op, OracleName, RefusalClass, Reply, Setup, Step, TargetInfo, Versions};
use poolproof::target::lost::ProtocolError;
use poolproof::target::worker::shown::{Described, Shown};
use poolproof::target::worker::{self, Answer, Ask, Changed, PROTOCOL, Told};
use poolproof::target::{self, Lost, Target, TargetError};

use super::coverage::Cells;
use super::draft::Draft;
use super::edit;
use super::header::Header;
use super::held::Held;
use super::operations;
use super::reproducer::astray;
use super::value::{number, rarely};

/// Operations of one input.
const MOST: usize = 48;

pub fn run(data: &[u8], _: &mut Cells) {
    match data.first() {
        None | Some(b'{' | b'\n') => serve(data),
        Some(b'<') => hear(&data[1..]),
        Some(0..128) => {
            if let Ok(lines) = questions(&mut Unstructured::new(&data[1..])) {
                serve(&lines);
            }
        }
        Some(_) => {
            if let Ok((setup, steps, edits)) = sequence(&mut Unstructured::new(&data[1..])) {
                ask(&setup, &steps, &edits);
            }
        }
    }
}

/// Every line has an answer, and every answer can be read.
fn serve(lines: &[u8]) {
    let mut answers = Vec::new();
    worker::serve(&operations::reference(""), lines, &mut answers, None).expect("memory can be read and written");
    let asked = lines.split(|&b| b == b'\n').count() - usize::from(lines.last().is_none_or(|&b| b == b'\n'));
    let answered = answers.split_inclusive(|&b| b == b'\n').map(|line| line.strip_suffix(b"\n").expect("a whole line"));
    let mut count = 0;
    for line in answered {
        count += 1;
        if let Err(error) = Answer::read(line) {
            assert!(matches!(error, ProtocolError::Misread { .. }), "{error}");
        }
    }
    assert_eq!(count, asked);
}

fn questions(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut setup = Header::arbitrary(u)?.setup();
    if rarely(u, 8)? {
        let count = usize::from(u.arbitrary::<u8>()?) * 2;
        setup = Setup { device_bytes: vec![number(u)?; count], streams: u.arbitrary()?, config: None };
    }
    let mut asks = vec![
        Ask::Hello { protocol: Cow::Borrowed(PROTOCOL), features: Cow::Borrowed(&[]) },
        Ask::Open { setup: Cow::Owned(setup) },
    ];
    let plain = Setup { device_bytes: vec![1 << 30; 2], streams: 8, config: None };
    let mut held = Held::default();
    while u.len() >= 8 && asks.len() < MOST {
        let Some(mut op) = Draft::arbitrary(u)?.op(&mut held, &plain) else { continue };
        if rarely(u, 4)? {
            astray(&mut op, u)?;
        }
        asks.push(Ask::apply(Cow::Owned(op)));
    }
    asks.push(Ask::Observe {});
    asks.push(Ask::Close {});
    let mut lines = Vec::new();
    for ask in asks {
        lines.extend(spoilt(u, &ask)?);
        lines.push(b'\n');
    }
    Ok(lines)
}

/// A message as a line, or once in a while something like it. Where the input is used up, the message.
fn spoilt(u: &mut Unstructured<'_>, message: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec(message).expect("a message is JSON");
    match u.arbitrary::<u8>()? {
        240..248 => {
            let mut document = serde_json::from_slice(&text).expect("it was written so");
            edit::value(u, &mut document)?;
            text = document.to_string().into_bytes();
        }
        248.. => edit::line(u, &mut text)?,
        _ => {}
    }
    Ok(text)
}

/// Answers as they are: to `open`, then to anything.
fn hear(lines: &[u8]) {
    let mut told: Option<Told> = None;
    for line in lines.split(|&b| b == b'\n') {
        let answer = match Answer::read(line) {
            Ok(answer) => answer,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        let written = serde_json::to_vec(&answer).expect("an answer is JSON");
        let again = Answer::read(&written).expect("what is written can be read");
        assert_eq!(serde_json::to_vec(&again).expect("as before"), written);
        told = match (told, answer) {
            (Some(mut told), answer @ Answer::Observed { .. }) => told.observed(answer).is_ok().then_some(told),
            (Some(mut told), answer) => told.applied(answer).is_ok().then_some(told),
            (None, answer) => Told::opened(answer).ok().and_then(std::result::Result::ok),
        };
    }
}

/// A world, operations, and what the answers are spoilt by.
fn sequence(u: &mut Unstructured<'_>) -> Result<(Setup, Vec<Step>, Vec<u8>)> {
    let setup = Header::arbitrary(u)?.setup();
    let mut held = Held::default();
    let mut steps = Vec::new();
    let most = usize::from(u.arbitrary::<u8>()?) % MOST;
    while u.len() >= 8 && steps.len() < most {
        steps.extend(Draft::arbitrary(u)?.op(&mut held, &setup).map(Step::from));
    }
    Ok((setup, steps, u.bytes(u.len())?.to_vec()))
}

/// A sequence with a worker that lies. Whatever it is convicted of, the harness must stand.
fn ask(setup: &Setup, steps: &[Step], edits: &[u8]) {
    let oracles = OracleName::ALL.iter().copied().collect();
    let relations = [OracleName::RELATIONS[steps.len() % OracleName::RELATIONS.len()]];
    let course = JudgedSequence {
        steps,
        oracles: &oracles,
        epilogue: true,
        transcript: false,
        relations: &relations,
        only: None,
        exact: false,
    };
    let open = |setup: &Setup| Foreign::open(setup, edits);
    if let Ok(Attempt::Panicked(panicked)) = attempt(&open, setup, &course) {
        let ops: Vec<String> = steps.iter().filter_map(|s| s.op.as_ref()).map(Op::to_line).collect();
        panic!("at step {}: {}\n{setup:?}\n{}", panicked.step, panicked.text, ops.join("\n"));
    }
}

/// The reference behind a pipe that spoils its answers.
struct Foreign {
    inner: Box<dyn Target>,
    /// What was said last.
    before: Observation,
    told: Told,
    edits: Vec<u8>,
    used: usize,
    lost: Option<Lost>,
}

impl Foreign {
    fn open(setup: &Setup, edits: &[u8]) -> std::result::Result<Box<dyn Target>, TargetError> {
        let mut inner = target::open(&operations::reference(""), setup)?;
        let (mut used, mut before) = (0, Observation::default());
        let devices = changes(&mut *inner, &mut before);
        let answer = Answer::Opened { info: Described::whole(inner.info()), versions: inner.versions(), devices };
        let told = said(edits, &mut used, &answer).and_then(Told::opened);
        match told {
            Ok(Ok(told)) => Ok(Box::new(Foreign { inner, before, told, edits: edits.to_vec(), used, lost: None })),
            Ok(Err(error)) => Err(error),
            Err(reason) => Err(TargetError::Lost { target: "worker".to_owned(), lost: broke(reason) }),
        }
    }
}

fn broke(reason: ProtocolError) -> Lost {
    assert!(!reason.to_string().is_empty());
    Lost::Protocol { reason, stderr: String::new() }
}

/// The devices that are not as they were said to be.
fn changes(target: &mut dyn Target, before: &mut Observation) -> Vec<Changed> {
    let mut now = Observation::default();
    target.observe(&mut now);
    let known = before.devices.iter().map(Some).chain(std::iter::repeat(None));
    let changed = now
        .devices
        .iter()
        .zip(known)
        .map(|(now, known)| (known != Some(now)).then(|| Box::new(Shown::all(now))))
        .collect();
    *before = now;
    changed
}

/// What arrives of an answer. `used` is how many of the edits were used up.
fn said(edits: &[u8], used: &mut usize, answer: &Answer) -> std::result::Result<Answer, ProtocolError> {
    let rest = edits.get(*used..).unwrap_or_default();
    if rest.is_empty() {
        return Answer::read(&serde_json::to_vec(answer).expect("an answer is JSON"));
    }
    let mut u = Unstructured::new(rest);
    let line = spoilt(&mut u, answer).expect("bytes are never refused");
    *used = edits.len() - u.len();
    Answer::read(&line)
}

impl Target for Foreign {
    fn info(&self) -> &TargetInfo {
        &self.told.info
    }

    fn versions(&self) -> Versions {
        self.told.versions.clone()
    }

    fn apply(&mut self, op: &Op) -> Reply {
        if self.lost.is_none() {
            let reply = self.inner.apply(op);
            let devices = changes(&mut *self.inner, &mut self.before);
            let answer =
                Answer::Applied { reply, devices, events: Vec::new(), waited: Vec::new(), pool: None, poisoned: None };
            let heard = said(&self.edits, &mut self.used, &answer).and_then(|answer| self.told.applied(answer));
            match heard {
                Ok((reply, None)) => return reply,
                Ok((reply, Some(reason))) => {
                    self.lost = Some(Lost::Poisoned { reason, stderr: String::new() });
                    return reply;
                }
                Err(reason) => self.lost = Some(broke(reason)),
            }
        }
        Reply::refused(RefusalClass::DeviceError, "lost")
    }

    fn observe(&mut self, into: &mut Observation) {
        into.clone_from(&self.told.seen);
    }

    fn lost(&self) -> Option<&Lost> {
        self.lost.as_ref()
    }
}
