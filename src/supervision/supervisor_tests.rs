//! The seat table, row by row.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::identity::{Incarnation, MemberId, Role, Slot};

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn role(role: Role, count: u16, strategy: impl Strategy) -> RolePlan {
    RolePlan {
        role,
        count,
        ready_timeout: millis(10_000),
        stop_timeout: millis(5_000),
        give_up_after: millis(60_000),
        strategy: Arc::new(strategy),
    }
}

/// An agent that restarts after 1 s and workers with the built-in strategy.
pub(super) fn plan(workers: u16) -> Plan {
    Plan::new(vec![role(Role::WORKER, workers, OneForOne::worker()), role(Role::AGENT, 1, OneForOne::agent())])
}

fn agent(incarnation: u32) -> MemberId {
    Slot::agent().member(Incarnation::new(incarnation))
}

fn worker(index: u16, incarnation: u32) -> MemberId {
    Slot::worker(index).member(Incarnation::new(incarnation))
}

pub(super) fn panic() -> Exception {
    Exception::new(ExceptionKind::Panic, "src/main.rs:7:7: boom")
}

/// A supervisor, its clock, and what it said last, one short line per action.
struct Desk {
    supervisor: Supervisor,
    now: Moment,
}

impl Desk {
    fn new(plan: Plan) -> Desk {
        Desk { supervisor: Supervisor::new(plan, 1), now: Moment::START }
    }

    /// A cluster in which everyone has been ready for a minute.
    fn running(workers: u16) -> Desk {
        let mut desk = Desk::new(plan(workers));
        desk.tell(Event::Boot);
        desk.tell(Event::Ready(agent(1)));
        for index in 0..workers {
            desk.tell(Event::Ready(worker(index, 1)));
        }
        desk.now = desk.now + millis(60_000);
        desk
    }

    fn tell(&mut self, event: Event) -> Vec<String> {
        self.supervisor.handle(event, self.now).iter().map(line).collect()
    }

    fn seat(&self, slot: Slot) -> &Seat {
        self.supervisor.stand(slot).expect("there is such a slot").0
    }

    fn exit(&mut self, id: MemberId) -> Vec<String> {
        self.tell(Event::Exited(id, Exit::signal(9)))
    }

    /// Lets `by` pass, waking the core whenever it asked to be.
    fn pass(&mut self, by: Duration) -> Vec<String> {
        let end = self.now + by;
        let mut said = Vec::new();
        while let Some(due) = self.supervisor.deadline().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            said.extend(self.tell(Event::DeadlinePassed));
        }
        self.now = end;
        said
    }
}

fn line(action: &Action) -> String {
    match action {
        Action::Spawn(id) => format!("spawn {id}"),
        Action::Admit(id) => format!("admit {id}"),
        Action::AnnounceReady => "announce ready".into(),
        Action::ResendReady(id) => format!("resend ready {id}"),
        Action::Stay(id) => format!("stay {id}"),
        Action::Drain(id, within) => format!("drain {id} {within:?}"),
        Action::Terminate(id, within) => format!("terminate {id} {within:?}"),
        Action::Kill(id) => format!("kill {id}"),
        Action::Abandon(id) => format!("abandon {id}"),
        Action::Park(slot) => format!("park {slot}"),
        Action::Vacate(slot) => format!("vacate {slot}"),
        Action::Record(record) => format!("{}: {} -> {}", record.member, record.cause, record.decision),
        Action::Finish(outcome) => match &outcome.verdict {
            Verdict::Stopped => "finish: stopped".into(),
            Verdict::StartFailed(id, cause) => format!("finish: start failed: {id} {cause}"),
            Verdict::GaveUp(reason) => format!("finish: gave up: {reason}"),
        },
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn no_worker_exists_before_the_agent_is_ready_and_ready_is_told_once() {
    let mut desk = Desk::new(plan(2));
    assert_eq!(desk.tell(Event::Boot), ["spawn agent/0#1"]);
    assert_eq!(desk.tell(Event::Ready(agent(1))), ["admit agent/0#1", "spawn worker/0#1", "spawn worker/1#1"]);
    assert_eq!(desk.tell(Event::Ready(worker(1, 1))), ["admit worker/1#1"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 1))), ["admit worker/0#1", "announce ready"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 1))), NOTHING);
    assert_eq!(desk.tell(Event::Boot), NOTHING);
}

