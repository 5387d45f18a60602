//! Walks through the seat table at random, with processes as the operating system would have them.

use std::collections::BTreeMap;

use super::tables::{millis, panic, plan};
use super::*;
use crate::identity::{MemberId, Role, Slot};

/// Processes as the operating system would have them, driven by what the core asks for and by dice.
#[derive(Default)]
struct World {
    living: BTreeMap<MemberId, Life>,
    spawned: BTreeMap<Slot, u32>,
    exits: usize,
    records: BTreeMap<MemberId, usize>,
    announced: usize,
    /// When somebody of the role was last of use: ready for a second.
    of_use: BTreeMap<Role, Moment>,
    gave_up: bool,
    finished: bool,
}

#[derive(Default)]
struct Life {
    ready: bool,
    admitted: Option<Moment>,
    asked: bool,
    killed: bool,
}

impl World {
    fn obey(&mut self, actions: Actions, now: Moment, seed: u64) {
        for action in actions {
            assert!(!self.finished, "seed {seed}: {action:?} after the end");
            match action {
                Action::Spawn(id) => {
                    let nth = self.spawned.entry(id.slot()).or_default();
                    *nth += 1;
                    assert_eq!(*nth, id.incarnation().get(), "seed {seed}: {id} skips or repeats an incarnation");
                    let serving = self
                        .living
                        .iter()
                        .filter(|(other, life)| other.slot() == id.slot() && !life.asked && !life.killed);
                    assert_eq!(serving.count(), 0, "seed {seed}: {id} would be the second in its slot");
                    if id.role() == Role::WORKER && self.announced == 0 {
                        assert!(
                            self.living.iter().any(|(other, life)| other.role() == Role::AGENT && life.ready),
                            "seed {seed}: {id} is started without an agent"
                        );
                    }
                    self.living.insert(id, Life::default());
                }
                Action::Drain(id, _) | Action::Terminate(id, _) => {
                    if id.role() == Role::AGENT {
                        assert!(
                            self.living.keys().all(|other| other.role() == Role::AGENT),
                            "seed {seed}: the agent is stopped before the workers have gone"
                        );
                    }
                    if let Some(life) = self.living.get_mut(&id) {
                        life.asked = true;
                    }
                }
                Action::Kill(id) => {
                    let life = self.living.get_mut(&id).unwrap_or_else(|| panic!("seed {seed}: {id} is not there"));
                    assert!(!life.killed, "seed {seed}: {id} is killed twice");
                    life.killed = true;
                }
                Action::Abandon(id) => {
                    self.exits += 1;
                    assert!(self.living.remove(&id).is_some_and(|life| life.killed), "seed {seed}: {id}");
                }
                Action::Record(record) => {
                    if matches!(record.decision, Decision::GiveUp | Decision::Strategy(Directive::Escalate(_))) {
                        self.gave_up = true;
                        let missed = now - self.of_use[&record.member.role()];
                        assert!(missed >= millis(60_000), "seed {seed}: gives up after {missed:?}");
                    }
                    if !matches!(record.cause, Cause::Exception(_) | Cause::NobodyReady(_)) {
                        *self.records.entry(record.member).or_default() += 1;
                    }
                }
                Action::AnnounceReady => {
                    self.announced += 1;
                    self.of_use = [Role::AGENT, Role::WORKER].map(|role| (role, now)).into();
                }
                Action::Finish(_) => {
                    assert!(self.living.is_empty(), "seed {seed}: {:?} outlive the cluster", self.living.keys());
                    self.finished = true;
                }
                Action::Admit(id) => {
                    let life = self.living.get_mut(&id).unwrap_or_else(|| panic!("seed {seed}: {id} is not there"));
                    life.admitted = Some(now);
                }
                Action::ResendReady(_)
                | Action::Stay(_)
                | Action::Park(_)
                | Action::Vacate(_)
                | Action::Open(_)
                | Action::Close(_)
                | Action::Conclude(..) => {}
            }
        }
        assert!(self.announced <= 1, "seed {seed}: ready is announced twice");
    }

    /// Who serves at this moment is of use, if it has for a second.
    fn look(&mut self, now: Moment) {
        for (id, life) in self.living.iter().filter(|(_, life)| !life.asked && !life.killed) {
            if life.admitted.is_some_and(|since| now - since >= millis(1_000))
                && let Some(last) = self.of_use.get_mut(&id.role())
            {
                *last = now;
            }
        }
    }
}

