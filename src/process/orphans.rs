//! Members whose master is gone, as another master sees them: they finish, for their grace, and hold its addresses until then.

use std::fs;
use std::path::Path;

use nix::sys::prctl;

use super::listen::Address;
use super::settle::claimed;

/// What the watch thread of a member is called from the end of its master on.
const ORPHANED: &std::ffi::CStr = c"hatchery-orphan";

/// Says so, for all to see. Called by the watch thread.
pub(super) fn confess() {
    // Nobody has a right to know.
    let _ = prctl::set_name(ORPHANED);
}

/// A member that listens on an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Its name in `ps`, without the program's.
    pub(crate) seat: String,
    /// It has lost its master.
    pub(crate) is_orphaned: bool,
}

/// The members of clusters of this program that hold a listening socket at `address`, as far as this user can see them.
pub(crate) fn holders(program: &str, address: &Address) -> Vec<Holder> {
    let sockets = listening(address);
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let of = |process: &Path| {
        let line = fs::read(process.join("cmdline")).ok()?;
        let title = std::str::from_utf8(line.split(|&byte| byte == 0).next()?).ok()?;
        let seat = title.strip_prefix(program)?.strip_prefix(": ")?.to_owned();
        claimed(title.as_ref())?;
        holds(process, &sockets).then(|| Holder { seat, is_orphaned: is_orphaned(process) })
    };
    match sockets.is_empty() {
        true => Vec::new(),
        false => processes.flatten().filter_map(|entry| of(&entry.path())).collect(),
    }
}

/// The numbers of the sockets that listen there, in the kernel's tables.
fn listening(address: &Address) -> Vec<String> {
    let table = |name: &str| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    match address {
        Address::Tcp(text) => {
            let Some(port) = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()) else {
                return Vec::new();
            };
            let ending = format!(":{port:04X}");
            // `0: 0100007F:1F90 00000000:0000 0A …`: the own end, the other, the state, and the number in the tenth place.
            let of = |line: &str| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let is_it = fields.get(1)?.ends_with(&ending) && *fields.get(3)? == LISTENS;
                if is_it { fields.get(9).map(|&number| number.to_owned()) } else { None }
            };
            [table("tcp"), table("tcp6")].iter().flat_map(|table| table.lines().filter_map(of)).collect()
        }
        Address::Unix(path) => {
            // `0000000000000000: 00000002 00000000 00010000 0001 01 12345 /path`: the flags, the number in the seventh place, and the
            // path as it was bound. Connections that were accepted bear it, too.
            let of = |line: &str| {
                let mut rest = line;
                let mut fields = [""; 7];
                for field in &mut fields {
                    (*field, rest) = rest.trim_start_matches(' ').split_once(' ')?;
                }
                let is_it = fields[3] == ACCEPTS && Path::new(rest) == path;
                is_it.then(|| fields[6].to_owned())
            };
            table("unix").lines().filter_map(of).collect()
        }
    }
}

/// The state of a socket that listens, as the kernel's table has it.
const LISTENS: &str = "0A";

/// The same of a Unix socket: its flags.
const ACCEPTS: &str = "00010000";

fn holds(process: &Path, sockets: &[String]) -> bool {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let mut links = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    links.any(|link| {
        let link = link.to_string_lossy();
        let number = link.strip_prefix("socket:[").and_then(|link| link.strip_suffix(']'));
        number.is_some_and(|number| sockets.iter().any(|socket| socket == number))
    })
}

fn is_orphaned(process: &Path) -> bool {
    let threads = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    let mut names = threads.filter_map(|thread| fs::read(thread.path().join("comm")).ok());
    names.any(|name| name.trim_ascii_end() == ORPHANED.to_bytes())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn who_listens_is_known_to_the_kernel_by_number() {
        let own = Path::new("/proc/self");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = Address::from(listener.local_addr().expect("it is bound").to_string());
        let sockets = listening(&address);
        assert!(sockets.len() == 1 && holds(own, &sockets), "{sockets:?}");
        drop(listener);
        assert!(!holds(own, &sockets));
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a socket");
        let listener = UnixListener::bind(&path).expect("a free path");
        let sockets = listening(&Address::from(format!("unix:{}", path.display())));
        assert!(sockets.len() == 1 && holds(own, &sockets), "{sockets:?}");
        drop(listener);
        assert_eq!(holders("no such program", &address), []);
    }
}
