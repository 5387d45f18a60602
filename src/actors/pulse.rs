//! The pulse of one process: how often it was asked in vain.
//!
//! Silence is measured here and not in the core, although something is decided when it has lasted too long. To the core a
//! moment is a moment; what counts here is only time in which an answer could have been heard. So it is counted in rounds,
//! each of which is one interval, or nothing.

use std::time::Duration;

use ractor::ActorRef;
use tokio::task::AbortHandle;

use super::heartbeat::Heartbeat;
use super::messages::ProcessMsg;
use super::timer;
use crate::process::clock;

/// What is known of one process that is asked. Dropped, it is asked no more.
#[derive(Debug)]
pub(super) struct Pulse {
    count: Count,
    rounds: AbortHandle,
}

/// What a round has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is to be asked.
    Ask,
    /// It has become unresponsive.
    Silent(Duration),
    /// It has been silent for too long.
    Overdue(Duration),
}

impl Pulse {
    /// Has `process` told of the end of each round.
    pub(super) fn begin(heartbeat: Heartbeat, process: ActorRef<ProcessMsg>) -> Pulse {
        let rounds = tokio::spawn(rounds(heartbeat.interval, process)).abort_handle();
        Pulse { count: Count::new(heartbeat), rounds }
    }

    /// A round has ended, so much later than it should have.
    pub(super) fn round(&mut self, late: Duration) -> Vec<Finding> {
        self.count.round(late)
    }

    /// It has answered. `true`: it had been unresponsive.
    pub(super) fn answered(&mut self) -> bool {
        self.count.answered()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.rounds.abort();
    }
}

/// Tells of the end of each round. The next begins when it has been told: what was late is not made up for.
async fn rounds(interval: Duration, process: ActorRef<ProcessMsg>) {
    loop {
        let due = clock::now() + interval;
        tokio::time::sleep_until(due.into()).await;
        let late = clock::now().saturating_duration_since(due);
        if process.cast(ProcessMsg::Round(late)).is_err() {
            return;
        }
    }
}

/// Rounds, counted.
#[derive(Debug)]
struct Count {
    heartbeat: Heartbeat,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It has answered all that it was asked.
    Heard,
    /// It was asked so many rounds ago. It is not asked again before it has answered.
    Asked { missed: u32 },
}

impl Count {
    fn new(heartbeat: Heartbeat) -> Count {
        Count { heartbeat, state: State::Heard }
    }

    /// How much too late a round may end and still count. A pause that goes unnoticed is at most so much longer than a
    /// round, and makes at most one round of it.
    fn tolerance(&self) -> Duration {
        (self.heartbeat.interval / 4).max(timer::LATE)
    }

    fn round(&mut self, late: Duration) -> Vec<Finding> {
        let tolerance = self.tolerance();
        let Heartbeat { interval, missed: unresponsive, timeout } = self.heartbeat;
        match &mut self.state {
            State::Heard => {
                self.state = State::Asked { missed: 0 };
                vec![Finding::Ask]
            }
            // The answer may lie unread, or who was to answer has stood still as well.
            State::Asked { .. } if late > tolerance => Vec::new(),
            State::Asked { missed } => {
                *missed = missed.saturating_add(1);
                let silent = interval * *missed;
                let mut findings = Vec::new();
                if *missed == unresponsive {
                    findings.push(Finding::Silent(silent));
                }
                let rounds = timeout.as_nanos().div_ceil(interval.as_nanos());
                if u128::from(*missed).is_multiple_of(rounds) {
                    findings.push(Finding::Overdue(silent));
                }
                findings
            }
        }
    }

    fn answered(&mut self) -> bool {
        match std::mem::replace(&mut self.state, State::Heard) {
            State::Asked { missed } => missed >= self.heartbeat.missed,
            State::Heard => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_TIME: Duration = Duration::ZERO;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn count(missed: u32, timeout: u64) -> Count {
        let heartbeat = Heartbeat::every(secs(1)).missed(missed).timeout(secs(timeout));
        assert_eq!(heartbeat.check(), Ok(()));
        Count::new(heartbeat)
    }

    /// What so many rounds in time come to.
    fn rounds(count: &mut Count, rounds: usize) -> Vec<Finding> {
        (0..rounds).flat_map(|_| count.round(IN_TIME)).collect()
    }

    #[test]
    fn one_that_answers_is_asked_each_round_and_nothing_else() {
        let mut count = count(1, 2);
        for _ in 0..100 {
            assert_eq!(rounds(&mut count, 1), [Finding::Ask]);
            assert!(!count.answered());
        }
    }

    #[test]
    fn one_that_never_answers_is_asked_once_told_of_once_and_again_after_each_timeout() {
        let mut count = count(3, 10);
        let found = rounds(&mut count, 1 + 30);
        let expected = [
            Finding::Ask,
            Finding::Silent(secs(3)),
            Finding::Overdue(secs(10)),
            Finding::Overdue(secs(20)),
            Finding::Overdue(secs(30)),
        ];
        assert_eq!(found, expected);
        assert!(count.answered(), "after all");
        assert!(!count.answered());
        assert_eq!(rounds(&mut count, 4), expected[..2], "from the beginning");
    }

    #[test]
    fn one_that_is_late_and_answers_before_it_has_missed_so_many_is_nothing_to_tell_of() {
        let mut count = count(3, 10);
        for _ in 0..100 {
            assert_eq!(rounds(&mut count, 3), [Finding::Ask]);
            assert!(!count.answered());
        }
    }

    #[test]
    fn a_timeout_between_two_rounds_is_over_with_the_second_and_at_the_earliest_with_what_is_unresponsive() {
        let mut count = Count::new(Heartbeat::every(secs(2)).missed(1).timeout(secs(5)));
        let expected = [Finding::Ask, Finding::Silent(secs(2)), Finding::Overdue(secs(6))];
        assert_eq!(rounds(&mut count, 4), expected);
        let mut count = Count::new(Heartbeat::every(secs(2)).missed(2).timeout(secs(4)));
        assert_eq!(rounds(&mut count, 3)[1..], [Finding::Silent(secs(4)), Finding::Overdue(secs(4))]);
    }

    #[test]
    fn a_round_that_ends_too_late_never_counts_however_late_and_however_often() {
        let mut count = count(1, 2);
        assert_eq!(rounds(&mut count, 1), [Finding::Ask]);
        for late in [secs(1), secs(3_600), secs(86_400 * 365)] {
            for _ in 0..10 {
                assert_eq!(count.round(late), [], "{late:?}");
            }
        }
        // A machine that is merely busy ends its rounds a little late.
        assert_eq!(count.round(Duration::from_millis(250)), [Finding::Silent(secs(1))]);
    }

    #[test]
    fn a_single_pause_that_shows_at_no_end_of_a_round_costs_one_round_and_no_member() {
        // Whole within one round, or as much longer as is tolerated.
        for late in [IN_TIME, Duration::from_millis(249)] {
            let mut count = count(1, 2);
            assert_eq!(rounds(&mut count, 1), [Finding::Ask]);
            assert_eq!(count.round(late), [Finding::Silent(secs(1))], "{late:?}");
            assert!(count.answered());
        }
    }
}
