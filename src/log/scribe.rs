//! The one who writes, as an agent has it: for those who may not wait for a disk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::archive::{Archive, ArchiveError};
use super::courier::Batch;
use super::journal::Author;
use super::settings::Rules;
use crate::member::Spawner;
use crate::process::say;

/// For how long a file may be held by one that is on its way out: an agent whose master was killed has its grace, and a moment.
const LEAVING: Duration = Duration::from_secs(8);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

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
