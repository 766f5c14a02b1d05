//! What may stand after `?` in the name of a plugin: how its functions are called, and what is promised of it.
//!
//! Decides which functions are looked for and what is said where one is not there. Loads nothing.

use super::super::on_gpu::OnGpu;
use super::super::registry::{TargetOption, unknown_option};
use super::super::{TargetError, TargetName};
use crate::op::Capability;

/// What only the author of a library can know.
const PROMISES: [Capability; 6] = [
    Capability::Caching,
    Capability::KeepsCached,
    Capability::CutsAnyBlock,
    Capability::MergesAtFree,
    Capability::SmallPool,
    Capability::DeferredFree,
];

/// A function that a library may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hook {
    Alloc,
    Free,
    Init,
    MemoryFraction,
    Reset,
    Trim,
    BeginAllocateToPool,
    EndAllocateToPool,
    ReleasePool,
    RecordStream,
    Device,
    Streams,
}

impl Hook {
    /// Each with its option and the names that are looked for where nobody names it.
    const ALL: [(Hook, &'static str, &'static [&'static str]); 12] = [
        // PyTorch's documentation and vLLM call them my_malloc and my_free, RMM allocate and deallocate.
        (Hook::Alloc, "alloc", &["alloc", "my_malloc", "allocate"]),
        (Hook::Free, "free", &["free", "my_free", "deallocate"]),
        (Hook::Init, "init", &["init"]),
        (Hook::MemoryFraction, "memory_fraction", &["memory_fraction"]),
        (Hook::Reset, "reset", &["reset"]),
        (Hook::Trim, "trim", &["trim"]),
        (Hook::BeginAllocateToPool, "begin_allocate_to_pool", &["begin_allocate_to_pool"]),
        (Hook::EndAllocateToPool, "end_allocate_to_pool", &["end_allocate_to_pool"]),
        (Hook::ReleasePool, "release_pool", &["release_pool"]),
        (Hook::RecordStream, "record_stream", &["record_stream"]),
        (Hook::Device, "device", &["poolproof_device"]),
        (Hook::Streams, "streams", &["poolproof_streams"]),
    ];

    /// What it is for, in the error that it is missing.
    fn is_required(self) -> bool {
        matches!(self, Hook::Alloc | Hook::Free)
    }
}

/// The options of a plugin's name.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Functions that the name calls otherwise than we would.
    named: Vec<(Hook, String)>,
    /// What every address is a multiple of.
    pub(super) alignment: Option<u64>,
    /// What its author promises of it besides.
    pub(super) promises: Vec<Capability>,
    pub(super) gpu: OnGpu,
}

impl Options {
    pub(in crate::target) const HELP: &[TargetOption] = &[
        TargetOption {
            usage: "alloc=NAME",
            what: "void *NAME(ssize_t size, int device, cudaStream_t stream); without it alloc, my_malloc or allocate",
        },
        TargetOption {
            usage: "free=NAME",
            what: "void NAME(void *, ssize_t size, int device, cudaStream_t); without it free, my_free or deallocate",
        },
        TargetOption {
            usage: "init=NAME",
            what: "void NAME(int device_count), before the first request; init if there",
        },
        TargetOption {
            usage: "memory_fraction=NAME",
            what: "void NAME(double fraction, int device): opens `memory_fraction`; memory_fraction if there",
        },
        TargetOption {
            usage: "reset=NAME",
            what: "void NAME(void), which PyTorch calls to empty the cache: opens `empty_cache`; reset if there",
        },
        TargetOption { usage: "trim=NAME", what: "void NAME(void), called instead of reset; trim if there" },
        TargetOption {
            usage: "begin_allocate_to_pool=NAME",
            what: "void NAME(int device, unsigned long long, unsigned long long), the pool by its two numbers; so if there",
        },
        TargetOption {
            usage: "end_allocate_to_pool=NAME",
            what: "the same; with the next one they open `private_pools`",
        },
        TargetOption { usage: "release_pool=NAME", what: "the same, when the last reference to a pool is gone" },
        TargetOption {
            usage: "record_stream=NAME",
            what: "void NAME(void *, cudaStream_t): opens `record_stream`; record_stream if there",
        },
        TargetOption {
            usage: "device=NAME",
            what: "void NAME(int device, size_t bytes): how large a device is to be; poolproof_device if there",
        },
        TargetOption {
            usage: "streams=NAME",
            what: "stand-ins for cudaStreamQuery and cudaStreamSynchronize at @host; poolproof_streams if there",
        },
        TargetOption {
            usage: "alignment=BYTES",
            what: "what every address is promised to be a multiple of (16; 256 on a GPU)",
        },
        TargetOption {
            usage: "promises=NAME+NAME",
            what: "caching, keeps_cached, cuts_any_block, merges_at_free, small_pool or deferred_free, which open more scenarios",
        },
    ];