#[test]
fn roles_start_in_plan_order_whatever_the_order_of_their_declaration() {
    let mailer = Role::new(129, "mailer");
    let roles = [Role::WORKER, mailer, Role::AGENT].map(|which| role(which, 1, OneForOne::worker()));
    let mut desk = Desk::new(Plan::new(roles.to_vec()));
    assert_eq!(desk.tell(Event::Boot), ["spawn agent/0#1"]);
    assert_eq!(desk.tell(Event::Ready(agent(1))), ["admit agent/0#1", "spawn worker/0#1"]);
    assert_eq!(desk.tell(Event::Ready(worker(0, 1))), ["admit worker/0#1", "spawn mailer/0#1"]);
}

#[test]
fn an_agent_that_cannot_boot_ends_the_start_before_any_worker() {
    let mut desk = Desk::new(plan(2));
    desk.tell(Event::Boot);
    assert_eq!(
        desk.tell(Event::Exited(agent(1), Exit::code(3))),
        [
            "agent/0#1: exited with code 3, before it was ready -> the start has failed",
            "vacate agent/0",
            "vacate worker/0",
            "vacate worker/1",
            "finish: start failed: agent/0#1 exited with code 3, before it was ready",
        ]
    );
}

#[test]
fn an_agent_that_dies_while_the_workers_boot_ends_the_start() {
    let mut desk = Desk::new(plan(1));
    desk.tell(Event::Boot);
    desk.tell(Event::Ready(agent(1)));
    assert_eq!(
        desk.exit(agent(1)),
        ["agent/0#1: killed by signal 9 -> the start has failed", "vacate agent/0", "terminate worker/0#1 5s"]
    );
    assert_eq!(
        desk.tell(Event::Exited(worker(0, 1), Exit::code(0))),
        [
            "worker/0#1: exited with code 0 -> stopping",
            "vacate worker/0",
            "finish: start failed: agent/0#1 killed by signal 9"
        ]
    );
}

#[test]
fn a_worker_that_cannot_boot_stops_the_others_in_reverse_and_is_not_replaced() {
    let mut desk = Desk::new(plan(2));
    desk.tell(Event::Boot);
    desk.tell(Event::Ready(agent(1)));
    desk.tell(Event::Ready(worker(0, 1)));
    assert_eq!(
        desk.tell(Event::Exited(worker(1, 1), Exit::code(70))),
        [
            "worker/1#1: exited with code 70, before it was ready -> the start has failed",
            "vacate worker/1",
            "terminate worker/0#1 5s",
        ]
    );
    assert_eq!(
        desk.tell(Event::Exited(worker(0, 1), Exit::code(0)))[1..],
        ["vacate worker/0", "terminate agent/0#1 5s"]
    );
    let last = desk.tell(Event::Exited(agent(1), Exit::code(0)));
    assert_eq!(last[2], "finish: start failed: worker/1#1 exited with code 70, before it was ready");
}

#[test]
fn who_does_not_say_ready_in_time_is_killed_and_the_start_fails() {
    for agents in [true, false] {
        let mut desk = Desk::new(plan(1));
        desk.tell(Event::Boot);
        let id = match agents {
            true => agent(1),
            false => {
                desk.tell(Event::Ready(agent(1)));
                worker(0, 1)
            }
        };
        assert_eq!(desk.pass(millis(9_999)), NOTHING);
        assert_eq!(desk.pass(millis(1)), [format!("kill {id}")]);
        let said = desk.exit(id);
        assert_eq!(said[0], format!("{id}: start timeout: not ready within 10s -> the start has failed"));
    }
}

#[test]
fn a_process_that_the_system_refuses_to_start_is_a_failed_start() {
    let mut desk = Desk::new(plan(1));
    desk.tell(Event::Boot);
    let exit = Exit::not_started("no such file", Some(2));
    assert_eq!(
        desk.tell(Event::Exited(agent(1), exit)).last().map(String::as_str),
        Some("finish: start failed: agent/0#1 could not be started: no such file")
    );
}

