//! Pages, whole files and parts of files over HTTP, each with an end to the wait and a word for what went wrong.
//!
//! Decides how often a cut is tried again, and when an answer counts as cut. What is asked for is the caller's.

use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use ureq::http::{HeaderMap, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy, ResponseExt};

use super::TorchError;
use super::pip::Pip;

/// A connection that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// A part that was cut is asked for again, so often in all.
const ATTEMPTS: u32 = 3;

/// A page of an index is shorter: PyPI's of torch takes 1 MB.
const LONGEST_PAGE: u64 = 64 << 20;

/// Bytes that are read before anybody is told.
const STEP: usize = 64 << 10;

/// Is told how many bytes have come of how many, and whether to go on is its answer.
pub(super) type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> bool;

pub(super) struct Web {
    agent: Agent,
}

/// A page and where it came from in the end.
pub(super) struct Page {
    pub url: String,
    pub is_json: bool,
    pub text: String,
}

/// Bytes of a file, and how many it has.
pub(super) struct Part {
    pub bytes: Vec<u8>,
    pub start: u64,
    pub of: u64,
}

/// Which bytes are wanted.
#[derive(Debug, Clone)]
pub(super) enum Span {
    /// These.
    Bytes(Range<u64>),
    /// So many at the end.
    Last(u64),
}

impl Web {
    pub(super) fn new(pip: &Pip) -> Result<Self, TorchError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = match &pip.certificates {
            Some(path) => roots(path)?,
            None => system_roots(),
        };
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(roots).build();
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("poolproof/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(SILENCE))
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .tls_config(tls);
        if let Some(proxy) = &pip.proxy {
            let proxy = Proxy::new(proxy).map_err(|_| TorchError::Proxy { proxy: without_secret(proxy) })?;
            config = config.proxy(Some(proxy));
        }
        Ok(Web { agent: config.build().new_agent() })
    }

    /// A page; `None` where there is none.
    pub(super) fn page(&self, url: &str) -> Result<Option<Page>, TorchError> {
        const ANY: &str =
            "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";
        let response = self.agent.get(url).header(ACCEPT, ANY).call().map_err(unreachable(url))?;
        if matches!(response.status().as_u16(), 404 | 410) {
            return Ok(None);
        }
        let mut response = expect(response, url, 200)?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_json = kind.contains("json");
        let found_at = response.get_uri().to_string();
        let read = response.body_mut().with_config().limit(LONGEST_PAGE).lossy_utf8(true).read_to_string();
        Ok(Some(Page { url: found_at, is_json, text: read.map_err(unreachable(url))? }))
    }

