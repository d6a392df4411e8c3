//! What the figures were measured on, and what else went on there meanwhile.

use std::process::Command;
use std::time::Duration;

/// Processor time of a process since its start, all threads, user and system.
///
/// From `/proc/PID/stat`, in the hundredths of a second that Linux shows to programs on every architecture. Zero when
/// the process is gone.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything, so count from its end; utime and stime are fields 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10)
}

/// Resident bytes of a process; zero when it is gone.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() << 10
}

/// Time all processors together were busy since the machine started.
pub(crate) fn busy_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system (idle iowait) irq softirq steal
    let busy = fields.iter().enumerate().filter(|(at, _)| matches!(at, 0..=2 | 5..=7));
    Duration::from_millis(busy.map(|(_, ticks)| ticks).sum::<u64>() * 10)
}

/// Processor, cores and kernel.
pub(crate) fn describe() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo").lines().find_map(|line| {
        let rest = line.strip_prefix("model name")?;
        Some(rest.trim_start_matches([' ', '\t', ':']).to_owned())
    });
    format!(
        "{}, {} cores, Linux {}",
        model.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores(),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// Cores of the machine, whatever this process may use.
pub(crate) fn cores() -> usize {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines().filter(|line| line.starts_with("processor")).count().max(1)
}

/// `2026-11-21 09:50`, in UTC.
pub(crate) fn now() -> String {
    let output = Command::new("date").args(["-u", "+%F %H:%M"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Binds this process, with the threads it has, to cores. False when the system has no such command.
pub(crate) fn pin_self(cores: &str) -> bool {
    let pid = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-a", "-p", "-c", cores, &pid]).output();
    pinned.is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_time_and_memory() {
        let own = std::process::id();
        let began = std::time::Instant::now();
        while processor_time(own) < Duration::from_millis(20) {
            assert!(began.elapsed() < Duration::from_secs(30), "busy for long and no time counted");
        }
        assert!(resident_bytes(own) > 100_000);
        assert!(busy_time() >= processor_time(own));
        assert_eq!(processor_time(u32::MAX), Duration::ZERO);
    }
}
