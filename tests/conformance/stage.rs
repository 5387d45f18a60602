//! Where a case is played: on real processes, on threads, or in a simulation.

use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use hatchery::process::Capabilities;
#[cfg(feature = "simulation")]
use hatchery::simulation::{Client, Fault, Simulation};
use hatchery::{Cluster, ClusterHandle, MemberId, Slot};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::PATIENCE;
use crate::cases::Case;
use crate::cast::Cast;
#[cfg(feature = "simulation")]
use crate::cast::EARLY;

/// What members are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Processes,
    Threads,
    #[cfg(feature = "simulation")]
    Simulated,
}

impl Kind {
    pub const ALL: &'static [Kind] = &[
        Kind::Processes,
        Kind::Threads,
        #[cfg(feature = "simulation")]
        Kind::Simulated,
    ];

    pub fn capabilities(self) -> Capabilities {
        match self {
            Kind::Processes => cluster(Cast::Puppets).capabilities(),
            Kind::Threads => threads(Cast::Puppets).capabilities(),
            #[cfg(feature = "simulation")]
            Kind::Simulated => Capabilities::SIMULATED,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Processes => "processes",
            Kind::Threads => "threads",
            #[cfg(feature = "simulation")]
            Kind::Simulated => "simulated",
        })
    }
}

/// A signal to one member.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    Kill,
    Stop,
    Continue,
}

/// What happens to a link.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// It ends, both ways.
    Cut,
    /// It ends within a frame.
    Truncate,
    /// What nobody may say goes over it.
    Spoil,
}

static CLUSTERS: OnceLock<[Cluster; Cast::ALL.len()]> = OnceLock::new();

/// First thing in `main`.
pub fn enter() {
    let plans = Cast::ALL.map(|cast| cast.plan(Kind::Processes).name(cast.name()));
    CLUSTERS.set(hatchery::enter(plans).expect("good plans")).expect("once");
}

/// That of real processes.
fn cluster(cast: Cast) -> Cluster {
    let place = Cast::ALL.iter().position(|other| *other == cast).expect("it is among all");
    CLUSTERS.get().expect("main has entered them")[place].clone()
}

fn threads(cast: Cast) -> Cluster {
    cast.plan(Kind::Threads).in_threads().enter().expect("a good plan")
}

#[cfg(feature = "simulation")]
const SEEDS: std::ops::Range<u64> = 0..3;

/// Where one case is played.
#[derive(Clone, Debug)]
pub struct Stage(Set);

#[derive(Clone, Debug)]
enum Set {
    Real(Box<Cluster>),
    #[cfg(feature = "simulation")]
    Simulated(Simulation, Cast),
}

impl Stage {
    /// Plays a case from its beginning to its end.
    pub fn play(kind: Kind, case: &Case) {
        let cluster = match kind {
            Kind::Processes => cluster(case.cast),
            Kind::Threads => threads(case.cast),
            #[cfg(feature = "simulation")]
            Kind::Simulated => {
                for seed in SEEDS {
                    Simulation::run(seed, |sim| async move {
                        (case.proof)(Stage(Set::Simulated(sim.clone(), case.cast))).await;
                        // What ends tells it a moment later.
                        sim.elapse(PATIENCE).await;
                        sim.check_quiescent()
                    });
                }
                return;
            }
        };
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        runtime.block_on(async {
            let story = (case.proof)(Stage(Set::Real(Box::new(cluster))));
            tokio::time::timeout(PATIENCE, story).await.expect("it comes to its end");
        });
    }

    pub async fn start(&self) -> ClusterHandle {
        match &self.0 {
            Set::Real(cluster) => cluster.start().await.expect("it starts"),
            #[cfg(feature = "simulation")]
            Set::Simulated(sim, cast) => {
                match cast {
                    Cast::Missing => drop(sim.fault(Slot::worker(0), Fault::SpawnError(NO_SUCH_FILE))),
                    Cast::Exiting => drop(sim.fault(Slot::worker(0), Fault::NeverReady)),
                    Cast::Puppets
                    | Cast::Hasty
                    | Cast::Touchy
                    | Cast::Beating
                    | Cast::Impatient
                    | Cast::Grouped
                    | Cast::Slow
                    | Cast::Informed
                    | Cast::Scheduled
                    | Cast::Sharing
                    | Cast::Returning
                    | Cast::Failing
                    | Cast::Throwing
                    | Cast::Silent => {}
                }
                sim.start(cast.plan(Kind::Simulated)).await.expect("it starts")
            }
        }
    }

    /// Sends a signal to a member, as anybody may who has its number.
    pub fn signal(&self, handle: &ClusterHandle, member: MemberId, order: Order) {
        match &self.0 {
            Set::Real(_) => {
                let roster = handle.status();
                let pid = roster.members.iter().find(|status| status.id == member).and_then(|status| status.pid);
                let pid = Pid::from_raw(pid.expect("it lives") as i32).expect("a number");
                let signal = match order {
                    Order::Kill => Signal::KILL,
                    Order::Stop => Signal::STOP,
                    Order::Continue => Signal::CONT,
                };
                kill_process(pid, signal).expect("it is ours");
            }
            #[cfg(feature = "simulation")]
            Set::Simulated(sim, _) => {
                let fault = match order {
                    Order::Kill => Fault::Signal(9),
                    Order::Stop => Fault::Stop,
                    Order::Continue => Fault::Continue,
                };
                assert!(sim.fault(member, fault).took_effect());
            }
        }
    }