#[test]
fn a_worker_that_had_been_of_use_is_replaced_at_once_and_hears_ready_once() {
    let mut desk = Desk::running(2);
    assert_eq!(desk.exit(worker(1, 1)), ["worker/1#1: killed by signal 9 -> restart at once", "spawn worker/1#2"]);
    assert_eq!(desk.tell(Event::Ready(worker(1, 2))), ["admit worker/1#2", "resend ready worker/1#2"]);
    assert_eq!(desk.tell(Event::Ready(worker(1, 2))), NOTHING);
}

#[test]
fn the_agent_comes_back_after_a_second_and_the_workers_stay() {
    let mut desk = Desk::running(1);
    assert_eq!(desk.tell(Event::Exited(agent(1), Exit::code(1))), ["agent/0#1: exited with code 1 -> restart in 1.0s"]);
    assert_eq!(desk.pass(millis(700)), NOTHING);
    // A fifth of jitter either way.
    assert_eq!(desk.pass(millis(600)), ["spawn agent/0#2"]);
    assert_eq!(desk.tell(Event::Ready(agent(2))), ["admit agent/0#2", "resend ready agent/0#2"]);
}

#[test]
fn an_exception_starts_the_successor_before_the_old_one_leaves_and_counts_once() {
    let mut desk = Desk::running(1);
    assert_eq!(
        desk.tell(Event::Exception(worker(0, 1), panic())),
        [
            "worker/0#1: panicked at src/main.rs:7:7: boom -> replace at once, drain for up to 30s",
            "drain worker/0#1 30s",
            "spawn worker/0#2",
        ]
    );
    desk.tell(Event::Ready(worker(0, 2)));
    let exit = Exit { exception: Some(panic()), ..Exit::code(70) };
    assert_eq!(
        desk.tell(Event::Exited(worker(0, 1), exit)),
        ["worker/0#1: exited with code 70: panicked at src/main.rs:7:7: boom -> replaced before"]
    );
    let at = desk.supervisor.find(Slot::worker(0)).expect("there is a worker");
    assert_eq!(desk.supervisor.roles[at.0].places[at.1].history.iter().count(), 1);
}

#[test]
fn one_who_does_not_finish_draining_is_killed_at_its_deadline() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Exception(worker(0, 1), panic()));
    desk.tell(Event::Ready(worker(0, 2)));
    assert_eq!(desk.pass(millis(29_999)), NOTHING);
    assert_eq!(desk.pass(millis(1)), ["kill worker/0#1"]);
    assert_eq!(
        desk.exit(worker(0, 1)),
        ["worker/0#1: killed by signal 9: killed after 30s in which it did not leave -> replaced before"]
    );
}

#[test]
fn a_further_exception_ends_the_one_that_was_draining() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Exception(worker(0, 1), panic()));
    desk.tell(Event::Ready(worker(0, 2)));
    let said = desk.tell(Event::Exception(worker(0, 2), panic()));
    assert_eq!(said[1..], ["kill worker/0#1", "drain worker/0#2 30s", "spawn worker/0#3"]);
    // And one of the draining one itself is nobody's business any more.
    assert_eq!(desk.tell(Event::Exception(worker(0, 2), panic())), NOTHING);
}

#[test]
fn an_exception_of_the_agent_changes_nothing() {
    let mut desk = Desk::running(1);
    for _ in 0..20 {
        assert_eq!(
            desk.tell(Event::Exception(agent(1), panic())),
            ["agent/0#1: panicked at src/main.rs:7:7: boom -> carry on", "stay agent/0#1"]
        );
    }
    assert_eq!(desk.exit(agent(1))[0], "agent/0#1: killed by signal 9 -> restart in 1.0s");
}

#[test]
fn an_exception_before_ready_is_a_boot_failure_even_if_the_member_cannot_end_itself() {
    let mut desk = Desk::running(1);
    desk.exit(worker(0, 1));
    assert_eq!(desk.tell(Event::Exception(worker(0, 2), panic())), NOTHING);
    assert_eq!(desk.tell(Event::Ready(worker(0, 2))), NOTHING);
    assert_eq!(desk.pass(millis(1_000)), ["kill worker/0#2"]);
    let said = desk.exit(worker(0, 2));
    assert_eq!(said, ["worker/0#2: killed by signal 9, before it was ready -> restart at once", "spawn worker/0#3"]);
}

