//! What processes use, as `/proc` tells it. The two files that are read wait for no lock that the process itself could hold.

use std::fs;
use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};

/// What a process has used, and uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Time on the processors, of all of its threads, since it began.
    pub(crate) cpu: Duration,
    /// Memory that is resident, in bytes.
    pub(crate) memory: u64,
}

impl Usage {
    /// `None`: there is no such process any more, or it may not be looked at.
    pub(crate) fn of(pid: u32) -> Option<Usage> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        Some(Usage { cpu: cpu(&stat, clock_ticks_per_second())?, memory: memory(&statm, page_size() as u64)? })
    }
}

/// Whether this is the number of a thread of that process: then what `/proc` says under it is the process's, and not its own.
pub(crate) fn is_thread_of(process: u32, number: u32) -> bool {
    number != process && fs::exists(format!("/proc/{process}/task/{number}")).unwrap_or(false)
}

/// Its name, which comes before the numbers, may have anything in it, also what looks like its end.
fn cpu(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, numbers) = stat.rsplit_once(')')?;
    // The first behind the name is field 3; these are 14 and 15.
    let mut fields = numbers.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    Some(Duration::from_secs(1).mul_f64((user + system) as f64 / ticks_per_second.max(1) as f64))
}

fn memory(statm: &str, page: u64) -> Option<u64> {
    let resident: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(resident * page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_found_behind_any_name() {
        let stat = "42 (a) b) (c) S 1 42 42 0 -1 4194560 96 0 0 0 150 50 7 8 20 0 1 0 30336 2920448 265 1844";
        assert_eq!(cpu(stat, 100), Some(Duration::from_secs(2)));
        assert_eq!(memory("713 265 207 4 0 98 0\n", 4096), Some(265 * 4096));
        for broken in ["", "42", "42 (a)", "42 (a) S 1 42 42 0 -1 4194560 96 0 0 0 150"] {
            assert_eq!(cpu(broken, 100), None, "{broken:?}");
        }
        assert_eq!(memory("713", 4096), None);
    }

    #[test]
    fn a_thread_is_told_from_a_process() {
        let own = std::process::id();
        let thread = std::thread::spawn(super::super::thread_id).join().expect("no panic");
        assert!(!is_thread_of(own, own) && !is_thread_of(own, 1) && !is_thread_of(own, thread), "it has ended");
        let (is_thread, number) = std::thread::spawn(move || {
            let number = super::super::thread_id();
            (is_thread_of(own, number), number)
        })
        .join()
        .expect("no panic");
        assert!(is_thread, "{number}");
    }

    #[test]
    fn this_process_uses_memory_and_one_that_is_not_there_nothing() {
        let ours = Usage::of(std::process::id()).expect("it is ours");
        assert!(ours.memory > 64 * 1024, "{ours:?}");
        assert_eq!(Usage::of(u32::MAX), None);
    }
}
