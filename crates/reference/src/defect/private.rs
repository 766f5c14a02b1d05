//! Mistakes with private pools and graph capture.

use super::{OWN, theme};

theme! {
    PrivateServesOthers, "private-serves-others", "pytorch/pytorch #51075", [Priv 2],
        "What is cached in a private pool serves any request that finds nothing of its own.";
    GraphMemoryFlushed, "graph-memory-flushed", "pytorch/pytorch #159594", [Capt 2, Priv 6],
        "A flush gives back cached memory of private pools that graphs or their owners still use.";
    DeferredFreeForgotten, "deferred-free-forgotten", "pytorch/pytorch #175817", [Capt 3, Leak 1],
        "Frees that were put off during a capture are not taken up when it ends.";
    DeferredFreeTakenUp, "deferred-free-taken-up", "pytorch/pytorch #158352", [Capt 3],
        "A free during a capture is not put off: streams with captured work look as if they had finished.";
    GraphPoolKept, "graph-pool-kept", "pytorch/pytorch #190348", [Capt 5, Leak 1],
        "Resetting a graph does not take its use of the pool away, so that the pool never dies.";
    NoSplitIgnored, "no-split-ignored", "pytorch/pytorch #169739", [Priv 5],
        "Blocks of a pool made with no_split are split like any others.";
    ResetPoolNotHeld, "reset-pool-not-held", OWN, [Capt 6, Capt 2, Live 4],
        "A capture into the pool of a graph that was reset does not count as a use of it, so that the pool dies under its graph.";
    ResetPoolRenewed, "reset-pool-renewed", OWN, [Capt 6, Priv 1, Capt 2],
        "A capture into the pool of a graph that was reset gets another pool, though the old one is still in use.";
}
