//! What a cluster tells those who listen: one value for everything that an operator would want to know of.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::broadcast::{self, error::RecvError};

use super::end::ClusterError;
use super::handle::Stage;
use crate::actors::{Beat, Observe};
use crate::bulletin::{Bulletin, Reader};
use crate::identity::{MemberId, Slot};
use crate::supervision::{
    Action, Cause, Conclusion, Decision, Event, Exception, Moment, Operation, OperationId, Seat, Supervisor,
};

/// How many events are kept for a listener that is busy with others. It hears how many it has missed.
const REMEMBERED: usize = 1024;

/// What happened in a cluster. Written out it is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// A process exists. It is not ready yet.
    Started {
        /// Who.
        member: MemberId,
        /// Its number in the operating system.
        pid: u32,
    },
    /// A member said that it is ready, and serves.
    Ready {
        /// Who.
        member: MemberId,
    },
    /// A member that is alive said that something in it went wrong.
    Exception {
        /// Who.
        member: MemberId,
        /// What it said.
        exception: Exception,
        /// What follows. `None`: nothing, it was on its way out already.
        decision: Option<Decision>,
    },
    /// A member that serves does not answer its [heartbeats](crate::Heartbeat) any more. What follows, should it last too
    /// long, is told as [`Decided`](ClusterEvent::Decided).
    Unresponsive {
        /// Who.
        member: MemberId,
        /// For how long it has not.
        silent: Duration,
    },
    /// A member that was unresponsive answers again.
    Responsive {
        /// Who.
        member: MemberId,
    },
    /// A process has ended. Each is told once, but for those that are killed because the last handle was dropped, or the
    /// actor of the cluster killed: then there is nobody left to tell.
    Exited {
        /// Who.
        member: MemberId,
        /// How it came about.
        cause: Cause,
        /// What follows.
        decision: Decision,
    },
    /// Something else was decided about a member.
    Decided {
        /// About whom.
        member: MemberId,
        /// Why.
        cause: Cause,
        /// What follows.
        decision: Decision,
    },
    /// A slot has failed too often and is put aside.
    Parked {
        /// Which.
        slot: Slot,
        /// How long from now until it is tried again. `None`: never by itself.
        retry_in: Option<Duration>,
    },
    /// An operator asked for something. Its end is told as [`Concluded`](ClusterEvent::Concluded).
    Asked {
        /// Its number.
        operation: OperationId,
        /// For what.
        what: Operation,
    },
    /// An operation that was asked for has ended.
    Concluded {
        /// Its number.
        operation: OperationId,
        /// How.
        conclusion: Conclusion,
    },
    /// Every member has been ready at once, for the first time.
    ClusterReady,
    /// The cluster stops, because it was asked to or has failed: the events before say which.
    Stopping,
    /// Nobody is left. The last event.
    Finished(Result<(), ClusterError>),
    /// So many events came faster than they were taken, and are lost to this listener.
    Lagged(u64),
}

impl fmt::Display for ClusterEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterEvent::Started { member, pid } => write!(f, "{member} started, pid {pid}"),
            ClusterEvent::Ready { member } => write!(f, "{member} ready"),
            ClusterEvent::Exception { member, exception, decision: Some(decision) } => {
                write!(f, "{member} exception: {exception} -> {decision}")
            }
            ClusterEvent::Exception { member, exception, decision: None } => {
                write!(f, "{member} exception: {exception}")
            }
            ClusterEvent::Unresponsive { member, silent } => write!(f, "{member} unresponsive for {silent:?}"),
            ClusterEvent::Responsive { member } => write!(f, "{member} responsive again"),
            ClusterEvent::Exited { member, cause, decision } | ClusterEvent::Decided { member, cause, decision } => {
                write!(f, "{member} {cause} -> {decision}")
            }
            ClusterEvent::Parked { slot, retry_in: Some(after) } => {
                write!(f, "{slot} parked, tried again in {after:?}")
            }
            ClusterEvent::Parked { slot, retry_in: None } => write!(f, "{slot} parked for good"),
            ClusterEvent::Asked { operation, what } => write!(f, "{operation}: {what}"),
            ClusterEvent::Concluded { operation, conclusion } => write!(f, "{operation} {conclusion}"),
            ClusterEvent::ClusterReady => f.write_str("cluster ready"),
            ClusterEvent::Stopping => f.write_str("cluster stopping"),
            ClusterEvent::Finished(Ok(())) => f.write_str("cluster stopped"),
            ClusterEvent::Finished(Err(error)) => write!(f, "cluster ended: {error}"),
            ClusterEvent::Lagged(count) => write!(f, "{count} events missed"),
        }
    }
}

