//! What the master keeps, under chaos: counted by the code of users.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hatchery::simulation::{Fault, explore};
use hatchery::{Context, Hatchery, MemberId, Role, Slot};

use crate::{ms, rough, secs, seeds};

const TOPIC: &str = "count";

/// What each member has heard: the number, and how many before it were skipped.
type Heard = Arc<Mutex<BTreeMap<MemberId, Vec<(u64, u64)>>>>;

/// Counts aloud, and goes on where its predecessor was: what is kept is all that it knows.
async fn count(cx: Context) -> hatchery::Result<()> {
    let messenger = cx.messenger();
    let last = messenger.subscribe::<u64>(TOPIC).await?.latest();
    cx.ready();
    for number in last.map_or(0, |last| last + 1).. {
        tokio::select! {
            biased;
            () = cx.stopping() => break,
            () = tokio::time::sleep(ms(10)) => {}
        }
        messenger.publish(TOPIC, &number).await?;
    }
    Ok(())
}

async fn listen(cx: Context, heard: Heard) -> hatchery::Result<()> {
    let mut subscription = cx.messenger().subscribe::<u64>(TOPIC).await?;
    cx.ready();
    loop {
        let update = tokio::select! {
            biased;
            () = cx.stopping() => return Ok(()),
            update = subscription.next() => update,
        };
        let Some(update) = update else { return Ok(()) };
        let number = update.value.ok_or("nobody retracts it")?;
        heard.lock().expect("nobody panicked").entry(cx.id()).or_default().push((number, update.missed));
    }
}

fn counted(heard: &Heard, workers: usize) -> Hatchery {
    let heard = heard.clone();
    Hatchery::new().agent(count).workers(workers, move |cx: Context| listen(cx, heard.clone()))
}

/// Each number that a member has heard is the one after that before it and those that it knows it missed.
fn check(heard: &Heard) {
    for (id, numbers) in heard.lock().expect("nobody panicked").iter() {
        for pair in numbers.windows(2) {
            let ((before, _), (number, missed)) = (pair[0], pair[1]);
            assert_eq!(number, before + 1 + missed, "{id} heard {before}, and then {number}, {missed} missed");
        }
    }
}

#[test]
fn whoever_lives_hears_every_change_in_order_or_how_many_it_missed_and_the_latest() {
    explore(seeds(), |sim| async move {
        let heard = Heard::default();
        let cluster = sim.start(counted(&heard, 3)).await?;
        cluster.ready().await?;
        let chaos = sim.chaos(rough());
        sim.elapse(secs(120)).await;
        chaos.stop();
        assert!(chaos.took_effect() > 3, "{} faults took effect", chaos.took_effect());
        // And one that ends the agent in any case.
        sim.fault(Slot::agent(), Fault::Signal(9));
        sim.eventually(secs(120), || {
            cluster.status().ready(Role::WORKER) == 3 && cluster.status().ready(Role::AGENT) == 1
        })
        .await?;
        sim.elapse(secs(60)).await;
        let host = cluster.messenger().subscribe::<u64>(TOPIC).await?;
        let (before, now) = (host.latest().ok_or("it is kept")?, sim.now());
        sim.elapse(secs(1)).await;
        let latest = host.latest().ok_or("it is kept")?;
        assert!(latest >= before + 90, "{before} at {now:?}, {latest} a second later");
        let living: Vec<MemberId> = cluster.status().of(Role::WORKER).map(|status| status.id).collect();
        for id in living {
            let last = heard.lock().expect("nobody panicked").get(&id).and_then(|numbers| numbers.last().copied());
            let (last, _) = last.ok_or_else(|| format!("{id} has heard nothing"))?;
            assert!(last + 1 >= latest, "{id} has heard {last} of {latest}");
        }
        check(&heard);
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn who_stands_still_holds_up_nobody_and_hears_the_latest_when_it_goes_on() {
    const LONG: usize = 100_000;
    explore(seeds(), |sim| async move {
        let heard = Heard::default();
        let cluster = sim.start(counted(&heard, 2)).await?;
        cluster.ready().await?;
        let mut large = cluster.messenger().subscribe::<Vec<u8>>("large").await?;
        let frozen = Slot::worker(0);
        sim.fault(frozen, Fault::Stop);
        // More than any queue holds on its way to whoever does not read.
        for number in 0..100u8 {
            cluster.messenger().publish("large", &vec![number; LONG]).await?;
        }
        sim.elapse(secs(10)).await;
        let of = |index: u16| {
            let heard = heard.lock().expect("nobody panicked");
            let of = |id: &&MemberId| id.slot() == Slot::worker(index);
            heard.keys().find(of).and_then(|id| heard[id].last()).map_or(0, |(number, _)| *number)
        };
        assert!(of(1) > 900 && of(1) > of(0) + 900, "{} and {}", of(0), of(1));
        let (mut next, mut missed) = (0u64, 0);
        while next < 100 {
            let update = large.next().await.ok_or("it goes on")?;
            assert_eq!(u64::from(update.value.ok_or("nobody retracts it")?[0]), next + update.missed);
            next += 1 + update.missed;
            missed += update.missed;
        }
        assert!(missed > 80, "who did not look has a megabyte: {missed} missed");
        sim.fault(frozen, Fault::Continue);
        sim.elapse(secs(1)).await;
        assert!(of(0) + 2 > of(1), "{} and {}", of(0), of(1));
        check(&heard);
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}
