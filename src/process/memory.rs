//! Whether the kernel killed somebody for lack of memory. The status of a killed process does not say so, but its
//! control group counts it.

use std::fs;
use std::path::{Path, PathBuf};

/// The counter of the control group that this process and its members are in.
#[derive(Debug)]
pub(super) struct OomKills {
    /// The file with a line `oom_kill N`. `None`: there is none, as outside of Linux's usual mounts.
    file: Option<PathBuf>,
    seen: u64,
}

impl OomKills {
    pub(super) fn of_this_process() -> OomKills {
        let file = fs::read_to_string("/proc/self/cgroup").ok().and_then(|groups| find(&groups, Path::new("/")));
        let mut kills = OomKills { file, seen: 0 };
        kills.seen = kills.count();
        kills
    }

    /// Whether the kernel has killed anybody since the last call.
    pub(super) fn any_since(&mut self) -> bool {
        let count = self.count();
        std::mem::replace(&mut self.seen, count) < count
    }

    fn count(&self) -> u64 {
        let text = self.file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        let count = text.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("oom_kill ")));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
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

    #[test]
    fn the_counter_is_found_in_either_version_and_counts_once() {
        let root = tempfile::tempdir().expect("a directory");
        let v1 = root.path().join("sys/fs/cgroup/memory/app");
        let v2 = root.path().join("sys/fs/cgroup/app.slice");
        let groups = "4:memory:/app\n1:name=systemd:/x\n0::/app.slice\n";
        assert_eq!(find(groups, root.path()), None);
        fs::create_dir_all(&v2).expect("a directory");
        fs::write(v2.join("memory.events"), "low 0\noom 9\noom_kill 3\n").expect("a file");
        assert_eq!(find(groups, root.path()), Some(v2.join("memory.events")));
        let mut kills = OomKills { file: find(groups, root.path()), seen: 2 };
        assert!(kills.any_since() && !kills.any_since());
        fs::create_dir_all(&v1).expect("a directory");
        fs::write(v1.join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n").expect("a file");
        assert_eq!(find(groups, root.path()), Some(v1.join("memory.oom_control")));
    }
}
