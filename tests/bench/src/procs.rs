//! Processes of Linux: their CPU time, memory and children, and signals to them, always by pid.

use crate::failure::Failure;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// Kernel ticks in a second; Linux has told programs 100 on every machine for decades.
const TICKS: f64 = 100.0;

/// The fields of `/proc/PID/stat` behind the name of the program.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = text.rsplit_once(')')?.1.split_whitespace().skip(1);
    Some(fields.map(|field| field.parse().unwrap_or(0)).collect())
}

/// CPU seconds of a process; 0 if there is none. With those of children that have ended.
pub(crate) fn cpu(pid: u32) -> f64 {
    let ticks = stat(pid).map_or(0, |fields| fields[10..14].iter().sum::<u64>());
    ticks as f64 / TICKS
}

/// A process, its children and theirs.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return vec![root] };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u64)> =
        pids.filter_map(|pid| Some((pid, *stat(pid)?.first()?))).collect();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let parent = u64::from(found[at]);
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

/// CPU seconds of a process and all below it.
pub(crate) fn tree_cpu(root: u32) -> f64 {
    tree(root).into_iter().map(cpu).sum()
}

/// Bytes of a process that are in memory; 0 if there is no such process.
pub(crate) fn rss(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Sends a signal to a process that this program started.
pub(crate) fn signal(pid: u32, signal: Signal) -> Result<(), Failure> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    Ok(kill_process(pid.ok_or_else(|| Failure::new("no such pid"))?, signal)?)
}

/// Sends a signal to a process and all below it; those that have just ended do not matter.
pub(crate) fn signal_tree(root: u32, what: Signal) {
    for pid in tree(root) {
        drop(signal(pid, what));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_memory_and_time_and_is_the_root_of_its_tree() {
        let own = std::process::id();
        assert!(super::rss(own) > 100_000);
        assert!(super::cpu(own) >= 0.0);
        assert_eq!(super::tree(own)[0], own);
    }
}
