//! A restart strategy of one's own: a few quick tries, then slow ones, then somebody should look. Here on real processes;
//! below, its table, and the same cluster simulated.
//!
//! ```console
//! $ cargo run --example custom_strategy
//! two workers serve; the configuration is spoilt, and worker/1 is killed
//!   worker/1#1 has ended -> restart at once
//!   worker/1#2 has ended -> restart at once
//!   worker/1#3 has ended -> restart at once
//!   worker/1#4 has ended -> restart in 200.0ms
//!   worker/1#5 has ended -> restart in 200.0ms
//!   worker/1#6 has ended -> park for good
//! worker/0#1 has served all the while
//! somebody has looked and mended the configuration; worker/1 is restarted: done
//! worker/1#7 serves
//! ```
//!
//! It ends by itself, with 0; or with 1 and a sentence, after half a minute at the latest. Its tests:
//! `cargo test --example custom_strategy --features simulation`.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hatchery::supervision::{Answer, Dice, Directive, Fact, Intensity, Misfit, RestartType, Scope, Strategy, View};
use hatchery::{BoxError, Cluster, ClusterEvent, Context, Hatchery, Request, Role, Slot};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A slot that fails climbs a ladder, rung by rung. At its end it is parked, until somebody restarts it by hand.
///
/// All of it is settings: what a slot has been through comes in the [`View`], and goes back in the [`Answer`]. So one value
/// does for all slots, and a recording of it can be replayed.
#[derive(Clone, Debug)]
struct Ladder {
    /// So many rungs without a delay: most failures have nothing to do with what comes after them.
    quick: u32,
    /// So many after them with a pause: what is needed from elsewhere may come back.
    slow: u32,
    /// The pause before each slow one.
    pause: Duration,
    /// Ready for this long, and the ladder is left: the next failure is the first one.
    healthy: Duration,
    /// However healthy between them: with more failures than this, somebody should look.
    failures: Intensity,
}

impl Ladder {
    /// How long one that has thrown may take to finish what it has accepted, while its successor serves.
    const DRAIN: Duration = Duration::from_secs(10);

    fn new() -> Ladder {
        Ladder {
            quick: 3,
            slow: 2,
            pause: Duration::from_millis(200),
            healthy: Duration::from_secs(60),
            failures: Intensity::new(10, Duration::from_secs(3600)),
        }
    }
}

impl Strategy for Ladder {
    fn decide(&self, fact: &Fact<'_>, view: &View<'_>, _: &mut Dice) -> Answer {
        // What is remembered of a slot is the rung that it stands on.
        let rung = if view.failure.is_young(self.healthy) { view.memory.saturating_add(1) } else { 1 };
        let is_worn_out = view.history.count_within(self.failures.period, view.now) >= self.failures.restarts;
        if is_worn_out || rung > u64::from(self.quick) + u64::from(self.slow) {
            // Whoever has looked and restarts it gives it the whole ladder again; the failures of the hour stay counted.
            return Directive::Park { probe: None }.remember(0);
        }
        let again = if rung > u64::from(self.quick) {
            Directive::Restart { scope: Scope::One, after: self.pause }
        } else {
            match fact {
                Fact::Exception(_) => Directive::Replace { drain: Ladder::DRAIN },
                // There is nobody left who could finish anything, whatever else it was. The compiler asks for this arm:
                // a later version may know of more.
                _ => Directive::Restart { scope: Scope::One, after: Duration::ZERO },
            }
        };
        again.remember(rung)
    }

    fn restart_type(&self) -> Option<RestartType> {
        Some(RestartType::Permanent)
    }

    fn check(&self) -> Result<(), Misfit> {
        match self.slow > 0 && self.pause.is_zero() {
            true => Err(Misfit::new("pause", "a slow try without a pause is a quick one")),
            false => Ok(()),
        }
    }

    fn name(&self) -> &'static str {
        "the ladder"
    }
}

fn plan(ladder: Ladder) -> Hatchery {
    Hatchery::new().agent(agent).workers(2, worker).tune(Role::WORKER.name(), |role| {
        role.strategy(ladder);
    })
}

/// Keeps the configuration of the workers.
async fn agent(cx: Context) -> hatchery::Result<()> {
    let kept = Arc::new(Mutex::new("5".to_owned()));
    let changed = kept.clone();
    cx.messenger().answer("configuration", move |_: Request<()>| {
        let text = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        async move { Ok::<_, String>(text) }
    })?;
    cx.messenger().answer("configure", move |request: Request<String>| {
        *changed.lock().unwrap_or_else(PoisonError::into_inner) = request.body;
        async { Ok::<_, String>(()) }
    })?;
    cx.ready();
    Ok(())
}

/// Cannot start with a configuration that it does not understand. With one that it does, it serves whatever comes later.
async fn worker(cx: Context) -> hatchery::Result<()> {
    let text: String = cx.messenger().call(Slot::agent(), "configuration", &()).await?;
    if text.parse::<u32>().is_err() {
        return Err(format!("the configuration is {text:?}, which is no number").into());
    }
    let id = cx.id().to_string();
    cx.messenger().answer("who", move |_: Request<()>| {
        let id = id.clone();
        async move { Ok::<_, String>(id) }
    })?;
    cx.ready();
    cx.stopping().await;
    Ok(())
}

