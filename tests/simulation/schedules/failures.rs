//! What becomes of runs whose member, or whose agent, dies.

use super::*;

#[test]
fn a_run_that_cannot_be_finished_has_failed_and_says_why() {
    explore(seeds(), |sim| async move {
        let begun = Begun::default();
        let hatchery = plan(2)
            .schedule("slow", Schedule::once().on_agent().deadline(secs(3)), note(&sim, &begun, secs(60)))
            .schedule("wrong", Schedule::once().on_agent(), |_, _| async { Err("it is wrong") })
            .schedule("throws", Schedule::once().on_agent(), |cx: Context, _| throw(cx))
            .schedule("asks", Schedule::once().immediate().enabled_if(|| panic!("thrown by a condition")), |_, _| {
                throws()
            });
        let cluster = sim.start(hatchery).await?;
        cluster.ready().await?;
        sim.elapse(secs(62)).await;
        let outcome = |status: ScheduleStatus| status.last.expect("it has run").outcome;
        assert_eq!(outcome(status(&cluster, "slow").await), RunOutcome::TimedOut);
        assert_eq!(outcome(status(&cluster, "wrong").await), RunOutcome::Failed("it is wrong".into()));
        assert_eq!(outcome(status(&cluster, "throws").await), RunOutcome::Panicked);
        assert_eq!(status(&cluster, "asks").await.disabled, 1, "and the others go on");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_run_whose_member_dies_has_failed_with_its_name_and_its_end_and_may_be_tried_again() {
    explore(seeds(), |sim| async move {
        let begun = Begun::default();
        let hatchery = plan(2).schedule("fatal", Schedule::once(), note(&sim, &begun, secs(30))).schedule(
            "again",
            Schedule::once().retry(1, secs(1)),
            note(&sim, &begun, secs(30)),
        );
        let cluster = sim.start(hatchery).await?;
        cluster.ready().await?;
        sim.elapse(secs(2)).await;
        for index in [0, 1] {
            assert!(sim.fault(Slot::worker(index), Fault::Signal(9)).took_effect());
        }
        sim.elapse(secs(60)).await;
        let by = begun.lock().expect("nobody panicked").iter().find(|run| run.0 == "fatal").cloned().expect("it has").2;
        let fatal = status(&cluster, "fatal").await.last.expect("it has run");
        let ended = format!("{by}: killed by signal 9");
        assert_eq!((fatal.outcome, fatal.by), (RunOutcome::Died(ended), Some(by)));
        let again = status(&cluster, "again").await;
        assert_eq!((again.runs, again.failures), (2, 1));
        let last = again.last.expect("it has run");
        assert_eq!((last.attempt, last.outcome.clone(), last.duration()), (2, RunOutcome::Done, secs(30)));
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_successor_of_the_agent_hears_how_what_runs_has_ended() {
    explore(seeds(), |sim| async move {
        let begun = Begun::default();
        let schedule = || Schedule::every(secs(10)).missed(Missed::Skip);
        let hatchery = plan(3)
            .schedule("long", schedule(), note(&sim, &begun, secs(25)))
            .schedule("queued", schedule().overlap(Overlap::QueueOne), note(&sim, &begun, secs(25)))
            .schedule("all", schedule().on_all("worker"), note(&sim, &begun, secs(25)));
        let cluster = sim.start(hatchery).await?;
        cluster.ready().await?;
        sim.elapse(secs(12)).await;
        assert!(sim.fault(Slot::agent(), Fault::Signal(9)).took_effect());
        sim.elapse(secs(10)).await;
        for name in ["long", "queued", "all"] {
            let now = status(&cluster, name).await;
            assert_eq!((now.runs, now.running), (0, 1), "{name} runs since before");
        }
        sim.elapse(secs(15)).await;
        let now = status(&cluster, "long").await;
        let last = now.last.expect("it has run");
        let by = begun.lock().expect("nobody panicked").iter().find(|run| run.0 == "long").cloned().expect("it has").2;
        assert_eq!((last.outcome, last.by, now.runs), (RunOutcome::Done, Some(by), 1));
        assert_eq!((now.skipped, count(&begun, "long")), (2, 1), "at 20 and 30; the next is at 40");
        assert_eq!(count(&begun, "queued"), 2, "as soon as that of before had ended");
        assert_eq!(status(&cluster, "all").await.runs, 1);
        assert_eq!(count(&begun, "all"), 3);
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn under_chaos_no_tick_is_run_twice_and_every_one_is_accounted_for() {
    explore(seeds(), |sim| async move {
        let begun = Begun::default();
        let every = |seconds| Schedule::every(secs(seconds));
        let hatchery = plan(3)
            .schedule("skip", every(2).missed(Missed::Skip), note(&sim, &begun, ms(700)))
            .schedule("once", every(3), note(&sim, &begun, secs(4)))
            .schedule("all", every(5).missed(Missed::RunAll).overlap(Overlap::Allow(3)), note(&sim, &begun, secs(7)))
            .schedule("agent", every(2).on_agent(), note(&sim, &begun, ms(700)));
        let cluster = sim.start(hatchery).await?;
        cluster.ready().await?;
        let chaos = sim.chaos(rough());
        for _ in 0..20 {
            sim.elapse(secs(30)).await;
            sim.fault(Slot::agent(), Fault::Signal(9));
        }
        chaos.stop();
        assert!(chaos.took_effect() > 10, "{} faults took effect", chaos.took_effect());
        sim.elapse(secs(120)).await;
        let mut runs: BTreeMap<(String, SystemTime), u32> = BTreeMap::new();
        for (name, due, ..) in begun.lock().expect("nobody panicked").iter() {
            *runs.entry((name.clone(), *due)).or_default() += 1;
        }
        let twice: Vec<_> = runs.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "run twice: {twice:?}");
        for name in ["skip", "once", "all", "agent"] {
            // Before it is asked for: the next tick may come meanwhile.
            let begun = count(&begun, name) as u64;
            let now = status(&cluster, name).await;
            let known = now.runs + now.running as u64;
            assert!(begun > 20 && begun <= known, "{name}: {begun} have begun, and {known} are known: {now:?}");
        }
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}
