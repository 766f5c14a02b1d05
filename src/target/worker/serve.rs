//! The process's side: reads questions, asks the target in this process, writes answers.
//!
//! Decides that no line can end the process: what cannot be read is answered as such. A panic of the
//! target does end it, for the harness to see.

use std::io::{self, BufRead, Write};

use super::super::{Guest, Target, TargetName, open_here};
use super::faulty::Misbehaviour;
use super::protocol::{Answer, Ask, Changed, LONGEST_ASK, MOST_DEVICES, PROTOCOL, Unopened, Waited, changes};
use super::shown::{Described, MemoryKind};
use crate::op::Observation;

/// Why serving ended before the questions did.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each says what happened")]
pub enum ServeError {
    #[error("--misbehave asks for a kernel that goes wrong, and {name} runs none")]
    NoKernels { name: TargetName },
    #[error("cannot read the next question: {source}")]
    Read { source: io::Error },
    #[error("cannot write an answer: {source}")]
    Write { source: io::Error },
    #[error("cannot put an answer into JSON: {source}")]
    Json { source: serde_json::Error },
}

/// Serves a target until nothing more is asked.
///
/// # Errors
/// Pipes that fail, or an answer that is no JSON. A question that makes no sense is answered, not an error.
pub fn serve(
    name: &TargetName,
    mut input: impl BufRead,
    mut output: impl Write,
    misbehaviour: Option<Misbehaviour>,
) -> Result<(), ServeError> {
    if misbehaviour.is_some_and(|m| !m.suits(name)) {
        return Err(ServeError::NoKernels { name: name.clone() });
    }
    let mut server = Server { name, open: None, seen: Observation::default(), misbehaviour, applied: 0 };
    let mut line = Vec::new();
    let mut text = Vec::new();
    loop {
        let answer = match next_line(&mut input, &mut line).map_err(|source| ServeError::Read { source })? {
            Got::End => return Ok(()),
            Got::Line => match serde_json::from_slice(&line) {
                Ok(ask) => server.answer(&ask, &mut output),
                Err(error) => Answer::Misread { reason: error.to_string() },
            },
            Got::TooLong => Answer::Misread { reason: format!("a line of more than {LONGEST_ASK} bytes") },
        };
        text.clear();
        serde_json::to_writer(&mut text, &answer).map_err(|source| ServeError::Json { source })?;
        text.push(b'\n');
        output.write_all(&text).and_then(|()| output.flush()).map_err(|source| ServeError::Write { source })?;
    }
}

enum Got {
    Line,
    TooLong,
    End,
}

/// Reads one line without its end; of one that is too long only the beginning is kept.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Got> {
    line.clear();
    let mut too_long = false;
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            return Ok(if line.is_empty() && !too_long { Got::End } else { Got::Line });
        }
        let end = chunk.iter().position(|&b| b == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        too_long |= line.len() + part.len() > LONGEST_ASK;
        if !too_long {
            line.extend_from_slice(part);
        }
        let used = end.map_or(chunk.len(), |at| at + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(if too_long { Got::TooLong } else { Got::Line });
        }
    }
}

struct Server<'a> {
    name: &'a TargetName,
    open: Option<Box<dyn Target>>,
    /// What the harness was told last.
    seen: Observation,
    misbehaviour: Option<Misbehaviour>,
    /// Operations of this sequence.
    applied: u64,
}

