//! Writes down what the master knows of its members' exceptions and ends, also of those that cannot tell any more.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::archive::Archive;
use super::courier::{Batch, EXCEPTIONS, Undelivered, Way, carry};
use super::format::{Clock, Entry, dropped};
use super::outbox::Outbox;
use super::settings::Rules;
use crate::actors::Clerk;
use crate::cluster::Logbook;
use crate::identity::MemberId;
use crate::member::Calendar;
use crate::messenger::Messenger;
use crate::process::say;
use crate::supervision::{Exception, Exit};

/// The logs of a plan, as its master has them.
#[derive(Debug)]
pub(crate) struct Book(pub(crate) Arc<Rules>);

impl Logbook for Book {
    fn begin(&self, messenger: Messenger, calendar: Calendar, nonce: u64) -> Arc<dyn Clerk> {
        let Book(rules) = self;
        let clock = Clock { calendar, stamp: rules.stamp.clone() };
        let notice = dropped(clock.clone(), rules.json, "master".to_owned());
        let outbox = Arc::new(Outbox::new((rules.buffer, rules.batch), None, rules.errors(), notice));
        let over = Arc::new(Notify::new());
        let id = messenger.id();
        let ending = {
            let over = over.clone();
            async move { over.notified().await }
        };
        let carrying = tokio::spawn(carry(outbox.clone(), nonce, Way::Link(messenger), ending));
        Arc::new(Writing { rules: rules.clone(), id, nonce, outbox, clock, over, carrying: Mutex::new(Some(carrying)) })
    }
}

/// How long the end of a cluster waits for what is left to be written.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The clerk of one cluster.
struct Writing {
    rules: Arc<Rules>,
    id: MemberId,
    nonce: u64,
    outbox: Arc<Outbox>,
    clock: Clock,
    /// Rings when the agent has gone for good.
    over: Arc<Notify>,
    carrying: Mutex<Option<JoinHandle<Undelivered>>>,
}

impl Writing {
    fn put(&self, id: MemberId, message: &str, backtrace: &str) {
        let json = self.rules.json;
        let member = id.to_string();
        let entry = Entry { level: "ERROR", member: &member, target: EXCEPTIONS, message, backtrace };
        let files = [self.rules.errors(), self.rules.of_role(id.role())];
        self.outbox.put(&files, &entry.line(&self.clock, json));
    }

    /// Writes what is left: the agent was the only other one who could.
    async fn finish(&self) {
        self.over.notify_one();
        let carrying = self.carrying.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(carrying) = carrying else { return };
        let Ok(Undelivered { mut number, batch }) = carrying.await else { return };
        let mut left: Vec<Batch> = batch.into_iter().collect();
        while let Some(mut chunk) = self.outbox.take() {
            number += 1;
            left.push(Batch::new(self.nonce, number, &mut chunk));
        }
        self.outbox.close();
        if left.is_empty() {
            return;
        }
        let now = (self.clock.calendar)();
        // On a thread of its own, and not waited for without end: a file may be on a disk that does not answer.
        let (rules, id) = (self.rules.clone(), self.id);
        let (told, written) = tokio::sync::oneshot::channel();
        let writing = std::thread::Builder::new().name("last words".into()).spawn(move || {
            let written = Archive::open(&rules).map_err(|error| error.to_string()).and_then(|mut archive| {
                let mut write = |batch: &Batch| archive.write(batch.author(id), batch.number, &batch.parts, now);
                left.iter().try_for_each(&mut write).map_err(|error| error.to_string())
            });
            let _ = told.send(written);
        });
        let written = match writing {
            Ok(_) => tokio::time::timeout(LAST_WORDS, written).await,
            Err(error) => Ok(Ok(Err(error.to_string()))),
        };
        let why = match written {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) => error,
            Ok(Err(_)) => "whoever wrote them failed".to_owned(),
            Err(_) => format!("not within {LAST_WORDS:?}"),
        };
        say(&format!("the last entries of the error log are not written: {why}"));
    }
}

impl Clerk for Writing {
    fn exception(&self, id: MemberId, exception: &Exception, backtrace: &str) {
        self.put(id, &exception.to_string(), backtrace);
    }

    fn ended(&self, id: MemberId, exit: &Exit) {
        // What it said before it was ready, if that was captured.
        self.put(id, &exit.to_string(), &exit.stderr);
    }

    fn conclude(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.finish())
    }
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writing").field("rules", &self.rules).finish_non_exhaustive()
    }
}
