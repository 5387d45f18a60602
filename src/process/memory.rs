//! Whether the kernel killed somebody for lack of memory. The status of a killed process does not say so, but its
//! control group counts it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long after a kill for lack of memory a death may be put down to it. The victim's memory has to be given back
/// first, and that of a big one takes its time.
const NEAR: Duration = Duration::from_secs(2);

/// The kills that the counter of our control group has told of, that of this process and its members.
///
/// The counter neither says when nor who: it counts the children of members, too. So it is looked at with every death, and
/// a kill explains one death, of those near to it. What is left is a kill that hit somebody's child since the last death:
/// it may be taken for the next. To look more often would wake a master that has nothing to do.
#[derive(Debug)]
pub(super) struct OomKills {
    /// The file with a line `oom_kill N`. `None`: there is none, as outside of Linux's usual mounts.
    file: Option<PathBuf>,
    seen: u64,
    /// Those that explain no death yet, and when the last of them was noticed.
    unclaimed: Option<(u64, Instant)>,
}

impl OomKills {
    pub(super) fn of_this_process() -> OomKills {
        let file = fs::read_to_string("/proc/self/cgroup").ok().and_then(|groups| find(&groups, Path::new("/")));
        let mut kills = OomKills { file, seen: 0, unclaimed: None };
        kills.seen = kills.count();
        kills
    }

    /// Notices the kills since the last look.
    pub(super) fn look(&mut self, now: Instant) {
        let count = self.count();
        let more = count.saturating_sub(std::mem::replace(&mut self.seen, count));
        let before = self.unclaimed.filter(|(_, noticed)| now - *noticed < NEAR);
        self.unclaimed = match more {
            0 => before,
            more => Some((more + before.map_or(0, |(kills, _)| kills), now)),
        };
    }

    /// Whether a death that was noticed now can be put down to one of them, which then explains no other.
    pub(super) fn claim(&mut self, now: Instant) -> bool {
        self.look(now);
        let Some((kills, noticed)) = self.unclaimed else { return false };
        self.unclaimed = (kills > 1).then_some((kills - 1, noticed));
        true
    }

    fn count(&self) -> u64 {
        let text = self.file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        let count = text.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("oom_kill ")));
        // A file that cannot be read now tells of no kill, neither now nor when it can be read again.
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(self.seen)
    }
}

/// The counter's file for a process whose `/proc/self/cgroup` reads `groups`, with the file system rooted at `root`.
/// The hierarchy with the memory controller holds it: one of version 1 where there is one, else the unified one.
fn find(groups: &str, root: &Path) -> Option<PathBuf> {
    let path = |wanted: fn(&str, &str) -> bool| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            wanted(hierarchy, controllers).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let files = [
        path(|_, controllers| controllers.split(',').any(|controller| controller == "memory"))
            .map(|path| root.join("sys/fs/cgroup/memory").join(path).join("memory.oom_control")),
        path(|hierarchy, _| hierarchy == "0").map(|path| root.join("sys/fs/cgroup").join(path).join("memory.events")),
    ];
    files.into_iter().flatten().find(|file| file.exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::clock;

    #[test]
    fn the_counter_is_found_in_either_version_and_a_kill_explains_one_death() {
        let root = tempfile::tempdir().expect("a directory");
        let v1 = root.path().join("sys/fs/cgroup/memory/app");
        let v2 = root.path().join("sys/fs/cgroup/app.slice");
        let groups = "4:memory:/app\n1:name=systemd:/x\n0::/app.slice\n";
        assert_eq!(find(groups, root.path()), None);
        fs::create_dir_all(&v2).expect("a directory");
        fs::write(v2.join("memory.events"), "low 0\noom 9\noom_kill 3\n").expect("a file");
        assert_eq!(find(groups, root.path()), Some(v2.join("memory.events")));
        let now = clock::now();
        let mut kills = OomKills { file: find(groups, root.path()), seen: 2, unclaimed: None };
        assert!(kills.claim(now) && !kills.claim(now));
        fs::create_dir_all(&v1).expect("a directory");
        fs::write(v1.join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n").expect("a file");
        assert_eq!(find(groups, root.path()), Some(v1.join("memory.oom_control")));
    }

    #[test]
    fn a_kill_explains_the_deaths_that_are_near_to_it_and_no_later_one() {
        let root = tempfile::tempdir().expect("a directory");
        let file = root.path().join("memory.events");
        let write = |kills: u64| fs::write(&file, format!("oom_kill {kills}\n")).expect("a file");
        write(5);
        let mut kills = OomKills { file: Some(file.clone()), seen: 5, unclaimed: None };
        let start = clock::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        assert!(!kills.claim(at(0)), "those before us are nobody's");
        write(6);
        kills.look(at(1000));
        kills.look(at(1500));
        assert!(kills.claim(at(2500)), "it took its time to go");
        assert!(!kills.claim(at(2500)));
        write(7);
        kills.look(at(3000));
        kills.look(at(4000));
        assert!(!kills.claim(at(5000)), "somebody's child, and long ago");
        write(9);
        assert_eq!([(); 3].map(|()| kills.claim(at(6000))), [true, true, false]);
        fs::remove_file(&file).expect("it is there");
        kills.look(at(7000));
        write(9);
        assert!(!kills.claim(at(8000)), "a file that was not there for a while");
    }
}
