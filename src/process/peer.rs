//! Who is at the other end of a socket, as the kernel says.

use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt};
use rustix::process::geteuid;

/// The process at the other end: as it was when it connected, or listened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    /// 0, where it lives in a namespace that is not shown here.
    pub(crate) pid: u32,
}

impl Peer {
    pub(crate) fn of(socket: impl AsFd) -> io::Result<Peer> {
        let peer = getsockopt(&socket, sockopt::PeerCredentials)?;
        Ok(Peer { uid: peer.uid(), pid: peer.pid().unsigned_abs() })
    }

    /// Whether it runs as our own user.
    pub(crate) fn is_same_user(self) -> bool {
        self.uid == geteuid().as_raw()
    }

    pub(crate) fn is_root(self) -> bool {
        self.uid == 0
    }
}

/// Whether we are root: whom everybody has to trust.
pub(crate) fn we_are_root() -> bool {
    geteuid().is_root()
}