impl Server<'_> {
    fn answer(&mut self, ask: &Ask<'_>, output: &mut impl Write) -> Answer {
        match ask {
            Ask::Hello { .. } => {
                if let Some(misbehaviour) = self.misbehaviour {
                    misbehaviour.at_start(output);
                }
                Answer::Hello {
                    protocol: PROTOCOL.to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    features: Vec::new(),
                }
            }
            Ask::Open { setup } => {
                self.close();
                let devices = setup.device_bytes.len();
                if devices > MOST_DEVICES {
                    return Answer::Misread { reason: format!("{devices} devices, and at most {MOST_DEVICES} can be") };
                }
                match open_here(self.name, setup) {
                    Ok(mut target) => {
                        let (mut info, versions) = (Described::whole(target.info()), target.versions());
                        if let Some(guest) = target.as_guest() {
                            info.memory =
                                if guest.has_host_memory() { MemoryKind::Host } else { MemoryKind::Addresses };
                            info.unlimited = guest.is_unlimited();
                        }
                        self.open = Some(target);
                        Answer::Opened { info, versions, devices: self.look() }
                    }
                    Err(error) => Answer::Refused { error: Unopened::Known(error) },
                }
            }
            Ask::Apply { op, thread, busy, .. } => {
                let Some(target) = &mut self.open else { return nothing_open() };
                self.applied += 1;
                if let Some(misbehaviour) = self.misbehaviour {
                    misbehaviour.at_operation(self.applied, output);
                }
                if let Some(guest) = target.as_guest() {
                    guest.before(*thread, busy);
                }
                let reply = target.apply(op);
                let waited = target.as_guest().map_or_else(Vec::new, Guest::take_waited);
                let waited = waited.into_iter().map(|(device, stream)| Waited { device, stream: Some(stream) });
                let waited = waited.collect();
                let (devices, poisoned) = (self.look(), self.poisoned());
                Answer::Applied { reply, devices, events: Vec::new(), waited, pool: None, poisoned }
            }
            Ask::Observe {} if self.open.is_none() => nothing_open(),
            Ask::Observe {} => Answer::Observed { devices: self.look(), poisoned: self.poisoned() },
            Ask::Close {} => {
                self.close();
                Answer::Closed { restart: false }
            }
        }
    }

    fn close(&mut self) {
        if let Some(mut target) = self.open.take() {
            target.close();
        }
        self.seen.devices.clear();
        self.applied = 0;
    }

    fn look(&mut self) -> Vec<Changed> {
        let Some(target) = &mut self.open else { return Vec::new() };
        let mut now = Observation::default();
        target.observe(&mut now);
        let changed = changes(&self.seen, &now);
        self.seen = now;
        changed
    }

    fn poisoned(&self) -> Option<String> {
        if let Some(Misbehaviour::PoisonAt(_)) = self.misbehaviour.filter(|m| m.has_begun(self.applied)) {
            return Some("poisoned on request".to_owned());
        }
        let target = self.open.as_ref()?;
        let code = || target.poisoned().map(|code| format!("error {code} broke the device's context for good"));
        target.lost().map(ToString::to_string).or_else(code)
    }
}

fn nothing_open() -> Answer {
    Answer::Misread { reason: "no target is open".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(input: &[u8]) -> Vec<String> {
        let name: TargetName = "reference@sim".parse().expect("well formed");
        let mut output = Vec::new();
        serve(&name, input, &mut output, None).expect("memory can be read and written");
        String::from_utf8(output).expect("JSON").lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_makes_no_sense_is_answered_and_ends_nothing() {
        let mut input = b"hello\n{\"apply\":{\"op\":\"snapshot\"}}\n\xff\xfe\n{\"observe\":{}}\n".to_vec();
        input.extend(vec![b' '; LONGEST_ASK + 1]);
        input.extend(b"\n{\"hello\":{\"protocol\":\"x\"}}\n{\"open\":");
        let answers = served(&input);
        let starts: Vec<&str> = answers.iter().map(|a| &a[..9]).collect();
        assert_eq!(starts[..5], ["{\"misread"; 5], "{answers:?}");
        assert!(answers[5].starts_with("{\"hello\":{\"protocol\":\"poolproof-worker/2\""), "{}", answers[5]);
        assert!(answers[6].starts_with("{\"misread"), "a line cut short: {}", answers[6]);
        assert_eq!(answers.len(), 7);
    }

    #[test]
    fn an_answer_brings_what_can_be_seen() {
        let open = r#"{"open":{"setup":{"device_bytes":[67108864,67108864],"streams":1}}}"#;
        let alloc = r#"{"apply":{"op":{"alloc":{"block":0,"device":1,"stream":0,"bytes":8}}}}"#;
        let answers = served(format!("{open}\n{alloc}\n{alloc}\n{{\"close\":{{}}}}\n{alloc}\n").as_bytes());
        let applied = |line: &str| match serde_json::from_str(line).expect("an answer") {
            Answer::Applied { reply, devices, events, poisoned: None, .. } if events.is_empty() => (reply, devices),
            other => panic!("{other:?}"),
        };
        let (reply, devices) = applied(&answers[1]);
        assert!(matches!(reply, crate::op::Reply::Allocated { .. }));
        let [None, Some(shown)] = &devices[..] else { panic!("only one device changed") };
        let mut view = crate::op::DeviceView::default();
        shown.onto(&mut view);
        assert_eq!(view.stats.all(crate::op::Family::Allocation).current, 1);
        assert_eq!(answers[3], r#"{"closed":{}}"#);
        assert!(answers[4].contains("no target is open"), "{}", answers[4]);
    }
}
