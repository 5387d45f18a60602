//! Schedules: where runs are, and what becomes of them when the agent is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hatchery::schedule::RunOutcome;
use hatchery::{Messenger, ScheduleStatus, Slot};
use rand::{RngExt, SeedableRng};

use super::messages::told;
use super::{Case, Need, case};
use crate::cast::Cast;
use crate::stage::{Order, Stage};
use crate::story::Story;

pub fn cases() -> Vec<Case> {
    vec![
        case("a schedule runs on one worker, on all of them, on the agent, or once", Cast::Scheduled, |stage| {
            Box::pin(placed(stage))
        }),
        Case {
            name: "an agent that is killed a hundred times has nothing run twice",
            cast: Cast::Scheduled,
            needs: &[Need::Kill],
            proof: |stage| Box::pin(killed(stage)),
        },
    ]
}

/// A run that has begun: its schedule, its number, and who runs it.
type Ran = (String, u64, String);

async fn status(messenger: &Messenger, name: &str) -> ScheduleStatus {
    let all = messenger.schedules(Duration::from_secs(60)).await.expect("the agent answers");
    all.into_iter().find(|status| status.name == name).expect("it is declared")
}

async fn placed(stage: Stage) {
    let story = Story::ready(&stage).await;
    let messenger = story.handle.messenger();
    let mut ran = told::<Ran>(&messenger, "ran");
    let mut by: BTreeMap<(String, u64), BTreeSet<String>> = BTreeMap::new();
    let full = |by: &BTreeMap<(String, u64), BTreeSet<String>>| {
        let several = |name: &str, members: usize| {
            by.iter().filter(|((of, _), who)| of == name && who.len() == members).count() >= 3
        };
        several("one", 1) && several("all", 2) && several("agent", 1)
    };
    while !full(&by) {
        let (name, number, who) = ran.recv().await.expect("somebody runs it");
        let is_new = by.entry((name.clone(), number)).or_default().insert(who.clone());
        assert!(is_new, "{name} {number} is run twice by {who}");
    }
    for ((name, number), who) in &by {
        let is_agent = |who: &String| who.starts_with("agent/");
        match name.as_str() {
            "one" | "once" => assert!(who.len() == 1 && !who.iter().any(is_agent), "{name} {number}: {who:?}"),
            "all" => assert!(who.len() <= 2 && !who.iter().any(is_agent), "{name} {number}: {who:?}"),
            "agent" => assert!(who.len() == 1 && who.iter().all(is_agent), "{name} {number}: {who:?}"),
            other => panic!("nobody has declared {other}"),
        }
    }
    let once = status(&messenger, "once").await;
    assert_eq!((once.next, once.runs, once.failures), (None, 1, 0));
    let one = status(&messenger, "one").await;
    assert!(one.runs >= 3 && one.next.is_some());
    assert_eq!(one.last.expect("it has run").outcome, RunOutcome::Done);
    story.end().await;
}

async fn killed(stage: Stage) {
    const KILLS: u64 = 100;
    // Always the same: where nothing is simulated, the processes themselves see to it that no two are alike.
    let mut dice = rand_pcg::Pcg64Mcg::seed_from_u64(1);
    let mut story = Story::ready(&stage).await;
    let messenger = story.handle.messenger();
    let mut ran = told::<Ran>(&messenger, "ran");
    let mut runs: BTreeMap<Ran, u32> = BTreeMap::new();
    for _ in 0..KILLS {
        // At some point of what it has to do for one of the next few runs.
        for _ in 0..dice.random_range(1..6) {
            *runs.entry(ran.recv().await.expect("somebody runs it")).or_default() += 1;
        }
        stage.signal(&story.handle, story.member(Slot::agent()), Order::Kill);
        story.until_ready(Slot::agent()).await;
    }
    let agent = story.member(Slot::agent()).incarnation().get();
    assert_eq!(u64::from(agent), KILLS + 1, "each of them was one end");
    let once = status(&messenger, "once").await;
    assert_eq!((once.runs, once.waiting, once.running), (1, 0, 0));
    let one = status(&messenger, "one").await;
    story.end().await;
    while let Ok(run) = ran.try_recv() {
        *runs.entry(run).or_default() += 1;
    }
    let twice: Vec<_> = runs.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "run twice: {twice:?}");
    let mut by_number: BTreeMap<u64, u32> = BTreeMap::new();
    for (name, number, _) in runs.keys() {
        if name == "one" {
            *by_number.entry(*number).or_default() += 1;
        }
    }
    assert!(by_number.values().all(|count| *count == 1), "on two workers: {by_number:?}");
    println!("{} runs of one worker have begun, {} have ended before the last look", by_number.len(), one.runs);
    assert!(by_number.len() > 20, "{by_number:?}");
}
