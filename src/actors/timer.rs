//! The one timer of the core's: rings when the core wants to be woken.

use std::time::{Duration, Instant};

use ractor::ActorRef;
use tokio::sync::watch;

use super::messages::MasterMsg;
use crate::process::clock;
use crate::supervision::Moment;

/// When that is by the clock. `None`: never, since the clock does not go that far.
pub(super) fn instant(started: Instant, due: Moment) -> Option<Instant> {
    started.checked_add(due.since_start())
}

/// A timer rings to the millisecond. Where it rings this much too late the master has been stopped, or starved.
pub(super) const LATE: Duration = Duration::from_millis(20);

/// Enough to read what lies in the links, and little for those who are overdue anyway.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Tells the timer what is due next. One that has just rung waits to be told, also of the same moment: then not all that was
/// due has been seen to.
pub(super) fn arm(timer: &watch::Sender<Option<Instant>>, due: Option<Instant>, has_rung: bool) {
    timer.send_if_modified(|armed| std::mem::replace(armed, due) != due || has_rung);
}

/// The one timer: rings when the moment that was asked for is here.
pub(super) async fn ring(mut armed: watch::Receiver<Option<Instant>>, master: ActorRef<MasterMsg>) {
    loop {
        let due = *armed.borrow_and_update();
        let passed = async {
            match due {
                Some(due) => {
                    tokio::time::sleep_until(due.into()).await;
                    // What would have been in time lies unread in the links. Once read it may move the deadline, and
                    // this begins again.
                    if clock::now().saturating_duration_since(due) > LATE {
                        tokio::time::sleep(CATCH_UP).await;
                    }
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = armed.changed() => if changed.is_err() { return },
            () = passed => {
                if master.cast(MasterMsg::DeadlinePassed).is_err() {
                    return;
                }
                // Until the core has been told, it asks for the same moment.
                if armed.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_that_has_rung_rings_again_for_what_is_still_due() {
        let timer = watch::Sender::new(None);
        let mut ringing = timer.subscribe();
        let due = Some(clock::now());
        for (has_rung, is_told) in [(false, true), (false, false), (true, true)] {
            arm(&timer, due, has_rung);
            assert_eq!(ringing.has_changed().expect("the timer is there"), is_told, "has rung: {has_rung}");
            assert_eq!(*ringing.borrow_and_update(), due);
        }
    }

    #[test]
    fn a_deadline_that_never_comes_is_none() {
        let started = clock::now();
        assert_eq!(instant(started, Moment::START + Duration::MAX), None);
        let later = Duration::from_secs(60);
        assert_eq!(instant(started, Moment::START + later), Some(started + later));
    }
}