    /// # Errors
    /// An option that does not exist, or a value that makes no sense.
    pub(super) fn read(name: &TargetName) -> Result<Self, TargetError> {
        let bad = |reason: String| TargetError::BadOption { target: name.to_string(), reason };
        let mut options = Options::default();
        for (key, value) in &name.options {
            let hook = Hook::ALL.iter().find(|(_, option, _)| option == key).map(|(hook, ..)| *hook);
            match (hook, key.as_str(), value.as_deref()) {
                (Some(hook), _, Some(symbol)) if !symbol.is_empty() => options.named.push((hook, symbol.to_owned())),
                (Some(_), key, _) => return Err(bad(format!("`{key}` names a function, for example {key}=my_{key}"))),
                (None, "alignment", Some(text)) => match text.parse::<u64>() {
                    Ok(bytes) if bytes.is_power_of_two() => options.alignment = Some(bytes),
                    _ => return Err(bad(format!("`alignment={text}` is no power of two"))),
                },
                (None, "promises", Some(text)) => {
                    let known = |word: &str| PROMISES.into_iter().find(|promise| promise.to_string() == word);
                    let read = |word: &str| {
                        known(word).ok_or_else(|| {
                            bad(format!(
                                "`{word}` is no promise: it is one of {}",
                                PROMISES.map(|p| p.to_string()).join(", ")
                            ))
                        })
                    };
                    options.promises = text.split(['+', ',']).map(read).collect::<Result<_, _>>()?;
                }
                (None, key, value) => {
                    if name.place != "cuda" || !options.gpu.take(name, key, value)? {
                        return Err(unknown_option(name, key));
                    }
                }
            }
        }
        Ok(options)
    }

    /// The symbol of each function that is there and wanted, in the order of `Hook`.
    ///
    /// # Errors
    /// One that is named or has to be there, and is not: which there are.
    pub(super) fn symbols(&self, offered: &[String]) -> Result<Vec<(Hook, String)>, MissingFunction> {
        let has = |name: &str| offered.iter().any(|offered| offered == name);
        let mut found = Vec::new();
        for (hook, option, defaults) in Hook::ALL {
            let named = self.named.iter().rfind(|(known, _)| *known == hook).map(|(_, symbol)| symbol.as_str());
            match named.or_else(|| defaults.iter().copied().find(|name| has(name))) {
                // A file that lists nothing may still have it: loading it will tell.
                Some(symbol) if has(symbol) || offered.is_empty() => found.push((hook, symbol.to_owned())),
                None if !hook.is_required() => {}
                Some(symbol) => return Err(MissingFunction::new(option, symbol, offered)),
                None => return Err(MissingFunction::new(option, defaults[0], offered)),
            }
        }
        Ok(found)
    }
}

/// Functions that an error names at most.
const MOST_NAMED: usize = 24;

/// A function that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it has no function `{symbol}`{}; name one with {option}=NAME. It has {}",
    hint.as_ref().map_or_else(String::new, |hint| format!(": did you mean `{hint}`?")),
    listed(offered)
)]
pub(super) struct MissingFunction {
    option: &'static str,
    symbol: String,
    hint: Option<String>,
    offered: Vec<String>,
}

impl MissingFunction {
    fn new(option: &'static str, symbol: &str, offered: &[String]) -> Self {
        let distance = |name: &&String| strsim::damerau_levenshtein(name, symbol);
        let near = offered.iter().min_by_key(distance).filter(|name| distance(name) * 3 <= symbol.len().max(6));
        let part = || offered.iter().find(|name| name.contains(symbol));
        let hint = near.or_else(part).cloned();
        MissingFunction { option, symbol: symbol.to_owned(), hint, offered: offered.to_vec() }
    }
}

fn listed(offered: &[String]) -> String {
    let shown = offered.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match offered.len() {
        0 => "none that its file lists".to_owned(),
        count if count > MOST_NAMED => format!("{shown} and {} more", count - MOST_NAMED),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(options: &str, offered: &[&str]) -> Result<Vec<(Hook, String)>, String> {
        let name: TargetName = format!("plugin:./a.so@host{options}").parse().expect("well formed");
        let offered: Vec<String> = offered.iter().map(|&name| name.to_owned()).collect();
        Options::read(&name).map_err(|e| e.to_string())?.symbols(&offered).map_err(|e| e.to_string())
    }

    #[test]
    fn functions_are_found_by_their_usual_names_or_by_those_given() {
        let usual = symbols("", &["my_free", "my_malloc", "reset"]).expect("both are there");
        let named = |pairs: &[(Hook, &str)]| pairs.iter().map(|&(h, n)| (h, n.to_owned())).collect::<Vec<_>>();
        assert_eq!(usual, named(&[(Hook::Alloc, "my_malloc"), (Hook::Free, "my_free"), (Hook::Reset, "reset")]));
        let given = symbols("?alloc=take&free=give&trim=sweep", &["give", "sweep", "take"]).expect("all are there");
        assert_eq!(given, named(&[(Hook::Alloc, "take"), (Hook::Free, "give"), (Hook::Trim, "sweep")]));
    }

    #[test]
    fn a_function_that_is_named_and_absent_is_an_error_with_those_there_are() {
        let refused = symbols("?alloc=my_maloc", &["my_free", "my_malloc"]).expect_err("a slip");
        assert_eq!(
            refused,
            "it has no function `my_maloc`: did you mean `my_malloc`?; name one with alloc=NAME. It has my_free, my_malloc"
        );
        assert!(symbols("?trim=sweep", &["alloc", "free"]).expect_err("absent").contains("no function `sweep`; name"));
        assert!(symbols("", &["grab", "drop_it"]).expect_err("neither").contains("no function `alloc`; name one with"));
        assert!(symbols("", &[]).expect_err("nothing is listed").ends_with("It has none that its file lists"));
        assert!(symbols("?alloc=a&free=b", &[]).is_ok(), "the file may list nothing");
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for (options, said) in [
            ("?alloc=", "`alloc` names a function"),
            ("?alignment=3", "no power of two"),
            ("?promises=caching+peace", "`peace` is no promise: it is one of caching, keeps_cached, "),
            ("?colour=red", "has no option `colour`; it has alloc=NAME, "),
            ("?ballast=real", "has no option `ballast`"),
        ] {
            let refused = symbols(options, &["alloc", "free"]).expect_err(options);
            assert!(refused.contains(said), "{options}: {refused}");
        }
    }
}