pub(crate) fn main() -> ExitCode {
    // In a member this does not return.
    let ended = plan(Ladder::new()).enter().map_err(BoxError::from).and_then(|cluster| {
        let runtime = tokio::runtime::Runtime::new()?;
        let limit = Duration::from_secs(30);
        runtime.block_on(async { tokio::time::timeout(limit, show(&cluster)).await })?
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("custom_strategy: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Has a worker fail until it is put aside, and brings it back.
async fn show(cluster: &Cluster) -> Result<(), BoxError> {
    let handle = cluster.start().await?;
    let mut events = handle.events();
    handle.ready().await?;
    let messenger = handle.messenger();
    let sick = Slot::worker(1);

    println!("two workers serve; the configuration is spoilt, and {sick} is killed");
    messenger.call::<()>(Slot::agent(), "configure", &"five").await?;
    let status = handle.status();
    let pid = status.of(Role::WORKER).find(|member| member.id.slot() == sick).and_then(|member| member.pid);
    kill(Pid::from_raw(pid.ok_or("it has no process")?.try_into()?), Signal::SIGKILL)?;
    while let Some(event) = events.next().await {
        match &event {
            // Why it has ended is in the event as well.
            ClusterEvent::Exited { member, decision, .. } if member.slot() == sick => {
                println!("  {member} has ended -> {decision}");
            }
            ClusterEvent::Parked { slot, .. } if *slot == sick => break,
            _ => {}
        }
    }
    println!("{} has served all the while", messenger.call::<String>(Slot::worker(0), "who", &()).await?);

    messenger.call::<()>(Slot::agent(), "configure", &"5").await?;
    let conclusion = handle.restart(sick).await;
    println!("somebody has looked and mended the configuration; {sick} is restarted: {conclusion}");
    println!("{} serves", messenger.call::<String>(sick, "who", &()).await?);
    handle.shutdown().await?;
    Ok(())
}

/// The table: a past, a fact, an answer. No process, no runtime, no clock.
#[cfg(test)]
mod table {
    use hatchery::supervision::{
        BootFailure, Exception, ExceptionKind, LinkError, Moment, OwnedFact, Table, code, signal,
    };

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A slot that fails young, and stands on this rung.
    fn on_rung(rung: u64) -> Table {
        View::table(Slot::worker(0)).memory(rung).ready_for(Duration::from_secs(59))
    }

    fn killed() -> OwnedFact {
        Fact::exited(signal(9))
    }

    fn restart(millis: u64) -> Directive {
        Directive::Restart { scope: Scope::One, after: Duration::from_millis(millis) }
    }

    fn somebody_should_look() -> Answer {
        Directive::Park { probe: None }.remember(0)
    }

    #[test]
    fn three_tries_are_quick_two_slow_and_then_somebody_should_look() {
        let rungs = [
            (0, restart(0).remember(1)),
            (1, restart(0).remember(2)),
            (2, restart(0).remember(3)),
            (3, restart(200).remember(4)),
            (4, restart(200).remember(5)),
            (5, somebody_should_look()),
            (u64::MAX, somebody_should_look()),
        ];
        for (rung, answer) in rungs {
            assert_eq!(on_rung(rung).ask(&Ladder::new(), &killed()), answer, "from rung {rung}");
        }
    }

    #[test]
    fn whatever_ended_it_the_next_one_is_started() {
        let facts = [
            killed(),
            Fact::exited(code(0)),
            Fact::boot_failed(BootFailure::Ended(code(1))),
            Fact::link_lost(LinkError::Closed),
            Fact::unresponsive(Duration::from_secs(5)),
        ];
        for fact in facts {
            assert_eq!(on_rung(0).ask(&Ladder::new(), &fact), restart(0).remember(1), "{fact:?}");
        }
    }

    #[test]
    fn one_that_throws_finishes_beside_its_successor_until_the_tries_are_slow() {
        let thrown = Fact::exception(Exception::new(ExceptionKind::Panic, "boom"));
        let replace = Directive::Replace { drain: Duration::from_secs(10) };
        assert_eq!(on_rung(2).ask(&Ladder::new(), &thrown), replace.remember(3));
        assert_eq!(on_rung(3).ask(&Ladder::new(), &thrown), restart(200).remember(4));
        assert_eq!(on_rung(5).ask(&Ladder::new(), &thrown), somebody_should_look());
    }

    #[test]
    fn a_healthy_minute_leaves_the_ladder_and_a_boot_that_fails_does_not() {
        let healthy = on_rung(5).ready_for(Duration::from_secs(60));
        assert_eq!(healthy.ask(&Ladder::new(), &killed()), restart(0).remember(1));
        let never_ready = View::table(Slot::worker(0)).memory(5);
        let failed = Fact::boot_failed(BootFailure::Ended(code(1)));
        assert_eq!(never_ready.ask(&Ladder::new(), &failed), somebody_should_look());
    }

    #[test]
    fn the_eleventh_failure_of_an_hour_is_somebodys_business_however_healthy_it_was_between() {
        let minute = Duration::from_secs(60);
        let after = |failures: u32, first_ago| {
            let now = Moment::from_start(2 * HOUR);
            let first = View::table(Slot::worker(0)).now(now).ready_for(minute).failure(first_ago, Some(minute));
            (1..failures).fold(first, |table, nth| table.failure(minute * nth, Some(minute)))
        };
        assert_eq!(after(9, HOUR).ask(&Ladder::new(), &killed()), restart(0).remember(1));
        assert_eq!(after(10, HOUR).ask(&Ladder::new(), &killed()), somebody_should_look());
        let longer_ago = HOUR + Duration::from_millis(1);
        assert_eq!(after(10, longer_ago).ask(&Ladder::new(), &killed()), restart(0).remember(1));
        let others = (0..50).fold(on_rung(0), |table, _| table.role_failure(Duration::ZERO, None));
        assert_eq!(others.ask(&Ladder::new(), &killed()), restart(0).remember(1), "those of others are not counted");
    }

    #[test]
    fn slow_tries_without_a_pause_are_an_error_of_the_plan() {
        let hasty = Ladder { pause: Duration::ZERO, ..Ladder::new() };
        assert_eq!(hasty.check().expect_err("it is asked before anything is started").setting, "pause");
        assert!(plan(hasty.clone()).enter().is_err());
        assert_eq!(Ladder { slow: 0, ..hasty }.check(), Ok(()));
        assert_eq!(Ladder::new().check(), Ok(()));
    }
}

/// The same plan, agent and workers on a virtual clock. `HATCHERY_SEED=17` runs one seed only.
#[cfg(all(test, feature = "simulation"))]
mod simulated {
    use hatchery::simulation::{Fault, Simulation, explore};
    use hatchery::supervision::Conclusion;
    use hatchery::{ClusterHandle, MemberState};

    use super::*;

    const SICK: Slot = Slot::worker(1);

    /// How often this was decided about the sick one.
    fn decided(sim: &Simulation, what: &str) -> usize {
        let trace = sim.trace();
        trace.lines().filter(|line| line.contains(" worker/1#") && line.ends_with(what)).count()
    }

    fn is_parked(cluster: &ClusterHandle) -> bool {
        let status = cluster.status();
        status.of(Role::WORKER).any(|member| member.id.slot() == SICK && member.state == MemberState::Parked)
    }

    #[test]
    fn one_that_cannot_start_is_put_aside_while_the_other_serves_and_comes_back_by_hand() {
        explore(0..20, |sim| async move {
            let cluster = sim.start(plan(Ladder::new())).await?;
            cluster.ready().await?;
            let messenger = cluster.messenger();
            messenger.call::<()>(Slot::agent(), "configure", &"five").await?;
            assert!(sim.fault(SICK, Fault::Signal(9)).took_effect());
            sim.eventually(Duration::from_secs(30), || is_parked(&cluster)).await?;
            assert_eq!(decided(&sim, "-> restart at once"), 3, "{}", sim.trace());
            assert_eq!(decided(&sim, "-> restart in 200.0ms"), 2, "{}", sim.trace());
            assert_eq!(decided(&sim, "-> park for good"), 1, "{}", sim.trace());

            // Not by itself, however long nobody looks.
            messenger.call::<()>(Slot::agent(), "configure", &"5").await?;
            sim.elapse(Duration::from_secs(24 * 3600)).await;
            assert!(is_parked(&cluster));
            assert_eq!(messenger.call::<String>(Slot::worker(0), "who", &()).await?, "worker/0#1");

            assert_eq!(cluster.restart(SICK).await, Conclusion::Done);
            assert_eq!(messenger.call::<String>(SICK, "who", &()).await?, "worker/1#7");
            // It has the whole ladder before it, young as it is.
            assert!(sim.fault(SICK, Fault::Signal(9)).took_effect());
            sim.eventually(Duration::from_secs(30), || decided(&sim, "-> restart at once") == 4).await?;
            assert_eq!(messenger.call::<String>(SICK, "who", &()).await?, "worker/1#8");
            cluster.shutdown().await?;
            sim.check_quiescent()
        });
    }

    #[test]
    fn one_that_is_healthy_between_its_failures_is_restarted_at_once_ten_times_an_hour() {
        explore(0..20, |sim| async move {
            let cluster = sim.start(plan(Ladder::new())).await?;
            cluster.ready().await?;
            for failures in 1..=10 {
                sim.elapse(Duration::from_secs(61)).await;
                assert!(sim.fault(SICK, Fault::Exit(1)).took_effect());
                sim.eventually(Duration::from_secs(30), || decided(&sim, "-> restart at once") == failures).await?;
            }
            sim.elapse(Duration::from_secs(61)).await;
            assert!(sim.fault(SICK, Fault::Exit(1)).took_effect());
            sim.eventually(Duration::from_secs(30), || is_parked(&cluster)).await?;
            assert_eq!(decided(&sim, "-> restart in 200.0ms"), 0, "{}", sim.trace());
            cluster.shutdown().await?;
            sim.check_quiescent()
        });
    }
}
