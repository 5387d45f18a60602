//! From a request to its reply. Knows no socket, and never waits longer than whoever asks.

use std::time::Duration;

use super::operations::{Operations, audit, slot_named};
use super::reply::ControlReply;
use super::request::ControlRequest;
use super::settings::Admins;
use super::survey::Survey;
use crate::cluster::{ClusterHandle, WeakHandle};
use crate::process::peer::Peer;

/// Where an operator's wishes are dealt with.
pub(super) struct Desk {
    /// A socket holds no cluster.
    cluster: WeakHandle,
    admins: Admins,
    survey: Survey,
    pub(super) operations: Operations,
}

impl Desk {
    pub(super) fn new(cluster: &ClusterHandle, admins: Admins) -> Desk {
        Desk { cluster: cluster.downgrade(), admins, survey: Survey::default(), operations: Operations::default() }
    }

    /// Answers within `deadline`, and a breath. Cancellation: what was begun goes on.
    pub(super) async fn answer(&self, request: ControlRequest, peer: Peer, deadline: Duration) -> ControlReply {
        if request.is_admin()
            && let Err(why) = self.admins.admit(peer)
        {
            audit(&request, peer, &format!("denied: {why}"), Duration::ZERO);
            return ControlReply::Denied { why: why.into() };
        }
        let Some(cluster) = self.cluster.upgrade() else {
            return ControlReply::Failed { why: "the cluster has ended".into() };
        };
        match request {
            ControlRequest::Status => ControlReply::Status(self.survey.status(&cluster, deadline).await),
            ControlRequest::Why { slot } => why(&cluster, &slot),
            ControlRequest::Schedules => match self.survey.schedules(&cluster, deadline).await {
                Some(schedules) => ControlReply::Schedules { schedules },
                None => ControlReply::Failed { why: "the agent has not said how its schedules are".into() },
            },
            ControlRequest::Restart { .. }
            | ControlRequest::StopSlot { .. }
            | ControlRequest::Scale { .. }
            | ControlRequest::Stop { .. }
            | ControlRequest::Reopen => self.operations.carry_out(cluster, request, peer, deadline).await,
        }
    }
}

impl Admins {
    fn admit(self, peer: Peer) -> Result<(), &'static str> {
        match self {
            Admins::OwnerAndRoot if peer.is_same_user() || peer.is_root() => Ok(()),
            Admins::Owner if peer.is_same_user() => Ok(()),
            Admins::OwnerAndRoot | Admins::Owner => Err("only the user of the master may change something"),
            Admins::Nobody => Err("nothing can be changed over this socket"),
        }
    }
}

