//! Schedules that come and go, and what is told of them.

use super::*;

#[test]
fn what_is_removed_does_not_come_back_and_what_is_begun_anew_is_another() {
    explore(seeds(), |sim| async move {
        let begun = Begun::default();
        let agent = |cx: Context| async move {
            let own = cx.clone();
            cx.messenger().on("remove", move |name: Message<String>| {
                assert!(own.schedules().remove(&name.body));
            });
            let own = cx.clone();
            cx.messenger().on("add", move |name: Message<String>| {
                own.schedules().add(&name.body, &Schedule::every(secs(20))).expect("there is none");
            });
            idle(cx).await
        };
        let hatchery = Hatchery::new()
            .agent(agent)
            .workers(2, idle)
            .schedule("once", Schedule::once(), note(&sim, &begun, ms(1)))
            .schedule("long", Schedule::every(secs(10)), note(&sim, &begun, secs(60)));
        let cluster = sim.start(hatchery).await?;
        cluster.ready().await?;
        let messenger = cluster.messenger();
        sim.elapse(secs(12)).await;
        messenger.to_agent("remove", &"once".to_owned()).await?;
        messenger.to_agent("remove", &"long".to_owned()).await?;
        sim.elapse(ms(100)).await;
        messenger.to_agent("add", &"long".to_owned()).await?;
        sim.elapse(secs(60)).await;
        // The first has ended since, and is none of the second.
        let long = status(&cluster, "long").await;
        assert_eq!((count(&begun, "long"), long.runs, long.running), (2, 0, 1));
        assert!(sim.fault(Slot::agent(), Fault::Signal(9)).took_effect());
        sim.elapse(secs(30)).await;
        assert_eq!(count(&begun, "once"), 1, "nor by the next agent");
        let names: Vec<_> = messenger.schedules(secs(9)).await?.into_iter().map(|status| status.name).collect();
        assert_eq!(names, ["long"], "which is of the plan, and has gone on");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn schedules_come_and_go_while_the_agent_runs() {
    explore(seeds(), |sim| async move {
        let begun = Begun::default();
        let (job, other) = (begun.clone(), begun.clone());
        let worker = move |cx: Context| {
            let job = job.clone();
            async move {
                cx.schedules().job("late", move |cx: Context, tick: Tick| {
                    let run = (tick.schedule, tick.due, cx.id().to_string(), Duration::ZERO);
                    job.lock().expect("nobody panicked").push(run);
                    async { hatchery::Result::<()>::Ok(()) }
                })?;
                idle(cx).await
            }
        };
        let agent = |cx: Context| async move {
            cx.ready();
            let schedules = cx.schedules();
            schedules.add("late", &Schedule::every(secs(1)))?;
            schedules.add("strange", &Schedule::every(secs(1)))?;
            assert!(schedules.add("late", &Schedule::once()).is_err(), "there is one");
            assert!(schedules.add("wrong", &Schedule::cron("0 25 * * *")).is_err());
            assert!(schedules.add("nowhere", &Schedule::once().on_one("nobody")).is_err());
            tokio::time::sleep(ms(10_500)).await;
            assert!(schedules.remove("late") && !schedules.remove("late"));
            cx.stopping().await;
            hatchery::Result::<()>::Ok(())
        };
        let cluster = sim.start(Hatchery::new().agent(agent).workers(2, worker)).await?;
        cluster.ready().await?;
        sim.elapse(secs(8)).await;
        let strange = status(&cluster, "strange").await;
        assert_eq!(strange.last.expect("it has run").outcome, RunOutcome::NoJob);
        sim.elapse(secs(12)).await;
        assert_eq!(count(&other, "late"), 10);
        let names: Vec<_> =
            cluster.messenger().schedules(secs(9)).await?.into_iter().map(|status| status.name).collect();
        assert_eq!(names, ["strange"]);
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_cluster_without_schedules_or_without_an_agent_has_an_empty_list_of_them() {
    Simulation::run(1, |sim| async move {
        for without in [plan(1), Hatchery::new().workers(1, idle)] {
            let cluster = sim.start(without).await?;
            cluster.ready().await?;
            assert_eq!(cluster.messenger().schedules(secs(5)).await, Ok(Vec::new()));
            cluster.shutdown().await?;
        }
        sim.check_quiescent()
    });
}

#[test]
fn who_asks_for_schedules_while_a_cluster_starts_keeps_no_agent_from_leaving() {
    Simulation::run(1, |sim| async move {
        let never = async |_: Context| -> hatchery::Result<()> { std::future::pending().await };
        let job = |_, _| async { hatchery::Result::<()>::Ok(()) };
        let cluster =
            sim.start(Hatchery::new().agent(idle).workers(1, never).schedule("once", Schedule::once(), job)).await?;
        sim.eventually(secs(5), || cluster.status().ready(Role::AGENT) == 1).await?;
        let messenger = cluster.messenger();
        let asked = tokio::time::timeout(ms(100), messenger.schedules(secs(30))).await;
        assert!(asked.is_err(), "nobody knows before all are ready: {asked:?}");
        let began = sim.now();
        let _ = cluster.shutdown().await;
        assert!(sim.now() - began < secs(1), "{:?}", sim.now() - began);
        sim.check_quiescent()
    });
}
