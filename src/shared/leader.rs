//! The client as its leader has it: connected, connected again, and subscribed to what anybody follows.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, mpsc};

use super::client::{News, SharedClient, Upstream};
use super::wire::{Ask, KEY, Kept, Session, Standing, action, number, standing, topic};
use crate::bulletin::Bulletin;
use crate::context::{Context, Members};
use crate::error::{BoxError, chain};
use crate::identity::MemberId;
use crate::messenger::{CallError, Request, SendError};
use crate::process::{catch_future, clock};
use crate::roster::Roster;

/// How long the making of a connection may take, and what is asked of the client on the leader's own behalf.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two attempts to connect: doubled each time, up to the longest, and the first again when one was open for longer
/// than that.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The most keys that are followed of one client.
const KEYS: usize = 65_536;

/// The agent leads a client of that name already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a shared client {0:?} is led already")]
pub struct AlreadyLed(&'static str);

impl Context {
    /// Leads a client, in the agent, before it is [ready](Context::ready): `connect` opens its connection, now and whenever it
    /// is lost, in pauses of 100 ms to 10 s. What the server tells, the client says to the [`Upstream`] that `connect` is given.
    ///
    /// Resolves at once: whether the server is there is no condition for the agent to be ready. To make it one, await
    /// [`Follower::connected`](super::Follower::connected).
    ///
    /// # Errors
    /// [`AlreadyLed`].
    ///
    /// # Panics
    /// In a member that is not the agent: followers ask the agent. When [`SharedClient::NAME`] cannot be used.
    pub fn lead<C, F, Fut, E>(&self, connect: F) -> Result<(), AlreadyLed>
    where
        C: SharedClient,
        F: Fn(Upstream<C::Value>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<C, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        assert!(self.role() == crate::identity::Role::AGENT, "the agent leads, and this is {}", self.id());
        let leader = Arc::new(Leader::<C>::new());
        let asked = leader.clone();
        let answered = self.messenger().serve(&action::<C>(), move |request: Request<Ask<C::Value, C::Request>>| {
            // What is followed, in the order in which it is told: what awaits, is overtaken.
            let answer = asked.answer(request.from, request.body);
            let leader = asked.clone();
            async move {
                match answer {
                    Ok(deed) => leader.carry_out(deed).await,
                    Err(why) => Err(why),
                }
            }
        });
        answered.map_err(|_| AlreadyLed(C::NAME))?;
        let connect = move |upstream| -> Connecting<C> {
            let connecting = connect(upstream);
            Box::pin(async move { connecting.await.map_err(Into::into) })
        };
        let [subscribed, stale, refused] = std::array::from_fn(|_| BTreeSet::new());
        let course = Course { cx: self.clone(), leader, agent: number(self.id()), subscribed, stale, refused };
        self.spawn(course.run(connect));
        Ok(())
    }
}

type Connecting<C> = Pin<Box<dyn Future<Output = Result<C, BoxError>> + Send>>;

/// What followers find.
struct Leader<C> {
    keys: Mutex<Keys>,
    /// Rings when a key comes or goes.
    bell: Notify,
    client: Bulletin<Option<Arc<C>>>,
}

#[derive(Default)]
struct Keys {
    followers: BTreeMap<String, BTreeSet<MemberId>>,
    /// Those that may have to be subscribed to, or not any more.
    touched: BTreeSet<String>,
}

/// What a follower wants of the client.
enum Deed<C: SharedClient> {
    Nothing,
    Publish(String, C::Value),
    Invoke(C::Request),
}

impl<C: SharedClient> Leader<C> {
    fn new() -> Leader<C> {
        Leader { keys: Mutex::default(), bell: Notify::new(), client: Bulletin::new(None) }
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left to be done with the client.
    fn answer(&self, from: MemberId, ask: Ask<C::Value, C::Request>) -> Result<Deed<C>, String> {
        match ask {
            Ask::Subscribe(key) => self.follow(from, key).map(|()| Deed::Nothing),
            Ask::Unsubscribe(key) => {
                self.leave(from, &key);
                Ok(Deed::Nothing)
            }
            Ask::Publish(key, value) => Ok(Deed::Publish(key, value)),
            Ask::Invoke(request) => Ok(Deed::Invoke(request)),
        }
    }

    async fn carry_out(&self, deed: Deed<C>) -> Result<Option<C::Reply>, String> {
        let told = |error: BoxError| chain(&*error);
        match deed {
            Deed::Nothing => Ok(None),
            Deed::Publish(key, value) => self.client().await.publish(&key, value).await.map(|()| None).map_err(told),
            Deed::Invoke(request) => self.client().await.invoke(request).await.map(Some).map_err(told),
        }
    }

    /// The client, as soon as it is connected. Its caller's deadline ends the wait.
    async fn client(&self) -> Arc<C> {
        match self.client.reader().wait_for(Option::is_some).await {
            Ok(Some(client)) => client,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    fn follow(&self, member: MemberId, key: String) -> Result<(), String> {
        let mut keys = self.keys();
        if key.is_empty() || key.len() > KEY {
            return Err(format!("a key has 1 to {KEY} bytes, not {}", key.len()));
        }
        if keys.followers.len() >= KEYS && !keys.followers.contains_key(&key) {
            return Err(format!("{KEYS} keys are followed already"));
        }
        let followers = keys.followers.entry(key.clone()).or_default();
        let is_first = followers.is_empty();
        followers.insert(member);
        if is_first {
            keys.touched.insert(key);
            self.bell.notify_one();
        }
        Ok(())
    }

    fn leave(&self, member: MemberId, key: &str) {
        let mut keys = self.keys();
        let Some(followers) = keys.followers.get_mut(key) else { return };
        followers.remove(&member);
        if followers.is_empty() {
            keys.followers.remove(key);
            // Without a connection they add up. What is not let go then goes with this agent.
            if keys.touched.len() < KEYS {
                keys.touched.insert(key.to_owned());
            }
            self.bell.notify_one();
        }
    }

    /// Those who have gone follow nothing.
    fn forget_gone(&self, roster: &Roster) {
        let keys = self.keys();
        let members: BTreeSet<MemberId> = keys.followers.values().flatten().copied().collect();
        let gone: BTreeSet<MemberId> = members.into_iter().filter(|id| roster.has_seen_end_of(*id)).collect();
        if gone.is_empty() {
            return;
        }
        let of_it = |(key, followers): (&String, &BTreeSet<MemberId>)| -> Vec<(MemberId, String)> {
            followers.intersection(&gone).map(|id| (*id, key.clone())).collect()
        };
        let left: Vec<_> = keys.followers.iter().flat_map(of_it).collect();
        drop(keys);
        left.into_iter().for_each(|(member, key)| self.leave(member, &key));
    }

    fn is_followed(&self, key: &str) -> bool {
        self.keys().followers.contains_key(key)
    }
}

/// The leader as it goes from one connection to the next.
struct Course<C> {
    cx: Context,
    leader: Arc<Leader<C>>,
    agent: u32,
    /// What the present connection is subscribed to.
    subscribed: BTreeSet<String>,
    /// Of that, what has changed while nobody followed it: it has to be told anew.
    stale: BTreeSet<String>,
    /// What the server has refused to tell of.
    refused: BTreeSet<String>,
}

/// The member is to stop, or its link is lost.
struct Over;

/// Why a connection is no longer used.
type Why = String;

impl<C: SharedClient> Course<C> {
    /// Leads until the link is lost. A member that is to stop answers what it has been asked, and until then tells what changes.
    async fn run(mut self, connect: impl Fn(Upstream<C::Value>) -> Connecting<C>) {
        let mut members = self.cx.members().await;
        let (mut connection, mut pause) = (0, FIRST_PAUSE);
        while self.stand(connection, false).await.is_ok() {
            let (upstream, news) = Upstream::new();
            let why = match patiently(&self.cx, connect(upstream)).await {
                Done::Well(client) => {
                    connection += 1;
                    let opened = clock::now();
                    let session = Session { agent: self.agent, connection };
                    let attended = self.attend(session, &Arc::new(client), news, &mut members).await;
                    self.leader.client.post(None);
                    // One that is lost at once again and again is not to be asked for all the time.
                    if clock::now().saturating_duration_since(opened) > LONGEST_PAUSE {
                        pause = FIRST_PAUSE;
                    }
                    match attended {
                        Ok(why) => why,
                        Err(Over) => return,
                    }
                }
                Done::Refused(why) | Done::Never(why) => why,
            };
            tracing::warn!(client = C::NAME, why, again_in = ?pause, "the shared connection is lost");
            if self.stand(connection, false).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Lets followers know how things are.
    async fn stand(&self, connection: u32, open: bool) -> Result<(), Over> {
        let latest = Session { agent: self.agent, connection };
        self.keep(&standing::<C>(), &Standing { latest, open }).await.map(drop)
    }

    /// `false`: it is not kept.
    async fn keep(&self, topic: &str, value: &impl Serialize) -> Result<bool, Over> {
        let kept = match self.cx.messenger().keep(topic, value).await {
            Ok(keeping) => keeping.done().await,
            Err(error) => Err(error),
        };
        match kept {
            Ok(()) => Ok(true),
            Err(CallError::Closed | CallError::Send(SendError::Closed)) => Err(Over),
            Err(error) => {
                tracing::error!(client = C::NAME, topic, %error, "a value cannot be kept");
                Ok(false)
            }
        }
    }

    async fn let_go(&self, topic: &str) -> Result<(), Over> {
        match self.cx.messenger().let_go(topic).await {
            Err(CallError::Closed | CallError::Send(SendError::Closed)) => Err(Over),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// One connection, from its first subscription until it is lost.
    async fn attend(
        &mut self,
        session: Session,
        client: &Arc<C>,
        mut news: mpsc::Receiver<News<C::Value>>,
        members: &mut Members,
    ) -> Result<Why, Over> {
        for known in [&mut self.subscribed, &mut self.stale, &mut self.refused] {
            known.clear();
        }
        {
            let mut keys = self.leader.keys();
            let followed: Vec<String> = keys.followers.keys().cloned().collect();
            keys.touched.extend(followed);
        }
        self.leader.client.post(Some(client.clone()));
        let mut told = false;
        let mut changing: Option<Changing> = None;
        let mut refused_at = clock::now();
        loop {
            if changing.is_none() {
                changing = self.next_change(client).await?;
            }
            if changing.is_none() && !std::mem::replace(&mut told, true) {
                // All that is followed is subscribed to.
                tracing::info!(client = C::NAME, connection = session.connection, "the shared connection is open");
                self.stand(session.connection, true).await?;
            }
            // What the server tells is passed on while it is asked for more: it may tell before it answers.
            let changed = async {
                match &mut changing {
                    Some(changing) => changing.done.as_mut().await,
                    None => std::future::pending().await,
                }
            };
            let again = async {
                match self.refused.is_empty() {
                    true => std::future::pending().await,
                    false => tokio::time::sleep_until((refused_at + LONGEST_PAUSE).into()).await,
                }
            };
            // What the server tells comes last: it may tell without pause.
            tokio::select! {
                biased;
                done = changed => {
                    let Some(Changing { key, subscribes, .. }) = changing.take() else { continue };
                    match done {
                        Done::Well(()) if subscribes => drop(self.subscribed.insert(key)),
                        Done::Well(()) => drop(self.subscribed.remove(&key)),
                        Done::Refused(why) if subscribes => {
                            tracing::warn!(client = C::NAME, key, why, again_in = ?LONGEST_PAUSE, "it is not told of");
                            self.refused.insert(key);
                            refused_at = clock::now();
                        }
                        Done::Refused(why) => return Ok(format!("it does not let {key:?} go: {why}")),
                        Done::Never(why) => return Ok(format!("{key:?}: {why}")),
                    }
                }
                roster = members.changed() => self.leader.forget_gone(&roster),
                () = self.leader.bell.notified() => self.leader.forget_gone(&members.current()),
                () = again => {
                    let refused = std::mem::take(&mut self.refused);
                    self.leader.keys().touched.extend(refused);
                }
                heard = news.recv() => match heard {
                    Some(News::Changed(key, value)) => self.pass_on(session, key, value).await?,
                    Some(News::Lost(why)) => return Ok(why),
                    None => return Ok("its client has let it go".to_owned()),
                },
            }
        }
    }

    /// The next key that is to be subscribed to, or not any more.
    async fn next_change(&mut self, client: &Arc<C>) -> Result<Option<Changing>, Over> {
        loop {
            let key = self.leader.keys().touched.pop_first();
            let Some(key) = key else { return Ok(None) };
            let (followed, is_subscribed) = (self.leader.is_followed(&key), self.subscribed.contains(&key));
            if !followed {
                self.refused.remove(&key);
                // Nobody is told what it was once.
                self.let_go(&topic::<C>(&key)).await?;
            }
            let is_stale = self.stale.remove(&key);
            let subscribes = match (followed, is_subscribed) {
                (true, false) => true,
                (false, true) => false,
                // What it is now is told to whoever subscribes, and to nobody else.
                (true, true) if is_stale => {
                    self.leader.keys().touched.insert(key.clone());
                    false
                }
                (true, true) | (false, false) => continue,
            };
            let (client, own, cx) = (client.clone(), key.clone(), self.cx.clone());
            let done = async move {
                let asked = async {
                    match subscribes {
                        true => client.subscribe(&own).await,
                        false => client.unsubscribe(&own).await,
                    }
                };
                patiently(&cx, asked).await
            };
            return Ok(Some(Changing { key, subscribes, done: Box::pin(done) }));
        }
    }

    async fn pass_on(&mut self, by: Session, key: String, value: C::Value) -> Result<(), Over> {
        // It was on its way when the last follower left. Another may come before the server has heard of that.
        if !self.leader.is_followed(&key) {
            if self.stale.len() < KEYS {
                self.stale.insert(key);
            }
            return Ok(());
        }
        let topic = topic::<C>(&key);
        if !self.keep(&topic, &Kept { by, value }).await? {
            // Better none than an old one that looks new.
            self.let_go(&topic).await?;
        }
        Ok(())
    }
}

/// A key that the client is about to subscribe to, or not any more.
struct Changing {
    key: String,
    subscribes: bool,
    done: Pin<Box<dyn Future<Output = Done<()>> + Send>>,
}

/// What has become of something that the client was to do.
enum Done<T> {
    Well(T),
    /// The server will not have it.
    Refused(Why),
    /// The connection is of no use.
    Never(Why),
}

/// Has the client do something on the leader's own behalf. A panic in it is an exception of this member.
async fn patiently<T>(cx: &Context, work: impl Future<Output = Result<T, BoxError>>) -> Done<T> {
    match tokio::time::timeout(PATIENCE, catch_future(Box::pin(work))).await {
        Ok(Ok(Ok(done))) => Done::Well(done),
        Ok(Ok(Err(error))) => Done::Refused(chain(&*error)),
        Ok(Err(panicked)) => {
            cx.member().panicked(panicked);
            Done::Never("its client panicked".to_owned())
        }
        Err(_) => Done::Never("it takes too long".to_owned()),
    }
}