#[test]
fn a_crash_loop_parks_the_slot_tries_again_and_recovers() {
    let mut desk = Desk::running(2);
    let mut incarnation = 1;
    let mut parked = None;
    for _ in 0..20 {
        desk.exit(worker(0, incarnation));
        if let Seat::Parked { probe_at } = desk.seat(Slot::worker(0)) {
            parked = *probe_at;
            break;
        }
        desk.pass(millis(2_000));
        incarnation += 1;
    }
    // The first death was that of a healthy one; five young ones are restarted, the sixth is too many.
    assert_eq!(incarnation, 7);
    let probe = parked.expect("it is tried again") - desk.now;
    assert!((millis(800)..=millis(1_200)).contains(&probe), "{probe:?}");
    assert_eq!(desk.pass(probe), ["spawn worker/0#8"]);
    let said = desk.exit(worker(0, 8));
    assert!(said[0].contains("park, try again in"), "{said:?}");
    desk.pass(millis(2_500));
    assert_eq!(desk.tell(Event::Ready(worker(0, 9)))[0], "admit worker/0#9");
    desk.now = desk.now + millis(1_000);
    assert_eq!(desk.exit(worker(0, 9))[0], "worker/0#9: killed by signal 9 -> restart at once");
}

#[test]
fn a_role_of_which_nobody_gets_ready_ends_the_cluster_loudly() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Exited(worker(0, 1), Exit::code(78)));
    assert_eq!(desk.pass(millis(59_999)), NOTHING);
    assert_eq!(
        desk.pass(millis(1)),
        [
            "worker/0#1: nobody of its role has been ready for 60s -> give up",
            "vacate worker/0",
            "terminate agent/0#1 5s"
        ]
    );
    let said = desk.tell(Event::Exited(agent(1), Exit::code(0)));
    assert_eq!(said[2], "finish: gave up: no member of role worker has been ready for 60s");
}

#[test]
fn one_ready_member_is_enough_not_to_give_up() {
    let mut desk = Desk::running(2);
    desk.tell(Event::Exited(worker(0, 1), Exit::code(78)));
    assert_eq!(desk.pass(millis(600_000)), NOTHING);
}

#[test]
fn a_stop_goes_through_the_roles_in_reverse_and_gives_each_its_time() {
    let mut desk = Desk::running(2);
    let said = desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(said, ["terminate worker/0#1 5s", "terminate worker/1#1 5s"]);
    desk.tell(Event::Exited(worker(0, 1), Exit::code(0)));
    assert_eq!(desk.pass(millis(5_000)), ["kill worker/1#1"]);
    let said = desk.exit(worker(1, 1));
    assert_eq!(
        said,
        [
            "worker/1#1: killed by signal 9: killed after 5s in which it did not leave -> stopping",
            "vacate worker/1",
            "terminate agent/0#1 5s"
        ]
    );
    assert_eq!(desk.pass(millis(5_000)), ["kill agent/0#1"]);
    assert_eq!(desk.exit(agent(1))[2], "finish: stopped");
}

#[test]
fn a_second_stop_kills_everyone_at_once() {
    let mut desk = Desk::running(2);
    desk.tell(Event::Stop(Urgency::Graceful));
    let said = desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(said, ["kill worker/0#1", "kill worker/1#1", "kill agent/0#1"]);
    assert_eq!(desk.tell(Event::Stop(Urgency::Graceful)), NOTHING);
    for id in [agent(1), worker(0, 1)] {
        assert!(!desk.exit(id).iter().any(|line| line.starts_with("finish")));
    }
    let said = desk.exit(worker(1, 1));
    assert_eq!(said[0], "worker/1#1: killed by signal 9: killed by a quick stop -> stopping");
    assert_eq!(said[2], "finish: stopped");
}

#[test]
fn stop_wins_over_restart_for_a_waiting_a_parked_and_a_starting_one() {
    let mut desk = Desk::running(3);
    desk.exit(agent(1));
    desk.tell(Event::Exited(worker(0, 1), Exit::code(64)));
    desk.exit(worker(1, 1));
    let said = desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(said, ["vacate agent/0", "vacate worker/0", "terminate worker/1#2 5s", "terminate worker/2#1 5s"]);
    // What it says while it stops brings nobody back.
    assert_eq!(desk.tell(Event::Ready(worker(1, 2))), NOTHING);
    assert_eq!(desk.tell(Event::Exception(worker(2, 1), panic())), NOTHING);
    desk.exit(worker(1, 2));
    assert_eq!(desk.exit(worker(2, 1)).last().map(String::as_str), Some("finish: stopped"));
    assert_eq!(desk.pass(millis(600_000)), NOTHING);
}

