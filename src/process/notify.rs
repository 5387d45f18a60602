//! What a service manager is told of the master: the protocol of `sd_notify(3)`, a datagram for each word.
//!
//! The socket never makes the master wait, which is why this is no library's: one whose reader has stalled gets each word
//! later, and only the latest of its kind.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::text::cut;

/// A longer state than this is no line that anybody reads.
const LONGEST: usize = 1024;

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// All members have been ready at once. With the number of this process, for a manager that has started its launcher.
    Ready,
    /// It is about to end.
    Stopping,
    /// How it is, in one line.
    Status(String),
    /// It is alive.
    Alive,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Ready => write!(f, "READY=1\nMAINPID={}\n", std::process::id()),
            Word::Stopping => f.write_str("STOPPING=1\n"),
            Word::Status(line) => {
                writeln!(f, "STATUS={}", cut(line, LONGEST).replace('\n', " "))
            }
            Word::Alive => f.write_str("WATCHDOG=1\n"),
        }
    }
}

/// The way to a service manager.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: UnixDatagram,
    manager: SocketAddr,
    watchdog: Option<Duration>,
    /// What it had no room for, in the order in which it was said.
    owed: Vec<Word>,
}

impl Notifier {
    /// The manager that started this process, if it wants to be told: `NOTIFY_SOCKET`, and for how often it wants to hear
    /// that we are alive `WATCHDOG_USEC` and `WATCHDOG_PID`.
    ///
    /// # Errors
    /// The name of the socket can be none.
    pub(crate) fn of_environment() -> io::Result<Option<Notifier>> {
        let read = |name: &str| std::env::var_os(name);
        let Some(socket) = read("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Ok(None) };
        Notifier::new(&socket, watchdog(read("WATCHDOG_USEC"), read("WATCHDOG_PID"))).map(Some)
    }

    fn new(socket: &OsStr, watchdog: Option<Duration>) -> io::Result<Notifier> {
        let manager = match socket.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(socket)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Notifier { socket, manager, watchdog, owed: Vec::new() })
    }

    /// How long the manager hears nothing until it takes us for stuck.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Says it, behind what was said before. What there is no room for is said with the next word.
    pub(crate) fn say(&mut self, word: Word) {
        self.owed.retain(|owed| std::mem::discriminant(owed) != std::mem::discriminant(&word));
        self.owed.push(word);
        while let Some(word) = self.owed.first() {
            match self.socket.send_to_addr(word.to_string().as_bytes(), &self.manager) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A manager that has gone hears nothing, and will start us again if it comes back.
                Ok(_) | Err(_) => drop(self.owed.remove(0)),
            }
        }
    }

    /// Whether it has been told everything.
    pub(crate) fn is_up_to_date(&self) -> bool {
        self.owed.is_empty()
    }
}

/// How long the manager waits, if it waits for this process.
fn watchdog(micros: Option<OsString>, pid: Option<OsString>) -> Option<Duration> {
    let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
    let is_ours = pid.is_none_or(|pid| number(pid) == Some(std::process::id().into()));
    let micros = number(micros?).filter(|&micros| micros > 0 && is_ours)?;
    Some(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(manager: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 2048];
        std::iter::from_fn(|| {
            let got = manager.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..got]).into_owned())
        })
        .collect()
    }

    #[test]
    fn each_word_is_a_datagram_to_a_path_or_to_an_abstract_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let name = format!("hatchery-test-{}", std::process::id());
        let of_path = UnixDatagram::bind(&path).expect("a free path");
        let abstract_name = SocketAddr::from_abstract_name(&name).expect("a short name");
        let of_name = UnixDatagram::bind_addr(&abstract_name).expect("a free name");
        for (manager, address) in [(of_path, path.into_os_string()), (of_name, format!("@{name}").into())] {
            manager.set_nonblocking(true).expect("it is ours");
            let mut notifier = Notifier::new(&address, None).expect("an address");
            notifier.say(Word::Ready);
            notifier.say(Word::Status("4 workers\nready".into()));
            notifier.say(Word::Alive);
            notifier.say(Word::Stopping);
            let ready = format!("READY=1\nMAINPID={}\n", std::process::id());
            assert_eq!(received(&manager), [&ready, "STATUS=4 workers ready\n", "WATCHDOG=1\n", "STOPPING=1\n"]);
        }
    }

    #[test]
    fn a_manager_that_does_not_read_keeps_nobody_and_hears_the_latest_of_each() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a free path");
        manager.set_nonblocking(true).expect("it is ours");
        let mut notifier = Notifier::new(path.as_os_str(), None).expect("an address");
        for number in 0.. {
            notifier.say(Word::Status(number.to_string()));
            if !notifier.is_up_to_date() {
                break;
            }
        }
        notifier.say(Word::Ready);
        for _ in 0..1000 {
            notifier.say(Word::Status("the latest".into()));
        }
        assert!(received(&manager).len() > 1, "what there was room for");
        notifier.say(Word::Alive);
        assert_eq!(
            received(&manager).iter().map(|word| &word[..6]).collect::<Vec<_>>(),
            ["READY=", "STATUS", "WATCHD"]
        );
        assert!(notifier.is_up_to_date());
        drop(manager);
        notifier.say(Word::Stopping);
        assert!(notifier.is_up_to_date(), "one that has gone is owed nothing");
    }

    #[test]
    fn the_watchdog_is_that_of_this_process_or_of_none() {
        let own = std::process::id().to_string();
        let read = |micros: Option<&str>, pid: Option<&str>| watchdog(micros.map(Into::into), pid.map(Into::into));
        assert_eq!(read(Some("1500000"), None), Some(Duration::from_millis(1500)));
        assert_eq!(read(Some("1500000"), Some(&own)), Some(Duration::from_millis(1500)));
        for (micros, pid) in
            [(Some("1500000"), Some("1")), (Some("0"), None), (Some("often"), None), (None, Some(&*own))]
        {
            assert_eq!(read(micros, pid), None, "{micros:?} {pid:?}");
        }
    }

    #[test]
    fn a_line_is_as_long_as_somebody_reads() {
        let said = Word::Status("ä".repeat(LONGEST)).to_string();
        assert_eq!(said.len(), "STATUS=\n".len() + LONGEST);
        let said = Word::Status(format!("a{}", "ä".repeat(LONGEST))).to_string();
        assert_eq!(said.len(), "STATUS=\n".len() + LONGEST - 1);
    }
}
