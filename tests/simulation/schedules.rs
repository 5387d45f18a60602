//! Schedules on a virtual calendar: a month in a moment, and what runs when whoever runs it, or ordered it, is killed.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hatchery::schedule::{Missed, Overlap, RunOutcome, ScheduleStatus};
use hatchery::simulation::{Explore, Fault, Simulation, explore};
use hatchery::{ClusterHandle, Context, Hatchery, Message, Role, Schedule, Slot, Tick};

use crate::{alone, ms, rough, secs, seeds};

/// The runs that have begun: of which schedule, for which tick, by whom, and when.
type Begun = Arc<Mutex<Vec<(String, SystemTime, String, Duration)>>>;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn idle(cx: Context) -> hatchery::Result<()> {
    cx.ready();
    cx.stopping().await;
    Ok(())
}

fn plan(workers: usize) -> Hatchery {
    Hatchery::new().agent(idle).workers(workers, idle)
}

/// The first moment of March and of October 2026, in UTC.
const MARCH: Duration = Duration::from_secs(1_772_323_200);
const OCTOBER: Duration = Duration::from_secs(1_790_812_800);

/// A job that writes down that it has begun, and takes so long.
fn note(sim: &Simulation, begun: &Begun, takes: Duration) -> impl Fn(Context, Tick) -> Work + Send + Sync + 'static {
    let (sim, begun) = (sim.clone(), begun.clone());
    move |cx: Context, tick: Tick| {
        let run = (tick.schedule, tick.due, cx.id().to_string(), sim.now());
        begun.lock().expect("nobody panicked").push(run);
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            Ok(())
        })
    }
}

type Work = std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

async fn throws() -> Result<(), String> {
    Err("nobody is to come here".to_owned())
}

async fn throw(_: Context) -> Result<(), String> {
    panic!("thrown by a job")
}

fn count(begun: &Begun, schedule: &str) -> usize {
    begun.lock().expect("nobody panicked").iter().filter(|(name, ..)| name == schedule).count()
}

async fn status(cluster: &ClusterHandle, name: &str) -> ScheduleStatus {
    let all = cluster.messenger().schedules(secs(60)).await.expect("the agent answers");
    all.into_iter().find(|status| status.name == name).expect("it is declared")
}

/// The runs of a daily job in a month, as days of it and minutes of those, in UTC.
fn month(first: Duration) -> Vec<(u64, u64)> {
    let months = Arc::new(Mutex::new(Vec::new()));
    let told = months.clone();
    Explore::new(0..4).virtual_time_limit(DAY * 40).run(move |sim| {
        let told = told.clone();
        async move {
            let begun = Begun::default();
            // Three hours before, since it begins earlier in Berlin.
            sim.set_calendar(UNIX_EPOCH + first - HOUR * 3);
            let daily = Schedule::cron("30 2 * * *").time_zone("Europe/Berlin");
            let cluster = sim.start(plan(4).schedule("daily", daily, note(&sim, &begun, secs(60)))).await?;
            cluster.ready().await?;
            sim.elapse(DAY * 31).await;
            let now = status(&cluster, "daily").await;
            assert_eq!((now.runs, now.failures, now.missed, now.skipped), (31, 0, 0, 0));
            let last = now.last.expect("it has run");
            assert_eq!((last.duration(), &last.outcome), (secs(60), &RunOutcome::Done));
            let since = |at: SystemTime| at.duration_since(UNIX_EPOCH + first).expect("of that month").as_secs() / 60;
            let runs = begun.lock().expect("nobody panicked").clone();
            let minutes = runs.iter().map(|run| (1 + since(run.1) / 1_440, since(run.1) % 1_440));
            told.lock().expect("nobody panicked").push(minutes.collect::<Vec<_>>());
            cluster.shutdown().await?;
            sim.check_quiescent()
        }
    });
    let mut months = months.lock().expect("nobody panicked");
    let first = months.pop().expect("there is one");
    assert!(months.iter().all(|other| *other == first));
    first
}

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

/// What is written to it is kept.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_a_run_logs_says_of_which_schedule() {
    if !alone("schedules::what_a_run_logs_says_of_which_schedule") {
        return;
    }
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        Simulation::run(1, |sim| async move {
            let job = |_, _| async {
                tracing::info!("before it waits");
                tokio::time::sleep(secs(1)).await;
                tracing::info!("and after");
                hatchery::Result::<()>::Ok(())
            };
            let cluster = sim.start(plan(1).schedule("daily", Schedule::once(), job)).await?;
            cluster.ready().await?;
            sim.elapse(secs(5)).await;
            cluster.shutdown().await?;
            sim.check_quiescent()
        });
    });
    let text = String::from_utf8(written.0.lock().expect("nobody panicked").clone()).expect("it is text");
    for said in ["before it waits", "and after"] {
        let line = text.lines().find(|line| line.contains(said)).expect("it is logged");
        let span = "member{id=worker/0#1}:run{schedule=\"daily\" number=";
        assert!(line.contains(span) && line.contains("attempt=1}"), "{line}");
    }
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
