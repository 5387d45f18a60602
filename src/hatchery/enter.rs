//! Who a process is: the master, which goes on with what its program does, or a member, which does nothing else.

use super::settled::Settlement;
use super::{Hatchery, PlanError};
use crate::cluster::Cluster;
use crate::process::settle::{self, Claim};
use crate::process::{say, watch};

/// A program at fault, which no restart mends: `EX_CONFIG`.
const CONFIG: i32 = 78;

/// Why a program cannot have these clusters. In the master only: a member says it on stderr and exits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnterError {
    /// A plan is at fault.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Two plans have the same name, or both have none: their members could not be told apart.
    #[error("two clusters {}: give each a name of its own", match .0 { Some(name) => format!("are called {name:?}"), None => "have no name".to_owned() })]
    SameName(Option<String>),
}

impl Hatchery {
    /// Finds out who this process is, for programs that do other things besides: an actor system, a server of their own,
    /// a test. In the master it returns the cluster, to be started when the program likes. A member runs here and does
    /// not return.
    ///
    /// At the top of `main`: members are this program started again, and whatever comes before runs in each of them.
    /// Under `#[tokio::main]` it works in the master; a member that finds itself within a runtime says so on stderr, which
    /// its master tells as the reason of the failed start, and exits with code 78, because who a process is has to be
    /// found out before any thread exists.
    ///
    /// ```no_run
    /// # use hatchery::{Context, Hatchery};
    /// # async fn worker(cx: Context) -> hatchery::Result<()> { cx.ready(); cx.stopping().await; Ok(()) }
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     let cluster = Hatchery::new().workers(2, worker).enter()?;
    ///     // From here on this is the master, and the rest of the program is what it was.
    ///     let runtime = tokio::runtime::Runtime::new()?;
    ///     runtime.block_on(async {
    ///         let handle = cluster.start().await?;
    ///         handle.ready().await?;
    ///         handle.shutdown().await?;
    ///         Ok(())
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// [`EnterError::Plan`]. Nothing has been bound or started.
    pub fn enter(self) -> Result<Cluster, EnterError> {
        let [cluster] = enter([self])?;
        Ok(cluster)
    }
}

/// [`Hatchery::enter`] for a program that has several clusters, each with a [name](Hatchery::name) of its own; one may go
/// without. They are entered at once, since a member of any of them must get no further.
///
/// # Errors
/// [`EnterError`]: a plan is at fault, or two have the same name.
pub fn enter<const N: usize>(plans: [Hatchery; N]) -> Result<[Cluster; N], EnterError> {
    let claim = claim();
    if claim.is_some() && tokio::runtime::Handle::try_current().is_ok() {
        leave(
            "enter() was called from within a tokio runtime, and a member must not have a thread by then: call it first \
             thing in a main that is not `#[tokio::main]`, and build the runtime after it",
        );
    }
    let settlements = match (settle(plans), claim) {
        (Ok(settlements), None) => settlements,
        (Err(error), None) => return Err(error),
        (Err(error), Some(_)) => leave(&error.to_string()),
        (Ok(settlements), Some(claim)) => {
            match settlements.into_iter().find(|settlement| settlement.name == claim.cluster) {
                Some(settlement) => settlement.become_member(),
                None => leave("its program has no cluster of that name: every process must enter the same clusters"),
            }
        }
    };
    Ok(settlements.map(Settlement::cluster))
}

/// Whether this process is, or claims to be, a member: for what `main` sets up in the master alone, such as where that logs.
pub fn is_member() -> bool {
    claim().is_some()
}

/// What this process claims to be. `None`: no member, so a master.
pub(super) fn claim() -> Option<Claim> {
    settle::claimed(&std::env::args_os().next().unwrap_or_default())
}

fn settle<const N: usize>(plans: [Hatchery; N]) -> Result<[Settlement; N], EnterError> {
    let mut settled: Vec<Settlement> = Vec::with_capacity(N);
    for plan in plans {
        let settlement = plan.settle()?;
        if settled.iter().any(|other| other.name == settlement.name) {
            return Err(EnterError::SameName(settlement.name));
        }
        settled.push(settlement);
    }
    match settled.try_into() {
        Ok(settled) => Ok(settled),
        Err(_) => unreachable!("each plan has been settled"),
    }
}

fn leave(why: &str) -> ! {
    say(&format!("a member cannot start: {why}"));
    watch::exit(CONFIG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;

    async fn role(_: Context) -> crate::Result<()> {
        Ok(())
    }

    #[test]
    fn clusters_of_one_program_have_names_of_their_own() {
        let plan = || Hatchery::new().workers(1, role);
        let complaint = |plans| enter::<2>(plans).map(drop).map_err(|error| error.to_string());
        assert_eq!(complaint([plan(), plan().name("jobs")]), Ok(()));
        let nameless = complaint([plan(), plan()]);
        assert_eq!(nameless, Err("two clusters have no name: give each a name of its own".into()));
        let same = complaint([plan().name("jobs"), plan().name("jobs")]);
        assert_eq!(same, Err("two clusters are called \"jobs\": give each a name of its own".into()));
        let bad = complaint([plan(), plan().name("a@b")]);
        assert!(bad.is_err_and(|error| error.contains("\"a@b\" cannot be called so")));
    }
}
