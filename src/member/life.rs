//! The life of a member, from its first frame to its exit: what follows from what happens in it and from what the master
//! says. A table like the core's, for one process: facts in, steps out.

use crate::transport::{Order, Report, What};

/// A member's exit code after an exception: `EX_SOFTWARE`.
pub(crate) const EXCEPTION: i32 = 70;

/// A member's exit code when its master is lost.
pub(crate) use crate::process::settle::MASTER_LOST;

/// What a role's own way of life is. Values, so that no code asks for a role by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Habits {
    /// It lives for its handlers: that its function has returned, or has panicked, is not the end. An agent's way.
    pub(crate) stays: bool,
}

/// Something that happens to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Its code said that it is ready.
    Ready,
    /// A panic, or what user code reported.
    Exception(Report),
    /// The role function has come to its end.
    Returned(Result<(), Failure>),
    /// From the master.
    Order(Order),
    /// Somebody sent this process a SIGTERM.
    Terminated,
    /// The link to the master is lost. The master may live, and others accept.
    Orphaned,
    /// The master is gone.
    MasterGone,
    /// Nothing is under way: no handler runs, no connection is open.
    Quiet,
    /// It has had its time to become quiet.
    Overdue,
}

/// How a role function failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It returned this error.
    Error(String),
    /// It panicked: that has been reported.
    Panicked,
}

/// What a member is to do about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Tell the master that it is ready.
    SayReady,
    /// Tell the master of an exception.
    Report(Report),
    /// Accept no connection until the master has decided.
    Pause,
    /// Accept again.
    Resume,
    /// Never accept again. What other members of the role can take is left to them.
    Close,
    /// Accept what is queued already, then never again: others may.
    CloseAfterQueue,
    /// Accept what is queued already, then never again: nobody else will, and whoever comes is refused.
    CloseAfterSweep,
    /// Let those who wait for the stop know.
    AnnounceStop,
    /// Cancel the role function.
    Cancel,
    /// From now on its time is counted.
    ArmDeadline,
    /// Ask again when nothing is under way.
    AwaitQuiet,
    /// Exit with this code.
    Exit(i32),
}

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Booting,
    Serving,
    /// It has reported an exception, and the master has not said what follows.
    Judged,
    /// It finishes what it has begun.
    Draining {
        code: i32,
    },
    /// All is said.
    Leaving,
}

/// The state of a member.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    habits: Habits,
    stage: Stage,
    /// How the role function ended. `None`: it runs.
    returned: Option<Result<(), Failure>>,
}

impl Life {
    pub(crate) fn new(habits: Habits) -> Life {
        Life { habits, stage: Stage::Booting, returned: None }
    }

    /// What follows from `event`.
    pub(crate) fn handle(&mut self, event: Event) -> Vec<Step> {
        if let Event::Returned(result) = &event {
            self.returned = Some(result.clone());
        }
        match &self.stage {
            Stage::Booting => self.booting(event),
            Stage::Serving => self.serving(event),
            Stage::Judged => self.judged(event),
            Stage::Draining { code } => {
                let code = *code;
                self.draining(code, event)
            }
            Stage::Leaving => Vec::new(),
        }
    }

    /// Whatever goes wrong before ready is a failed boot. The process ends itself: it has nothing to finish.
    fn booting(&mut self, event: Event) -> Vec<Step> {
        match event {
            Event::Ready => {
                self.stage = Stage::Serving;
                vec![Step::SayReady]
            }
            Event::Exception(report) => self.leave(EXCEPTION, [Step::Report(report), Step::Cancel]),
            Event::Returned(Ok(())) => {
                let report = early();
                self.leave(EXCEPTION, [Step::Report(report)])
            }
            Event::Returned(Err(Failure::Error(text))) => self.leave(EXCEPTION, [Step::Report(returned(&text, true))]),
            Event::Returned(Err(Failure::Panicked)) => self.leave(EXCEPTION, []),
            Event::Order(Order::Stop(_) | Order::Drain(_)) | Event::Terminated => self.leave(0, [Step::Cancel]),
            Event::Orphaned | Event::MasterGone => self.leave(MASTER_LOST, [Step::Cancel]),
            Event::Order(Order::ClusterReady | Order::Stay) | Event::Quiet | Event::Overdue => Vec::new(),
        }
    }

