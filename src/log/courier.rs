//! Carries what a process has logged to whoever writes it: one batch at a time, each until it is known to be written.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::archive::{Archive, ArchiveError};
use super::journal::Author;
use super::outbox::{Chunk, Outbox};
use super::settings::Rules;
use crate::identity::{MemberId, Slot};
use crate::member::{EXCEPTION_TARGET, Spawner};
use crate::messenger::{CallError, Messenger};
use crate::process::say;

/// The action by which the agent is given a batch.
pub(super) const WRITE: &str = "hatchery:log/write";

/// What exceptions and ends are entered as. What the library itself says of an exception in a member is left out in its favour.
pub(super) const EXCEPTIONS: &str = EXCEPTION_TARGET;

/// How long a batch may be under way before it is sent again. An agent that is replaced answers with its end, and one that stands
/// still would only have it twice.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// The pause before a batch is sent again. A disk that is full stays so for a while, and an agent comes back after a second.
const PAUSE: Duration = Duration::from_millis(200);

/// For how long a file may be held by one that is on its way out: an agent whose master was killed has its grace, and a moment.
const LEAVING: Duration = Duration::from_secs(8);

/// Lines of one member, on their way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    /// By which its author is told from one of the same name in another cluster.
    pub(super) nonce: u64,
    /// The nth of this member.
    pub(super) number: u64,
    pub(super) parts: Vec<(u8, Bytes)>,
}

impl Batch {
    pub(super) fn new(nonce: u64, number: u64, chunk: &mut Chunk) -> Batch {
        let parts = std::mem::take(&mut chunk.parts);
        Batch { nonce, number, parts: parts.into_iter().map(|(file, lines)| (file, lines.into())).collect() }
    }
}

impl Batch {
    /// Whose it is, when that member has sent it.
    pub(super) fn author(&self, id: MemberId) -> Author {
        (id.role().rank(), id.slot().index(), id.incarnation().get(), self.nonce)
    }
}

/// The way to the one who writes.
pub(super) enum Way {
    /// To the agent.
    Link(Messenger),
    /// It is this process.
    Here(MemberId, Scribe, Complaint),
}

/// The archive, for those who may not wait for a disk. Opened when it is first needed, and again when that has failed: that it cannot
/// be opened is no reason for an agent to end.
#[derive(Clone)]
pub(super) struct Scribe {
    rules: Arc<Rules>,
    shelf: Arc<Mutex<Shelf>>,
    /// In the order in which they come, and without a thread for each that waits.
    turn: Arc<Semaphore>,
    spawner: Spawner,
}

enum Shelf {
    Shut,
    Open(Box<Archive>),
    /// Its member has ended.
    Gone,
}

impl Scribe {
    pub(super) fn new(rules: Arc<Rules>, spawner: Spawner) -> Scribe {
        Scribe { rules, shelf: Arc::new(Mutex::new(Shelf::Shut)), turn: Arc::new(Semaphore::new(1)), spawner }
    }

    /// Writes a batch. Dropped before it resolves, it is written or not.
    ///
    /// # Errors
    /// Why it is not written.
    pub(super) async fn write(&self, author: Author, batch: Batch) -> Result<(), String> {
        let now = self.spawner.calendar();
        let write = move |archive: &mut Archive| {
            archive.write(author, batch.number, &batch.parts, now).map_err(|error| error.to_string())
        };
        self.with(write).await
    }

    pub(super) async fn reopen(&self) -> Result<(), String> {
        let now = self.spawner.calendar();
        self.with(move |archive| archive.reopen(now).map_err(|error| error.to_string())).await
    }

    /// Opens it, and waits for a while where somebody else has it: one who is on its way out.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) async fn open(&self) -> Result<(), String> {
        let mut tries = LEAVING.as_millis() / PAUSE.as_millis();
        loop {
            match Archive::open(&self.rules) {
                Ok(archive) => {
                    *self.shelf.lock().unwrap_or_else(PoisonError::into_inner) = Shelf::Open(Box::new(archive));
                    return Ok(());
                }
                Err(ArchiveError::InUse { .. }) if tries > 0 => tries -= 1,
                Err(error) => return Err(error.to_string()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Lets go of the files, where the end of the member is not that of all it has.
    pub(super) fn close(&self) {
        let shelf = std::mem::replace(&mut *self.shelf.lock().unwrap_or_else(PoisonError::into_inner), Shelf::Gone);
        drop(shelf);
    }

    async fn with<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Archive) -> Result<R, String> + Send + 'static,
    ) -> Result<R, String> {
        let turn = self.turn.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        let (rules, shelf) = (self.rules.clone(), self.shelf.clone());
        let done = self.spawner.blocking(move || {
            let _turn = turn;
            let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            if let Shelf::Shut = *shelf {
                *shelf = Shelf::Open(Box::new(Archive::open(&rules).map_err(|error| error.to_string())?));
            }
            match &mut *shelf {
                Shelf::Open(archive) => work(archive),
                Shelf::Shut | Shelf::Gone => Err("it is closed".to_owned()),
            }
        });
        done.await.unwrap_or_else(|| Err("the runtime is shutting down".to_owned()))
    }
}

/// Says on stderr why nothing can be written, once for each reason, and when it can again: the files cannot.
#[derive(Clone, Default)]
pub(super) struct Complaint(Arc<Mutex<Option<String>>>);

impl Complaint {
    pub(super) fn hear(&self, result: &Result<(), String>) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (result, &*last) {
            (Ok(()), Some(_)) => {
                say("the logs are written again");
                *last = None;
            }
            (Err(error), known) if known.as_ref() != Some(error) => {
                say(&format!("the logs cannot be written: {error}"));
                *last = Some(error.clone());
            }
            (Ok(()), None) | (Err(_), _) => {}
        }
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
pub(super) async fn carry(outbox: Arc<Outbox>, nonce: u64, way: Way, over: impl Future<Output = ()>) -> Undelivered {
    let mut under_way = Undelivered { number: 0, batch: None };
    let carried = async {
        loop {
            let mut chunk = outbox.next().await;
            under_way.number += 1;
            let batch = under_way.batch.insert(Batch::new(nonce, under_way.number, &mut chunk));
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
            Way::Here(id, scribe, complaint) => {
                let written = scribe.write(batch.author(*id), batch.clone()).await;
                complaint.hear(&written);
                written.is_ok()
            }
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