    /// Writes a whole file, and gives its SHA-256.
    pub(super) fn whole(
        &self,
        url: &str,
        into: &mut impl Write,
        progress: Progress<'_>,
    ) -> Result<(u64, String), Whole> {
        let response = self.agent.get(url).call().map_err(unreachable(url))?;
        let response = expect(response, url, 200)?;
        let wanted = length(response.headers());
        let mut hash = Sha256::new();
        let mut got = 0;
        let read = copy(response, &mut |bytes| {
            hash.update(bytes);
            got += bytes.len() as u64;
            into.write_all(bytes).map_err(Copied::Write)?;
            if progress(got, wanted.unwrap_or(got)) { Ok(()) } else { Err(Copied::Stopped) }
        });
        match read {
            Err(Copied::Write(error)) => return Err(Whole::Write(error)),
            Err(Copied::Stopped) => return Err(Whole::Web(TorchError::Stopped)),
            Ok(()) if wanted.is_none_or(|wanted| wanted == got) => {}
            _ => {
                let (url, wanted) = (without_secret(url), wanted.unwrap_or_default());
                return Err(Whole::Web(TorchError::Cut { url, got, wanted, attempts: 1 }));
            }
        }
        Ok((got, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// A part of a file; what was cut is asked for again.
    pub(super) fn part(&self, url: &str, span: &Span, progress: Progress<'_>) -> Result<Part, TorchError> {
        let mut attempt = 1;
        loop {
            match self.part_once(url, span, progress) {
                Err(TorchError::Cut { .. } | TorchError::Unreachable { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(TorchError::Cut { url, got, wanted, .. }) => {
                    return Err(TorchError::Cut { url, got, wanted, attempts: attempt });
                }
                other => return other,
            }
        }
    }

    fn part_once(&self, url: &str, span: &Span, progress: Progress<'_>) -> Result<Part, TorchError> {
        let range = match span {
            Span::Bytes(range) => format!("bytes={}-{}", range.start, range.end.saturating_sub(1)),
            Span::Last(count) => format!("bytes=-{count}"),
        };
        let response = self.agent.get(url).header(RANGE, range).call().map_err(unreachable(url))?;
        let no_ranges = || TorchError::NoRanges { url: without_secret(url) };
        if matches!(response.status().as_u16(), 200 | 416 | 501) {
            return Err(no_ranges());
        }
        let response = expect(response, url, 206)?;
        let (given, of) = content_range(response.headers()).ok_or_else(no_ranges)?;
        let is_asked = match span {
            Span::Bytes(range) => given.start == range.start && given.end <= range.end,
            Span::Last(count) => given.end == of && given.end - given.start <= *count,
        };
        if !is_asked {
            return Err(no_ranges());
        }
        let wanted = given.end - given.start;
        let mut bytes = Vec::new();
        let read = copy(response, &mut |more| {
            bytes.extend_from_slice(&more[..more.len().min((wanted - bytes.len() as u64) as usize)]);
            if progress(bytes.len() as u64, wanted) { Ok(()) } else { Err(Copied::Stopped) }
        });
        let got = bytes.len() as u64;
        if matches!(read, Err(Copied::Stopped)) {
            return Err(TorchError::Stopped);
        }
        if read.is_err() || got != wanted {
            return Err(TorchError::Cut { url: without_secret(url), got, wanted, attempts: 1 });
        }
        Ok(Part { bytes, start: given.start, of })
    }
}

/// Why a whole file did not come.
pub(super) enum Whole {
    Web(TorchError),
    Write(std::io::Error),
}

impl From<TorchError> for Whole {
    fn from(error: TorchError) -> Self {
        Whole::Web(error)
    }
}

enum Copied {
    Read,
    Write(std::io::Error),
    Stopped,
}

fn copy(mut response: Response<Body>, take: &mut dyn FnMut(&[u8]) -> Result<(), Copied>) -> Result<(), Copied> {
    let mut reader = response.body_mut().as_reader();
    let mut step = vec![0; STEP];
    loop {
        match reader.read(&mut step) {
            Ok(0) => return Ok(()),
            Ok(count) => take(&step[..count])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Err(Copied::Read),
        }
    }
}

fn expect(response: Response<Body>, url: &str, wanted: u16) -> Result<Response<Body>, TorchError> {
    let status = response.status().as_u16();
    if status == wanted { Ok(response) } else { Err(TorchError::Refused { url: without_secret(url), status }) }
}

fn unreachable(url: &str) -> impl FnOnce(ureq::Error) -> TorchError {
    let url = without_secret(url);
    move |error| TorchError::Unreachable { url, reason: error.to_string() }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `bytes 0-99/1000`.
fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let (range, of) = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, end, of) = (first.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?, of.parse().ok()?);
    (first < end && end <= of).then_some((first..end, of))
}

/// An address as it may be shown: without the name and password that may stand in it.
pub(super) fn without_secret(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    format!("{scheme}://{}{path}", host.rsplit_once('@').map_or(host, |(_, host)| host))
}

/// What the system trusts. Where nothing can be read, no server is trusted, and that is what is said of it.
fn system_roots() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    let certificates = found.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    RootCerts::from(certificates)
}

fn roots(path: &std::path::Path) -> Result<RootCerts, TorchError> {
    let bad = |reason: String| TorchError::Certificates { path: path.to_owned(), reason };
    let text = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let items = parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    let certificates = items.collect::<Result<Vec<_>, _>>().map_err(|error| bad(error.to_string()))?;
    if certificates.is_empty() {
        return Err(bad("there is none".to_owned()));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}
