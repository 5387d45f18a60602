//! Carries what a process has logged to whoever writes it: one batch at a time, each until it is known to be written.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::archive::Archive;
use super::journal::Author;
use super::outbox::{Chunk, Outbox};
use crate::identity::{MemberId, Slot};
use crate::member::{EXCEPTION_TARGET, Spawner};
use crate::messenger::{CallError, Messenger};

/// The action by which the agent is given a batch.
pub(super) const WRITE: &str = "hatchery:log/write";

/// What exceptions and ends are entered as. What the library itself says of an exception in a member is left out in its favour.
pub(super) const EXCEPTIONS: &str = EXCEPTION_TARGET;

/// By which it is told to open its files again.
pub(super) const REOPEN: &str = "hatchery:log/reopen";

/// How long a batch may be under way before it is sent again. An agent that is replaced, or stands still, answers with its end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pause before a batch is sent again. A disk that is full stays so for a while, and an agent comes back after a second.
const PAUSE: Duration = Duration::from_millis(200);

/// Lines of one member, on their way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    /// The nth of this member.
    pub(super) number: u64,
    pub(super) parts: Vec<(u8, Bytes)>,
}

impl Batch {
    pub(super) fn new(number: u64, chunk: &mut Chunk) -> Batch {
        let parts = std::mem::take(&mut chunk.parts);
        Batch { number, parts: parts.into_iter().map(|(file, lines)| (file, lines.into())).collect() }
    }
}

pub(super) fn author(id: MemberId) -> Author {
    (id.role().rank(), id.slot().index(), id.incarnation().get())
}

/// The way to the one who writes.
pub(super) enum Way {
    /// To the agent.
    Link(Messenger),
    /// It is this process.
    Here(MemberId, Scribe),
}

/// The archive, for those who may not wait for a disk.
#[derive(Clone)]
pub(super) struct Scribe {
    /// `None`: its member has ended.
    archive: Arc<Mutex<Option<Archive>>>,
    /// In the order in which they come, and without a thread for each that waits.
    turn: Arc<Semaphore>,
    spawner: Spawner,
}

impl Scribe {
    pub(super) fn new(archive: Archive, spawner: Spawner) -> Scribe {
        Scribe { archive: Arc::new(Mutex::new(Some(archive))), turn: Arc::new(Semaphore::new(1)), spawner }
    }

    /// Writes a batch. Dropped before it resolves, it is written or not.
    ///
    /// # Errors
    /// Why it is not written.
    pub(super) async fn write(&self, author: Author, batch: Batch) -> Result<(), String> {
        let now = self.spawner.calendar();
        let write = move |archive: &mut Archive| archive.write(author, batch.number, &batch.parts, now);
        self.with(write).await.map_err(|error| error.to_string())
    }

    /// Lets go of the files, where the end of the member is not that of all it has.
    pub(super) fn close(&self) {
        let archive = self.archive.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(archive);
    }

    pub(super) async fn reopen(&self) -> Result<(), String> {
        self.with(|archive| {
            archive.reopen();
            Ok(())
        })
        .await
        .map_err(|error: std::io::Error| error.to_string())
    }

    async fn with<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Archive) -> std::io::Result<R> + Send + 'static,
    ) -> std::io::Result<R> {
        let gone = || std::io::Error::other("the runtime is shutting down");
        let turn = self.turn.clone().acquire_owned().await.map_err(|_| gone())?;
        let archive = self.archive.clone();
        let done = self.spawner.blocking(move || {
            let _turn = turn;
            let mut archive = archive.lock().unwrap_or_else(PoisonError::into_inner);
            archive.as_mut().map_or_else(|| Err(std::io::Error::other("it is closed")), work)
        });
        done.await.unwrap_or_else(|| Err(gone()))
    }
}

/// What was still under way.
pub(super) struct Undelivered {
    /// The number of the last batch.
    pub(super) number: u64,
    /// That one, if it is not known to be written.
    pub(super) batch: Option<Batch>,
}

/// Carries for as long as the process has a link, or until `over`.
pub(super) async fn carry(outbox: Arc<Outbox>, way: Way, over: impl Future<Output = ()>) -> Undelivered {
    let mut under_way = Undelivered { number: 0, batch: None };
    let carried = async {
        loop {
            let mut chunk = outbox.next().await;
            under_way.number += 1;
            let batch = under_way.batch.insert(Batch::new(under_way.number, &mut chunk));
            while !way.deliver(batch).await {
                tokio::time::sleep(PAUSE).await;
            }
            under_way.batch = None;
            outbox.written(&chunk);
        }
    };
    tokio::select! {
        biased;
        never = carried => match never {},
        () = over => {}
    }
    under_way
}

impl Way {
    /// Whether a batch is written now. If not, it is to be sent again. Without a link it never resolves: nothing will be.
    pub(super) async fn deliver(&self, batch: &Batch) -> bool {
        match self {
            Way::Here(id, scribe) => scribe.write(author(*id), batch.clone()).await.is_ok(),
            Way::Link(messenger) => match messenger.request(PATIENCE, Slot::agent().into(), WRITE, batch).await {
                Ok(()) => true,
                Err(CallError::Closed) => std::future::pending().await,
                // It may have been written: whoever writes knows.
                Err(
                    CallError::Send(_)
                    | CallError::Undelivered(_)
                    | CallError::Failed(_)
                    | CallError::Dropped
                    | CallError::Undecodable,
                ) => false,
            },
        }
    }
}