/// The events of one cluster, in order. Ends after [`ClusterEvent::Finished`], or with the cluster's runtime.
///
/// A listener that does not keep up finds one [`ClusterEvent::Lagged`] where it has missed some: the cluster never waits
/// for one, and keeps the latest 1024 for it. A [`Stream`], and a method for those who have none of its adapters.
pub struct ClusterEvents {
    /// `None`: the end was told.
    next: Option<Next>,
}

type Received = (Result<Arc<ClusterEvent>, RecvError>, broadcast::Receiver<Arc<ClusterEvent>>);
type Next = Pin<Box<dyn Future<Output = Received> + Send + Sync>>;

impl ClusterEvents {
    fn of(receiver: Option<broadcast::Receiver<Arc<ClusterEvent>>>) -> ClusterEvents {
        ClusterEvents { next: receiver.map(receive) }
    }

    /// The next event. `None`: there will be none. Cancel-safe: an event that was not returned is returned later.
    pub async fn next(&mut self) -> Option<ClusterEvent> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<ClusterEvent>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let (received, receiver) = std::task::ready!(next.as_mut().poll(cx));
        self.next = Some(receive(receiver));
        Poll::Ready(match received {
            Ok(event) => Some(Arc::unwrap_or_clone(event)),
            Err(RecvError::Lagged(count)) => Some(ClusterEvent::Lagged(count)),
            Err(RecvError::Closed) => {
                self.next = None;
                None
            }
        })
    }
}

fn receive(mut receiver: broadcast::Receiver<Arc<ClusterEvent>>) -> Next {
    Box::pin(async move { (receiver.recv().await, receiver) })
}

impl Stream for ClusterEvents {
    type Item = ClusterEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ClusterEvent>> {
        self.poll_event(cx)
    }
}

impl fmt::Debug for ClusterEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterEvents")
    }
}

/// Tells what happens. With the last of them, at the end of the cluster or of its runtime, every stream ends.
#[derive(Clone)]
pub(super) struct Herald {
    stage: Arc<Bulletin<Stage>>,
    events: broadcast::Sender<Arc<ClusterEvent>>,
    stopping: Arc<AtomicBool>,
}

/// What listeners are made from.
pub(super) struct Audience {
    stage: Reader<Stage>,
    /// Taken by the first who asks: who starts a cluster and then listens misses nothing.
    first: Mutex<Option<broadcast::Receiver<Arc<ClusterEvent>>>>,
    events: broadcast::WeakSender<Arc<ClusterEvent>>,
}

impl Audience {
    pub(super) fn stage(&self) -> Reader<Stage> {
        self.stage.clone()
    }

    pub(super) fn events(&self) -> ClusterEvents {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        ClusterEvents::of(first.or_else(|| self.events.upgrade().map(|events| events.subscribe())))
    }
}

impl Herald {
    pub(super) fn new() -> (Herald, Audience) {
        let stage = Arc::new(Bulletin::new(Stage::Starting));
        let (events, first) = broadcast::channel(REMEMBERED);
        let audience = Audience { stage: stage.reader(), first: Mutex::new(Some(first)), events: events.downgrade() };
        (Herald { stage, events, stopping: Arc::default() }, audience)
    }

    pub(super) fn stage(&self) -> Reader<Stage> {
        self.stage.reader()
    }

    /// Nobody is left.
    pub(super) fn ended(&self, end: Result<(), ClusterError>) {
        self.stage.post(Stage::Ended(end.clone()));
        self.tell(ClusterEvent::Finished(end));
    }

    /// That nobody listens is no error.
    fn tell(&self, event: ClusterEvent) {
        let _ = self.events.send(Arc::new(event));
    }

