//! What `OneForOne` answers when somebody failed, what counts, and what follows.

use std::fmt;
use std::time::Duration;

use super::super::super::{ExitStatus, RestartType};
use super::{Empty, Model, Phase, Why};
use crate::identity::{MemberId, Slot};

pub(super) enum Fate {
    Ignore,
    Replace(Duration),
    Restart(Duration),
    Park(Option<Duration>),
    Remove,
    GiveUp,
}

impl Model {
    pub(super) fn after_exception(&self, id: MemberId, served: Option<Duration>) -> Fate {
        let settings = self.settings(id.role());
        match settings.drain {
            None => Fate::Ignore,
            // A sick worker beats none.
            Some(_) if self.is_over(id, served) => Fate::Ignore,
            Some(_) if settings.restart == RestartType::Temporary => Fate::Remove,
            Some(drain) => Fate::Replace(drain),
        }
    }

    /// `own`: how it ended, where that was its own doing.
    pub(super) fn after_end(&mut self, id: MemberId, own: Option<&ExitStatus>, served: Option<Duration>) -> Fate {
        let settings = self.settings(id.role());
        match (settings.restart, own) {
            (RestartType::Temporary, _) | (RestartType::Transient, Some(ExitStatus::Code(0))) => return Fate::Remove,
            (_, Some(ExitStatus::Code(64 | 78))) => return Fate::Park(None),
            (RestartType::Permanent | RestartType::Transient, _) => {}
        }
        let slot = &self.slots[&id.slot()];
        if self.is_over(id, served) {
            let bounds = settings.after(settings.probe, slot.parked + 1);
            return Fate::Park(Some(self.draw(id, bounds)));
        }
        let in_a_row = match settings.is_young(served) {
            true => 1 + slot.failures.iter().rev().take_while(|(_, young)| *young).count(),
            false => 0,
        };
        let own = settings.after(settings.backoff, in_a_row.saturating_sub(usize::from(settings.first_free)));
        let failures = &self.roles.iter().find(|role| role.settings.role == id.role()).expect("planned").failures;
        let recent = 1 + failures.iter().filter(|at| self.now - **at <= settings.role_limit.period).count();
        let throttle = settings.after(settings.backoff, recent.saturating_sub(settings.role_limit.restarts));
        let longest = |own: Duration, throttle: Duration| settings.delay.max(own).max(throttle);
        Fate::Restart(self.draw(id, (longest(own.0, throttle.0), longest(own.1, throttle.1))))
    }

    /// Whether a failure now is a young one too many. Who was parked and fails young again has no new credit.
    fn is_over(&self, id: MemberId, served: Option<Duration>) -> bool {
        let (settings, slot) = (self.settings(id.role()), &self.slots[&id.slot()]);
        let counts = |(at, young): &&(_, bool)| *young && self.now - *at <= settings.limit.period;
        let failures = 1 + slot.failures.iter().filter(counts).count();
        settings.is_young(served) && (slot.parked > 0 || failures > settings.limit.restarts)
    }

    /// The delay that was drawn, if it can have been.
    fn draw(&mut self, id: MemberId, (least, most): (Duration, Duration)) -> Duration {
        let drawn = self.drawn.get(&id).copied().unwrap_or(least);
        if drawn < least || drawn > most {
            self.say(format!("{id}: a delay between {least:?} and {most:?}"));
        }
        drawn
    }

    /// Whatever is not ignored counts. And nobody is started in place of the last who had a chance.
    pub(super) fn count(&mut self, id: MemberId, served: Option<Duration>, fate: Fate) -> Fate {
        if let Fate::Ignore = fate {
            return fate;
        }
        let (now, young) = (self.now, self.settings(id.role()).is_young(served));
        self.role(id.role()).failures.push(now);
        self.slot(id.slot()).failures.push((now, young));
        match fate {
            Fate::Remove => fate,
            _ if self.is_hopeless(id.role(), Some(id.slot())) && !Self::was_of_use(served) => Fate::GiveUp,
            _ => fate,
        }
    }

    /// What follows for a slot of which the last is gone.
    pub(super) fn follow_end(&mut self, id: MemberId, fate: Fate) {
        match fate {
            Fate::Restart(after) => self.restart_in(id.slot(), after),
            Fate::Park(probe) => self.park(id.slot(), probe),
            Fate::Remove => self.vacate(id.slot(), Empty::Vacant),
            Fate::GiveUp => {
                self.vacate(id.slot(), Empty::Vacant);
                self.begin_stop("gave up");
            }
            Fate::Ignore | Fate::Replace(_) => unreachable!("these are answers about the living"),
        }
    }

    /// What follows for one who is ready and alive.
    pub(super) fn follow_alive(&mut self, id: MemberId, cause: &str, served: Option<Duration>, fate: Fate) {
        let fate = self.count(id, served, fate);
        // All can never have been ready.
        if self.phase == Phase::Starting && matches!(fate, Fate::Park(_) | Fate::Remove) {
            return self.start_failed(id, cause);
        }
        let wish = self.slot(id.slot()).waiting_restart().filter(|_| matches!(fate, Fate::Park(_) | Fate::Remove));
        if let Some((operation, _)) = wish {
            self.say(format!("{id}: {cause} -> as {operation} asked"));
            return self.replace(id);
        }
        self.say(format!("{id}: {cause} -> {fate}"));
        let patience = self.settings(id.role()).stop_timeout;
        match fate {
            Fate::Ignore => self.say(format!("stay {id}")),
            Fate::Replace(drain) => {
                self.see_out(id, drain);
                self.restart_in(id.slot(), Duration::ZERO);
            }
            Fate::Restart(after) => self.drain(id, Why::Silent(after), patience),
            Fate::Park(probe) => {
                self.see_out(id, patience);
                self.park(id.slot(), probe);
            }
            Fate::Remove => {
                self.see_out(id, patience);
                self.vacate(id.slot(), Empty::Vacant);
            }
            Fate::GiveUp => self.begin_stop("gave up"),
        }
    }

    fn restart_in(&mut self, slot: Slot, after: Duration) {
        self.slot(slot).parked = 0;
        match after.is_zero() {
            true => self.spawn(slot),
            false => self.slot(slot).empty = Empty::Until(Some(self.now + after)),
        }
    }

    fn park(&mut self, slot: Slot, probe: Option<Duration>) {
        let now = self.now;
        self.slot(slot).parked += 1;
        self.slot(slot).empty = Empty::Until(probe.map(|probe| now + probe));
        self.say(format!("park {slot}"));
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Ignore => f.write_str("carry on"),
            Fate::Replace(drain) => write!(f, "replace at once, drain for up to {drain:?}"),
            Fate::Restart(after) => write!(f, "restart in {after:?}"),
            Fate::Park(Some(probe)) => write!(f, "park, try again in {probe:?}"),
            Fate::Park(None) => f.write_str("park for good"),
            Fate::Remove => f.write_str("do not restart"),
            Fate::GiveUp => f.write_str("give up"),
        }
    }
}
