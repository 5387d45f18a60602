//! The master's end of the socket: how many are served, who they are, and how long each may take. Whatever comes over it,
//! the loop of the master goes on, and so do the others.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::lines::{Lines, Read};
use super::reply::ControlReply;
use super::settings::Control;
use super::wire::{Greeting, PROTOCOL, REQUEST, line, read_request, reply_line};
use crate::process::peer::Peer;

/// The pause after an error of accept, doubled up to [`LONGEST_PAUSE`] while it lasts: of a lack of descriptors the kernel
/// tells again at once.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What serves a socket.
pub(super) struct Server {
    pub(super) desk: Desk,
    pub(super) settings: Control,
    /// The number of the process that is the master.
    pub(super) master_pid: u32,
    /// Nobody is served any more, but for those who wait for an answer.
    pub(super) closing: CancellationToken,
}

impl Server {
    /// Serves until it is to close, and whoever has asked has been answered. Returns the connections that there are: with their
    /// end they are told that everything else is over.
    pub(super) async fn serve(self: Arc<Server>, listener: UnixListener) -> Vec<UnixStream> {
        let mut served: JoinSet<Option<UnixStream>> = JoinSet::new();
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => break,
                Some(_) = served.join_next() => continue,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        pause = FIRST_PAUSE;
                        self.admit(stream, &mut served);
                        // A crowd at the door has its turn with everybody else.
                        tokio::task::yield_now().await;
                        continue;
                    }
                    Err(error) if pause == FIRST_PAUSE => tracing::warn!(%error, "accept on the control socket failed: waiting"),
                    Err(_) => {}
                }
            }
            tokio::select! {
                () = self.closing.cancelled() => break,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
        drop(listener);
        self.desk.operations.ended().await;
        let mut left = Vec::new();
        while let Some(ended) = served.join_next().await {
            left.extend(ended.ok().flatten());
        }
        left
    }

    fn admit(self: &Arc<Server>, stream: UnixStream, served: &mut JoinSet<Option<UnixStream>>) {
        let peer = match Peer::of(&stream) {
            Ok(peer) if peer.is_same_user() || peer.is_root() => peer,
            Ok(peer) => {
                tracing::warn!(uid = peer.uid, pid = peer.pid, "another user was turned away from the control socket");
                return turn_away(stream, &Greeting::Denied { why: "only the user of the master may connect".into() });
            }
            Err(error) => return tracing::warn!(%error, "whoever has connected to the control socket is not known"),
        };
        if served.len() >= self.settings.connections {
            return turn_away(stream, &Greeting::Busy);
        }
        let server = self.clone();
        served.spawn(async move { server.attend(Lines::new(stream, REQUEST), peer).await });
    }

    /// One who has connected, until it leaves, or takes too long, or says what is no request.
    async fn attend(&self, mut lines: Lines, peer: Peer) -> Option<UnixStream> {
        let patience = self.settings.patience;
        let welcome = line(&Greeting::Welcome { protocol: PROTOCOL, master_pid: self.master_pid }).ok()?;
        if !lines.write(&welcome, patience).await {
            return None;
        }
        loop {
            let read = tokio::select! {
                biased;
                () = self.closing.cancelled() => return Some(lines.stream),
                read = lines.next(patience) => read,
            };
            let asked = match read {
                Read::Line(line) => read_request(&line),
                Read::TooLong => Err(format!("it is longer than {REQUEST} bytes")),
                Read::TooSlow | Read::End => return None,
            };
            let envelope = match asked {
                Ok(envelope) => envelope,
                Err(why) => {
                    // Where its next line would begin is anybody's guess.
                    lines.write(&reply_line(&ControlReply::Misunderstood { why }), patience).await;
                    return None;
                }
            };
            let deadline = envelope.deadline();
            let reply = tokio::select! {
                reply = self.desk.answer(envelope.request, peer, deadline) => reply,
                () = lines.gone() => return None,
            };
            if !lines.write(&reply_line(&reply), patience).await {
                return None;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Says why not, and no more. Whether it is heard is not waited for: a socket that has just been connected has room.
fn turn_away(stream: UnixStream, greeting: &Greeting) {
    let said = stream.into_std().and_then(|mut stream| {
        let line = line(greeting).map_err(io::Error::other)?;
        stream.write_all(&line)
    });
    if let Err(error) = said {
        tracing::debug!(%error, "one that was turned away has not been told");
    }
}
