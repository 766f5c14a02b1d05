//! Which wheel: pages of a package index (JSON or HTML) and folders of wheels, read for one release on this processor.
//!
//! Decides which of several wheels is taken. The names of wheels and the pages follow the standards that pip follows.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::TorchError;
use super::pip::Pip;
use super::web::{Page, Web, without_secret};

/// As wheels name this processor.
pub(super) const PROCESSOR: &str = if cfg!(target_arch = "aarch64") { "aarch64" } else { "x86_64" };

/// PyTorch's wheels differ by Python, the allocator in them does not: the first of these that is offered is taken.
const PYTHONS: [&str; 7] = ["cp312", "cp311", "cp310", "cp313", "cp39", "cp38", "py3"];

/// A wheel that an index or a folder offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub file: String,
    pub at: Place,
    /// As the index gives it, in lower case.
    pub sha256: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Url(String),
    File(PathBuf),
}

impl Place {
    /// As it may be shown.
    pub(super) fn shown(&self) -> String {
        match self {
            Place::Url(url) => without_secret(url),
            Place::File(path) => path.display().to_string(),
        }
    }
}

/// The wheel of a release of a project.
pub(super) fn find(web: &Web, pip: &Pip, project: &str, version: &str) -> Result<Offer, TorchError> {
    let mut failed = None;
    for links in &pip.links {
        let offers = match links.split_once("://") {
            Some(("file", path)) => folder(Path::new(path)),
            Some(_) => page(web, links, &mut failed),
            None => folder(Path::new(links)),
        };
        if let Some(offer) = best(offers, project, version) {
            return Ok(offer);
        }
    }
    for index in &pip.indexes {
        let url = format!("{}/{project}/", index.trim_end_matches('/'));
        let offers = match url.strip_prefix("file://") {
            Some(path) => folder(Path::new(path)),
            None => page(web, &url, &mut failed),
        };
        if let Some(offer) = best(offers, project, version) {
            return Ok(offer);
        }
    }
    let places = pip.links.iter().chain(&pip.indexes).map(|place| without_secret(place)).collect();
    let what = format!("{project} {version}");
    Err(failed.unwrap_or(TorchError::NotOffered { what, processor: PROCESSOR, places }))
}

/// What a page offers. One that cannot be had is told only where no other has the wheel.
fn page(web: &Web, url: &str, failed: &mut Option<TorchError>) -> Vec<Offer> {
    match web.page(url).and_then(|page| page.map_or(Ok(Vec::new()), |page| offers(&page))) {
        Ok(offers) => offers,
        Err(error) => {
            failed.get_or_insert(error);
            Vec::new()
        }
    }
}

fn folder(path: &Path) -> Vec<Offer> {
    let files = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = files.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)));
    named.map(|(file, path)| Offer { file, at: Place::File(path), sha256: None }).collect()
}

fn offers(page: &Page) -> Result<Vec<Offer>, TorchError> {
    #[derive(Deserialize)]
    struct Project {
        files: Vec<File>,
    }
    #[derive(Deserialize)]
    struct File {
        filename: String,
        url: String,
        #[serde(default)]
        hashes: Hashes,
    }
    #[derive(Deserialize, Default)]
    struct Hashes {
        sha256: Option<String>,
    }
    if !page.is_json {
        return Ok(anchors(page));
    }
    let project: Project = serde_json::from_str(&page.text)
        .map_err(|error| TorchError::NotAnIndex { url: without_secret(&page.url), reason: error.to_string() })?;
    let offers = project.files.into_iter().map(|file| Offer {
        file: file.filename,
        at: Place::Url(join(&page.url, &file.url)),
        sha256: file.hashes.sha256.map(|hash| hash.to_lowercase()),
    });
    Ok(offers.collect())
}

/// The links of an HTML page; the hash stands behind `#`.
fn anchors(page: &Page) -> Vec<Offer> {
    let tags = page.text.split("<a").skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag);
    let links = tags.filter_map(|tag| {
        let value = tag.split_once("href")?.1.trim_start().strip_prefix('=')?.trim_start();
        let quote = value.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
        let (link, _) = value[1..].split_once(quote)?;
        Some(link.replace("&amp;", "&"))
    });
    let offers = links.filter_map(|link| {
        let (url, fragment) = link.split_once('#').unwrap_or((&link, ""));
        let path = url.split(['?']).next().unwrap_or(url);
        let file = unescaped(path.rsplit('/').next()?);
        let sha256 = fragment.split('&').find_map(|part| part.strip_prefix("sha256=")).map(str::to_lowercase);
        Some(Offer { file, at: Place::Url(join(&page.url, url)), sha256 })
    });
    offers.collect()
}

/// `%2B` is `+`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let byte = (first == b'%').then(|| after.get(..2)).flatten();
        let byte = byte.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A link as it is meant on the page that it stands on.
fn join(page: &str, link: &str) -> String {
    if link.contains("://") {
        return link.to_owned();
    }
    let (scheme, rest) = page.split_once("://").unwrap_or(("https", page));
    if let Some(other) = link.strip_prefix("//") {
        return format!("{scheme}://{other}");
    }
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if link.starts_with('/') {
        return format!("{scheme}://{host}{link}");
    }
    let mut parts: Vec<&str> = path.split('/').skip(1).collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    format!("{scheme}://{host}/{}", parts.join("/"))
}

/// The one to take: for this processor, a plain build before one that has a name of its own, of the first Python of the list.
fn best(offers: Vec<Offer>, project: &str, version: &str) -> Option<Offer> {
    let ranked = offers.into_iter().filter_map(|offer| Some((rank(&offer.file, project, version)?, offer)));
    ranked.min_by(|(a, x), (b, y)| (a, &x.file).cmp(&(b, &y.file))).map(|(_, offer)| offer)
}