    fn serving(&mut self, event: Event) -> Vec<Step> {
        match event {
            Event::Exception(report) => {
                self.stage = Stage::Judged;
                vec![Step::Pause, Step::Report(report)]
            }
            Event::Returned(Ok(())) if self.habits.stays => Vec::new(),
            // Its connections may outlive its function: they are finished, and nobody else counts its time.
            Event::Returned(Ok(())) => {
                self.drain(0, [Step::Close, Step::AnnounceStop, Step::ArmDeadline, Step::AwaitQuiet])
            }
            Event::Returned(Err(Failure::Error(text))) if self.habits.stays => {
                self.leave(EXCEPTION, [Step::Report(returned(&text, true))])
            }
            Event::Returned(Err(Failure::Error(text))) => {
                self.stage = Stage::Judged;
                vec![Step::Pause, Step::Report(returned(&text, false))]
            }
            // The report of it has been heard.
            Event::Returned(Err(Failure::Panicked)) => Vec::new(),
            Event::Order(Order::Stop(_)) => self.stop(),
            // Without an exception: an operator, or its strategy, has it replaced.
            Event::Order(Order::Drain(_)) => self.drain(0, [Step::Close, Step::AnnounceStop]),
            Event::Terminated => self.terminated(),
            Event::Orphaned => self.orphaned(Step::CloseAfterQueue),
            Event::MasterGone => self.orphaned(Step::CloseAfterSweep),
            // The gate is shut before an exception is heard of here, and this may be about the one before.
            Event::Order(Order::Stay) => vec![Step::Resume],
            Event::Ready | Event::Order(Order::ClusterReady) | Event::Quiet | Event::Overdue => Vec::new(),
        }
    }

    fn judged(&mut self, event: Event) -> Vec<Step> {
        match event {
            // A worker without its function serves nobody, whatever the master thinks of it.
            Event::Order(Order::Stay) if self.returned.is_some() && !self.habits.stays => {
                self.drain(EXCEPTION, [Step::Close, Step::AnnounceStop, Step::ArmDeadline])
            }
            Event::Order(Order::Stay) => {
                self.stage = Stage::Serving;
                vec![Step::Resume]
            }
            Event::Order(Order::Drain(_)) => self.drain(EXCEPTION, [Step::Close, Step::AnnounceStop]),
            Event::Order(Order::Stop(_)) => self.stop(),
            Event::Exception(report) => vec![Step::Report(report)],
            Event::Returned(Err(Failure::Error(text))) if self.habits.stays => {
                self.leave(EXCEPTION, [Step::Report(returned(&text, true))])
            }
            Event::Returned(Err(Failure::Error(text))) => vec![Step::Report(returned(&text, false))],
            Event::Returned(Ok(()) | Err(Failure::Panicked)) => Vec::new(),
            Event::Terminated => self.terminated(),
            Event::Orphaned => self.orphaned(Step::CloseAfterQueue),
            Event::MasterGone => self.orphaned(Step::CloseAfterSweep),
            Event::Ready | Event::Order(Order::ClusterReady) | Event::Quiet | Event::Overdue => Vec::new(),
        }
    }

    fn draining(&mut self, code: i32, event: Event) -> Vec<Step> {
        match event {
            Event::Exception(report) => vec![Step::Report(report)],
            Event::Returned(Err(Failure::Error(text))) => {
                let mut steps = vec![Step::Report(returned(&text, true))];
                steps.extend(self.drain(code, []));
                steps
            }
            Event::Returned(Ok(()) | Err(Failure::Panicked)) => self.drain(code, []),
            Event::Quiet if self.returned.is_some() => self.leave(code, []),
            Event::Overdue => self.leave(code, [Step::Cancel]),
            Event::Orphaned => self.drain(MASTER_LOST, []),
            Event::MasterGone => self.drain(MASTER_LOST, [Step::CloseAfterSweep]),
            Event::Quiet | Event::Ready | Event::Order(_) | Event::Terminated => Vec::new(),
        }
    }

    /// The cluster stops.
    fn stop(&mut self) -> Vec<Step> {
        self.drain(0, [Step::CloseAfterSweep, Step::AnnounceStop])
    }

