//! How names are written into a recording: a role by its rank, as on the wire. Names live in the plan, and a plan is
//! needed to read a recording.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::identity::{Incarnation, MemberId, Role, Slot};

type Id = (u8, u16, u32);

/// A role of this rank. It equals that of the plan; what is shown comes from there.
fn of_rank(rank: u8) -> Role {
    [Role::AGENT, Role::WORKER].into_iter().find(|role| role.rank() == rank).unwrap_or(Role::new(rank, "role"))
}

fn parts(id: MemberId) -> Id {
    (id.role().rank(), id.slot().index(), id.incarnation().get())
}

fn whole((rank, index, incarnation): Id) -> MemberId {
    Slot::new(of_rank(rank), index).member(Incarnation::new(incarnation))
}

pub(super) mod role {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(role: &Role, to: S) -> Result<S::Ok, S::Error> {
        role.rank().serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Role, D::Error> {
        u8::deserialize(from).map(of_rank)
    }
}

pub(super) mod slot {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(slot: &Slot, to: S) -> Result<S::Ok, S::Error> {
        (slot.role().rank(), slot.index()).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Slot, D::Error> {
        <(u8, u16)>::deserialize(from).map(|(rank, index)| Slot::new(of_rank(rank), index))
    }
}

pub(super) mod incarnation {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(number: &Incarnation, to: S) -> Result<S::Ok, S::Error> {
        number.get().serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Incarnation, D::Error> {
        u32::deserialize(from).map(Incarnation::new)
    }
}

pub(super) mod maybe_incarnation {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(number: &Option<Incarnation>, to: S) -> Result<S::Ok, S::Error> {
        number.map(Incarnation::get).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Incarnation>, D::Error> {
        Option::<u32>::deserialize(from).map(|number| number.map(Incarnation::new))
    }
}

pub(super) mod member {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(id: &MemberId, to: S) -> Result<S::Ok, S::Error> {
        parts(*id).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<MemberId, D::Error> {
        Id::deserialize(from).map(whole)
    }
}

pub(super) mod members {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(ids: &[MemberId], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(ids.iter().copied().map(parts))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<MemberId>, D::Error> {
        Vec::<Id>::deserialize(from).map(|ids| ids.into_iter().map(whole).collect())
    }
}
