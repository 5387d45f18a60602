//! Walks through the seat table at random, with processes as the operating system would have them.

mod kinds;
mod world;

use self::kinds::{KINDS, Kind};
use self::world::{World, is_answer};
use super::tables::{millis, panic};
use super::*;
use crate::identity::MemberId;

/// Thousands of lives at random: boots that fail, exceptions, silence, kills, links that go before or after their process,
/// old facts repeated, operators with wishes, and a stop in the end, which must end.
#[test]
fn walks_at_random_keep_every_promise() {
    let base: u64 = std::env::var("HATCHERY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let seeds: u64 = std::env::var("HATCHERY_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(10_000);
    let worlds: Vec<World> = (base..base + seeds).map(walk).collect();
    // A walk that never gets going proves little, and one seed alone nothing of this.
    if worlds.len() < 500 {
        return;
    }
    let count = |of: fn(&World) -> usize| worlds.iter().map(of).sum::<usize>();
    let running = count(|world| world.announced);
    let (exits, gave_up) = (count(|world| world.exits), count(|world| usize::from(world.gave_up)));
    let (along, done) = (count(|world| world.went_along), count(|world| world.concluded[0]));
    let (superseded, failed) = (count(|world| world.concluded[1]), count(|world| world.concluded[2]));
    println!("{running} ran, {exits} exits, {gave_up} gave up, {along} went along");
    println!("operations: {done} done, {superseded} superseded, {failed} failed");
    assert!(running * 2 > worlds.len() && exits > worlds.len() * 5, "{running} ran, {exits} exits");
    assert!(gave_up * 100 > worlds.len(), "{gave_up} gave up");
    for (what, often) in [("went along", along), ("done", done), ("superseded", superseded), ("failed", failed)] {
        assert!(often > worlds.len() / 5, "{what}: {often}");
    }
}

/// One life of a cluster, until its end.
fn walk(seed: u64) -> World {
    // A minute without anybody of use, a boot and a second as the last chance; and time goes by in leaps of 20 s.
    let patience = millis(60_000 + 10_000 + 1_000 + 3 * 20_000);
    let mut dice = Dice::seeded(seed);
    let kind = KINDS[dice.below(KINDS.len())];
    let plan = kind.plan(1 + dice.below(3) as u16);
    let (mut world, mut now, mut old) = (World::default(), Moment::START, Vec::new());
    world.open = plan.roles().iter().flat_map(RolePlan::slots).collect();
    let mut supervisor = Supervisor::new(plan.clone(), seed);
    let mut recorder = Recorder::new(&supervisor);
    let steps = 20 + dice.below(200);
    let actions = supervisor.handle(Event::Boot, now);
    recorder.step(now, &Event::Boot, actions.as_slice(), &supervisor);
    world.obey(actions, kind, now, seed);
    let smooth_start = dice.below(4) > 0;
    for step in 0.. {
        if world.finished {
            break;
        }
        assert!(step < steps + 2_000, "seed {seed}: the stop does not end");
        let booting = smooth_start && world.announced == 0 && step < steps;
        // The usual one is mostly without anybody for long; the others are to live, so that more can meet.
        let leap = match kind {
            Kind::Usual => [0, 1, 50, 900, 3_000, 20_000][dice.below(6)],
            Kind::Operated | Kind::RestForOne | Kind::OneForAll | Kind::OneForRole | Kind::Mortal | Kind::Whimsical => {
                [0, 0, 1, 1, 50, 50, 300, 900, 3_000, 20_000][dice.below(10)]
            }
        };
        now = now + millis(if booting { 1 } else { leap });
        world.look(now);
        let event = match supervisor.deadline() {
            Some(due) if due <= now => Event::DeadlinePassed,
            _ if step == steps => Event::Stop(Urgency::Graceful),
            _ if step > steps && dice.below(20) == 0 => Event::Stop(Urgency::Quick),
            _ if booting => {
                let unready = world.living.iter_mut().find(|(_, life)| !life.ready);
                let (id, life) = unready.expect("somebody is still starting");
                life.ready = true;
                Event::Ready(*id)
            }
            _ if kind != Kind::Usual && dice.below(6) == 0 => world.wish(&mut dice, now),
            _ => happening(&mut world, &mut dice, &old),
        };
        if let Event::Exited(id, _) = &event
            && world.living.remove(id).is_some()
        {
            world.exits += 1;
        }
        old.push(event.clone());
        let failures = supervisor.history.iter().count();
        let actions = supervisor.handle(event.clone(), now);
        if std::env::var_os("TRACE").is_some() {
            println!("{now} {kind:?} {event} => {:?}", actions.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
        recorder.step(now, &event, actions.as_slice(), &supervisor);
        if dice.below(400) == 0 {
            // From here on, as if the ring had gone round.
            recorder = Recorder::new(&supervisor);
        }
        let asked = actions.iter().filter(|action| is_answer(action)).count();
        let counted = supervisor.history.iter().count() - failures;
        assert!(counted <= asked, "seed {seed}: {event} counts {counted} failures and asks about {asked}");
        world.begins_to_stop = supervisor.phase.is_stopping();
        world.obey(actions, kind, now, seed);
        world.stopping = world.begins_to_stop;
        if kind == Kind::Usual && step < steps && !world.gave_up {
            for (role, last) in &world.of_use {
                assert!(now - *last <= patience, "seed {seed}: nobody of role {role} is of use, and it goes on");
            }
        }
    }
    let recorded: usize = world.records.values().sum();
    assert!(world.records.values().all(|&times| times == 1), "seed {seed}: {:?}", world.records);
    assert_eq!(recorded, world.exits, "seed {seed}: exits and recorded causes differ");
    assert_eq!(supervisor.deadline(), None, "seed {seed}: something is due after the end");
    if seed.is_multiple_of(10) {
        let written = serde_json::to_string(&recorder.recording()).expect("it can be written");
        let read: Recording = serde_json::from_str(&written).expect("it can be read");
        let steps = read.replay(plan).unwrap_or_else(|divergence| panic!("seed {seed}: {divergence}"));
        assert_eq!(steps.len(), read.steps().len());
    }
    world
}

/// Something that may happen to somebody, or an old fact again.
fn happening(world: &mut World, dice: &mut Dice, old: &[Event]) -> Event {
    let ids: Vec<MemberId> = world.living.keys().copied().collect();
    if ids.is_empty() || (dice.below(8) == 0 && !old.is_empty()) {
        // Only facts about members: to stop twice is a new wish.
        let is_fact = |event: &&Event| {
            matches!(
                event,
                Event::Exited(..)
                    | Event::Exception(..)
                    | Event::Unresponsive(..)
                    | Event::LinkLost(..)
                    | Event::Ready(_)
            )
        };
        let facts: Vec<_> = old.iter().filter(is_fact).collect();
        return facts.get(dice.below(facts.len().max(1))).map_or(Event::DeadlinePassed, |&event| event.clone());
    }
    let id = ids[dice.below(ids.len())];
    let life = world.living.get_mut(&id).expect("it was just listed");
    match dice.below(14) {
        0..=5 => {
            life.ready = true;
            Event::Ready(id)
        }
        6 => {
            let returned = Exception::new(ExceptionKind::Returned, "no licence");
            Event::Exception(id, [panic(), returned][dice.below(2)].clone())
        }
        7 | 8 => {
            // Out of reach, it serves nobody.
            life.admitted = None;
            let broken = LinkError::Protocol("random".into());
            Event::LinkLost(id, [LinkError::Closed, broken][dice.below(2)].clone())
        }
        9 => Event::Exited(id, Exit::code([0, 1, 64, 70][dice.below(4)])),
        10 => {
            life.admitted = None;
            Event::Unresponsive(id, millis(30_000))
        }
        _ if life.asked || life.killed => Event::Exited(id, Exit::code(0)),
        _ => Event::Exited(id, Exit::signal(9)),
    }
}
