//! How the processes of a cluster are made: what the master was built with, turned into the order for one process.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use super::heartbeat::Heartbeat;
use super::observe::Clerk;
use crate::identity::{MemberId, Role};
use crate::process::{Executable, Lent, SpawnSpec, settle};
use crate::transport::{CodecError, Directory, Limits, ShelfRules, Welcome};

/// What all processes have in common, and each role for itself.
#[derive(Clone, Debug)]
pub(crate) struct Blueprint {
    /// The name of the program, as `ps` shows it in front of the slot.
    pub(crate) program: String,
    /// The name of the cluster, where a program has several.
    pub(crate) cluster: Option<String>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) limits: Limits,
    /// What may be kept, and who may publish it.
    pub(crate) shelf: ShelfRules,
    pub(crate) orphan_grace: Duration,
    /// The sockets that are lent to every member, by name.
    pub(crate) listeners: Vec<(String, Lent)>,
    pub(crate) roles: Vec<RoleBlueprint>,
    /// Who writes down what members cannot.
    pub(crate) clerk: Option<Arc<dyn Clerk>>,
}

/// What the processes of one role have in common.
#[derive(Clone, Debug)]
pub(crate) struct RoleBlueprint {
    pub(crate) role: Role,
    pub(crate) executable: Executable,
    pub(crate) environment: Vec<(OsString, Option<OsString>)>,
    /// How its members are asked whether they are there, if they are.
    pub(crate) heartbeat: Option<Heartbeat>,
}

impl Blueprint {
    fn role(&self, role: Role) -> Option<&RoleBlueprint> {
        self.roles.iter().find(|blueprint| blueprint.role == role)
    }

    /// How the members of a role are asked whether they are there. `None`: they are not.
    pub(crate) fn heartbeat(&self, role: Role) -> Option<Heartbeat> {
        self.role(role).and_then(|blueprint| blueprint.heartbeat)
    }

    /// The order for one process.
    pub(crate) fn spec(&self, id: MemberId) -> Result<SpawnSpec, CodecError> {
        let role = self.role(id.role());
        let welcome = Welcome {
            rank: id.role().rank(),
            index: id.slot().index(),
            incarnation: id.incarnation().get(),
            roles: self.directory.imprint(),
            growth: self.directory.growth(),
            payload_limit: self.limits.payload as u64,
            orphan_grace_ms: u64::try_from(self.orphan_grace.as_millis()).unwrap_or(u64::MAX),
            listeners: self.listeners.iter().map(|(name, _)| name.clone()).collect(),
        };
        Ok(SpawnSpec {
            member: id,
            title: settle::title(&self.program, id.slot(), self.cluster.as_deref()),
            executable: role.map_or(Executable::Running, |role| role.executable.clone()),
            environment: role.map(|role| role.environment.clone()).unwrap_or_default(),
            boot: welcome.encode()?,
            listeners: self.listeners.iter().map(|(_, socket)| socket.clone()).collect(),
        })
    }
}
