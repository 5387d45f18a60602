//! A counter that is an actor, and what may be relied on of it wherever it lives: the story is told of an [`ActorRef`] and
//! knows no more. Whoever tells it calls the crate `hatchery`.

use std::time::Duration;

use super::hatchery::ractor::{
    self, Actor, ActorProcessingErr, ActorRef, RactorErr, RpcReplyPort, call, call_t, cast, forward,
};
use super::hatchery::remote::{Ask, Receipt, ask};
use super::hatchery::{CallError, Protocol, ProxyMsg};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub struct Counter;

impl Protocol for Counter {
    const NAME: &'static str = "counter";
    const CALL_TIMEOUT: Duration = Duration::from_secs(20);
    type Cast = Tell;
    type Call = Question;
    type Reply = Reply;

    fn received(cast: &mut Tell, receipt: Receipt) {
        match cast {
            Tell::Slow(held) => held.receipt = receipt,
            Tell::Add(_) | Tell::Fail | Tell::Panic => drop(receipt),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Tell {
    Add(u64),
    /// Adds one when the gate of the counter is opened.
    Slow(Held),
    Fail,
    Panic,
}

/// Not dealt with before it is dropped.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Held {
    #[serde(skip)]
    receipt: Receipt,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Question {
    Count,
    Divide(u64),
    /// Kept, and never answered.
    Never,
    /// Let go.
    Drop,
    /// So many bytes.
    Bytes(usize),
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    Number(u64),
    Bytes(Vec<u8>),
}

/// Asks for the number.
#[derive(Debug)]
pub struct Count;

impl From<Count> for Question {
    fn from(Count: Count) -> Question {
        Question::Count
    }
}

impl Ask<Counter> for Count {
    type Reply = u64;
}

impl TryFrom<Reply> for u64 {
    type Error = Reply;

    fn try_from(reply: Reply) -> Result<u64, Reply> {
        match reply {
            Reply::Number(number) => Ok(number),
            Reply::Bytes(_) => Err(reply),
        }
    }
}

/// Asks for what it does not get.
struct Wrong;

impl From<Wrong> for Question {
    fn from(Wrong: Wrong) -> Question {
        Question::Bytes(1)
    }
}

impl Ask<Counter> for Wrong {
    type Reply = u64;
}

#[derive(Debug, Default)]
pub struct State {
    count: u64,
    kept: Vec<RpcReplyPort<Result<Reply, CallError>>>,
}

/// The actor that does the work. Slow casts wait for the gate, where there is one.
pub struct CounterActor(pub Option<tokio::sync::watch::Receiver<bool>>);

#[ractor::actor(message = ProxyMsg<Counter>, state = State, arguments = ())]
impl CounterActor {
    async fn pre_start(&self, _: ActorRef<ProxyMsg<Counter>>, _: ()) -> Result<State, ActorProcessingErr> {
        Ok(State::default())
    }

    async fn handle(
        &self,
        _: ActorRef<ProxyMsg<Counter>>,
        message: ProxyMsg<Counter>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ProxyMsg::Cast(Tell::Add(number)) => state.count += number,
            ProxyMsg::Cast(Tell::Slow(_held)) => {
                if let Some(mut gate) = self.0.clone() {
                    gate.wait_for(|&open| open).await?;
                }
                state.count += 1;
            }
            ProxyMsg::Cast(Tell::Fail) => return Err("asked to fail".into()),
            ProxyMsg::Cast(Tell::Panic) => panic!("asked to panic"),
            ProxyMsg::Call(Question::Count, reply) => drop(reply.send(Ok(Reply::Number(state.count)))),
            ProxyMsg::Call(Question::Divide(by), reply) => {
                let divided = state.count.checked_div(by).map(Reply::Number);
                let _ = reply.send(divided.ok_or(CallError::Failed("by nothing".into())));
            }
            ProxyMsg::Call(Question::Never, reply) => state.kept.push(reply),
            ProxyMsg::Call(Question::Drop, reply) => drop(reply),
            ProxyMsg::Call(Question::Bytes(count), reply) => drop(reply.send(Ok(Reply::Bytes(vec![7; count])))),
        }
        Ok(())
    }
}

/// Starts one in this process.
pub async fn start() -> ActorRef<ProxyMsg<Counter>> {
    Actor::spawn(None, CounterActor(None), ()).await.expect("it starts").0
}

/// Whoever is told what another was asked.
struct Sink(mpsc::UnboundedSender<Result<Reply, CallError>>);

#[ractor::actor(message = Heard, state = (), arguments = ())]
impl Sink {
    async fn pre_start(&self, _: ActorRef<Heard>, _: ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Heard>, Heard(reply): Heard, _: &mut ()) -> Result<(), ActorProcessingErr> {
        self.0.send(reply)?;
        Ok(())
    }
}

struct Heard(Result<Reply, CallError>);

/// What holds of a fresh counter, in this process and in any other.
pub async fn counter_story(counter: ActorRef<ProxyMsg<Counter>>) {
    assert_eq!(ask(&counter, Count).await, Ok(0));
    // What is told and what is asked keep their order.
    for number in 1..=100 {
        cast!(counter, ProxyMsg::Cast(Tell::Add(number))).expect("it lives");
    }
    assert_eq!(call!(counter, ProxyMsg::Call, Question::Count).expect("it lives"), Ok(Reply::Number(5_050)));
    let divided = call_t!(counter, ProxyMsg::Call, 20_000, Question::Divide(50)).expect("it lives");
    assert_eq!(divided, Ok(Reply::Number(101)));

    // A call always ends, and says how.
    let divided = call!(counter, ProxyMsg::Call, Question::Divide(0)).expect("it lives");
    assert_eq!(divided, Err(CallError::Failed("by nothing".into())));
    assert_eq!(ask(&counter, Wrong).await, Err(CallError::Undecodable));
    match call!(counter, ProxyMsg::Call, Question::Drop) {
        // How ractor says it of an actor in the same process.
        Ok(Err(CallError::Dropped)) | Err(RactorErr::Messaging(_)) => {}
        other => panic!("the reply was dropped, and the caller hears {other:?}"),
    }
    match call_t!(counter, ProxyMsg::Call, 50, Question::Never) {
        Err(RactorErr::Timeout) => {}
        Ok(Err(error)) if error.is_timeout() => {}
        other => panic!("nobody answers, and the caller hears {other:?}"),
    }

    // ractor passes the answer on to another actor.
    let (heard, mut answers) = mpsc::unbounded_channel();
    let (sink, _) = Actor::spawn(None, Sink(heard), ()).await.expect("it starts");
    forward!(counter, |reply| ProxyMsg::Call(Question::Count, reply), sink, Heard).expect("it is passed on");
    assert_eq!(answers.recv().await, Some(Ok(Reply::Number(5_050))));
    sink.stop(None);

    // Many at once: each has the answer to its own question.
    let asked: Vec<_> = (1..=100)
        .map(|number| {
            let counter = counter.clone();
            tokio::spawn(async move { (number, call!(counter, ProxyMsg::Call, Question::Divide(number))) })
        })
        .collect();
    for answer in asked {
        let (number, answer) = answer.await.expect("no panic");
        assert_eq!(answer.expect("it lives"), Ok(Reply::Number(5_050 / number)));
    }
    assert_eq!(ask(&counter, Count).await, Ok(5_050));
}
