//! What one member follows of one client: counted, told to whoever leads, and told again to a successor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::client::SharedClient;
use super::wire::{Ask, Session, Standing, action, standing};
use crate::bulletin::{Bulletin, Closed, Reader};
use crate::context::Context;
use crate::identity::{Incarnation, Slot};
use crate::messenger::{CALL_TIMEOUT, CallError, SendError};

/// A leader that did not answer is told again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// One that has refused something is asked again after this.
const REFUSED: Duration = Duration::from_secs(10);

/// The keys that this member follows.
pub(super) struct Hub {
    keys: Mutex<Keys>,
    /// Rings when a key comes or goes.
    bell: Notify,
    outlook: Bulletin<Outlook>,
    /// The agent that leads, by the number of its process.
    leader: Bulletin<Option<u32>>,
}

/// What is known here of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outlook {
    /// Those before this one are lost. A value may be here before the word that its connection is open.
    pub(super) valid_from: Session,
    /// One is open.
    pub(super) open: bool,
}

impl Outlook {
    /// `lives`: whether the agent does.
    fn of(standing: Standing, lives: bool) -> Outlook {
        let Standing { latest, open } = standing;
        let Session { agent, connection } = latest;
        match (lives, open) {
            (true, true) => Outlook { valid_from: latest, open },
            (true, false) => Outlook { valid_from: Session { agent, connection: connection + 1 }, open },
            (false, _) => Outlook { valid_from: Session { agent: agent + 1, connection: 0 }, open: false },
        }
    }
}

#[derive(Default)]
struct Keys {
    /// How often each is followed.
    followed: BTreeMap<String, usize>,
    /// What the present leader has been told to be followed.
    told: BTreeSet<String>,
    /// What it may or may not have been told: no answer has come.
    unsure: BTreeSet<String>,
    /// Where these may differ.
    touched: BTreeSet<String>,
    /// What it has refused.
    refused: BTreeSet<String>,
}

/// The hubs of a member, by the name of their client.
#[derive(Default)]
struct Hubs(BTreeMap<&'static str, Arc<Hub>>);

impl Hub {
    /// The one of this member.
    pub(super) fn of<C: SharedClient>(cx: &Context) -> Arc<Hub> {
        let mut is_new = false;
        let found = cx.member().keep.visit(|hubs: &mut Hubs| {
            let hub = hubs.0.entry(C::NAME).or_insert_with(|| {
                is_new = true;
                Arc::new(Hub::new())
            });
            hub.clone()
        });
        // The link is lost: this one leads nowhere.
        let hub = found.unwrap_or_else(|| Arc::new(Hub::new()));
        if is_new {
            cx.spawn(watch::<C>(cx.clone(), hub.clone()));
            cx.spawn(tell::<C>(cx.clone(), hub.clone()));
        }
        hub
    }

    fn new() -> Hub {
        let nothing = Outlook { valid_from: Session { agent: 0, connection: 0 }, open: false };
        let (outlook, leader) = (Bulletin::new(nothing), Bulletin::new(None));
        Hub { keys: Mutex::default(), bell: Notify::new(), outlook, leader }
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn outlook(&self) -> Reader<Outlook> {
        self.outlook.reader()
    }

    /// Follows a key, until what is returned is dropped.
    pub(super) fn follow(self: &Arc<Self>, key: &str) -> Following {
        let mut keys = self.keys();
        *keys.followed.entry(key.to_owned()).or_default() += 1;
        keys.touched.insert(key.to_owned());
        self.bell.notify_one();
        Following { hub: self.clone(), key: key.to_owned() }
    }

    /// There is another leader, who has been told nothing.
    fn begin_anew(&self) {
        let mut keys = self.keys();
        keys.told.clear();
        keys.unsure.clear();
        keys.refused.clear();
        keys.touched = keys.followed.keys().cloned().collect();
    }

    /// The next key that the leader is to be told of: whether it is followed.
    fn next(&self) -> Option<(String, bool)> {
        let mut keys = self.keys();
        while let Some(key) = keys.touched.pop_first() {
            let followed = keys.followed.contains_key(&key);
            if followed != keys.told.contains(&key) || keys.unsure.contains(&key) {
                keys.unsure.insert(key.clone());
                return Some((key, followed));
            }
        }
        None
    }

    /// It has heard, and has done so.
    fn told(&self, key: &str, followed: bool) {
        let mut keys = self.keys();
        keys.unsure.remove(key);
        match followed {
            true => keys.told.insert(key.to_owned()),
            false => keys.told.remove(key),
        };
    }

    /// It has heard, and will not.
    fn refused(&self, key: String) {
        let mut keys = self.keys();
        keys.unsure.remove(&key);
        keys.refused.insert(key);
    }

    fn has_refused(&self) -> bool {
        !self.keys().refused.is_empty()
    }

    /// Perhaps it has room by now.
    fn ask_again(&self) {
        let mut keys = self.keys();
        let refused = std::mem::take(&mut keys.refused);
        keys.touched.extend(refused);
    }

    /// It may have heard.
    fn unanswered(&self, key: String) {
        self.keys().touched.insert(key);
    }
}

/// A key that is followed.
pub(super) struct Following {
    hub: Arc<Hub>,
    pub(super) key: String,
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut keys = self.hub.keys();
        if let Some(count) = keys.followed.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                keys.followed.remove(&self.key);
                keys.refused.remove(&self.key);
                match keys.told.contains(&self.key) || keys.unsure.contains(&self.key) {
                    true => drop(keys.touched.insert(self.key.clone())),
                    // Nobody has heard of it.
                    false => drop(keys.touched.remove(&self.key)),
                }
                self.hub.bell.notify_one();
            }
        }
    }
}

