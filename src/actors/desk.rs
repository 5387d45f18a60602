//! The master's own place among the members: `master/0`, to which the program that embeds the master has a link like any
//! member's, in memory. So what is sent from there and to there has the order, the bounds and the answers of all messages,
//! and whoever does not take what comes costs its senders their patience and the master nothing.
//!
//! Until somebody sits down here, whatever comes is answered as by one who has no handler for it. No process belongs to
//! it: it is in no plan and on no roster.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use ractor::{ActorProcessingErr, ActorRef};
use tokio::io::{AsyncRead, AsyncReadExt, DuplexStream};
use tokio::sync::oneshot;

use super::link::route;
use super::messages::SlotMsg;
use super::routes::Routes;
use crate::identity::{Incarnation, MemberId, Slot};
use crate::process::clock;
use crate::supervision::Dice;
use crate::transport::{Directory, Limits, Line, Reason, Said, Session, SlotQueue, WireError, window};

/// How much a link in memory holds: about as much as the buffer of a socket.
const PIPE: usize = 192 * 1024;

/// The master's end of the link, before there is one.
#[derive(Debug)]
pub(crate) struct Desk(oneshot::Receiver<DuplexStream>);

/// Where somebody sits down at the desk, once.
#[derive(Debug)]
pub(crate) struct Chair(Mutex<Option<oneshot::Sender<DuplexStream>>>);

impl Desk {
    /// A desk and its chair, to be taken before the master is started, or later.
    pub(crate) fn new() -> (Desk, Chair) {
        let (chair, desk) = oneshot::channel();
        (Desk(desk), Chair(Mutex::new(Some(chair))))
    }

    /// Who sits there.
    pub(crate) const fn member() -> MemberId {
        Slot::master().member(Incarnation::FIRST)
    }
}

impl Chair {
    /// Sits down. Returns this end of the link: closed, when there is no master any more, or somebody sits there.
    pub(crate) fn sit_down(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(PIPE);
        let chair = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(chair) = chair {
            // A master that has ended drops it: then this end is at its end, as it would be later.
            let _ = chair.send(far);
        }
        near
    }
}

pub(crate) struct DeskActor;

/// What the desk is set up with.
pub(crate) struct DeskArguments {
    pub(crate) desk: Desk,
    pub(crate) directory: Arc<Directory>,
    pub(crate) limits: Limits,
    pub(crate) dice: Dice,
}

pub(crate) struct DeskState {
    directory: Arc<Directory>,
    limits: Limits,
    dice: Dice,
    /// Taken when it is waited for.
    desk: Option<Desk>,
    routes: Arc<Routes>,
    queue: SlotQueue,
    line: Arc<Line>,
}

impl Drop for DeskState {
    /// The master has ended: so does the link, and nobody who waits for something from it waits in vain.
    fn drop(&mut self) {
        self.line.close();
    }
}

#[ractor::actor(message = SlotMsg, state = DeskState, arguments = DeskArguments)]
impl DeskActor {
    async fn pre_start(&self, _: ActorRef<SlotMsg>, arguments: DeskArguments) -> Result<DeskState, ActorProcessingErr> {
        let DeskArguments { desk, directory, limits, dice } = arguments;
        let mut queue = SlotQueue::new(Slot::master(), window(limits));
        // Nothing has come that could go back.
        queue.shut(Reason::NoHandler, &mut Vec::new());
        let routes = Arc::new(Routes::new(Default::default()));
        Ok(DeskState { directory, limits, dice, desk: Some(desk), routes, queue, line: Arc::default() })
    }

