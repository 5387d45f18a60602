//! The actor that stands for one process: born when it is to be started, and at its end when it has ended. Its end is
//! how the death is heard: as the supervision event that carries the record.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};

use super::blueprint::Blueprint;
use super::facts;
use super::link::Listening;
use super::messages::{Linked, MasterMsg, ProcessDown, ProcessMsg, SlotMsg};
use super::observe::Beat;
use super::pulse::{Finding, Pulse};
use super::routes::Routes;
use crate::identity::MemberId;
use crate::process::{ProcessBackend, ProcessControl, SpawnError, Spawned};
use crate::supervision::{Dice, Event, Exception, Exit, LinkError};
use crate::transport::{Books, Kind, Line, Order, Said, Session, What, put_bare};

pub(crate) struct ProcessActor;

/// What it takes to start a process, and to hear of it.
pub(crate) struct Nest {
    pub(crate) id: MemberId,
    pub(crate) blueprint: Arc<Blueprint>,
    pub(crate) backend: Arc<dyn ProcessBackend>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) master: ActorRef<MasterMsg>,
    pub(crate) dice: Dice,
}

pub(crate) struct ProcessState {
    nest: Nest,
    line: Arc<Line>,
    books: Arc<Books>,
    /// `None`: it is not asked whether it is there. Its role does not want it, or it is not ready, or it is to leave: then
    /// it has a deadline for what it does.
    pulse: Option<Pulse>,
    /// `None`: it does not exist yet.
    control: Option<Arc<dyn ProcessControl>>,
    /// To be killed as soon as it exists.
    doomed: bool,
    reported: Option<Exception>,
    /// The last of those that were panics.
    panicked: Option<Exception>,
    exit: Option<Exit>,
}

/// However the actor ends, also killed, nobody goes on waiting for something to write.
impl Drop for ProcessState {
    fn drop(&mut self) {
        self.line.close();
    }
}

impl ProcessState {
    /// How the process ended. `None`: it has not.
    pub(crate) fn into_exit(mut self) -> Option<Exit> {
        self.exit.take()
    }
}

