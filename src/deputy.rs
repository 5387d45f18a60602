//! Who speaks for the master among the members: its messenger, where a program embeds it.
//!
//! Made when it is first asked for. Its handlers are tasks of the runtime that it was given: the master's own loop runs
//! none of them and waits for none.

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;

use crate::actors::{Chair, Desk};
use crate::member::Member;
use crate::messenger::Messenger;
use crate::transport::{Directory, Limits};

#[cfg(test)]
pub(crate) use world::World;

/// The master's deputy, who sits down at its desk when there is something to say.
#[derive(Debug)]
pub(crate) struct Deputy {
    directory: Arc<Directory>,
    limits: Limits,
    runtime: Handle,
    chair: Chair,
    member: OnceLock<Arc<Member>>,
}

impl Deputy {
    /// A deputy for the master that will be given the desk.
    pub(crate) fn new(directory: Arc<Directory>, limits: Limits, runtime: Handle) -> (Deputy, Desk) {
        let (desk, chair) = Desk::new();
        (Deputy { directory, limits, runtime, chair, member: OnceLock::new() }, desk)
    }

    /// The master's messenger: the same one, whoever asks. What is registered before the master is started is there when
    /// its first member is. Never waits.
    pub(crate) fn messenger(&self) -> Messenger {
        let member = self.member.get_or_init(|| {
            let link = self.chair.sit_down();
            Member::resident(Desk::member(), self.directory.clone(), self.limits, &self.runtime, link)
        });
        Messenger::new(member.clone())
    }
}
