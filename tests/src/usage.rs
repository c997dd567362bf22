//! What a running program has used of the machine, as Linux counts it (proc(5)).

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// Since the program started.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time of all its threads.
    pub cpu: Duration,
    /// Bytes that it has caused to be written to the disk.
    pub written: u64,
}

impl Usage {
    pub fn of(process: i32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let io = fs::read_to_string(format!("/proc/{process}/io"))?;
        let written =
            io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).context("no write_bytes")?;
        Ok(Self { cpu: cpu(&stat)?, written: written.trim().parse()? })
    }

    /// What was used since an earlier moment.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            written: self.written.saturating_sub(earlier.written),
        }
    }
}

/// User and system time of a process and of all that it has started, as far as they run.
pub fn family(process: i32) -> Result<Duration> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    let own = Usage::of(process)?.cpu;
    children.split_whitespace().try_fold(own, |all, child| Ok(all + family(child.parse()?)?))
}

/// User and system time of the processes that this one has started and waited for.
pub fn children() -> Result<Duration> {
    ticks(&fs::read_to_string("/proc/self/stat")?, 13)
}

/// User and system time of the threads of this process that have this name.
pub fn threads(name: &str) -> Result<Duration> {
    let mut all = Duration::ZERO;
    for thread in fs::read_dir("/proc/self/task")? {
        // One that has just ended counts no more.
        let Ok(stat) = fs::read_to_string(thread?.path().join("stat")) else { continue };
        if stat.contains(&format!("({name})")) {
            all += cpu(&stat)?;
        }
    }
    Ok(all)
}

/// User and system time, of what `stat` tells of a process or thread.
fn cpu(stat: &str) -> Result<Duration> {
    // Fields 14 and 15; the first behind the name is field 3.
    ticks(stat, 11)
}

/// The sum of two counts of ticks, the first of them so many fields behind the name.
fn ticks(stat: &str, first: usize) -> Result<Duration> {
    // The name of the program, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let ticks = |field: usize| -> Result<u64> {
        Ok(fields.split_whitespace().nth(field).context("a short stat")?.parse()?)
    };
    let ticks = ticks(first)? + ticks(first + 1)?;
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)))
}
