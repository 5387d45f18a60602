//! What is due when: months, ends, calendars that are set.

use super::*;

#[test]
fn a_month_of_a_daily_job_has_one_run_for_each_day_also_where_the_clocks_change() {
    // In Berlin they go forward at 02:00 on 29 March 2026, so that there is no half past two, and back at 03:00 on 25
    // October, so that there are two.
    let march = (1..=31).map(|day| match day {
        1..29 => (day, 90),
        29 => (day, 60),
        _ => (day, 30),
    });
    assert_eq!(month(MARCH), march.collect::<Vec<_>>());
    let october = (1..=31).map(|day| if day <= 25 { (day, 30) } else { (day, 90) });
    assert_eq!(month(OCTOBER), october.collect::<Vec<_>>());
}

#[test]
fn where_it_runs_and_until_when_is_as_it_says() {
    explore(seeds(), |sim| async move {
        let begun = Begun::default();
        let job = |takes| note(&sim, &begun, takes);
        let now = sim.calendar();
        let hatchery = plan(2)
            .schedule("one", Schedule::every(secs(4)), job(ms(10)))
            .schedule("all", Schedule::every(secs(4)).on_all("worker"), job(ms(10)))
            .schedule("agent", Schedule::every(secs(4)).on_agent(), job(ms(10)))
            .schedule("once", Schedule::once(), job(ms(10)))
            .schedule("soon", Schedule::every(secs(4)).immediate(), job(ms(10)))
            .schedule("ending", Schedule::cron("*/2 * * * * *").ending(now + ms(4_900)), job(ms(10)))
            .schedule("elsewhere", Schedule::every(secs(1)).enabled_if(|| false), job(ms(10)))
            .schedule("pausing", Schedule::after_each(secs(1)), job(secs(2)));
        let cluster = sim.start(hatchery).await?;
        cluster.ready().await?;
        sim.elapse(ms(5_100)).await;
        let counted =
            ["one", "all", "agent", "once", "soon", "ending", "elsewhere", "pausing"].map(|of| count(&begun, of));
        assert_eq!(counted, [1, 2, 1, 1, 2, 2, 0, 2]);
        let agent = begun.lock().expect("nobody panicked").iter().find(|run| run.0 == "agent").cloned();
        assert_eq!(agent.expect("it has run").2, "agent/0#1");
        assert_eq!(status(&cluster, "ending").await.next, None);
        assert_eq!(status(&cluster, "elsewhere").await.disabled, 5);
        // Once is once, whoever is the agent.
        assert!(sim.fault(Slot::agent(), Fault::Signal(9)).took_effect());
        sim.elapse(secs(30)).await;
        assert_eq!(count(&begun, "once"), 1);
        assert_eq!(count(&begun, "soon"), 1 + 35 / 4);
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_calendar_that_is_set_moves_what_goes_by_it_and_no_interval() {
    explore(seeds(), |sim| async move {
        let begun = Begun::default();
        let hatchery = plan(1).schedule("interval", Schedule::every(secs(60)), note(&sim, &begun, ms(1))).schedule(
            "noon",
            Schedule::cron("0 12 * * *"),
            note(&sim, &begun, ms(1)),
        );
        let cluster = sim.start(hatchery).await?;
        cluster.ready().await?;
        sim.elapse(secs(90)).await;
        assert_eq!((count(&begun, "interval"), count(&begun, "noon")), (1, 0));
        sim.set_calendar(sim.calendar() + HOUR * 11 + secs(58 * 60));
        sim.elapse(secs(29)).await;
        assert_eq!((count(&begun, "interval"), count(&begun, "noon")), (1, 0), "a minute is a minute");
        sim.elapse(secs(2)).await;
        assert_eq!((count(&begun, "interval"), count(&begun, "noon")), (2, 1), "and noon is noon");
        sim.set_calendar(sim.calendar() - secs(600));
        sim.elapse(secs(660)).await;
        assert_eq!((count(&begun, "interval"), count(&begun, "noon")), (13, 1), "noon comes once");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}