    /// This one is to go: what is queued is its siblings' and its successor's, and nobody else counts its time.
    fn terminated(&mut self) -> Vec<Step> {
        self.drain(0, [Step::ArmDeadline, Step::Close, Step::AnnounceStop])
    }

    fn orphaned(&mut self, close: Step) -> Vec<Step> {
        self.drain(MASTER_LOST, [close, Step::AnnounceStop])
    }

    fn drain<const N: usize>(&mut self, code: i32, steps: [Step; N]) -> Vec<Step> {
        self.stage = Stage::Draining { code };
        let mut steps = steps.to_vec();
        if self.returned.is_some() && !steps.contains(&Step::AwaitQuiet) {
            steps.push(Step::AwaitQuiet);
        }
        steps
    }

    fn leave<const N: usize>(&mut self, code: i32, steps: [Step; N]) -> Vec<Step> {
        self.stage = Stage::Leaving;
        let mut steps = steps.to_vec();
        steps.push(Step::Exit(code));
        steps
    }
}

/// The role function has returned this error.
fn returned(error: &str, leaving: bool) -> Report {
    Report { what: What::Returned, leaving, text: format!("an error: {error}"), backtrace: String::new() }
}

/// The role function has returned too early.
fn early() -> Report {
    let text = "without saying that it is ready".to_owned();
    Report { what: What::Returned, leaving: true, text, backtrace: String::new() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const AGENT: Habits = Habits { stays: true };
    const WORKER: Habits = Habits { stays: false };

    fn panic() -> Report {
        Report { what: What::Panic, leaving: false, text: "boom".into(), backtrace: String::new() }
    }

    fn error() -> Event {
        Event::Returned(Err(Failure::Error("no database".into())))
    }

    fn stop() -> Event {
        Event::Order(Order::Stop(Duration::from_secs(5)))
    }

    fn drain() -> Event {
        Event::Order(Order::Drain(Duration::from_secs(30)))
    }

    fn stay() -> Event {
        Event::Order(Order::Stay)
    }

    fn serving(habits: Habits) -> Life {
        let mut life = Life::new(habits);
        assert_eq!(life.handle(Event::Ready), [Step::SayReady]);
        assert_eq!(life.handle(Event::Ready), [], "said twice, told once");
        life
    }

    /// What a life does about each of these events in turn.
    fn walk(mut life: Life, events: impl IntoIterator<Item = Event>) -> Vec<Step> {
        events.into_iter().flat_map(|event| life.handle(event)).collect()
    }

    #[test]
    fn whatever_goes_wrong_before_ready_ends_the_boot_with_a_cause() {
        let early = early();
        let rows = [
            (Event::Exception(panic()), vec![Step::Report(panic()), Step::Cancel, Step::Exit(70)]),
            (Event::Returned(Ok(())), vec![Step::Report(early), Step::Exit(70)]),
            (error(), vec![Step::Report(returned("no database", true)), Step::Exit(70)]),
            (Event::Returned(Err(Failure::Panicked)), vec![Step::Exit(70)]),
            (stop(), vec![Step::Cancel, Step::Exit(0)]),
            (Event::Orphaned, vec![Step::Cancel, Step::Exit(110)]),
        ];
        for habits in [AGENT, WORKER] {
            for (event, steps) in &rows {
                assert_eq!(Life::new(habits).handle(event.clone()), *steps, "{habits:?} {event:?}");
                assert_eq!(walk(Life::new(habits), [event.clone(), Event::Ready, stop()]), *steps, "and that is all");
            }
        }
    }

    #[test]
    fn an_exception_stops_accepting_at_once_and_the_master_says_what_follows() {
        for habits in [AGENT, WORKER] {
            let steps = walk(serving(habits), [Event::Exception(panic()), stay()]);
            assert_eq!(steps, [Step::Pause, Step::Report(panic()), Step::Resume]);
            assert_eq!(walk(serving(habits), [stay()]), [Step::Resume], "of one that was only counted");
            let steps = walk(serving(habits), [Event::Exception(panic()), drain(), Event::Quiet]);
            assert_eq!(steps[2..], [Step::Close, Step::AnnounceStop], "{habits:?}: its function finishes first");
        }
        let steps = walk(serving(WORKER), [Event::Exception(panic()), drain(), Event::Returned(Ok(())), Event::Quiet]);
        assert_eq!(steps[2..], [Step::Close, Step::AnnounceStop, Step::AwaitQuiet, Step::Exit(70)]);
    }

    #[test]
    fn one_exception_after_another_is_told_and_changes_nothing_more() {
        let again = || Event::Exception(panic());
        let steps = walk(serving(WORKER), [again(), again(), drain(), again(), Event::Returned(Ok(())), again()]);
        let close = [Step::Close, Step::AnnounceStop];
        let told = Step::Report(panic());
        let expected = [vec![Step::Pause, told.clone(), told.clone()], close.to_vec(), vec![told.clone()]].concat();
        assert_eq!(steps, [expected, vec![Step::AwaitQuiet, told]].concat());
    }

    #[test]
    fn an_agent_that_returns_lives_for_its_handlers_and_one_that_fails_ends() {
        assert_eq!(walk(serving(AGENT), [Event::Returned(Ok(())), Event::Quiet]), []);
        assert_eq!(walk(serving(AGENT), [Event::Returned(Err(Failure::Panicked)), Event::Quiet]), []);
        let report = Step::Report(returned("no database", true));
        assert_eq!(walk(serving(AGENT), [error()]), [report, Step::Exit(70)]);
        let steps = walk(serving(AGENT), [Event::Returned(Ok(())), stop(), Event::Quiet]);
        assert_eq!(steps, [Step::CloseAfterSweep, Step::AnnounceStop, Step::AwaitQuiet, Step::Exit(0)]);
    }

    #[test]
    fn a_worker_that_returns_leaves_and_one_that_fails_takes_the_way_of_an_exception() {
        let steps = walk(serving(WORKER), [Event::Returned(Ok(())), Event::Quiet]);
        assert_eq!(steps, [Step::Close, Step::AnnounceStop, Step::ArmDeadline, Step::AwaitQuiet, Step::Exit(0)]);
        let steps = walk(serving(WORKER), [error(), drain(), Event::Quiet]);
        let report = Step::Report(returned("no database", false));
        assert_eq!(steps, [Step::Pause, report, Step::Close, Step::AnnounceStop, Step::AwaitQuiet, Step::Exit(70)]);
        let steps = walk(serving(WORKER), [error(), stay(), Event::Overdue]);
        assert_eq!(steps.last(), Some(&Step::Exit(70)), "it cannot stay without its function");
    }

    #[test]
    fn a_stop_waits_for_the_function_and_for_what_is_under_way() {
        let steps = walk(serving(WORKER), [stop(), Event::Quiet, Event::Returned(Ok(())), Event::Quiet]);
        assert_eq!(steps, [Step::CloseAfterSweep, Step::AnnounceStop, Step::AwaitQuiet, Step::Exit(0)]);
        let steps = walk(serving(WORKER), [Event::Terminated]);
        assert_eq!(steps, [Step::ArmDeadline, Step::Close, Step::AnnounceStop], "what is queued is for its successor");
        let steps = walk(serving(WORKER), [Event::Terminated, Event::Overdue]);
        assert_eq!(steps[3..], [Step::Cancel, Step::Exit(0)]);
    }

    #[test]
    fn who_loses_only_its_link_leaves_the_port_to_the_others() {
        assert_eq!(serving(WORKER).handle(Event::Orphaned), [Step::CloseAfterQueue, Step::AnnounceStop]);
        assert_eq!(serving(WORKER).handle(Event::MasterGone), [Step::CloseAfterSweep, Step::AnnounceStop]);
        let steps = walk(serving(WORKER), [Event::Orphaned, Event::MasterGone]);
        assert_eq!(steps[2..], [Step::CloseAfterSweep], "the link goes first, a moment before the master has gone");
    }

    #[test]
    fn an_orphan_finishes_and_says_so_with_its_code() {
        for before in [vec![], vec![Event::Exception(panic())], vec![stop()], vec![Event::Exception(panic()), drain()]]
        {
            let events = before.iter().cloned().chain([Event::Orphaned, Event::Returned(Ok(())), Event::Quiet]);
            let steps = walk(serving(WORKER), events);
            assert_eq!(steps.last(), Some(&Step::Exit(110)), "{before:?}");
        }
    }
}
