//! The other end, for a command: it blocks, and needs no runtime.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use socket2::{Domain, SockAddr, Socket, Type};

use super::reply::ControlReply;
use super::request::ControlRequest;
use super::wire::{Envelope, Greeting, PROTOCOL, REPLY, REQUEST, line};
use crate::process::clock;
use crate::process::peer::{Peer, we_are_root};
use crate::process::private_dir::socket_path;

/// How long a master may take to say that it is there.
const GREETING: Duration = Duration::from_secs(2);

/// How much longer than its deadline a reply is waited for: the master says at the deadline that it goes on.
const MARGIN: Duration = Duration::from_millis(500);

/// A connection to the master that serves a control socket. Blocks: for programs, or threads, without a runtime.
#[derive(Debug)]
pub struct ControlClient {
    stream: UnixStream,
    path: PathBuf,
    waiting: Vec<u8>,
    master_pid: u32,
    /// Something went wrong on it: what would come next is the answer to something else.
    spent: bool,
}

/// Why there is no connection, or no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is no socket, or nobody listens on it.
    #[error("not running: nobody listens on {}", .0.display())]
    NotRunning(PathBuf),
    /// It is another user's, or may not be used by this one.
    #[error("not allowed: {0}")]
    Denied(String),
    /// As many as are served at once are being served.
    #[error("the master is busy with others on its control socket: try again")]
    Busy,
    /// It has not answered in this time: it is stopped, or stuck. What was asked for may have been begun.
    #[error("the master has not answered within {0:?}")]
    TimedOut(Duration),
    /// It has ended, or has closed the connection.
    #[error("the master has closed the connection")]
    Closed,
    /// What listens there does not speak as this client does.
    #[error("what listens on the control socket is not understood: {0}")]
    Protocol(String),
    /// The path of the socket is longer than any may be.
    #[error("{0}")]
    BadPath(String),
    /// The system refused something.
    #[error("the control socket failed: {0}")]
    Io(#[from] io::Error),
}

impl ControlClient {
    /// Connects to the master that serves a control socket in `dir`. Takes two seconds at most for each of: to be let in, and to
    /// be greeted.
    ///
    /// Nobody but the user of the master and root can be trusted to be one: a socket that is somebody else's is not spoken to.
    ///
    /// # Errors
    /// [`ControlError::NotRunning`], [`Denied`](ControlError::Denied), [`Busy`](ControlError::Busy),
    /// [`TimedOut`](ControlError::TimedOut), [`Protocol`](ControlError::Protocol), [`BadPath`](ControlError::BadPath),
    /// [`Io`](ControlError::Io).
    pub fn connect(dir: &Path) -> Result<ControlClient, ControlError> {
        let path = socket_path(dir).map_err(|error| ControlError::BadPath(error.to_string()))?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Of a socket on which too many wait already, connecting waits as long as sending would.
        socket.set_write_timeout(Some(GREETING))?;
        socket.connect(&SockAddr::unix(&path)?).map_err(|error| refused(error, &path))?;
        let master = Peer::of(&socket)?;
        if !master.is_same_user() && !master.is_root() && !we_are_root() {
            return Err(ControlError::Denied(format!("{} is served by user {}", path.display(), master.uid)));
        }
        let stream = UnixStream::from(std::os::fd::OwnedFd::from(socket));
        let mut client = ControlClient { stream, path, waiting: Vec::new(), master_pid: master.pid, spent: false };
        match client.read(GREETING)? {
            Greeting::Welcome { protocol: PROTOCOL, master_pid } => client.master_pid = master_pid,
            Greeting::Welcome { protocol, .. } => {
                let why = format!("it speaks version {protocol}, and this is version {PROTOCOL}");
                return Err(ControlError::Protocol(why));
            }
            Greeting::Busy => return Err(ControlError::Busy),
            Greeting::Denied { why } => return Err(ControlError::Denied(why)),
        }
        Ok(client)
    }

    /// The process of the master, as it says.
    pub fn master_pid(&self) -> u32 {
        self.master_pid
    }

