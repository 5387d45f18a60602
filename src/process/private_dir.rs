//! A directory that is one user's alone, with a listening socket in it that one process holds at a time.
//!
//! The lock says who holds it, not the socket: a socket outlives a process that was killed, a lock does not. The directory
//! itself stays; what is in it goes with whoever holds it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use socket2::{Domain, SockAddr, Socket, Type};

use super::listen::SocketFile;
use super::lock::{LockError, LockFile};

/// The socket's name in its directory.
const SOCKET: &str = "control.sock";

/// The lock's. What is in it is the number of the process that holds it, for people.
const LOCK: &str = "control.lock";

/// The longest path that the address of a Unix socket has room for, in bytes: 108 with the zero behind it.
const LONGEST: usize = 107;

/// Connections that nobody has accepted yet.
const BACKLOG: i32 = 128;

/// Why a directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    #[error("the path of the control socket is {len} bytes long, and {LONGEST} are the most: {}", path.display())]
    TooLong { path: PathBuf, len: usize },
    #[error("the control directory {} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error("the control directory {} belongs to user {owner}, and this is user {user}", path.display())]
    NotOurs { path: PathBuf, owner: u32, user: u32 },
    #[error(
        "the control directory {} is open to others: its mode is {mode:03o}, and 700 is the most that it may be",
        path.display()
    )]
    Open { path: PathBuf, mode: u32 },
    #[error("the control directory {} is held by another master{}", path.display(), process(*holder))]
    Held { path: PathBuf, holder: Option<u32> },
    #[error("{} is there already, and is no socket", .0.display())]
    NotASocket(PathBuf),
    #[error("{} cannot be the lock: {why}", path.display())]
    NotALock { path: PathBuf, why: &'static str },
    #[error("failed to {step} {}: {error}", path.display())]
    Io { step: &'static str, path: PathBuf, error: io::Error },
}

fn process(holder: Option<u32>) -> String {
    holder.map(|pid| format!(", process {pid}")).unwrap_or_default()
}

impl ClaimError {
    fn kind(&self) -> io::ErrorKind {
        match self {
            ClaimError::TooLong { .. } => io::ErrorKind::InvalidInput,
            ClaimError::NotADirectory(_) => io::ErrorKind::NotADirectory,
            ClaimError::NotOurs { .. } | ClaimError::Open { .. } => io::ErrorKind::PermissionDenied,
            ClaimError::Held { .. } => io::ErrorKind::AddrInUse,
            ClaimError::NotASocket(_) | ClaimError::NotALock { .. } => io::ErrorKind::AlreadyExists,
            ClaimError::Io { error, .. } => error.kind(),
        }
    }
}

impl From<ClaimError> for io::Error {
    fn from(error: ClaimError) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}

/// A directory that this process holds. Dropped, its socket and its lock are gone, if they still are its own.
#[derive(Debug)]
pub(crate) struct PrivateDir {
    path: PathBuf,
    // In this order: whoever takes the lock next finds no socket of ours that it would have to remove.
    _socket: SocketFile,
    _lock: LockFile,
}

/// Where the socket is in `dir`.
///
/// # Errors
/// [`ClaimError::TooLong`].
pub(crate) fn socket_path(dir: &Path) -> Result<PathBuf, ClaimError> {
    let path = dir.join(SOCKET);
    match path.as_os_str().len() {
        len if len > LONGEST => Err(ClaimError::TooLong { path, len }),
        _ => Ok(path),
    }
}

impl PrivateDir {
    /// Takes `dir`, which is created if it is not there (its parent must be), and listens on its socket. A few system calls,
    /// none of which waits for anybody.
    pub(crate) fn claim(dir: &Path) -> Result<(PrivateDir, OwnedFd), ClaimError> {
        // Also where this process changes its directory later.
        let dir = std::path::absolute(dir).map_err(io_error("find", dir))?;
        let socket = socket_path(&dir)?;
        create(&dir)?;
        let lock = lock(&dir)?;
        remove_stale(&socket)?;
        let (listener, file) = listen(&socket).map_err(io_error("listen on", &socket))?;
        Ok((PrivateDir { path: socket, _socket: file, _lock: lock }, listener))
    }

    /// Where its socket is.
    pub(crate) fn socket(&self) -> &Path {
        &self.path
    }
}

fn io_error(step: &'static str, path: &Path) -> impl Fn(io::Error) -> ClaimError {
    move |error| ClaimError::Io { step, path: path.to_owned(), error }
}

/// Sees to it that the directory is there, and that it is nobody else's.
fn create(dir: &Path) -> Result<(), ClaimError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        // The mask of this process can have taken from it what we need.
        Ok(()) => fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(io_error("open", dir))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_error("create", dir)(error)),
    }
    // The thing itself: a link may be somebody else's.
    let found = fs::symlink_metadata(dir).map_err(io_error("look at", dir))?;
    let (path, user, mode) = (dir.to_owned(), geteuid().as_raw(), found.mode() & 0o777);
    if !found.is_dir() {
        return Err(ClaimError::NotADirectory(path));
    }
    if found.uid() != user {
        return Err(ClaimError::NotOurs { path, owner: found.uid(), user });
    }
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(ClaimError::Open { path, mode }),
    }
}

