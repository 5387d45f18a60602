//! What holds whatever members are made of.

mod failures;
mod groups;
mod heartbeats;
mod links;
mod messages;
mod operations;
mod ports;
mod schedules;
mod shared;
mod starts;
mod stops;
mod topics;

use std::pin::Pin;

use crate::cast::Cast;
use crate::stage::Stage;

/// What a case needs, besides what all kinds of member have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Somebody else can kill a member.
    Kill,
    /// Somebody else can have a member stand still.
    Stop,
    /// A member can exit alone.
    Exit,
    /// A link can be broken.
    LinkFault,
    /// A link can be held up.
    Stall,
    /// The kernel can be made to kill a member for lack of memory.
    Starvation,
    /// The host can be suspended.
    Suspension,
    /// A start can be refused.
    Refusal,
    /// A member's code can have sockets of its own.
    Socket,
}

/// A sentence, and its proof.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    pub cast: Cast,
    pub needs: &'static [Need],
    pub proof: Proof,
}

pub type Proof = fn(Stage) -> Pin<Box<dyn Future<Output = ()>>>;

/// One that all kinds can have.
fn case(name: &'static str, cast: Cast, proof: Proof) -> Case {
    Case { name, cast, needs: &[], proof }
}

pub fn all() -> Vec<Case> {
    [
        starts::cases(),
        failures::cases(),
        groups::cases(),
        links::cases(),
        heartbeats::cases(),
        stops::cases(),
        messages::cases(),
        topics::cases(),
        schedules::cases(),
        shared::cases(),
        ports::cases(),
        operations::cases(),
    ]
    .concat()
}
