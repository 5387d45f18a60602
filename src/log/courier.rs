//! Carries what a process has logged to whoever writes it: one batch at a time, each until it is known to be written.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::journal::Author;
use super::outbox::{Chunk, Outbox};
use super::scribe::{Complaint, Scribe};
use crate::identity::{MemberId, Slot};
use crate::member::EXCEPTION_TARGET;
use crate::messenger::{CallError, Messenger};

/// The action by which the agent is given a batch.
pub(super) const WRITE: &str = "hatchery:log/write";

/// What exceptions and ends are entered as. What the library itself says of an exception in a member is left out in its favour.
pub(super) const EXCEPTIONS: &str = EXCEPTION_TARGET;

/// How long a batch may be under way before it is sent again. An agent that is replaced answers with its end, and one that stands
/// still would only have it twice.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// The pause before a batch is sent again. A disk that is full stays so for a while, and an agent comes back after a second.
const PAUSE: Duration = Duration::from_millis(200);

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
