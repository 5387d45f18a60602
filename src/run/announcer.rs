//! Tells a service manager how the cluster is, and that the master turns over. Without one it tells nobody.

use std::cell::RefCell;
use std::future::pending;
use std::time::Duration;

use tokio::time::{sleep, sleep_until};

use crate::cluster::{ClusterError, ClusterEvent, ClusterHandle};
use crate::identity::Role;
use crate::process::{Notifier, Word, clock};
use crate::roster::{MemberState, Roster};

/// A line that people read need not change more often; a cluster in a storm would tell of nothing else.
const STATUS_PAUSE: Duration = Duration::from_secs(1);

/// What is told.
pub(super) struct Announcer {
    /// `None`: nobody wants to know.
    notifier: Option<RefCell<Notifier>>,
}

impl Announcer {
    pub(super) fn new(notifier: Option<Notifier>) -> Announcer {
        Announcer { notifier: notifier.map(RefCell::new) }
    }

    /// Tells, until it is dropped.
    pub(super) async fn announce(&self, handle: &ClusterHandle) {
        let Some(notifier) = &self.notifier else { return pending().await };
        tokio::join!(tell(notifier, handle), stay_alive(notifier, handle));
        pending().await
    }

    /// The last words, whether or not there was a time to say that it stops.
    pub(super) fn end(&self, end: &Result<(), ClusterError>) {
        let Some(notifier) = &self.notifier else { return };
        let mut notifier = notifier.borrow_mut();
        notifier.say(Word::Status(match end {
            Ok(()) => "stopped".to_owned(),
            Err(error) => error.to_string(),
        }));
        notifier.say(Word::Stopping);
    }
}

/// Passes on what happens, and how the members are: at once, or a second after the last that was told.
async fn tell(notifier: &RefCell<Notifier>, handle: &ClusterHandle) {
    let mut events = handle.events();
    let (mut told, mut next) = (String::new(), clock::now());
    let mut stopping = false;
    loop {
        let line = status(&handle.status(), stopping);
        let is_behind = line != told || !notifier.borrow().is_up_to_date();
        if is_behind && next <= clock::now() {
            notifier.borrow_mut().say(Word::Status(line.clone()));
            (told, next) = (line, clock::now() + STATUS_PAUSE);
            continue;
        }
        tokio::select! {
            biased;
            event = events.next() => match event {
                Some(ClusterEvent::ClusterReady) => notifier.borrow_mut().say(Word::Ready),
                Some(ClusterEvent::Stopping) => {
                    stopping = true;
                    notifier.borrow_mut().say(Word::Stopping);
                }
                // How the members are by now is read from the roster.
                Some(_) => {}
                None => return,
            },
            () = sleep_until(next.into()), if is_behind => {}
        }
    }
}

/// Says that the master is alive, as often as it takes, but only after its actor has taken a message: a master that does
/// not decide any more says nothing, although its runtime may turn over.
async fn stay_alive(notifier: &RefCell<Notifier>, handle: &ClusterHandle) {
    let Some(patience) = notifier.borrow().watchdog() else { return };
    while handle.turns().await {
        notifier.borrow_mut().say(Word::Alive);
        // What `sd_watchdog_enabled(3)` advises.
        sleep(patience / 2).await;
    }
}

/// The members in one line: `1 agent, 3 of 4 workers ready`.
fn status(roster: &Roster, stopping: bool) -> String {
    // For each role, in the order of the plan: its slots, and those of them that are ready.
    let mut roles: Vec<(Role, usize, usize)> = Vec::new();
    let entries = |slot| roster.members.iter().filter(|member| member.id.slot() == slot).count();
    for member in &roster.members {
        let (wanted, ready) = match member.state {
            MemberState::Ready => (1, 1),
            MemberState::Starting | MemberState::Unresponsive | MemberState::Waiting | MemberState::Parked => (1, 0),
            // One that leaves is missed where nobody has its place yet.
            MemberState::Draining => (usize::from(!stopping && entries(member.id.slot()) == 1), 0),
            MemberState::Stopped => (0, 0),
        };
        match roles.iter_mut().find(|(role, ..)| *role == member.id.role()) {
            Some((_, all, there)) => (*all, *there) = (*all + wanted, *there + ready),
            None => roles.push((member.id.role(), wanted, ready)),
        }
    }
    let told = roles.iter().filter(|(_, wanted, _)| *wanted > 0).map(|(role, wanted, ready)| {
        let count = if ready == wanted { format!("{ready}") } else { format!("{ready} of {wanted}") };
        let plural = if *wanted == 1 { "" } else { "s" };
        format!("{count} {role}{plural}")
    });
    let told = told.collect::<Vec<_>>().join(", ");
    match (stopping, told.is_empty()) {
        (true, true) => "stopping".to_owned(),
        (true, false) => format!("stopping: {told} ready"),
        (false, true) => "nobody is wanted".to_owned(),
        (false, false) => format!("{told} ready"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Incarnation, Slot};
    use crate::roster::MemberStatus;

    #[test]
    fn a_status_is_one_line_that_says_who_is_missing() {
        let line = |members: &[(Slot, MemberState)], stopping| {
            let entry =
                |(slot, state): &(Slot, MemberState)| MemberStatus::new(slot.member(Incarnation::FIRST), *state);
            status(&Roster { master_pid: 1, members: members.iter().map(entry).collect() }, stopping)
        };
        let (agent, first, second) = (Slot::agent(), Slot::worker(0), Slot::worker(1));
        let (ready, draining) = (MemberState::Ready, MemberState::Draining);
        assert_eq!(line(&[(agent, ready), (first, ready), (second, ready)], false), "1 agent, 2 workers ready");
        assert_eq!(
            line(&[(agent, MemberState::Starting), (first, MemberState::Waiting)], false),
            "0 of 1 agent, 0 of 1 worker ready"
        );
        assert_eq!(
            line(&[(first, ready), (second, MemberState::Parked), (second, draining)], false),
            "1 of 2 workers ready"
        );
        assert_eq!(line(&[(first, ready), (second, draining)], false), "1 of 2 workers ready");
        assert_eq!(line(&[(agent, ready), (first, draining)], true), "stopping: 1 agent ready");
        assert_eq!(line(&[(agent, MemberState::Stopped)], true), "stopping");
        assert_eq!(line(&[(agent, MemberState::Stopped)], false), "nobody is wanted");
    }
}
