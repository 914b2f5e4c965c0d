//! What the numbers were measured on.

use serde::{Deserialize, Serialize};
use std::process::Command;

/// A machine, as it describes itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    system: String,
    disk: String,
}

fn file(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn value(text: &str, name: &str, separator: char) -> String {
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(separator));
    value.map_or_else(String::new, |(_, value)| value.trim().trim_matches('"').to_owned())
}

/// What a program prints; empty if it does not run.
pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| String::new(), |out| String::from_utf8_lossy(&out.stdout).into_owned())
}

impl Machine {
    /// This one, and the disk that holds a directory.
    pub(crate) fn this(dir: &std::path::Path) -> Self {
        let memory = value(&file("/proc/meminfo"), "MemTotal", ':');
        let kib = memory.trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        let dir = dir.display().to_string();
        let disk = output("df", &["--output=source,fstype", &dir]);
        Machine {
            cpu: value(&file("/proc/cpuinfo"), "model name", ':'),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: kib.div_ceil(1 << 20),
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: value(&file("/etc/os-release"), "PRETTY_NAME", '='),
            disk: disk
                .lines()
                .nth(1)
                .unwrap_or_default()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(", "),
        }
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        let Machine { cpu, cores, memory_gib, kernel, system, disk } = self;
        format!("{cpu}, {cores} cores, {memory_gib} GiB, {system}, Linux {kernel}, {disk}")
    }
}