fn lock(dir: &Path) -> Result<LockFile, ClaimError> {
    let path = dir.join(LOCK);
    LockFile::take(&path, 0o600).map_err(|error| match error {
        LockError::Held { holder } => ClaimError::Held { path: dir.to_owned(), holder },
        LockError::Foreign(why) => ClaimError::NotALock { path, why },
        LockError::Os(error) => io_error("lock", &path)(error),
    })
}

/// Removes the socket of a master that was killed. Whoever holds the lock is alone with it.
fn remove_stale(socket: &Path) -> Result<(), ClaimError> {
    match fs::symlink_metadata(socket) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(socket).map_err(io_error("remove", socket)),
        Ok(_) => Err(ClaimError::NotASocket(socket.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("look at", socket)(error)),
    }
}

fn listen(path: &Path) -> io::Result<(OwnedFd, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    // Before anybody can connect; and the directory has kept everybody else out before.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().expect("room")
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("it is there").mode() & 0o777
    }

    fn refused(dir: &Path) -> String {
        io::Error::from(PrivateDir::claim(dir).expect_err("it is refused")).to_string()
    }

    #[test]
    fn a_directory_is_private_from_its_first_moment_and_left_empty() {
        let scratch = scratch();
        let dir = scratch.path().join("control");
        let (held, _listener) = PrivateDir::claim(&dir).expect("it is ours");
        assert_eq!((mode(&dir), mode(&dir.join(SOCKET)), mode(&dir.join(LOCK))), (0o700, 0o600, 0o600));
        UnixStream::connect(held.socket()).expect("it listens");
        drop(held);
        assert_eq!(fs::read_dir(&dir).expect("it stays").count(), 0);
    }

    #[test]
    fn a_directory_that_is_held_is_refused_with_its_holder_and_left_alone() {
        let scratch = scratch();
        let dir = scratch.path().join("control");
        let (held, _listener) = PrivateDir::claim(&dir).expect("it is ours");
        let inode = |name: &str| fs::symlink_metadata(dir.join(name)).expect("it is there").ino();
        let before = (inode(SOCKET), inode(LOCK));
        let sentence = refused(&dir);
        assert!(
            sentence.ends_with(&format!("is held by another master, process {}", std::process::id())),
            "{sentence}"
        );
        assert_eq!((inode(SOCKET), inode(LOCK)), before);
        UnixStream::connect(held.socket()).expect("it listens");
        drop(held);
        PrivateDir::claim(&dir).expect("it is free again");
    }

    #[test]
    fn what_a_killed_master_has_left_is_taken_over() {
        let scratch = scratch();
        let dir = scratch.path();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).expect("it is ours");
        drop(UnixListener::bind(dir.join(SOCKET)).expect("a free path"));
        fs::write(dir.join(LOCK), "not a number, and longer than one would be").expect("room");
        let (held, _listener) = PrivateDir::claim(dir).expect("nobody holds the lock");
        UnixStream::connect(held.socket()).expect("it listens");
        assert_eq!(fs::read_to_string(dir.join(LOCK)).expect("it is there"), format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_directory_that_others_may_look_into_is_refused_and_so_is_what_is_none() {
        let scratch = scratch();
        let dir = scratch.path().join("control");
        fs::create_dir(&dir).expect("room");
        for open in [0o701, 0o750, 0o707, 0o777] {
            fs::set_permissions(&dir, fs::Permissions::from_mode(open)).expect("it is ours");
            let sentence = refused(&dir);
            assert!(sentence.ends_with(&format!("its mode is {open:03o}, and 700 is the most that it may be")));
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("it is ours");
        let link = scratch.path().join("link");
        std::os::unix::fs::symlink(&dir, &link).expect("room");
        assert!(refused(&link).ends_with("is not a directory"), "a link may be somebody else's");
        let file = scratch.path().join("file");
        fs::write(&file, "").expect("room");
        assert!(refused(&file).ends_with("is not a directory"));
        assert!(refused(&scratch.path().join("no/such")).starts_with("failed to create "));
        fs::write(dir.join(SOCKET), "somebody's").expect("room");
        assert!(refused(&dir).ends_with("is there already, and is no socket"));
        assert_eq!(fs::read_to_string(dir.join(SOCKET)).expect("it is there"), "somebody's");
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_told_by_its_length() {
        let scratch = scratch();
        let dir = scratch.path().join("x".repeat(LONGEST));
        let sentence = refused(&dir);
        let len = dir.join(SOCKET).as_os_str().len();
        assert!(
            sentence.starts_with(&format!("the path of the control socket is {len} bytes long, and 107 are the most"))
        );
        assert!(!dir.exists());
    }

    #[test]
    fn what_has_become_somebody_elses_is_not_removed() {
        let scratch = scratch();
        let dir = scratch.path().join("control");
        let (held, _listener) = PrivateDir::claim(&dir).expect("it is ours");
        fs::remove_file(dir.join(SOCKET)).expect("it is there");
        fs::remove_file(dir.join(LOCK)).expect("it is there");
        let (other, _second) = PrivateDir::claim(&dir).expect("nobody is there");
        drop(held);
        UnixStream::connect(other.socket()).expect("it listens");
        assert!(matches!(PrivateDir::claim(&dir), Err(ClaimError::Held { .. })));
    }
}
