//! The tasks at the master's end of one link. One reads, routes and hears of the end of the process; one writes. Neither
//! ever waits for another member.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use ractor::ActorRef;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

use super::facts;
use super::messages::{ProcessMsg, SlotMsg};
use super::routes::Routes;
use crate::identity::MemberId;
use crate::process::{Exit, ExitRecord, ExitStatus, LinkRead};
use crate::supervision::{Dice, LinkError};
use crate::transport::{Account, Destination, Run, Said, Session};

/// How much is read at once: more than a socket buffer holds.
const READ: usize = 256 * 1024;

/// How many exceptions of one member may wait to be dealt with. One that reports without pause is read no further.
const REPORTS: usize = 64;

/// What the reading task needs.
pub(crate) struct Listening {
    pub(crate) id: MemberId,
    pub(crate) reader: Box<dyn LinkRead>,
    pub(crate) exit: Exit,
    pub(crate) session: Session,
    pub(crate) routes: Arc<Routes>,
    pub(crate) process: ActorRef<ProcessMsg>,
    pub(crate) dice: Dice,
}

impl Listening {
    /// Reads until the process has ended, and says so last.
    pub(crate) async fn run(mut self) {
        let mut buffer = BytesMut::with_capacity(READ);
        let reports = Arc::new(Semaphore::new(REPORTS));
        let mut open = true;
        let record = loop {
            if buffer.capacity() - buffer.len() < READ / 4 {
                buffer.reserve(READ);
            }
            tokio::select! {
                biased;
                record = &mut self.exit => break record,
                got = self.reader.read_buf(&mut buffer), if open => {
                    open = self.take(got, &mut buffer, &reports).await;
                }
            }
        };
        // What it had written before it died is in the socket. Not until the end of the link: one of its descendants
        // may hold the other end.
        while open {
            match self.reader.read_now(&mut buffer) {
                Ok(None) | Ok(Some(0)) => break,
                got => open = self.take(got.map(Option::unwrap_or_default), &mut buffer, &reports).await,
            }
        }
        // An error: the nursery is gone, and everything in it.
        let record = record.unwrap_or(ExitRecord {
            status: ExitStatus::Stolen,
            last_words: None,
            backtrace: String::new(),
            out_of_memory: false,
            stderr: String::new(),
            age: std::time::Duration::ZERO,
        });
        if let Err(ractor::MessagingErr::SendErr(ProcessMsg::Ended(record))) =
            self.process.cast(ProcessMsg::Ended(record))
        {
            self.routes.tell(self.id.slot(), SlotMsg::Unattended(self.id, record));
        }
    }

    /// Deals with what was read. `false`: nothing more is to be read.
    async fn take(&mut self, got: io::Result<usize>, buffer: &mut BytesMut, reports: &Arc<Semaphore>) -> bool {
        match got {
            Ok(0) => {
                // Within a frame, too, it ends without anybody's fault: its writer was killed.
                self.lost(match buffer.is_empty() {
                    true => LinkError::Closed,
                    false => LinkError::Io("it ended within a frame".into()),
                });
                false
            }
            Ok(_) => {
                let Listening { session, routes, dice, .. } = self;
                match session.digest(buffer, |role| routes.pick(role, dice)) {
                    Ok(digest) => {
                        for said in digest.said {
                            self.pass_on(said, reports).await;
                        }
                        route(&self.routes, self.id, digest.runs, digest.group_charge).await;
                        true
                    }
                    Err(error) => {
                        self.lost(facts::broken(&error));
                        false
                    }
                }
            }
            Err(error) => {
                // The other end went without reading what was sent to it: the way in which many die.
                self.lost(match error.kind() {
                    io::ErrorKind::ConnectionReset => LinkError::Closed,
                    _ => LinkError::Io(error.to_string()),
                });
                false
            }
        }
    }

    async fn pass_on(&mut self, said: Said, reports: &Arc<Semaphore>) {
        match said {
            Said::Ack(ack) => self.routes.tell(self.id.slot(), SlotMsg::Ack(self.id, ack)),
            Said::Exception(_) => {
                let permit = reports.clone().acquire_owned().await.ok();
                let _ = self.process.cast(ProcessMsg::Said(said, permit));
            }
            Said::Hello | Said::Ready | Said::Watch | Said::Pong => {
                let _ = self.process.cast(ProcessMsg::Said(said, None));
            }
        }
    }

    fn lost(&self, error: LinkError) {
        let _ = self.process.cast(ProcessMsg::LinkLost(error));
    }
}

/// Sends what `from` has sent on its way.
pub(super) async fn route(routes: &Routes, from: MemberId, runs: Vec<(Destination, Run)>, group_charge: u32) {
    for (destination, run) in runs {
        routes.deliver(destination, run);
    }
    if group_charge > 0 {
        routes.tell(from.slot(), SlotMsg::Credit { to: from, account: Account::Group, charge: group_charge });
        // Its copies are with many: they are dealt with before more of them are made.
        tokio::task::yield_now().await;
    }
}