#[ractor::actor(message = ProcessMsg, state = ProcessState, arguments = Nest)]
impl ProcessActor {
    async fn pre_start(&self, myself: ActorRef<ProcessMsg>, nest: Nest) -> Result<ProcessState, ActorProcessingErr> {
        // The backend takes a millisecond: whoever starts this actor must not wait for it.
        let spec = nest.blueprint.spec(nest.id);
        let backend = nest.backend.clone();
        tokio::spawn(async move {
            let result = match spec {
                Ok(spec) => backend.spawn(spec).await,
                Err(error) => {
                    let step = "failed to write its first words";
                    Err(SpawnError { step, reason: error.to_string(), errno: None })
                }
            };
            // Whoever asked has failed: dropped, it is ended.
            let _ = myself.cast(ProcessMsg::Spawned(result));
        });
        let (line, books) = Default::default();
        Ok(ProcessState {
            nest,
            line,
            books,
            pulse: None,
            control: None,
            doomed: false,
            reported: None,
            panicked: None,
            exit: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ProcessMsg>,
        message: ProcessMsg,
        state: &mut ProcessState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ProcessMsg::Spawned(Ok(spawned)) => state.hatched(spawned, &myself),
            ProcessMsg::Spawned(Err(error)) => return state.end(facts::not_started(&error), None, &myself),
            ProcessMsg::Said(said, permit) => {
                let id = state.nest.id;
                match said {
                    Said::Hello | Said::Ack(_) => {}
                    Said::Ready => {
                        let heartbeat = state.nest.blueprint.heartbeat(id.role());
                        state.pulse = heartbeat.map(|heartbeat| Pulse::begin(heartbeat, myself));
                        state.nest.report(Event::Ready(id), permit);
                    }
                    Said::Pong => {
                        // Of one that has been told to leave meanwhile, nobody wants to know.
                        if state.pulse.as_mut().is_some_and(Pulse::answered) {
                            state.nest.tell(MasterMsg::Beat(id, Beat::Heard));
                        }
                    }
                    Said::Watch => state.nest.tell(MasterMsg::Watch(id)),
                    Said::Exception(report) => {
                        let exception = facts::exception(&report);
                        state.reported = Some(exception.clone());
                        if report.what == What::Panic {
                            state.panicked = Some(exception.clone());
                        }
                        if let Some(clerk) = &state.nest.blueprint.clerk {
                            clerk.exception(id, &exception, &report.backtrace);
                        }
                        if !report.leaving {
                            state.nest.report(Event::Exception(id, exception), permit);
                        }
                    }
                }
            }
            ProcessMsg::LinkLost(error) => {
                state.line.close();
                state.pulse = None;
                state.nest.report(Event::LinkLost(state.nest.id, error), None);
            }
            ProcessMsg::Ended(record) => {
                let words = facts::last_words(&record, state.panicked.as_ref());
                let exit = facts::exit(record, state.reported.as_ref());
                return state.end(exit, words, &myself);
            }
            // As many as exceptions were reported: a member that does not read may report for ever.
            ProcessMsg::Order(Order::Stay) => state.line.stay(),
            ProcessMsg::Order(order) => {
                match order {
                    Order::Drain(_) | Order::Stop(_) => state.pulse = None,
                    Order::ClusterReady | Order::Stay => {}
                }
                state.line.control(|out| order.put(out));
            }
            ProcessMsg::Growth(growth) => state.line.control(|out| growth.put(out)),
            ProcessMsg::Round(late) => state.round(late),
            ProcessMsg::Kill => {
                state.pulse = None;
                match &state.control {
                    Some(control) => control.kill(),
                    None => state.doomed = true,
                }
            }
        }
        Ok(())
    }
}

impl ProcessState {
    /// The process exists: from here on it is read from and written to.
    fn hatched(&mut self, spawned: Spawned, myself: &ActorRef<ProcessMsg>) {
        let Spawned { pid, control, exit, reader, writer, descriptors } = spawned;
        let control: Arc<dyn ProcessControl> = Arc::from(control);
        if self.doomed {
            control.kill();
        }
        let books = self.books.clone();
        let Nest { id, blueprint, routes, dice, .. } = &self.nest;
        self.nest.tell(MasterMsg::Started(*id, pid, books.clone()));
        let linked = Linked { id: *id, line: self.line.clone(), books: books.clone(), control: control.clone() };
        routes.tell(id.slot(), SlotMsg::Linked(linked));
        let session = Session::new(*id, blueprint.directory.clone(), blueprint.limits, books);
        let (routes, process, dice) = (routes.clone(), myself.clone(), dice.clone());
        tokio::spawn(Listening { id: *id, reader, exit, session, routes, process, dice }.run());
        let (line, process) = (self.line.clone(), myself.clone());
        tokio::spawn(async move {
            if let Err(error) = line.write_to(writer).await {
                // Where the reader has heard nothing yet, it will: a link is lost as a whole.
                let _ = process.cast(ProcessMsg::LinkLost(match error.kind() {
                    std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset => LinkError::Closed,
                    _ => LinkError::Io(error.to_string()),
                }));
            }
            drop(descriptors);
        });
        self.control = Some(control);
    }

    /// A round of its pulse has ended.
    fn round(&mut self, late: Duration) {
        let id = self.nest.id;
        let findings = self.pulse.as_mut().map(|pulse| pulse.round(late)).unwrap_or_default();
        for finding in findings {
            match finding {
                Finding::Ask => {
                    self.books.ask();
                    self.line.control(|out| put_bare(Kind::Ping, out));
                }
                Finding::Silent(span) => self.nest.tell(MasterMsg::Beat(id, Beat::Silent(span))),
                Finding::Overdue(span) => self.nest.report(Event::Unresponsive(id, span), None),
            }
        }
    }

    /// The end of the process is the end of its actor: a failure, unless it was a clean one.
    fn end(
        &mut self,
        exit: Exit,
        words: Option<(Exception, String)>,
        myself: &ActorRef<ProcessMsg>,
    ) -> Result<(), ActorProcessingErr> {
        self.line.close();
        if let Some(clerk) = &self.nest.blueprint.clerk {
            if let Some((exception, backtrace)) = &words {
                clerk.exception(self.nest.id, exception, backtrace);
            }
            // What explains it was told, now or before.
            if !exit.is_clean() && exit.exception.is_none() {
                clerk.ended(self.nest.id, &exit);
            }
        }
        if exit.is_clean() {
            self.exit = Some(exit);
            myself.stop(None);
            return Ok(());
        }
        Err(Box::new(ProcessDown { id: self.nest.id, exit }))
    }
}

impl Nest {
    fn report(&self, event: Event, permit: Option<tokio::sync::OwnedSemaphorePermit>) {
        self.tell(MasterMsg::Fact(event, permit));
    }

    /// A master that does not hear has failed, and this actor with it.
    fn tell(&self, message: MasterMsg) {
        let _ = self.master.cast(message);
    }
}