#[test]
fn an_agent_that_dies_while_the_workers_stop_is_not_restarted() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Stop(Urgency::Graceful));
    assert_eq!(desk.exit(agent(1)), ["agent/0#1: killed by signal 9 -> stopping", "vacate agent/0"]);
    assert_eq!(desk.exit(worker(0, 1)).last().map(String::as_str), Some("finish: stopped"));
}

#[test]
fn a_stop_during_the_start_is_no_failure() {
    let mut desk = Desk::new(plan(1));
    desk.tell(Event::Boot);
    assert_eq!(desk.tell(Event::Stop(Urgency::Graceful)), ["vacate worker/0", "terminate agent/0#1 5s"]);
    assert_eq!(desk.tell(Event::Exited(agent(1), Exit::code(0))).last().map(String::as_str), Some("finish: stopped"));
    assert_eq!(
        Desk::new(plan(1)).tell(Event::Stop(Urgency::Graceful)).last().map(String::as_str),
        Some("finish: stopped")
    );
}

#[test]
fn a_link_that_went_with_its_process_is_an_exit_and_one_that_went_alone_is_the_cause() {
    let mut desk = Desk::running(1);
    assert_eq!(desk.tell(Event::LinkLost(worker(0, 1), LinkError::Closed)), NOTHING);
    assert_eq!(desk.exit(worker(0, 1))[0], "worker/0#1: killed by signal 9 -> restart at once");

    let mut desk = Desk::running(1);
    desk.tell(Event::LinkLost(worker(0, 1), LinkError::Closed));
    assert_eq!(desk.pass(millis(1_000)), ["kill worker/0#1"]);
    let said = desk.exit(worker(0, 1));
    assert_eq!(said, ["worker/0#1: killed by signal 9: it closed its link -> restart at once", "spawn worker/0#2"]);
}

#[test]
fn who_breaks_the_protocol_is_killed_at_once_wherever_it_stands() {
    let broken = || LinkError::Protocol("unknown kind 99".into());
    let mut desk = Desk::running(1);
    assert_eq!(desk.tell(Event::LinkLost(worker(0, 1), broken())), ["kill worker/0#1"]);
    assert_eq!(
        desk.exit(worker(0, 1))[0],
        "worker/0#1: killed by signal 9: it broke the protocol of its link: unknown kind 99 -> restart at once"
    );
    assert_eq!(desk.tell(Event::LinkLost(worker(0, 2), broken())), ["kill worker/0#2"], "starting");
    desk.exit(worker(0, 2));
    desk.tell(Event::Ready(worker(0, 3)));
    desk.tell(Event::Exception(worker(0, 3), panic()));
    assert_eq!(desk.tell(Event::LinkLost(worker(0, 3), broken())), ["kill worker/0#3"], "draining");
}

#[test]
fn a_process_that_survives_its_kill_is_abandoned_and_named_at_the_end() {
    let mut desk = Desk::running(1);
    desk.tell(Event::Stop(Urgency::Quick));
    desk.exit(agent(1));
    assert_eq!(
        desk.pass(millis(5_000)),
        [
            "abandon worker/0#1",
            "worker/0#1: killed, but still there: killed by a quick stop -> stopping",
            "vacate worker/0",
            "finish: stopped"
        ]
    );
}

#[test]
fn old_news_changes_nothing_in_any_seat() {
    let stale = |id: MemberId| {
        [
            Event::Ready(id),
            Event::Exception(id, panic()),
            Event::LinkLost(id, LinkError::Closed),
            Event::Exited(id, Exit::signal(9)),
        ]
    };
    let mut desk = Desk::running(2);
    desk.exit(worker(0, 1));
    desk.tell(Event::Exited(worker(1, 1), Exit::code(64)));
    for id in [worker(0, 1), worker(1, 1), worker(9, 1), Slot::new(Role::new(7, "ghost"), 0).member(Incarnation::FIRST)]
    {
        for event in stale(id) {
            let told = format!("{event:?}");
            assert_eq!(desk.tell(event), NOTHING, "{told}");
        }
    }
    desk.tell(Event::Ready(worker(0, 2)));
    for event in stale(worker(0, 1)) {
        assert_eq!(desk.tell(event), NOTHING);
    }
    assert!(matches!(desk.seat(Slot::worker(0)), Seat::Ready { .. }));
}