fn why(cluster: &ClusterHandle, name: &str) -> ControlReply {
    let slot = match slot_named(cluster.plan(), name) {
        Ok(slot) => slot,
        Err(why) => return ControlReply::Failed { why },
    };
    match cluster.why(slot) {
        // Its moments count from the start of the master: so that they say something, so does the present.
        Some(why) => ControlReply::Why { text: format!("{why}\n  {} now", cluster.now()) },
        None => {
            let role = slot.role();
            let count = cluster.which_children().iter().filter(|child| child.slot.role() == role).count();
            ControlReply::Failed { why: format!("there is no slot {slot}: {role} has {count}, counted from 0") }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::context::Context;
    use crate::hatchery::Hatchery;
    use crate::process::thread_id;
    use crate::roster::{MemberState, MemberStatus};

    const LONG: Duration = Duration::from_secs(30);

    fn of_user(uid: u32) -> Peer {
        Peer { uid, pid: thread_id() }
    }

    fn ourselves() -> Peer {
        let (near, _far) = std::os::unix::net::UnixStream::pair().expect("a pair");
        Peer::of(&near).expect("it is connected")
    }

    /// One whose worker gets ready as often as there is a permit.
    async fn gated(permits: &Arc<Semaphore>) -> ClusterHandle {
        let permits = permits.clone();
        let idle = move |cx: Context| {
            let permits = permits.clone();
            async move {
                permits.acquire().await.expect("it is never closed").forget();
                cx.ready();
                cx.stopping().await;
                Ok::<(), String>(())
            }
        };
        let cluster = Hatchery::new().workers(1, idle).in_threads().enter().expect("a good plan");
        let handle = cluster.start().await.expect("it starts");
        handle.ready().await.expect("it comes up");
        handle
    }

    async fn cluster() -> ClusterHandle {
        gated(&Arc::new(Semaphore::new(1))).await
    }

    fn restart() -> ControlRequest {
        ControlRequest::Restart { slot: "worker/0".into() }
    }

    #[test]
    fn who_may_change_something_is_a_table() {
        let own = ourselves();
        // Whoever runs this may be root.
        let (root, other) = (of_user(0), of_user(own.uid.wrapping_add(1).max(1)));
        let is_root = own.is_root();
        for (admins, peer, may) in [
            (Admins::OwnerAndRoot, own, true),
            (Admins::OwnerAndRoot, root, true),
            (Admins::OwnerAndRoot, other, false),
            (Admins::Owner, own, true),
            (Admins::Owner, root, is_root),
            (Admins::Owner, other, false),
            (Admins::Nobody, own, false),
            (Admins::Nobody, root, false),
            (Admins::Nobody, other, false),
        ] {
            assert_eq!(admins.admit(peer).is_ok(), may, "{admins:?} {peer:?}");
        }
    }

    #[tokio::test]
    async fn whoever_may_not_change_something_is_told_how_it_is() {
        let handle = cluster().await;
        let desk = Desk::new(&handle, Admins::Owner);
        let other = of_user(ourselves().uid.wrapping_add(1).max(1));
        assert!(matches!(desk.answer(restart(), other, LONG).await, ControlReply::Denied { .. }));
        assert!(desk.answer(ControlRequest::Status, other, LONG).await.is_good());
        let slot = "worker/0".to_owned();
        let why = desk.answer(ControlRequest::Why { slot }, other, LONG).await;
        assert!(matches!(why, ControlReply::Why { text } if text.starts_with("worker/0#1 is ready\n")));
        handle.shutdown().await.expect("it goes");
    }

    #[tokio::test]
    async fn a_wish_whose_asker_has_no_time_goes_on_to_its_end() {
        let permits = Arc::new(Semaphore::new(1));
        let handle = gated(&permits).await;
        let desk = Desk::new(&handle, Admins::OwnerAndRoot);
        let reply = desk.answer(restart(), ourselves(), Duration::ZERO).await;
        assert_eq!(reply, ControlReply::StillGoing { what: "restart worker/0".into() });
        permits.add_permits(1);
        desk.operations.ended().await;
        let is_new =
            |member: &MemberStatus| member.id.to_string() == "worker/0#2" && member.state == MemberState::Ready;
        // The one before may drain beside it.
        assert!(handle.status().members.iter().any(is_new), "{:?}", handle.status());
        handle.shutdown().await.expect("it goes");
    }

    #[tokio::test]
    async fn so_many_wishes_are_under_way_and_no_more_but_a_stop_is() {
        let handle = cluster().await;
        let desk = Desk::new(&handle, Admins::OwnerAndRoot);
        // None of them has had its turn: this is one thread.
        for _ in 0..64 {
            let mut asked = std::pin::pin!(desk.answer(restart(), ourselves(), LONG));
            let is_begun = std::future::poll_fn(|cx| std::task::Poll::Ready(asked.as_mut().poll(cx).is_pending()));
            assert!(is_begun.await);
        }
        assert_eq!(desk.answer(restart(), ourselves(), LONG).await, ControlReply::Busy);
        let stop = desk.answer(ControlRequest::Stop { timeout: None }, ourselves(), LONG).await;
        assert_eq!(stop, ControlReply::Done { what: "stopped".into() });
        desk.operations.ended().await;
    }

    #[tokio::test]
    async fn of_a_cluster_that_has_ended_it_is_told_that_it_has() {
        let handle = cluster().await;
        let desk = Desk::new(&handle, Admins::OwnerAndRoot);
        handle.shutdown().await.expect("it goes");
        let ControlReply::Status(status) = desk.answer(ControlRequest::Status, ourselves(), LONG).await else {
            panic!("no status")
        };
        assert_eq!((status.stage.as_str(), status.partial.len(), status.members[0].pid), ("ended", 0, None));
        let failed = |why: &str| ControlReply::Failed { why: why.into() };
        assert_eq!(desk.answer(restart(), ourselves(), LONG).await, failed("the cluster is stopping"));
        drop(handle);
        assert_eq!(desk.answer(ControlRequest::Status, ourselves(), LONG).await, failed("the cluster has ended"));
    }
}
