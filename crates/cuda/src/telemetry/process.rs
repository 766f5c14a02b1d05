//! Processes that hold memory of a device, and whether a device is ours alone.
//!
//! Decides how NVML's two lists become one, and where a process's name comes from. Ends no process and
//! reads nothing of one but its name.

use std::collections::BTreeMap;

use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;

use crate::op::observation::Company;

/// What kinds of context a process has on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kinds of contexts that NVML lists")]
pub enum ProcessKind {
    Compute,
    Graphics,
    Both,
}

impl ProcessKind {
    /// As lists write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ProcessKind::Compute => "compute",
            ProcessKind::Graphics => "graphics",
            ProcessKind::Both => "both",
        }
    }
}

/// A process on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuProcess {
    /// In the namespace of the driver, which in a container is not this one.
    pub pid: u32,
    /// What it has on the device.
    pub kind: ProcessKind,
    /// `None` where the driver does not say (a virtual GPU, WDDM, a container).
    pub used_bytes: Option<u64>,
    /// The part of a partitioned device (MIG) that it runs on.
    pub gpu_instance: Option<u32>,
    /// `None` where it ended meanwhile, or runs in another PID namespace.
    pub name: Option<String>,
    /// It is this one.
    pub is_own: bool,
}

/// One entry a process and instance, by number. A process in both lists has one figure: NVML gives the same
/// in both, and where they differ the later reading may only have grown.
pub(super) fn merge(compute: &[ProcessInfo], graphics: &[ProcessInfo], own: u32) -> Vec<GpuProcess> {
    let mut all: BTreeMap<(u32, Option<u32>), GpuProcess> = BTreeMap::new();
    let lists = [(compute, ProcessKind::Compute), (graphics, ProcessKind::Graphics)];
    for (list, kind) in lists {
        for entry in list {
            let used_bytes = match entry.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(bytes),
                UsedGpuMemory::Unavailable => None,
            };
            let one = all.entry((entry.pid, entry.gpu_instance_id)).or_insert_with(|| GpuProcess {
                pid: entry.pid,
                kind,
                used_bytes,
                gpu_instance: entry.gpu_instance_id,
                name: None,
                is_own: entry.pid == own,
            });
            one.used_bytes = one.used_bytes.max(used_bytes);
            if one.kind != kind {
                one.kind = ProcessKind::Both;
            }
        }
    }
    all.into_values().collect()
}

/// The name of a process, if it is visible here. Whoever chose the name may not command the terminal with it.
pub(super) fn name_of(pid: u32) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let printable: String = text.trim_end_matches('\n').chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Some(printable).filter(|name| !name.is_empty())
}

/// Who is on a device beside the processes `ours` (this one and its children).
///
/// A process whose name cannot be read may be ours under the number of another namespace: that is `Unknown`,
/// as is an empty list while we hold memory.
#[must_use]
pub fn company(processes: &[GpuProcess], ours: &[u32]) -> Company {
    let others: Vec<&GpuProcess> = processes.iter().filter(|p| !p.is_own && !ours.contains(&p.pid)).collect();
    let count = |others: usize| u32::try_from(others).unwrap_or(u32::MAX);
    if others.iter().any(|p| p.name.is_some()) {
        Company::Neighbours(count(others.len()))
    } else if processes.is_empty() || !others.is_empty() {
        Company::Unknown
    } else {
        Company::Alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: u32, used: UsedGpuMemory) -> ProcessInfo {
        ProcessInfo { pid, used_gpu_memory: used, gpu_instance_id: None, compute_instance_id: None }
    }

    #[test]
    fn two_lists_become_one() {
        let compute = [entry(7, UsedGpuMemory::Used(10)), entry(3, UsedGpuMemory::Unavailable)];
        let graphics = [entry(7, UsedGpuMemory::Used(12)), entry(9, UsedGpuMemory::Used(1))];
        let merged = merge(&compute, &graphics, 9);
        let seen: Vec<_> = merged.iter().map(|p| (p.pid, p.kind, p.used_bytes, p.is_own)).collect();
        assert_eq!(
            seen,
            [
                (3, ProcessKind::Compute, None, false),
                (7, ProcessKind::Both, Some(12), false),
                (9, ProcessKind::Graphics, Some(1), true),
            ]
        );
    }

    #[test]
    fn a_process_on_two_instances_is_listed_twice() {
        let on = |instance| ProcessInfo { gpu_instance_id: Some(instance), ..entry(7, UsedGpuMemory::Used(1)) };
        assert_eq!(merge(&[on(1), on(2)], &[], 0).len(), 2);
    }

    #[test]
    fn own_name_is_read_and_no_name_is_no_error() {
        assert!(name_of(std::process::id()).is_some_and(|name| !name.contains('\n')));
        assert_eq!(name_of(u32::MAX), None);
    }

    #[test]
    fn company_is_told_from_what_is_visible() {
        let process = |pid, name: Option<&str>| GpuProcess {
            pid,
            kind: ProcessKind::Compute,
            used_bytes: Some(1),
            gpu_instance: None,
            name: name.map(str::to_owned),
            is_own: pid == 1,
        };
        let (own, child, other, hidden) =
            (process(1, Some("us")), process(2, Some("worker")), process(3, Some("x")), process(4, None));
        assert_eq!(company(&[], &[]), Company::Unknown);
        assert_eq!(company(std::slice::from_ref(&own), &[]), Company::Alone);
        assert_eq!(company(&[own.clone(), child.clone()], &[2]), Company::Alone);
        assert_eq!(company(&[own.clone(), child, other.clone()], &[2]), Company::Neighbours(1));
        assert_eq!(company(&[own, hidden.clone()], &[]), Company::Unknown);
        assert_eq!(company(&[hidden, other], &[]), Company::Neighbours(2));
    }
}
