//! What fuzzing begins with: the scenarios and the recordings of the repository, cut to a size that mutates quickly.
//!
//! Decides what is taken from them. Files are made when they are asked for; none of it is kept in the repository.

use std::borrow::Cow;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use poolproof::op::Setup;
use poolproof::replay;
use poolproof::spec::{self, Body, Scenario};
use poolproof::target::worker::{self, Ask};
use poolproof::verdict::Reproducer;

use super::encode;
use super::files::on_disk;
use super::header::Header;

/// Operations of a recording that a seed keeps.
const OPERATIONS: usize = 12;

/// The seeds of a target: names and contents. `root` is the folder of the main crate.
pub fn of(target: &str, root: &Path) -> Vec<(String, Vec<u8>)> {
    match target {
        "operations" | "canary" | "naive" => sequences(),
        "settings" => settings(root),
        "scenario" => scenarios(root),
        "recording" => recordings(root).into_iter().map(|(name, text)| (name, text.into_bytes())).collect(),
        "pickle" => pickles(root),
        "reproducer" => reproducers(),
        "worker" => conversations(),
        _ => Vec::new(),
    }
}

fn generated() -> impl Iterator<Item = (Scenario, Setup, Vec<poolproof::op::Step>)> {
    spec::built_in().into_iter().filter_map(|scenario| {
        let Body::Generate(generate) = &scenario.body else { return None };
        let (setup, steps) = super::scenario::drawn(&scenario, generate, 1);
        Some((scenario, setup, steps))
    })
}

/// The generated sequences under plain settings, and each under one other.
fn sequences() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (nth, (scenario, setup, steps)) in (0_u8..).zip(generated()) {
        for (label, settings) in [("plain", 0), ("other", nth.wrapping_mul(37) | 1)] {
            let header = encode::like(&setup, settings);
            let mut bytes = encode::header(&header);
            bytes.extend(encode::steps(&steps, &header.setup(), 120));
            seeds.push((format!("{}-{label}", scenario.id.replace("::", "-")), bytes));
        }
    }
    seeds
}

fn settings(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut texts: Vec<String> = recordings(root).iter().filter_map(|(_, text)| config_of(text)).collect();
    texts.extend((0..=255_u8).step_by(5).map(|settings| {
        Header { settings, fraction: 128, collect: 100, large: settings / 3, ..Header::default() }.config()
    }));
    texts.push("backend:native,pinned_num_register_threads:8,release_lock_on_cudamalloc:False".to_owned());
    texts.sort();
    texts.dedup();
    let ops = sequences().swap_remove(0).1;
    let with_ops = |text: String| [text.as_bytes(), &[0], &ops[..ops.len().min(200)]].concat();
    (0..).zip(texts).map(|(n, text): (u32, String)| (format!("config-{n}"), with_ops(text))).collect()
}

fn config_of(recording: &str) -> Option<String> {
    let header: serde_json::Value = serde_json::from_str(recording.lines().next()?).ok()?;
    header["config"].as_str().map(str::to_owned)
}

/// Every document of every scenario file by itself.
fn scenarios(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for path in below(&root.join("specs"), "yaml") {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let documents = (0..).zip(text.split("\n---\n"));
        seeds.extend(documents.map(|(n, document): (u32, &str)| (format!("{name}-{n}"), document.as_bytes().to_vec())));
    }
    seeds
}

/// The beginning of each recording, closed as the format wants it.
fn recordings(root: &Path) -> Vec<(String, String)> {
    let mut seeds = Vec::new();
    for path in below(&root.join("tests/recordings"), "gz") {
        let Ok(zipped) = fs::read(&path) else { continue };
        let mut text = String::new();
        if flate2::read::MultiGzDecoder::new(&zipped[..]).read_to_string(&mut text).is_err() {
            continue;
        }
        let end = text.lines().find(|l| l.starts_with("{\"end\""));
        let Some(mut end) = end.and_then(|l| serde_json::from_str::<serde_json::Value>(l).ok()) else { continue };
        if let Some(events) = end["events"].as_array_mut() {
            events.truncate(OPERATIONS * 3);
        }
        let events = &end["events"];
        let mut kept: Vec<String> = text.lines().take(2 + OPERATIONS).map(str::to_owned).collect();
        kept.push(format!("{{\"end\":0,\"events\":{events},\"segments\":[]}}"));
        let name = path.file_name().unwrap_or_default().to_string_lossy().replace(".jsonl.gz", "");
        seeds.push((name, kept.join("\n") + "\n"));
    }
    seeds
}

/// What the reference came to in those beginnings, as a snapshot.
fn pickles(root: &Path) -> Vec<(String, Vec<u8>)> {
    let lived = |(name, text): (String, String)| {
        let (_, lived) = on_disk(text.as_bytes(), |path| replay::lived(path, true, replay::Reading::default())).ok()?;
        Some((name, replay::pickled(&lived)))
    };
    recordings(root).into_iter().filter_map(lived).collect()
}

fn reproducers() -> Vec<(String, Vec<u8>)> {
    let kept = |(scenario, setup, steps): (Scenario, Setup, Vec<poolproof::op::Step>)| {
        let reproducer = Reproducer {
            format: Reproducer::FORMAT.to_owned(),
            target: "reference@sim".to_owned(),
            scenario: scenario.id.clone(),
            requirement: scenario.requirement,
            setup,
            oracles: scenario.oracles.iter().copied().collect(),
            steps: steps.into_iter().take(16).collect(),
            names: poolproof::op::Names::default(),
            epilogue: true,
        };
        (scenario.id.replace("::", "-"), poolproof::engine::regressions::to_json(&reproducer))
    };
    generated().map(kept).collect()
}

/// Questions, the answers to them, and sequences whose questions or answers are to be spoilt.
fn conversations() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (scenario, setup, steps) in generated() {
        let name = scenario.id.replace("::", "-");
        let ops = steps.iter().take(5).filter_map(|s| s.op.as_ref());
        let mut asks = vec![Ask::Open { setup: Cow::Borrowed(&setup) }];
        asks.extend(ops.map(|op| Ask::apply(Cow::Borrowed(op))));
        asks.extend([Ask::Observe {}, Ask::Close {}]);
        let mut lines = Vec::new();
        for ask in asks {
            serde_json::to_writer(&mut lines, &ask).expect("a question is JSON");
            lines.push(b'\n');
        }
        let mut answers = vec![b'<'];
        let here = super::operations::reference("");
        worker::serve(&here, &lines[..], &mut answers, None).expect("memory can be read and written");
        let like = encode::like(&setup, 0);
        let (header, drawn) = (encode::header(&like), encode::steps(&steps, &like.setup(), 24));
        let odd = [250, 3, 0, 5, 244, 0, 10, 3, 0, 0, 0, 241, 0, 1, 0, 12, 200];
        seeds.push((format!("{name}-asked"), lines));
        seeds.push((format!("{name}-answered"), answers));
        seeds.push((format!("{name}-questions"), [&[1][..], &header, &[0], &drawn, &odd].concat()));
        seeds.push((format!("{name}-lies"), [&[200][..], &header, &[24], &drawn, &odd].concat()));
    }
    seeds
}

/// Files with that ending in a folder and the folders in it, sorted.
pub fn below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            found.extend(below(&path, ending));
        } else if ending.is_empty() || path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
    found
}