#[test]
fn every_answer_of_a_strategy_to_an_exception_is_carried_out() {
    let answer = |directive: Directive| {
        let strategy = from_fn(move |fact, _, _| match fact {
            Fact::Exception(_) => directive.clone(),
            _ => Directive::Restart { after: Duration::ZERO },
        });
        let mut desk =
            Desk::new(Plan::new(vec![role(Role::AGENT, 1, OneForOne::agent()), role(Role::WORKER, 2, strategy)]));
        desk.tell(Event::Boot);
        desk.tell(Event::Ready(agent(1)));
        desk.tell(Event::Ready(worker(0, 1)));
        desk.tell(Event::Ready(worker(1, 1)));
        let said = desk.tell(Event::Exception(worker(0, 1), panic()));
        (desk, said[1..].to_vec())
    };
    let (_, said) = answer(Directive::Ignore);
    assert_eq!(said, ["stay worker/0#1"]);
    let (mut desk, said) = answer(Directive::Restart { after: millis(500) });
    assert_eq!(said, ["terminate worker/0#1 5s"]);
    assert_eq!(desk.exit(worker(0, 1)), ["worker/0#1: killed by signal 9 -> restart in 500.0ms"]);
    assert_eq!(desk.pass(millis(500)), ["spawn worker/0#2"]);
    let (mut desk, said) = answer(Directive::Park { probe: Some(millis(700)) });
    assert_eq!(said, ["drain worker/0#1 5s", "park worker/0"]);
    assert_eq!(desk.exit(worker(0, 1)), ["worker/0#1: killed by signal 9 -> replaced before"]);
    assert_eq!(desk.pass(millis(700)), ["spawn worker/0#2"]);
    let (mut desk, said) = answer(Directive::Remove);
    assert_eq!(said, ["drain worker/0#1 5s", "vacate worker/0"]);
    assert_eq!(desk.pass(millis(5_000)), ["kill worker/0#1"]);
    let (_, said) = answer(Directive::Escalate(Reason::new("enough")));
    assert_eq!(said, ["terminate worker/0#1 5s", "terminate worker/1#1 5s"]);
}

#[test]
fn a_start_does_not_wait_for_a_slot_that_its_strategy_put_aside() {
    for directive in [Directive::Park { probe: None }, Directive::Remove] {
        let strategy = from_fn(move |_, _, _| directive.clone());
        let mut desk =
            Desk::new(Plan::new(vec![role(Role::AGENT, 1, OneForOne::agent()), role(Role::WORKER, 2, strategy)]));
        desk.tell(Event::Boot);
        desk.tell(Event::Ready(agent(1)));
        desk.tell(Event::Ready(worker(0, 1)));
        desk.tell(Event::Exception(worker(0, 1), panic()));
        desk.exit(worker(0, 1));
        desk.exit(worker(1, 1));
        let said = desk.exit(agent(1));
        assert_eq!(
            said.last().map(String::as_str),
            Some("finish: start failed: worker/0#1 panicked at src/main.rs:7:7: boom")
        );
    }
}

#[test]
fn an_exit_that_a_strategy_escalates_ends_the_cluster_in_order() {
    let strategy = from_fn(|_, _, _| Directive::Escalate(Reason::new("the licence has expired")));
    let mut desk =
        Desk::new(Plan::new(vec![role(Role::AGENT, 1, OneForOne::agent()), role(Role::WORKER, 2, strategy)]));
    desk.tell(Event::Boot);
    desk.tell(Event::Ready(agent(1)));
    desk.tell(Event::Ready(worker(0, 1)));
    desk.tell(Event::Ready(worker(1, 1)));
    assert_eq!(desk.exit(worker(0, 1))[1..], ["vacate worker/0", "terminate worker/1#1 5s"]);
    assert_eq!(desk.exit(worker(1, 1))[2], "terminate agent/0#1 5s");
    assert_eq!(desk.exit(agent(1))[2], "finish: gave up: the licence has expired");
}
