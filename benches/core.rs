//! The decision core alone: facts per second, and what a cluster of many slots costs. `cargo bench --bench core`.
//!
//! No process, no clock, no runtime: a supervisor, told what an operating system would have told it.

use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use hatchery::supervision::{Action, Event, Exit, Moment, OneForOne, Plan, RolePlan, Supervisor, Urgency};
use hatchery::{MemberId, Role};

fn main() {
    divan::main();
}

/// Deaths of workers that had been of use, one after the other, each with all that follows from it: its exit, the old
/// news of its link, and the ready of its successor.
#[divan::bench(args = [5, 1_000])]
fn facts(bencher: Bencher<'_, '_>, slots: u16) {
    const ROUNDS: usize = 10_000;
    let mut world = World::running(slots);
    bencher.counter(ItemsCount::new(3 * ROUNDS)).bench_local(|| {
        for round in 0..ROUNDS {
            world.replace_one(1 + round % usize::from(slots));
        }
    });
}

/// From boot to everybody ready.
#[divan::bench(args = [100, 1_000])]
fn start(bencher: Bencher<'_, '_>, slots: u16) {
    bencher.bench_local(|| World::running(slots));
}

/// From the request to the last exit.
#[divan::bench(args = [100, 1_000])]
fn stop(bencher: Bencher<'_, '_>, slots: u16) {
    bencher.with_inputs(|| World::running(slots)).bench_local_values(World::stop);
}

/// Every worker dies once, and is replaced.
#[divan::bench(args = [100, 1_000])]
fn restart(bencher: Bencher<'_, '_>, slots: u16) {
    bencher.with_inputs(|| World::running(slots)).bench_local_refs(|world| {
        for nth in 1..=usize::from(slots) {
            world.replace_one(nth);
        }
    });
}

/// A supervisor, and the processes that it believes in.
struct World {
    supervisor: Supervisor,
    now: Moment,
    /// In the order of the plan: the agent, then the workers.
    living: Vec<MemberId>,
    finished: bool,
}

impl World {
    /// Everybody has just become ready.
    fn running(slots: u16) -> World {
        // The limits stay: they are counted for every failure.
        let plan = Plan::new(vec![
            RolePlan::new(Role::AGENT, 1, OneForOne::agent()),
            RolePlan::new(Role::WORKER, slots, OneForOne::worker()),
        ]);
        let supervisor = Supervisor::new(plan, 1);
        let mut world = World { supervisor, now: Moment::START, living: Vec::new(), finished: false };
        world.tell(Event::Boot);
        let mut greeted = 0;
        while greeted < world.living.len() {
            world.tell(Event::Ready(world.living[greeted]));
            greeted += 1;
        }
        assert_eq!(world.living.len(), 1 + usize::from(slots));
        world
    }

    fn tell(&mut self, event: Event) {
        for action in self.supervisor.handle(event, self.now) {
            match action {
                Action::Spawn(id) => self.living.push(id),
                Action::Finish(_) => self.finished = true,
                _ => {}
            }
        }
    }

    /// The nth member dies after ten seconds of use, and its successor becomes ready.
    fn replace_one(&mut self, nth: usize) {
        self.now = self.now + Duration::from_secs(10);
        let dead = self.living[nth];
        for action in self.supervisor.handle(Event::Exited(dead, Exit::signal(9)), self.now) {
            if let Action::Spawn(id) = action {
                self.living[nth] = id;
            }
        }
        assert_ne!(self.living[nth], dead, "it is replaced at once");
        self.tell(Event::Exited(dead, Exit::signal(9)));
        self.tell(Event::Ready(self.living[nth]));
    }

    fn stop(mut self) -> World {
        self.tell(Event::Stop(Urgency::Graceful));
        for nth in (0..self.living.len()).rev() {
            self.tell(Event::Exited(self.living[nth], Exit::code(0)));
        }
        assert!(self.finished);
        self
    }
}