    fn tell_action(&self, now: Moment, action: &Action, supervisor: &Supervisor) {
        match action {
            Action::Admit(member) => self.tell(ClusterEvent::Ready { member: *member }),
            Action::AnnounceReady => {
                self.stage.post(Stage::Ready);
                self.tell(ClusterEvent::ClusterReady);
            }
            Action::Park(slot) => {
                let seat = supervisor.stand(*slot).map(|(seat, _, _)| seat);
                let retry_in = match seat {
                    Some(Seat::Parked { probe_at }) => probe_at.map(|at| at - now),
                    Some(_) | None => None,
                };
                self.tell(ClusterEvent::Parked { slot: *slot, retry_in });
            }
            Action::Record(record) => {
                let (member, cause, decision) = (record.member, record.cause.clone(), record.decision.clone());
                match &record.cause {
                    // Told with the exception itself.
                    Cause::Exception(_) => {}
                    cause_of_end if cause_of_end.exit().is_some() => {
                        self.tell(ClusterEvent::Exited { member, cause, decision });
                    }
                    _ => self.tell(ClusterEvent::Decided { member, cause, decision }),
                }
            }
            Action::Conclude(operation, conclusion) => {
                self.tell(ClusterEvent::Concluded { operation: *operation, conclusion: conclusion.clone() });
            }
            // How it is done; what it comes to is told when it has.
            Action::Spawn(_)
            | Action::ResendReady(_)
            | Action::Stay(_)
            | Action::Drain(..)
            | Action::Terminate(..)
            | Action::Kill(_)
            | Action::Abandon(_)
            | Action::Vacate(_)
            | Action::Open(_)
            | Action::Close(_)
            // Told when the last process is gone.
            | Action::Finish(_) => {}
        }
    }
}

impl Observe for Herald {
    fn step(&self, now: Moment, event: &Event, actions: &[Action], supervisor: &Supervisor) {
        if let Event::Exception(member, exception) = event {
            let (member, exception) = (*member, exception.clone());
            let decision = actions.iter().find_map(|action| match action {
                Action::Record(record) if record.member == member && matches!(record.cause, Cause::Exception(_)) => {
                    Some(record.decision.clone())
                }
                _ => None,
            });
            self.tell(ClusterEvent::Exception { member, exception, decision });
        }
        if let Event::Operate(operation, what) = event {
            self.tell(ClusterEvent::Asked { operation: *operation, what: *what });
        }
        for action in actions {
            self.tell_action(now, action, supervisor);
        }
        if supervisor.is_stopping() && !self.stopping.swap(true, Ordering::Relaxed) {
            self.tell(ClusterEvent::Stopping);
        }
    }

    fn started(&self, _: Moment, member: MemberId, pid: u32) {
        self.tell(ClusterEvent::Started { member, pid });
    }

    fn beat(&self, _: Moment, member: MemberId, beat: Beat) {
        self.tell(match beat {
            Beat::Silent(silent) => ClusterEvent::Unresponsive { member, silent },
            Beat::Heard => ClusterEvent::Responsive { member },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Incarnation, Slot};

    #[tokio::test]
    async fn a_listener_that_does_not_keep_up_is_told_how_much_it_missed() {
        let (herald, audience) = Herald::new();
        let (mut slow, mut quick) = (audience.events(), audience.events());
        let member = Slot::worker(0).member(Incarnation::FIRST);
        for pid in 0..REMEMBERED as u32 + 3 {
            herald.tell(ClusterEvent::Started { member, pid });
            assert_eq!(quick.next().await, Some(ClusterEvent::Started { member, pid }));
        }
        herald.ended(Ok(()));
        drop(herald);
        assert_eq!(slow.next().await, Some(ClusterEvent::Lagged(4)));
        assert_eq!(slow.next().await, Some(ClusterEvent::Started { member, pid: 4 }));
        let mut last = None;
        while let Some(event) = slow.next().await {
            last = Some(event);
        }
        assert_eq!(last, Some(ClusterEvent::Finished(Ok(()))));
        assert_eq!(audience.events().next().await, None, "the end was told");
    }
}
