//! The sockets on which members accept: bound by the master before anything is started, kept until its end, and lent.

use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lent::Lent;
use socket2::{Domain, SockAddr, Socket, Type};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`, looked up when it is bound. Port 0: one that is free, the same for all who accept there.
    Tcp(String),
    /// A path in the file system. Written `unix:/path`.
    Unix(PathBuf),
}

impl Address {
    /// Whether it has the parts of one. Whether they are there is found out when it is bound.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Address::Tcp(text) => {
                text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
            }
            Address::Unix(path) => !path.as_os_str().is_empty(),
        }
    }
}

impl From<&str> for Address {
    fn from(text: &str) -> Address {
        match text.strip_prefix("unix:") {
            Some(path) => Address::Unix(path.into()),
            None => Address::Tcp(text.to_owned()),
        }
    }
}

impl From<String> for Address {
    fn from(text: String) -> Address {
        Address::from(text.as_str())
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Tcp(address.to_string())
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Address {
        Address::Unix(path.to_owned())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => f.write_str(address),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}: {error}")]
pub struct BindError {
    /// Where.
    pub address: Address,
    /// What the system said.
    pub error: io::Error,
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Bound {
    socket: Arc<OwnedFd>,
    /// The file of a Unix socket, which goes with it.
    _file: Option<SocketFile>,
}

/// The file of a Unix socket. Removed at the end, unless it has come to be somebody else's.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and number: a file of the same name may be another.
    identity: (u64, u64),
}

impl Bound {
    /// Binds `address` and listens, with room for `backlog` connections that nobody has accepted yet.
    pub(crate) fn bind(address: &Address, backlog: i32) -> Result<Bound, BindError> {
        let bound = match address {
            Address::Tcp(text) => bind_tcp(text, backlog),
            Address::Unix(path) => bind_unix(path, backlog),
        };
        bound.map_err(|error| BindError { address: address.clone(), error })
    }

    /// The socket, to be lent.
    pub(crate) fn lend(&self) -> Lent {
        Lent::socket(self.socket.clone())
    }
}

fn bind_tcp(address: &str, backlog: i32) -> io::Result<Bound> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for address in address.to_socket_addrs()? {
        match bind_tcp_to(address, backlog) {
            Ok(socket) => return Ok(Bound { socket: Arc::new(socket.into()), _file: None }),
            // Half of a name is not what was asked for: who connects by it may come to whoever has the other half.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_tcp_to(address: SocketAddr, backlog: i32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A port that was left a moment ago can be bound again; one that is in use cannot.
    socket.set_reuse_address(true)?;
    // The flag belongs to the socket, not to a descriptor of it: set once for all who accept.
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

fn bind_unix(path: &Path, backlog: i32) -> io::Result<Bound> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let address = SockAddr::unix(path)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != io::ErrorKind::AddrInUse || !is_abandoned(path) {
            return Err(error);
        }
        fs::remove_file(path)?;
        socket.bind(&address)?;
    }
    let file = SocketFile::of(path)?;
    socket.listen(backlog)?;
    Ok(Bound { socket: Arc::new(socket.into()), _file: Some(file) })
}

/// Whether the socket at `path` is one on which nobody listens, as a killed server leaves it behind.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket && connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Connects without waiting: a server that has no room for another connection would let us wait until it has some.
fn connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

impl SocketFile {
    pub(super) fn of(path: &Path) -> io::Result<SocketFile> {
        let file = fs::symlink_metadata(path)?;
        Ok(SocketFile { path: std::path::absolute(path)?, identity: (file.dev(), file.ino()) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    fn port(bound: &Bound) -> SocketAddr {
        let listener = std::net::TcpListener::from(bound.socket.try_clone().expect("a descriptor"));
        listener.local_addr().expect("it is bound")
    }

    #[test]
    fn a_port_is_bound_once_for_either_family_and_free_again() {
        for address in ["127.0.0.1:0", "[::1]:0", "localhost:0"] {
            let bound = Bound::bind(&address.into(), 16).expect("loopback");
            let address = port(&bound);
            TcpStream::connect(address).expect("it listens");
            let error = Bound::bind(&address.into(), 16).expect_err("taken");
            assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
            assert!(error.to_string().starts_with(&format!("failed to listen on {address}: ")));
            drop(bound);
            bind_when_free(&address.into());
        }
    }

    /// A process that another test starts has all our descriptors, those that were just closed too, until it has become
    /// its program.
    fn bind_when_free(address: &Address) -> Bound {
        let deadline = super::super::clock::now() + std::time::Duration::from_secs(10);
        loop {
            match Bound::bind(address, 16) {
                Ok(bound) => return bound,
                Err(error) => assert!(super::super::clock::now() < deadline, "it is not free again: {error}"),
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_unix_socket_in_use_is_left_alone_an_abandoned_one_is_taken_over_and_ours_is_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let address = Address::from(path.as_path());
        let bound = Bound::bind(&address, 16).expect("a free path");
        let inode = fs::metadata(&path).expect("it is there").ino();
        assert_eq!(Bound::bind(&address, 16).expect_err("in use").error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::metadata(&path).expect("it is there").ino(), inode);
        UnixStream::connect(&path).expect("it listens");
        drop(bound);
        assert!(!path.exists());

        drop(std::os::unix::net::UnixListener::bind(&path).expect("a free path"));
        let bound = bind_when_free(&address);
        fs::remove_file(&path).expect("it is there");
        fs::write(&path, "somebody else's").expect("room");
        drop(bound);
        assert!(path.exists(), "a file that took its name is not ours to remove");
        let error = Bound::bind(&address, 16).expect_err("not a socket");
        assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "somebody else's");
    }

    #[test]
    fn a_unix_socket_without_room_for_another_connection_is_in_use() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let _busy = Bound::bind(&Address::from(path.as_path()), 0).expect("a free path");
        let connections: Vec<Socket> = std::iter::repeat_with(|| {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("it is ours");
            socket
        })
        .take_while(|socket| socket.connect(&SockAddr::unix(&path).expect("a short path")).is_ok())
        .collect();
        assert!(!connections.is_empty());
        // In a thread, so that waiting for room would be a failure.
        let (told, answer) = std::sync::mpsc::channel();
        std::thread::spawn(move || told.send(Bound::bind(&Address::from(path.as_path()), 0).map(|_| ())));
        let error = answer.recv_timeout(Duration::from_secs(30)).expect("an answer").expect_err("in use");
        assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
    }
}