    /// Has a member exit in the middle of what it does.
    pub async fn exit(&self, handle: &ClusterHandle, member: MemberId, code: i32) {
        match &self.0 {
            Set::Real(_) => handle.messenger().to(member, "exit", &code).await.expect("it is there"),
            #[cfg(feature = "simulation")]
            Set::Simulated(sim, _) => assert!(sim.fault(member, Fault::Exit(code)).took_effect()),
        }
    }

    /// The same for one that is not ready, and hears nobody: in a process of its own its code does it.
    pub fn exit_early(&self, member: MemberId) {
        match &self.0 {
            Set::Real(_) => assert_eq!(member.incarnation().get(), 1),
            #[cfg(feature = "simulation")]
            Set::Simulated(sim, _) => assert!(sim.fault(member, Fault::Exit(EARLY)).took_effect()),
        }
    }

    /// Has a member's runtime blocked for a while.
    pub async fn block(&self, handle: &ClusterHandle, member: MemberId, span: Duration) {
        match &self.0 {
            Set::Real(_) => {
                handle.messenger().to(member, "block", &(span.as_millis() as u64)).await.expect("it is there");
            }
            #[cfg(feature = "simulation")]
            Set::Simulated(sim, _) => assert!(sim.fault(member, Fault::Block(span)).took_effect()),
        }
    }

    /// Has a member's runtime stuck.
    pub async fn stick(&self, handle: &ClusterHandle, member: MemberId) {
        match &self.0 {
            Set::Real(_) => handle.messenger().to(member, "stick", &()).await.expect("it is there"),
            #[cfg(feature = "simulation")]
            Set::Simulated(sim, _) => assert!(sim.fault(member, Fault::Hang).took_effect()),
        }
    }

    /// Whether one that does not listen can be ended all the same.
    pub fn can_kill(&self) -> bool {
        match &self.0 {
            Set::Real(cluster) => cluster.capabilities().kill,
            #[cfg(feature = "simulation")]
            Set::Simulated(..) => Capabilities::SIMULATED.kill,
        }
    }

    /// Has something happen to the link of a member. A process does it to its own.
    pub async fn strike_link(&self, handle: &ClusterHandle, member: MemberId, blow: Blow) {
        match &self.0 {
            Set::Real(_) => {
                let what = match blow {
                    Blow::Cut => "cut the link",
                    Blow::Truncate => "truncate the link",
                    Blow::Spoil => "spoil the link",
                };
                handle.messenger().to(member, "do", &what.to_owned()).await.expect("it is there");
            }
            #[cfg(feature = "simulation")]
            Set::Simulated(sim, _) => {
                let (fault, at_once) = match blow {
                    Blow::Cut => (Fault::LinkReset, true),
                    Blow::Truncate => (Fault::LinkTruncate, false),
                    Blow::Spoil => (Fault::LinkCorrupt, false),
                };
                let injection = sim.fault(member, fault);
                if !at_once {
                    // It strikes what the member writes next.
                    let _ = handle.messenger().call::<String>(member, "who", &()).await;
                }
                assert!(injection.took_effect(), "{injection}");
            }
        }
    }

    /// Holds up the link of a member for a while.
    pub fn stall_link(&self, member: MemberId) {
        match &self.0 {
            Set::Real(_) => panic!("nobody can hold up the link of {member}"),
            #[cfg(feature = "simulation")]
            Set::Simulated(sim, _) => {
                assert!(sim.fault(member, Fault::LinkStall(Duration::from_secs(5))).took_effect());
            }
        }
    }

    /// Has the kernel kill a member for lack of memory.
    pub fn starve(&self, member: MemberId) {
        match &self.0 {
            Set::Real(_) => panic!("nobody can have the kernel choose {member}"),
            #[cfg(feature = "simulation")]
            Set::Simulated(sim, _) => assert!(sim.fault(member, Fault::Oom).took_effect()),
        }
    }

    /// Suspends the host for an hour, and returns when it goes on.
    pub async fn suspend(&self) {
        match &self.0 {
            Set::Real(_) => panic!("nobody can suspend the host"),
            #[cfg(feature = "simulation")]
            Set::Simulated(sim, _) => {
                let hour = Duration::from_secs(3_600);
                let before = sim.now();
                assert!(sim.fault(Slot::worker(0), Fault::ClockJump(hour)).took_effect());
                while sim.now() < before + hour {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// The way to the port of the cluster.
    pub async fn door(&self, handle: &ClusterHandle) -> Door {
        match &self.0 {
            Set::Real(_) => {
                Door::Tcp(handle.messenger().call(Slot::worker(0), "address", &()).await.expect("it tells"))
            }
            #[cfg(feature = "simulation")]
            Set::Simulated(sim, _) => {
                let _ = handle;
                Door::Simulated(sim.client("port"))
            }
        }
    }
}

#[cfg(feature = "simulation")]
const NO_SUCH_FILE: i32 = 2;

/// Where the cluster can be reached from outside.
#[derive(Debug)]
pub enum Door {
    Tcp(SocketAddr),
    #[cfg(feature = "simulation")]
    Simulated(Client),
}

/// A connection of any kind.
pub trait Wire: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire for T {}

impl Door {
    /// Connects. An error: nobody listens.
    pub async fn connect(&self) -> Result<Box<dyn Wire>, String> {
        match self {
            Door::Tcp(address) => match tokio::net::TcpStream::connect(address).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(error.to_string()),
            },
            #[cfg(feature = "simulation")]
            Door::Simulated(client) => match client.connect().await {
                Ok(connection) => Ok(Box::new(connection)),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}