    async fn handle(
        &self,
        myself: ActorRef<SlotMsg>,
        message: SlotMsg,
        state: &mut DeskState,
    ) -> Result<(), ActorProcessingErr> {
        let mut out = Vec::new();
        match message {
            SlotMsg::Routes(routes) => {
                state.routes = routes;
                state.wait(myself);
            }
            SlotMsg::Occupy(link) => state.occupy(link),
            SlotMsg::Deliver(run) => state.queue.arrive(run, clock::now(), &mut out),
            SlotMsg::Return(run, refund) => state.queue.take_back(run, refund, clock::now(), &mut out),
            SlotMsg::Credit { to, account, charge } => state.queue.credit(to, account, charge),
            SlotMsg::Shelved(id, run) => state.queue.shelved(id, run, clock::now(), &mut out),
            SlotMsg::Ack(id, ack) => {
                if let Err(error) = state.queue.ack(id, &ack, clock::now(), &mut out) {
                    state.violated(&error);
                }
            }
            // About processes: none belongs to the desk.
            SlotMsg::Start(_)
            | SlotMsg::Linked(_)
            | SlotMsg::Admit(_)
            | SlotMsg::Order(..)
            | SlotMsg::Announce(_)
            | SlotMsg::Growth(_)
            | SlotMsg::Replace(..)
            | SlotMsg::Kill(_)
            | SlotMsg::Abandon(_)
            | SlotMsg::Park
            | SlotMsg::Vacate
            | SlotMsg::Roster(..)
            | SlotMsg::Down(..)
            | SlotMsg::Unattended(..) => {}
        }
        state.routes.carry_out(out);
        Ok(())
    }
}

impl DeskState {
    /// Whoever sat down before the master was started is there before anybody is: what the first member sends to it finds
    /// the handlers that were registered meanwhile.
    fn wait(&mut self, myself: ActorRef<SlotMsg>) {
        let Some(Desk(mut chair)) = self.desk.take() else { return };
        match chair.try_recv() {
            Ok(link) => self.occupy(link),
            Err(oneshot::error::TryRecvError::Empty) => {
                tokio::spawn(async move {
                    if let Ok(link) = chair.await {
                        // A desk that is gone drops it, which is its end.
                        let _ = myself.cast(SlotMsg::Occupy(link));
                    }
                });
            }
            Err(oneshot::error::TryRecvError::Closed) => {}
        }
    }

    fn occupy(&mut self, link: DuplexStream) {
        let id = Desk::member();
        let books = Arc::default();
        self.queue.open(id, self.line.clone(), Arc::clone(&books));
        // It need not say that it is ready: it has had handlers since before, or has none yet.
        self.queue.admit(id, clock::now(), &mut Vec::new());
        let session = Session::new(id, self.directory.clone(), self.limits, books);
        let (reader, writer) = tokio::io::split(link);
        tokio::spawn(listen(reader, session, self.routes.clone(), self.dice.clone()));
        let line = self.line.clone();
        // Its error is that the other end is gone, which whoever reads hears as well.
        tokio::spawn(async move { line.write_to(writer).await });
    }

    fn violated(&self, error: &WireError) {
        broken(error);
        self.line.close();
    }
}

/// What comes over this link was written by this library: that it cannot be read is a fault of ours.
fn broken(error: &WireError) {
    tracing::error!(%error, "the master's own link is broken: its messenger is closed");
}

/// Reads the link until its end, and routes what comes.
async fn listen(mut link: impl AsyncRead + Unpin, mut session: Session, routes: Arc<Routes>, mut dice: Dice) {
    let (id, mut buffer) = (Desk::member(), BytesMut::new());
    loop {
        buffer.reserve(PIPE / 4);
        match link.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let digest = match session.digest(&mut buffer, |role| routes.pick(role, &mut dice)) {
            Ok(digest) => digest,
            Err(error) => return broken(&error),
        };
        for said in digest.said {
            match said {
                Said::Ack(ack) => routes.tell(id.slot(), SlotMsg::Ack(id, ack)),
                // Nobody supervises it.
                Said::Hello | Said::Ready | Said::Exception(_) | Said::Watch | Said::Pong => {}
            }
        }
        route(&routes, id, digest.runs, digest.group_charge).await;
    }
}