/// Looks at how the leader is, until the link is lost.
async fn watch<C: SharedClient>(cx: Context, hub: Arc<Hub>) {
    let mut standings = loop {
        match cx.messenger().follow::<Standing>(&standing::<C>()).await {
            Ok(standings) => break standings,
            Err(CallError::Closed | CallError::Send(SendError::Closed)) => return,
            Err(error) => {
                tracing::warn!(client = C::NAME, %error, "it cannot be known how its connection is");
                tokio::time::sleep(REFUSED).await;
            }
        }
    };
    let mut members = cx.members().await;
    loop {
        if let Some(known) = standings.latest() {
            let agent = Slot::agent().member(Incarnation::new(known.latest.agent.max(1)));
            let outlook = Outlook::of(known, !members.current().has_seen_end_of(agent));
            if outlook != hub.outlook.get() {
                hub.outlook.post(outlook);
            }
            if hub.leader.get() != Some(known.latest.agent) {
                hub.leader.post(Some(known.latest.agent));
            }
        }
        tokio::select! {
            biased;
            standing = standings.next() => match standing {
                Some(_) => {}
                None => return,
            },
            _ = members.changed() => {}
        }
    }
}

/// Tells each leader what is followed, until the link is lost.
async fn tell<C: SharedClient>(cx: Context, hub: Arc<Hub>) {
    let (action, mut leaders, mut leader) = (action::<C>(), hub.leader.reader(), None);
    loop {
        let present = hub.leader.get();
        if present != leader {
            leader = present;
            hub.begin_anew();
        }
        let next = leader.and_then(|_| hub.next());
        let Some((key, followed)) = next else {
            let again = async {
                match hub.has_refused() {
                    true => tokio::time::sleep(REFUSED).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = leaders.changed() => match changed {
                    Ok(_) => continue,
                    Err(Closed) => return,
                },
                () = hub.bell.notified() => continue,
                () = again => {
                    hub.ask_again();
                    continue;
                }
            }
        };
        let ask = match followed {
            true => Ask::<C::Value, C::Request>::Subscribe(key.clone()),
            false => Ask::Unsubscribe(key.clone()),
        };
        let answer =
            cx.messenger().request::<Option<C::Reply>>(CALL_TIMEOUT, Slot::agent().into(), &action, &ask).await;
        match answer {
            // By one who may be the successor of the leader that was to hear it: it is told again.
            Ok(_) => hub.told(&key, followed),
            Err(CallError::Failed(error)) => {
                tracing::warn!(client = C::NAME, key, error, "the leader does not follow it");
                hub.refused(key);
            }
            Err(CallError::Closed | CallError::Send(SendError::Closed)) => return,
            Err(error) => {
                tracing::debug!(client = C::NAME, %error, "the leader has not heard what is followed");
                hub.unanswered(key);
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
