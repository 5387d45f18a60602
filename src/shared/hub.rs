//! What one member follows of one client: counted, told to whoever leads, and told again to a successor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::client::SharedClient;
use super::wire::{Ask, Session, Standing, action, standing};
use crate::bulletin::{Bulletin, Reader};
use crate::context::{Context, Members};
use crate::identity::{Incarnation, Slot};
use crate::messenger::{CALL_TIMEOUT, CallError, Subscription};

/// An agent that did not take what it was told is told again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// The keys that this member follows.
pub(super) struct Hub {
    keys: Mutex<Keys>,
    /// Rings when a key comes or goes.
    bell: Notify,
    outlook: Bulletin<Outlook>,
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
    /// Where the two may differ.
    touched: BTreeSet<String>,
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
            cx.spawn(run::<C>(cx.clone(), hub.clone()));
        }
        hub
    }

    fn new() -> Hub {
        Hub {
            keys: Mutex::default(),
            bell: Notify::new(),
            outlook: Bulletin::new(Outlook { valid_from: Session { agent: 0, connection: 0 }, open: false }),
        }
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
        keys.touched = keys.followed.keys().cloned().collect();
    }

    /// The next key that the leader is to be told of: whether it is followed.
    fn next(&self) -> Option<(String, bool)> {
        let mut keys = self.keys();
        while let Some(key) = keys.touched.pop_first() {
            let followed = keys.followed.contains_key(&key);
            if followed != keys.told.contains(&key) {
                return Some((key, followed));
            }
        }
        None
    }

    fn told(&self, key: String, followed: bool) {
        let mut keys = self.keys();
        match followed {
            true => keys.told.insert(key),
            false => keys.told.remove(&key),
        };
    }

    fn failed(&self, key: String) {
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
                keys.touched.insert(self.key.clone());
                self.hub.bell.notify_one();
            }
        }
    }
}

/// Tells leaders what is followed, until the link is lost.
async fn run<C: SharedClient>(cx: Context, hub: Arc<Hub>) {
    let Ok(mut standings) = cx.messenger().follow::<Standing>(&standing::<C>()).await else { return };
    let mut members = cx.members().await;
    let mut leader = None;
    loop {
        let known = standings.latest();
        let agent = known.map(|standing| standing.latest.agent);
        if agent != leader {
            leader = agent;
            hub.begin_anew();
        }
        let outlook = known.map(|known| {
            let agent = Slot::agent().member(Incarnation::new(known.latest.agent));
            Outlook::of(known, !members.current().has_seen_end_of(agent))
        });
        if let Some(outlook) = outlook.filter(|outlook| *outlook != hub.outlook.get()) {
            hub.outlook.post(outlook);
        }
        let told = match leader {
            Some(_) => tell_all::<C>(&cx, &hub).await,
            None => true,
        };
        if !wait(&hub, &mut standings, &mut members, told).await {
            return;
        }
    }
}

/// Tells the leader of all keys that it does not know of. `false`: it did not take one.
async fn tell_all<C: SharedClient>(cx: &Context, hub: &Hub) -> bool {
    while let Some((key, followed)) = hub.next() {
        let ask = match followed {
            true => Ask::<C::Value, C::Request>::Subscribe(key.clone()),
            false => Ask::Unsubscribe(key.clone()),
        };
        let (messenger, action) = (cx.messenger(), action::<C>());
        let answer = messenger.request::<Option<C::Reply>>(CALL_TIMEOUT, Slot::agent().into(), &action, &ask).await;
        match answer {
            Ok(_) => hub.told(key, followed),
            Err(error) => {
                hub.failed(key);
                if error != CallError::Closed {
                    tracing::debug!(client = C::NAME, %error, "the leader has not heard what is followed");
                }
                return false;
            }
        }
    }
    true
}

/// Resolves when something is to be looked at again. `false`: the link is lost.
async fn wait(hub: &Hub, standings: &mut Subscription<Standing>, members: &mut Members, told: bool) -> bool {
    let again = async {
        match told {
            true => std::future::pending().await,
            false => tokio::time::sleep(AGAIN).await,
        }
    };
    tokio::select! {
        biased;
        standing = standings.next() => standing.is_some(),
        _ = members.changed() => true,
        () = hub.bell.notified() => true,
        () = again => true,
    }
}