fn rank(file: &str, project: &str, version: &str) -> Option<(u8, usize)> {
    let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
    let ([name, built, tags @ ..], 5 | 6) = (parts.as_slice(), parts.len()) else { return None };
    let [.., python, _, platform] = tags else { return None };
    let is_project = name.replace('_', "-").eq_ignore_ascii_case(project);
    let (base, own) = built.split_once('+').unwrap_or((built, ""));
    let fits = platform.split('.').any(|tag| {
        let is_linux = tag.starts_with("manylinux") || tag.starts_with("linux");
        is_linux && tag.ends_with(PROCESSOR)
    });
    let python = PYTHONS.iter().position(|known| python.split('.').any(|tag| tag == *known))?;
    // A build's own name says of which CUDA it is; other numbers and `cpu` are of no use here.
    let build = match own {
        "" => 0,
        own if own.starts_with("cu12") || own.starts_with("cu13") => 1,
        _ => 2,
    };
    (is_project && base == version && fits).then_some((build, python))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str, is_json: bool) -> Page {
        Page { url: "https://user:secret@mirror.example/simple/torch/".to_owned(), is_json, text: text.to_owned() }
    }

    #[test]
    fn a_page_offers_wheels_in_json_and_in_html() {
        let name = format!("torch-2.11.0-cp312-cp312-manylinux_2_28_{PROCESSOR}.whl");
        let json = format!(
            r#"{{"files": [{{"filename": "{name}", "url": "../../files/{name}", "hashes": {{"sha256": "AB"}}, "size": 3}},
                {{"filename": "torch-2.11.0.tar.gz", "url": "/x", "hashes": {{}}}}]}}"#
        );
        let found = best(offers(&page(&json, true)).expect("a page"), "torch", "2.11.0").expect("offered");
        let url = format!("https://user:secret@mirror.example/files/{name}");
        assert_eq!(found, Offer { file: name.clone(), at: Place::Url(url), sha256: Some("ab".to_owned()) });
        assert_eq!(found.at.shown(), format!("https://mirror.example/files/{name}"));
        let html =
            format!("<html><A>no</A><a class='x'\n href=\"/files/{name}#sha256=cd\" data-x='y'>{name}</a><a href=>");
        let found = best(offers(&page(&html, false)).expect("a page"), "torch", "2.11.0").expect("offered");
        assert_eq!(
            (found.at.shown(), found.sha256),
            (format!("https://mirror.example/files/{name}"), Some("cd".to_owned()))
        );
        assert!(matches!(offers(&page("<html>", true)), Err(TorchError::NotAnIndex { .. })));
        assert!(best(offers(&page(&html, false)).expect("a page"), "torch", "2.11.1").is_none());
    }

    #[test]
    fn links_are_meant_from_their_page() {
        let page = "https://host:8/a/b/?q#f";
        let [one, two, three, four] = ["c/d", "../c", "/c", "//other/c"].map(|link| join(page, link));
        assert_eq!([one.as_str(), &two], ["https://host:8/a/b/c/d", "https://host:8/a/c"]);
        assert_eq!([three.as_str(), &four], ["https://host:8/c", "https://other/c"]);
        assert_eq!(join(page, "http://x/y"), "http://x/y");
        assert_eq!(join("https://host", "../../c"), "https://host/c");
        assert_eq!(unescaped("torch-2.6.0%2Bcu126%zz%"), "torch-2.6.0+cu126%zz%");
    }

    #[test]
    fn the_wheel_of_this_processor_is_taken_and_a_plain_build_first() {
        let offer = |file: String| Offer { at: Place::File(file.clone().into()), file, sha256: None };
        let offers = || {
            let names = [
                "torch-2.6.0+cu126-cp312-cp312-linux_",
                "torch-2.6.0-cp310-cp310-manylinux1_",
                "torch-2.6.0-cp312-cp312t-win_",
            ];
            names.map(|name| offer(format!("{name}{PROCESSOR}.whl"))).to_vec()
        };
        let best_of = |offers| best(offers, "torch", "2.6.0").map(|offer| offer.file);
        assert_eq!(best_of(offers()), Some(format!("torch-2.6.0-cp310-cp310-manylinux1_{PROCESSOR}.whl")));
        assert_eq!(
            best_of(offers()[..1].to_vec()),
            Some(format!("torch-2.6.0+cu126-cp312-cp312-linux_{PROCESSOR}.whl"))
        );
        assert_eq!(best_of(offers()[2..].to_vec()), None);
        let builds =
            ["cpu", "cu118", "cu126"].map(|own| offer(format!("torch-2.6.0+{own}-cp312-cp312-linux_{PROCESSOR}.whl")));
        assert!(best_of(builds.to_vec()).is_some_and(|file| file.contains("+cu126")));
        let nvidia =
            format!("nvidia_cuda_crt-13.0.88-py3-none-manylinux2014_{PROCESSOR}.manylinux_2_17_{PROCESSOR}.whl");
        assert!(best(vec![offer(nvidia)], "nvidia-cuda-crt", "13.0.88").is_some());
        for odd in
            ["torch.whl", "torch-2.6.0-cp312.whl", "-----.whl", "", "torch-2.6.0-cp312-cp312-musllinux_1_2_x86_64.whl"]
        {
            assert_eq!(rank(odd, "torch", "2.6.0"), None, "{odd}");
        }
    }
}
