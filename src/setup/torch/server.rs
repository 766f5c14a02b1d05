//! A small HTTP server for tests: files at their names, by parts or not, whole or cut.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Parts where parts are asked for.
    Parts,
    /// Always the whole file.
    Whole,
    /// The first answers of files, so many, end in the middle.
    Cuts(usize),
}

/// What lies at a path, of which kind.
pub(super) type Files = Vec<(String, &'static str, Vec<u8>)>;

pub(super) struct Server {
    pub url: String,
    asked: Arc<AtomicUsize>,
    files: Arc<Mutex<Files>>,
}

impl Server {
    /// It ends with the process.
    pub(super) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (asked, files) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Files::new())));
        let (count, shelf) = (Arc::clone(&asked), Arc::clone(&files));
        thread::spawn(move || {
            let cut = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming().flatten() {
                let (count, shelf, cut) = (Arc::clone(&count), Arc::clone(&shelf), Arc::clone(&cut));
                // A client that goes away is no failure of the test.
                thread::spawn(move || drop(serve(stream, manner, &count, &shelf, &cut)));
            }
        });
        Server { url, asked, files }
    }

    pub(super) fn put(&self, path: &str, kind: &'static str, bytes: Vec<u8>) {
        self.files.lock().expect("no test panics here").push((path.to_owned(), kind, bytes));
    }

    /// How often something was asked for.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn serve(
    stream: TcpStream,
    manner: Manner,
    count: &AtomicUsize,
    shelf: &Mutex<Files>,
    cut: &AtomicUsize,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut range = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(("range", value)) = line.to_lowercase().trim().split_once(": ") {
            range = value.strip_prefix("bytes=").map(str::to_owned);
        }
    }
    count.fetch_add(1, Ordering::SeqCst);
    let path = first.split(' ').nth(1).unwrap_or_default();
    let found = shelf.lock().expect("no test panics here").iter().find(|(at, _, _)| at == path).cloned();
    let Some((_, kind, bytes)) = found else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let size = bytes.len();
    let part = range.filter(|_| manner != Manner::Whole).map(|range| match range.split_once('-') {
        Some(("", last)) => size.saturating_sub(last.parse().unwrap_or(0))..size,
        Some((first, last)) => first.parse().unwrap_or(0)..(last.parse().unwrap_or(size) + 1).min(size),
        None => 0..size,
    });
    let status = if part.is_some() { "206 Partial Content" } else { "200 OK" };
    let span = part.clone().unwrap_or(0..size);
    let body = &bytes[span.clone()];
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    )?;
    if part.is_some() {
        write!(stream, "Content-Range: bytes {}-{}/{size}\r\n", span.start, span.end - 1)?;
    }
    stream.write_all(b"\r\n")?;
    let is_cut = matches!(manner, Manner::Cuts(most) if kind == "file" && cut.fetch_add(1, Ordering::SeqCst) < most);
    stream.write_all(if is_cut { &body[..body.len() / 2] } else { body })
}