    /// Asks, and waits for the reply. What has not come to its end within `deadline`, an hour at most, is answered by
    /// [`ControlReply::StillGoing`], and goes on; a master that says nothing at all is waited for half a second longer.
    ///
    /// To be called again for the next, within the [patience](super::Control::patience) of the master: after it, the connection is
    /// closed. After an error the connection is of no more use.
    ///
    /// # Errors
    /// [`ControlError::TimedOut`], [`Closed`](ControlError::Closed), [`Protocol`](ControlError::Protocol),
    /// [`Io`](ControlError::Io). [`Busy`](ControlError::Busy) is a reply here.
    pub fn ask(&mut self, request: &ControlRequest, deadline: Duration) -> Result<ControlReply, ControlError> {
        if self.spent {
            return Err(ControlError::Closed);
        }
        let envelope = Envelope { request: request.clone(), deadline: Some(deadline) };
        let line = line(&envelope).map_err(ControlError::Protocol)?;
        if line.len() > REQUEST {
            return Err(ControlError::Protocol(format!(
                "a request of {} bytes is over the limit of {REQUEST}",
                line.len()
            )));
        }
        let patience = envelope.deadline() + MARGIN;
        // One that has closed the connection may have said why before.
        let written = self.stream.set_write_timeout(Some(patience)).and_then(|()| self.stream.write_all(&line));
        match written {
            Ok(()) => {}
            Err(error) if is_closed(&error) => {}
            Err(error) => {
                self.spent = true;
                return Err(timed_out(error, patience));
            }
        }
        self.read(patience)
    }

    /// Waits until the master closes the connection. After [`ControlRequest::Stop`] was answered that is when its control
    /// directory and its addresses are free, and all that is left for it is to exit.
    ///
    /// # Errors
    /// [`ControlError::TimedOut`] after `deadline`; [`ControlError::Io`].
    pub fn until_closed(mut self, deadline: Duration) -> Result<(), ControlError> {
        let due = clock::now() + deadline;
        loop {
            self.waiting.clear();
            match self.fill(due, deadline) {
                Ok(()) => {}
                Err(ControlError::Closed) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next line, within `patience`.
    fn read<T: DeserializeOwned>(&mut self, patience: Duration) -> Result<T, ControlError> {
        let due = clock::now() + patience;
        self.spent = true;
        let mut looked = 0;
        let end = loop {
            if let Some(end) = self.waiting[looked..].iter().position(|&byte| byte == b'\n') {
                break looked + end;
            }
            looked = self.waiting.len();
            if looked > REPLY {
                return Err(ControlError::Protocol(format!("its line is longer than {REPLY} bytes")));
            }
            self.fill(due, patience)?;
        };
        let line: Vec<u8> = self.waiting.drain(..=end).collect();
        let said = serde_json::from_slice(&line).map_err(|error| ControlError::Protocol(error.to_string()))?;
        self.spent = false;
        Ok(said)
    }

    /// Reads more, until `due`.
    fn fill(&mut self, due: Instant, patience: Duration) -> Result<(), ControlError> {
        let mut chunk = [0; 16 * 1024];
        loop {
            let left = due.saturating_duration_since(clock::now());
            if left.is_zero() {
                return Err(ControlError::TimedOut(patience));
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ControlError::Closed),
                Ok(got) => {
                    self.waiting.extend_from_slice(&chunk[..got]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_closed(&error) => return Err(ControlError::Closed),
                Err(error) => return Err(timed_out(error, patience)),
            }
        }
    }

    /// Where the socket is.
    pub fn socket(&self) -> &Path {
        &self.path
    }
}

fn refused(error: io::Error, path: &Path) -> ControlError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ControlError::NotRunning(path.to_owned()),
        io::ErrorKind::PermissionDenied => ControlError::Denied(format!("{}: {error}", path.display())),
        // It has had the time that sending has.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ControlError::Busy,
        _ => ControlError::Io(error),
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn timed_out(error: io::Error, patience: Duration) -> ControlError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ControlError::TimedOut(patience),
        _ => ControlError::Io(error),
    }
}
