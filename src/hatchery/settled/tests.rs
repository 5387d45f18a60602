use super::*;
use crate::Context;
use crate::Heartbeat;
use crate::Slot;
use crate::supervision::{
    Answer, Backoff, Dice, Directive, Exit, Fact, Intensity, OnException, OneForAll, OneForOne, RestForOne,
    RestartType, Significant, Strategy, View,
};

async fn role(_: Context) -> crate::Result<()> {
    Ok(())
}

fn plan() -> Hatchery {
    Hatchery::new().agent(role).workers(2, role)
}

fn complaint(plan: Hatchery) -> String {
    plan.settle().err().map(|error| error.to_string()).unwrap_or_else(|| "none".into())
}

fn beating(heartbeat: Heartbeat) -> Hatchery {
    plan().tune("worker", move |worker| {
        worker.heartbeat(heartbeat);
    })
}

#[test]
fn a_plan_that_cannot_be_meant_is_refused_with_the_name_of_the_setting() {
    let secs = Duration::from_secs;
    let rows = [
        (plan(), "none"),
        (Hatchery::new().workers(1, role), "none"),
        (Hatchery::new(), "the plan has no roles"),
        (Hatchery::new().workers(0, role), "role worker has 0 members: it must have 1 to 65535"),
        (Hatchery::new().workers(70_000, role), "role worker has 70000 members"),
        (
            plan().tune("agent", |agent| {
                agent.count(2);
            }),
            "role agent has 2 members: it must have one",
        ),
        (plan().agent(role), "role agent is declared twice"),
        (plan().role("a/b", 1, role), "role \"a/b\" cannot be called so"),
        (plan().role("", 1, role), "role \"\" cannot be called so"),
        (plan().role("master", 1, role), "no role can be called \"master\""),
        (plan().tune("mailer", |_| {}), "there are settings for role mailer, which is not declared"),
        (plan().orphan_grace(Duration::ZERO), "orphan_grace is 0 s"),
        (
            plan().tune("worker", |worker| {
                worker.ready_timeout(Duration::ZERO);
            }),
            "ready_timeout of role worker",
        ),
        (
            plan().tune("worker", |worker| {
                worker.stop_timeout(Duration::MAX);
            }),
            "stop_timeout of role worker",
        ),
        (
            plan().tune("agent", move |agent| {
                agent.give_up_after(secs(90 * 86_400));
            }),
            "give_up_after of role agent",
        ),
        (
            plan().tune("worker", |worker| {
                worker.runtime_threads(0);
            }),
            "runtime_threads of role worker is 0",
        ),
        (
            plan().tune("worker", |worker| {
                worker.restart_delay(Duration::ZERO);
            }),
            "none",
        ),
        (
            plan().tune("worker", |worker| {
                worker.restart_delay(Duration::MAX);
            }),
            "restart_delay of role worker",
        ),
        (
            plan().tune("worker", |worker| {
                worker.on_exception(OnException::Replace { drain: Duration::MAX });
            }),
            "the drain of on_exception of role worker",
        ),
        (
            plan().tune("worker", |worker| {
                worker.stable_after(Duration::ZERO);
            }),
            "stable_after of role worker is 0 s",
        ),
        (
            plan().tune("worker", move |worker| {
                worker.restart_limit(Intensity::new(5, Duration::ZERO)).backoff(Backoff::doubling(secs(1), secs(2)));
            }),
            "the period of restart_limit of role worker is 0 s",
        ),
        (
            plan().tune("worker", |worker| {
                worker.role_restart_limit(Intensity::new(5, Duration::MAX));
            }),
            "the period of role_restart_limit of role worker",
        ),
        (
            plan().tune("agent", move |agent| {
                agent.backoff(Backoff::doubling(Duration::ZERO, secs(2)));
            }),
            "the base of backoff of role agent is 0 s",
        ),
        (
            plan().tune("agent", move |agent| {
                agent.probe(Backoff::doubling(secs(1), Duration::MAX));
            }),
            "the max of probe of role agent",
        ),
        (beating(Heartbeat::default()), "none"),
        (beating(Heartbeat::every(secs(1)).missed(30)), "none"),
        (beating(Heartbeat::every(Duration::ZERO)), "the interval of the heartbeat of role worker is 0 s"),
        (beating(Heartbeat::default().timeout(Duration::MAX)), "the timeout of the heartbeat of role worker"),
        (
            beating(Heartbeat::every(Duration::from_millis(9))),
            "interval of the heartbeat of role worker: 9ms is shorter than 10ms",
        ),
        (beating(Heartbeat::default().missed(0)), "missed of the heartbeat of role worker: 0 is not 1 to 1000"),
        (
            beating(Heartbeat::default().missed(31)),
            "timeout of the heartbeat of role worker: 30s is shorter than 31 intervals of 1s",
        ),
        (
            beating(Heartbeat::default().missed(1).timeout(secs(1))),
            "timeout of the heartbeat of role worker: 1s is shorter than 2 intervals of 1s",
        ),
        (plan().in_threads(), "none"),
        (
            plan().in_threads().tune("worker", |worker| {
                worker.runtime_threads(2);
            }),
            "runtime_threads of role worker cannot be had in threads: each member is one thread",
        ),
        (
            plan().in_threads().tune("agent", |agent| {
                agent.env("A", "1");
            }),
            "the environment of role agent cannot be had in threads",
        ),
        (
            plan().in_threads().tune("worker", |worker| {
                worker.executable("/bin/true");
            }),
            "executable of role worker cannot be had in threads",
        ),
        (plan().in_threads().adopt_descendants(true), "adopt_descendants cannot be had in threads"),
        (plan().payload_limit(0), "payload_limit is 0"),
        (plan().payload_limit(17 << 20), "payload_limit is 17825792: it must be 1 byte to 16 MiB"),
        (plan().kept_value_limit(0), "kept_value_limit is 0: it must be 1 byte to the payload limit"),
        (plan().payload_limit(10).kept_value_limit(11), "kept_value_limit is 11"),
        (plan().kept_limit(100), "kept_limit is 100: it must be at least 128 bytes"),
        (plan().publishers(["agent", "editor"]), "role editor, which is not declared"),
        (plan().listen("a:1").listen("a:1"), "listeners: two are called \"a:1\""),
    ];
    for (plan, expected) in rows {
        let complaint = complaint(plan);
        assert!(complaint.contains(expected), "{complaint:?} does not say {expected:?}");
    }
    let significant = |strategy: OneForOne| {
        complaint(plan().tune("worker", move |worker| {
            worker.strategy(RestForOne::new(Significant::any(strategy)));
        }))
    };
    let permanent = "significant of the strategy of role worker: a permanent member never ends by itself";
    assert!(significant(OneForOne::worker()).contains(permanent));
    assert_eq!(significant(OneForOne::worker().restart(RestartType::Transient)), "none");
    let own = plan().tune("worker", |worker| {
        worker.strategy(crate::supervision::OneForOne::worker()).restart_limit(None);
    });
    assert!(complaint(own).contains("restart_limit is a setting of the built-in strategy"));
}

