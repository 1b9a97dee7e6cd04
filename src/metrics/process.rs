//! What the system says of the process, under the names that other exporters use.

use std::fs;

use super::List;

/// Units of processor time in a second: the same on every Linux that there is (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;

/// Reads `/proc`; where there is none, nothing changes.
pub(super) fn read(list: &List) {
    let Some(status) = Status::read() else { return };
    list.memory.set(status.resident);
    list.virtual_memory.set(status.size);
    list.threads.set(status.threads);
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is that of this look.
        list.open_files.set(i64::try_from(files.count()).unwrap_or(i64::MAX).saturating_sub(1));
    }
    if let Some(most) = max_files() {
        list.max_files.set(most);
    }
    if let Some((cpu, started)) = times() {
        list.cpu.inc_by((cpu - list.cpu.get()).max(0.0));
        list.started.set(started);
    }
}

struct Status {
    /// In bytes.
    resident: f64,
    /// In bytes.
    size: f64,
    threads: i64,
}

impl Status {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/status").ok()?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        Some(Self {
            resident: field("VmRSS:")? * 1024.0,
            size: field("VmSize:")? * 1024.0,
            threads: field("Threads:")? as i64,
        })
    }
}

fn max_files() -> Option<i64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Seconds on processors, and when it began, in seconds since 1970.
fn times() -> Option<(f64, f64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |n: usize| fields.get(n - 3)?.parse::<f64>().ok();
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(((field(14)? + field(15)?) / TICKS, boot + field(22)? / TICKS))
}
