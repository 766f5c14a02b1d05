//! Puts every change of `crates/reference` behind a switch: `mutate CHECKOUT TREE DROPPED.json LIST.json`.
//!
//! Decides which files are changed: they are read in CHECKOUT and written in TREE, a copy of it. DROPPED.json names changes
//! that do not compile; LIST.json receives all of them with their numbers, names and places.

mod edit;
mod finder;
mod fold;
mod forward;
mod operators;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Left out: the second reading that tests compare with, planted mistakes and their texts, legal variations, planted races.
const LEFT_OUT: [&str; 6] = ["naive/", "defect/", "defect_bodies.rs", "needless_segments.rs", "variation", "shared/race.rs"];

fn is_left_out(file: &str) -> bool {
    LEFT_OUT.iter().any(|start| file.starts_with(start)) || file.ends_with("_test.rs") || file.ends_with("tests.rs")
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file that is as it was keeps its time, so that a build goes on from the last one.
fn write(path: &Path, text: &str) {
    if std::fs::read_to_string(path).ok().as_deref() != Some(text) {
        std::fs::create_dir_all(path.parent().expect("a file in a folder")).expect("the copy can be written");
        std::fs::write(path, text).expect("the copy can be written");
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [checkout, tree, dropped, list] = arguments.as_slice() else {
        panic!("usage: mutate CHECKOUT TREE DROPPED.json LIST.json")
    };
    let (root, copy) = (Path::new(checkout), Path::new(tree));
    let folder = Path::new("crates/reference/src");
    let reference = root.join(folder);
    let dropped = Path::new(dropped);
    let dropped: BTreeSet<String> =
        if dropped.exists() { serde_json::from_str(&read(dropped)).expect("names") } else { BTreeSet::new() };
    let mut all = Vec::new();
    sources(&root.join("src"), &mut all);
    sources(&root.join("crates"), &mut all);
    let name = |path: &Path| path.strip_prefix(&reference).ok().map(|p| p.to_string_lossy().into_owned());
    let mut names = fold::Called::default();
    for path in &all {
        match name(path).as_deref() {
            None => names.add_text(&read(path)),
            Some("defect_bodies.rs" | "variation/shape.rs") => {
                names.add_live(&syn::parse_file(&read(path)).expect("it compiles"))
            }
            Some(_) => {}
        }
    }
    let (left_out, ours): (Vec<(String, String)>, Vec<(String, String)>) =
        all.iter().filter_map(|path| Some((name(path)?, read(path)))).partition(|(file, _)| is_left_out(file));
    left_out.iter().for_each(|(file, source)| write(&copy.join(folder).join(file), source));
    let parsed: Vec<syn::File> = ours.iter().map(|(_, text)| syn::parse_file(text).expect("it compiles")).collect();
    // What is called only from where a mistake is planted is found by going on until nothing new is called.
    loop {
        let before = names.len();
        for (file, (_, source)) in parsed.iter().zip(&ours) {
            finder::find(file, source, &mut names);
        }
        if names.len() == before {
            break;
        }
    }
    let (mut first, mut everything) = (1, Vec::new());
    for (file, (name, source)) in parsed.iter().zip(&ours) {
        let edits = finder::find(file, source, &mut names);
        let written = edit::write(name, source, edits, first, &|key| dropped.contains(key));
        first += written.list.len();
        // At the end, where it moves no place that the list names.
        let switches = if name == "lib.rs" { "\npub mod mutant;\n" } else { "" };
        write(&copy.join(folder).join(name), &(written.text + switches));
        everything.extend(written.list);
    }
    // Beside the changed allocator a sound one is asked, in the same process: by the judge, and by the twin of a run.
    let targets = read(&root.join("src/target/mod.rs"));
    write(&copy.join("src/target/mod.rs"), &format!("{targets}\n{}\n", forward::suspended(&targets)));
    std::fs::write(list, serde_json::to_string(&everything).expect("plain data")).expect("the list can be written");
    println!("{} changes in {} files", everything.len(), ours.len());
}