/// Thousands of lives at random: boots that fail, exceptions, kills, links that go before or after their process, old
/// facts repeated, and a stop in the end, which must end.
#[test]
fn walks_at_random_keep_every_promise() {
    let base: u64 = std::env::var("HATCHERY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let seeds: u64 = std::env::var("HATCHERY_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2_000);
    let worlds: Vec<World> = (base..base + seeds).map(walk).collect();
    // A walk that never gets going proves little.
    let running = worlds.iter().filter(|world| world.announced > 0).count();
    let exits: usize = worlds.iter().map(|world| world.exits).sum();
    let gave_up = worlds.iter().filter(|world| world.gave_up).count();
    assert!(running * 2 > worlds.len() && exits > worlds.len() * 5, "{running} ran, {exits} exits");
    assert!(gave_up * 100 > worlds.len(), "{gave_up} gave up");
}

/// One life of a cluster, until its end.
fn walk(seed: u64) -> World {
    // A minute without anybody of use, a boot and a second as the last chance; and time goes by in leaps of 20 s.
    let patience = millis(60_000 + 10_000 + 1_000 + 3 * 20_000);
    let mut dice = Dice::seeded(seed);
    let mut supervisor = Supervisor::new(plan(1 + dice.below(3) as u16), seed);
    let (mut world, mut now, mut old) = (World::default(), Moment::START, Vec::new());
    let steps = 20 + dice.below(200);
    let actions = supervisor.handle(Event::Boot, now);
    world.obey(actions, now, seed);
    let smooth_start = dice.below(4) > 0;
    for step in 0.. {
        if world.finished {
            break;
        }
        assert!(step < steps + 2_000, "seed {seed}: the stop does not end");
        let booting = smooth_start && world.announced == 0 && step < steps;
        now = now + millis(if booting { 1 } else { [0, 1, 50, 900, 3_000, 20_000][dice.below(6)] });
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
            _ => happening(&mut world, &mut dice, &old),
        };
        if let Event::Exited(id, _) = &event
            && world.living.remove(id).is_some()
        {
            world.exits += 1;
        }
        old.push(event.clone());
        let actions = supervisor.handle(event, now);
        world.obey(actions, now, seed);
        if step < steps && !world.gave_up {
            for (role, last) in &world.of_use {
                assert!(now - *last <= patience, "seed {seed}: nobody of role {role} is of use, and it goes on");
            }
        }
    }
    let recorded: usize = world.records.values().sum();
    assert!(world.records.values().all(|&times| times == 1), "seed {seed}: {:?}", world.records);
    assert_eq!(recorded, world.exits, "seed {seed}: exits and recorded causes differ");
    world
}

/// Something that may happen to somebody, or an old fact again.
fn happening(world: &mut World, dice: &mut Dice, old: &[Event]) -> Event {
    let ids: Vec<MemberId> = world.living.keys().copied().collect();
    if ids.is_empty() || (dice.below(8) == 0 && !old.is_empty()) {
        // Only facts about members: to stop twice is a new wish.
        let facts: Vec<_> =
            old.iter().filter(|event| matches!(event, Event::Exited(..) | Event::Exception(..))).collect();
        return facts.get(dice.below(facts.len().max(1))).map_or(Event::DeadlinePassed, |&event| event.clone());
    }
    let id = ids[dice.below(ids.len())];
    let life = world.living.get_mut(&id).expect("it was just listed");
    match dice.below(12) {
        0..=4 => {
            life.ready = true;
            Event::Ready(id)
        }
        5 => {
            let returned = Exception::new(ExceptionKind::Returned, "no licence");
            Event::Exception(id, [panic(), returned][dice.below(2)].clone())
        }
        6 | 7 => {
            // Out of reach, it serves nobody.
            life.admitted = None;
            let broken = LinkError::Protocol("random".into());
            Event::LinkLost(id, [LinkError::Closed, broken][dice.below(2)].clone())
        }
        8 => Event::Exited(id, Exit::code([0, 1, 64, 70][dice.below(4)])),
        _ if life.asked || life.killed => Event::Exited(id, Exit::code(0)),
        _ => Event::Exited(id, Exit::signal(9)),
    }
}
