//! What a real process can do to its own link, which the library keeps to itself: find it among its descriptors, and break
//! it as a fault of its code would.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::sockopt::{socket_domain, socket_peercred, socket_type};
use rustix::net::{AddressFamily, Shutdown, SocketType, shutdown};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, getppid, pidfd_getfd, pidfd_open};

/// Its end of the link: the stream whose other end is its master's.
fn link() -> io::Result<OwnedFd> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_string_lossy().parse().map_err(io::Error::other)?;
        // Some have been closed since they were listed, and most are no sockets.
        let Ok(copy) = pidfd_getfd(&own, number, PidfdGetfdFlags::empty()) else { continue };
        let is_local = socket_domain(&copy).is_ok_and(|domain| domain == AddressFamily::UNIX);
        let is_stream = socket_type(&copy).is_ok_and(|kind| kind == SocketType::STREAM);
        if is_local && is_stream && Some(socket_peercred(&copy)?.pid) == getppid() {
            return Ok(copy);
        }
    }
    Err(io::Error::other("no descriptor is a link"))
}

/// It ends, both ways.
pub fn cut() -> io::Result<()> {
    Ok(shutdown(link()?, Shutdown::Both)?)
}

/// What nobody may say goes over it.
pub fn spoil() -> io::Result<()> {
    rustix::io::write(link()?, &[0xff; 64]).map(drop)?;
    Ok(())
}

/// It ends within a frame.
pub fn truncate() -> io::Result<()> {
    let link = link()?;
    rustix::io::write(&link, &[0; 3])?;
    Ok(shutdown(link, Shutdown::Write)?)
}
