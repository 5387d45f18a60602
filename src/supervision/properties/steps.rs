//! What happens, by chance: each step points at who is there when its turn comes, so that a story from which steps are
//! taken away still makes sense, and shrinks to the few that matter.

use std::time::Duration;

use proptest::prelude::{Just, prop, prop_oneof};
use proptest::strategy::Strategy;

use super::super::{ExceptionKind, Exit, LinkError, Urgency};

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The nth of those who boot says ready.
    Ready(usize),
    /// All who boot do, and those who are started for it, until nobody boots.
    AllReady,
    /// The nth of those who live.
    Happens(usize, News),
    /// The nth slot that there ever was, and its last process but so many: it may be gone.
    OldNews(usize, u32, News),
    /// Time passes, and the core is woken whenever it asked to be.
    Pass(Duration),
    /// The same until just before, or just when, something is due.
    UntilDue(Duration),
    /// Time passes, and the master gets no turn.
    Oversleep(Duration),
    Restart(usize),
    StopSlot(usize),
    Scale(usize, u16),
}

#[derive(Clone, Debug)]
pub(super) enum News {
    Ready,
    Exited(Exit),
    Exception(ExceptionKind),
    LinkLost(LinkError),
    Unresponsive,
}

const KINDS: [ExceptionKind; 3] = [ExceptionKind::Panic, ExceptionKind::Reported, ExceptionKind::Returned];

fn news() -> impl Strategy<Value = News> + Clone {
    let exits = prop_oneof![
        6 => Just(Exit::signal(9)),
        2 => Just(Exit::code(0)),
        2 => Just(Exit::code(1)),
        1 => Just(Exit::code(78)),
        1 => Just(Exit::not_started("too many open files", Some(24))),
    ];
    prop_oneof![
        8 => exits.prop_map(News::Exited),
        4 => prop::sample::select(&KINDS[..]).prop_map(News::Exception),
        2 => Just(News::LinkLost(LinkError::Closed)),
        1 => Just(News::LinkLost(LinkError::Protocol("unknown kind 99".into()))),
        1 => Just(News::Unresponsive),
        1 => Just(News::Ready),
    ]
}

fn millis(of: &'static [u64]) -> impl Strategy<Value = Duration> + Clone {
    prop::sample::select(of).prop_map(Duration::from_millis)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..8usize).prop_map(Step::Ready),
        6 => Just(Step::AllReady),
        14 => (0..8usize, news()).prop_map(|(nth, news)| Step::Happens(nth, news)),
        2 => (0..8usize, 0..3u32, news()).prop_map(|(nth, back, news)| Step::OldNews(nth, back, news)),
        10 => millis(&[1, 199, 200, 500, 999, 1_000, 4_000, 5_000, 30_000]).prop_map(Step::Pass),
        4 => millis(&[0, 1]).prop_map(Step::UntilDue),
        1 => millis(&[1, 1_000, 10_000]).prop_map(Step::Oversleep),
        3 => (0..8usize).prop_map(Step::Restart),
        2 => (0..8usize).prop_map(Step::StopSlot),
        2 => (0..4usize, 0..6u16).prop_map(|(role, count)| Step::Scale(role, count)),
    ]
}

/// What happens then.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..80)
}

/// How a story begins: mostly all become ready, and sometimes in another order, or not.
pub(super) fn starts() -> impl Strategy<Value = Vec<Step>> {
    let ready = (0..8usize).prop_map(Step::Ready);
    let kinds = prop::sample::select(&KINDS[..2]);
    let exception = (0..8usize, kinds).prop_map(|(nth, kind)| Step::Happens(nth, News::Exception(kind)));
    let uneven = prop_oneof![8 => ready, 4 => exception, 1 => step()];
    prop_oneof![3 => Just(vec![Step::AllReady]), 1 => prop::collection::vec(uneven, 0..10)]
}

/// How a story ends: the cluster is asked to stop, so long after what was before, and perhaps again.
pub(super) fn ends() -> impl Strategy<Value = Vec<(Duration, Urgency)>> {
    let urgency = prop_oneof![3 => Just(Urgency::Graceful), 1 => Just(Urgency::Quick)];
    prop::collection::vec((millis(&[0, 1, 199, 200, 1_000, 5_000]), urgency), 1..=3)
}
