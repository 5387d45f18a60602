//! A cluster without processes, for tests: the master and its actors as they are, and for each process that it starts a
//! member that lives here, over a link in memory.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use ractor::{Actor, ActorRef};
use tokio::io::{AsyncRead, AsyncReadExt, DuplexStream, ReadBuf, ReadHalf};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use super::Deputy;
use crate::actors::{Blueprint, Master, MasterArguments, MasterMsg, SharedBoard, SharedCore};
use crate::identity::{Incarnation, MemberId, Role, Slot};
use crate::member::Member;
use crate::messenger::Messenger;
use crate::process::{
    ExitRecord, ExitStatus, LinkRead, ProcessBackend, ProcessControl, SpawnError, SpawnSpec, Spawned,
};
use crate::supervision::{OneForOne, Outcome, Plan, RolePlan, Urgency};
use crate::transport::{Directory, Kind, Limits, ShelfRules, put_bare};

/// The cluster: an agent and three workers, each ready as soon as it exists.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) deputy: Deputy,
    pub(crate) master: ActorRef<MasterMsg>,
    pub(crate) end: oneshot::Receiver<Outcome>,
    nursery: Arc<Nursery>,
}

/// What has been registered before a member says that it is ready.
pub(crate) type Upbringing = Box<dyn Fn(&Messenger) + Send + Sync>;

impl World {
    pub(crate) const LIMITS: Limits = Limits { payload: 64 * 1024 };

    /// Begins. `prepare` is called with the master's deputy before the master is started, `raise` for every member before
    /// it is ready.
    pub(crate) async fn begin(
        prepare: impl FnOnce(&Deputy),
        raise: impl Fn(&Messenger) + Send + Sync + 'static,
    ) -> World {
        let directory = Arc::new(Directory::new([(Role::AGENT, 1), (Role::WORKER, 3)]));
        let role = |role, count| RolePlan::new(role, count, OneForOne::worker());
        let nursery = Arc::new(Nursery {
            directory: directory.clone(),
            raise: Box::new(raise),
            living: Mutex::default(),
            born: watch::Sender::new(0),
        });
        let (deputy, desk) = Deputy::new(directory.clone(), World::LIMITS, Handle::current());
        prepare(&deputy);
        let (finished, end) = oneshot::channel();
        let plan = Plan::new(vec![role(Role::AGENT, 1), role(Role::WORKER, 3)]);
        let arguments = MasterArguments {
            board: Arc::new(SharedBoard::new(&plan, 1)),
            core: Arc::new(SharedCore::new(plan, 1)),
            blueprint: Arc::new(Blueprint {
                clerk: None,
                program: "world".into(),
                cluster: None,
                directory,
                limits: World::LIMITS,
                shelf: ShelfRules { value: 1 << 20, total: 1 << 24, publishers: None },
                orphan_grace: Duration::from_secs(5),
                listeners: Vec::new(),
                roles: Vec::new(),
            }),
            backend: Arc::new(Here(nursery.clone())),
            seed: 1,
            observers: Vec::new(),
            desk,
            finished,
        };
        let (master, _) = Master::spawn(None, Master, arguments).await.expect("it starts");
        World { deputy, master, end, nursery }
    }

    /// The messenger of a member, as soon as it exists.
    pub(crate) async fn member(&self, slot: Slot, incarnation: u32) -> Messenger {
        let id = slot.member(Incarnation::new(incarnation));
        let mut born = self.nursery.born.subscribe();
        loop {
            if let Some(life) = self.nursery.living.lock().expect("no panic").get(&id) {
                return Messenger::new(life.member.clone());
            }
            born.changed().await.expect("the world is there");
        }
    }

    /// Ends a member as SIGKILL would: what it had written is read, and it is heard no more.
    pub(crate) fn kill(&self, slot: Slot, incarnation: u32) {
        self.nursery.kill(slot.member(Incarnation::new(incarnation)));
    }

    /// Stops it. No member goes by itself: each is killed when its time is up.
    pub(crate) async fn stop(self) -> Deputy {
        self.master.cast(MasterMsg::Stop(Urgency::Graceful, "test")).expect("it lives");
        self.end.await.expect("it says how it ended");
        self.deputy
    }
}

struct Nursery {
    directory: Arc<Directory>,
    raise: Upbringing,
    living: Mutex<HashMap<MemberId, Life>>,
    born: watch::Sender<usize>,
}

struct Life {
    member: Arc<Member>,
    exit: oneshot::Sender<ExitRecord>,
}

impl std::fmt::Debug for Nursery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nursery")
    }
}

impl Nursery {
    fn start(self: &Arc<Self>, id: MemberId) -> Spawned {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (exit, ended) = oneshot::channel();
        let member = Member::resident(id, self.directory.clone(), World::LIMITS, &Handle::current(), near);
        (self.raise)(&Messenger::new(member.clone()));
        member.line.control(|out| put_bare(Kind::Ready, out));
        self.living.lock().expect("no panic").insert(id, Life { member, exit });
        self.born.send_modify(|count| *count += 1);
        let (reader, writer) = tokio::io::split(far);
        Spawned {
            pid: id.incarnation().get(),
            control: Box::new(Killer { id, nursery: self.clone() }),
            exit: ended,
            reader: Box::new(Reader(reader)),
            writer: Box::new(writer),
            descriptors: None,
        }
    }

    fn kill(&self, id: MemberId) {
        let life = self.living.lock().expect("no panic").remove(&id);
        if let Some(life) = life {
            let status = ExitStatus::Signal { number: 9, core_dumped: false };
            let age = Duration::from_secs(60);
            let (backtrace, stderr) = Default::default();
            let record = ExitRecord { status, last_words: None, backtrace, out_of_memory: false, stderr, age };
            let _ = life.exit.send(record);
        }
    }
}

#[derive(Debug)]
struct Here(Arc<Nursery>);

impl ProcessBackend for Here {
    fn spawn(&self, spec: SpawnSpec) -> Pin<Box<dyn Future<Output = Result<Spawned, SpawnError>> + Send>> {
        let nursery = self.0.clone();
        Box::pin(async move { Ok(nursery.start(spec.member)) })
    }

    fn sweep(&self) {}

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async {})
    }
}

struct Killer {
    id: MemberId,
    nursery: Arc<Nursery>,
}

impl ProcessControl for Killer {
    fn kill(&self) {
        self.nursery.kill(self.id);
    }
}

struct Reader(ReadHalf<DuplexStream>);

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl LinkRead for Reader {
    fn read_now(&mut self, into: &mut BytesMut) -> io::Result<Option<usize>> {
        let read = std::pin::pin!(self.0.read_buf(into));
        match read.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(count) => count.map(Some),
            Poll::Pending => Ok(None),
        }
    }
}
