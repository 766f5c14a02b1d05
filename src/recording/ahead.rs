//! Lines read ahead: one thread reads text, some parse it, and the caller gets the lines in order.
//!
//! Parsing is most of a long recording's time, and lines do not depend on each other. Only a few batches are
//! underway at a time, so that memory does not grow with the file.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{Line, Reader, RecordingError};

/// Text of about this many bytes is parsed at a time.
const BATCH_BYTES: usize = 1 << 16;
/// Batches that may wait for a parser, or for the caller.
const WAITING: usize = 2;

/// Where a line stands.
#[derive(Debug, Clone, Copy)]
pub struct Where<'a> {
    file: &'a str,
    pub line: u64,
}

impl Where<'_> {
    /// An error at this line.
    #[must_use]
    pub fn out_of_place(&self, what: &'static str) -> RecordingError {
        RecordingError::OutOfPlace { file: self.file.to_owned(), line: self.line, what }
    }
}

/// Some lines of text, and the error that the reader met after them.
struct Batch {
    first: u64,
    text: String,
    failed: Option<RecordingError>,
}

type Parsed = Vec<(u64, Result<Line, RecordingError>)>;

/// A parser, as the caller's thread sees it.
struct Parser {
    lines: Receiver<Parsed>,
    /// What was taken goes back to the thread that made it: memory freed elsewhere costs more than the parsing.
    done: SyncSender<Vec<Line>>,
}

/// Gives every line that the reader has not read yet to `take`, in order.
///
/// # Errors
/// As [`Reader::next_line`], or what `take` answers first.
pub fn each_line<E: From<RecordingError>>(
    mut reader: Reader,
    mut take: impl FnMut(Where<'_>, &Line) -> Result<(), E>,
) -> Result<(), E> {
    let file = reader.file().to_owned();
    let parsers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    std::thread::scope(|scope| {
        let (mut texts, mut sources) = (Vec::new(), Vec::new());
        for _ in 0..parsers {
            let (give_text, take_text) = sync_channel::<Batch>(WAITING);
            let (give_lines, lines) = sync_channel::<Parsed>(WAITING);
            let (done, take_done) = sync_channel::<Vec<Line>>(2 * WAITING);
            let file = &file;
            scope.spawn(move || parse(file, &take_text, &give_lines, &take_done));
            texts.push(give_text);
            sources.push(Parser { lines, done });
        }
        scope.spawn(move || read(&mut reader, &texts));
        for source in sources.iter().cycle() {
            // A parser that has nothing more to give was the next in turn: the text is over.
            let Ok(parsed) = source.lines.recv() else { break };
            let mut taken = Vec::with_capacity(parsed.len());
            for (line, parsed) in parsed {
                let parsed = parsed?;
                take(Where { file: &file, line }, &parsed)?;
                taken.push(parsed);
            }
            // One that has ended, or has enough to do, need not tidy up.
            let _ = source.done.try_send(taken);
        }
        Ok(())
    })
}

/// Deals batches of text out in turn, until the end or the first failure; or until nobody takes them.
fn read(reader: &mut Reader, texts: &[SyncSender<Batch>]) {
    for to in texts.iter().cycle() {
        let mut batch = Batch { first: reader.line_number() + 1, text: String::new(), failed: None };
        let mut over = false;
        while batch.text.len() < BATCH_BYTES && !over {
            match reader.append_line(&mut batch.text) {
                Ok(more) => over = !more,
                Err(error) => (batch.failed, over) = (Some(error), true),
            }
        }
        if to.send(batch).is_err() || over {
            return;
        }
    }
}

fn parse(file: &str, texts: &Receiver<Batch>, lines: &SyncSender<Parsed>, done: &Receiver<Vec<Line>>) {
    for batch in texts {
        done.try_iter().for_each(drop);
        let parse = |(line, text): (u64, &str)| {
            let malformed = |source| RecordingError::Malformed { file: file.to_owned(), line, source };
            (line, Line::parse(text).map_err(malformed))
        };
        let mut parsed: Parsed = (batch.first..).zip(batch.text.lines()).map(parse).collect();
        parsed.extend(batch.failed.map(|error| (0, Err(error))));
        if lines.send(parsed).is_err() {
            return;
        }
    }
}
