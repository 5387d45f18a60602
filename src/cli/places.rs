//! Where things are, if nobody says so: the same for the command that starts and for all others.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Place;
use crate::process::surroundings;

/// The control directory of the program that runs, by its name (that of the file it was started as) and its user: `/run/NAME` for
/// root; for others `$XDG_RUNTIME_DIR/NAME`, or `/tmp/NAME-UID` where that is not set.
pub fn default_control_dir() -> PathBuf {
    control_dir(&name(), surroundings::user(), std::env::var_os("XDG_RUNTIME_DIR"))
}

/// Root's is the same from a service manager, which sets no directory, and from a login, which does.
fn control_dir(name: &str, user: u32, runtime: Option<OsString>) -> PathBuf {
    let runtime = runtime.map(PathBuf::from).filter(|directory| directory.is_absolute());
    match (user, runtime) {
        (0, _) => Path::new("/run").join(name),
        (_, Some(directory)) => directory.join(name),
        (_, None) => PathBuf::from(format!("/tmp/{name}-{user}")),
    }
}

/// What this program is called.
pub(super) fn name() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.is_empty() { "hatchery".to_owned() } else { name }
}

impl Place {
    pub(super) fn control_dir(&self) -> PathBuf {
        self.control_dir.clone().unwrap_or_else(default_control_dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_and_user_has_a_place_and_root_has_one_wherever_it_comes_from() {
        let place =
            |user, runtime: Option<&str>| control_dir("web", user, runtime.map(Into::into)).display().to_string();
        assert_eq!(place(0, None), "/run/web");
        assert_eq!(place(0, Some("/run/user/0")), "/run/web");
        assert_eq!(place(1000, Some("/run/user/1000")), "/run/user/1000/web");
        assert_eq!(place(1000, None), "/tmp/web-1000");
        assert_eq!(place(1000, Some("")), "/tmp/web-1000");
        assert_eq!(place(1000, Some("relative")), "/tmp/web-1000");
    }
}