#[test]
fn a_strategy_for_all_roles_is_that_of_each_that_has_none_of_its_own() {
    let decides = |plan: Hatchery| {
        let Settlement { roles, .. } = plan.settle().expect("a good plan");
        roles.iter().map(|settled| settled.plan().strategy.restart_type()).collect::<Vec<_>>()
    };
    let temporary = || OneForOne::worker().restart(RestartType::Temporary);
    let (permanent, temporary_type) = (Some(RestartType::Permanent), Some(RestartType::Temporary));
    assert_eq!(decides(plan()), [permanent, permanent]);
    assert_eq!(decides(plan().strategy(temporary())), [temporary_type, temporary_type]);
    let own = plan().strategy(temporary()).tune("agent", |agent| {
        agent.strategy(OneForOne::agent());
    });
    assert_eq!(decides(own), [permanent, temporary_type]);
}

#[test]
fn a_strategy_that_panics_gives_up_and_is_named_whether_it_is_for_one_role_or_for_all() {
    struct Hesitant;
    impl Strategy for Hesitant {
        fn decide(&self, _: &Fact<'_>, _: &View<'_>, _: &mut Dice) -> Answer {
            panic!("no idea")
        }
    }
    let one = plan().tune("worker", |worker| {
        worker.strategy(OneForAll::new(Hesitant));
    });
    for plan in [one, plan().strategy(Hesitant)] {
        let Settlement { roles, .. } = plan.settle().expect("a good plan");
        let worker = roles.last().expect("there are workers").plan();
        let answer = View::table(Slot::worker(0)).ask(&worker.strategy, &Fact::exited(Exit::signal(9)));
        let Directive::Escalate(reason) = answer.directive else { panic!("{answer:?}") };
        let reason = reason.to_string();
        assert!(reason.starts_with("the strategy of role worker panicked: "), "{reason}");
        assert!(reason.contains("no idea (in ") && reason.contains("Hesitant"), "{reason}");
    }
}

#[test]
fn the_agent_is_first_and_the_others_keep_the_order_of_their_declaration() {
    let plan = Hatchery::new()
        .role("cache", 1, role)
        .workers(2, role)
        .role("mailer", 1, role)
        .role("audit", 1, role)
        .agent(role);
    let Settlement { roles, .. } = plan.settle().expect("a good plan");
    let names: Vec<_> = roles.iter().map(|settled| settled.role.name()).collect();
    assert_eq!(names, ["agent", "cache", "worker", "mailer", "audit"]);
}

#[cfg(feature = "schedule")]
#[test]
fn a_schedule_that_cannot_be_meant_is_refused_with_the_name_of_its_setting() {
    use crate::schedule::{Schedule, Tick};
    async fn job(_: Context, _: Tick) -> crate::Result<()> {
        Ok(())
    }
    let every = || Schedule::every(Duration::from_secs(30));
    let long = "x".repeat(201);
    let rows = [
        (plan().schedule("daily", Schedule::cron("0 3 * * *").on_all("agent"), job), "none"),
        (
            plan().schedule("daily", Schedule::cron("0 25 * * *"), job),
            "schedule \"daily\": the cron expression: hour \"25\": ",
        ),
        (plan().schedule("", every(), job), "schedule \"\": the name: it has none"),
        (plan().schedule(long, every(), job), "schedule \"xxx"),
        (plan().schedule("a", every(), job).schedule("a", every(), job), "schedule \"a\": there are two of that name"),
        (plan().schedule("a", every().on_one("mailer"), job), "schedule \"a\": the role: \"mailer\" is not declared"),
        (
            Hatchery::new().workers(1, role).schedule("a", every(), job),
            "there are schedules, and the plan has no agent",
        ),
        (
            plan().payload_limit(65_535).schedule("a", every(), job),
            "payload_limit of a plan with schedules is 65535: it must be at least 64 KiB",
        ),
    ];
    for (plan, expected) in rows {
        let complaint = complaint(plan);
        assert!(complaint.starts_with(expected), "{complaint:?} is not {expected:?}");
    }
}
