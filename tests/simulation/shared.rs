//! One connection for all, when it is cut, its agent is killed, and its followers come and go. Counted by those who follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use hatchery::shared::{Change, SharedClient, Upstream};
use hatchery::simulation::{Fault, Simulation, explore};
use hatchery::{BoxError, CallError, ClusterHandle, Context, Hatchery, MemberId, Message, Request, Role, Slot};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::{ms, rough, secs, seeds};

/// A server outside of the cluster, that counts.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    values: BTreeMap<String, u64>,
    lines: BTreeMap<u32, Line>,
    last: u32,
    refuses: bool,
    /// Whoever connects is not answered.
    hangs: bool,
    /// How often somebody has tried to connect.
    attempts: u32,
}

/// A connection, as the server has it.
struct Line {
    keys: BTreeSet<String>,
    sender: UnboundedSender<(String, u64)>,
}

impl Server {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("nobody panicked")
    }

    fn put(&self, key: &str, value: u64) {
        let mut inner = self.inner();
        inner.values.insert(key.to_owned(), value);
        for line in inner.lines.values().filter(|line| line.keys.contains(key)) {
            let _ = line.sender.send((key.to_owned(), value));
        }
    }

    fn count(&self, key: &str) {
        let next = self.inner().values.get(key).copied().unwrap_or(0) + 1;
        self.put(key, next);
    }

    fn cut(&self) {
        self.inner().lines.clear();
    }

    /// What those that are connected have subscribed to, those that are not heard any more left out.
    fn subscribed(&self) -> Vec<BTreeSet<String>> {
        let inner = self.inner();
        inner.lines.values().filter(|line| !line.sender.is_closed()).map(|line| line.keys.clone()).collect()
    }
}

struct Counts {
    server: Server,
    line: u32,
}

impl Counts {
    async fn connect(cx: Context, server: Server, upstream: Upstream<u64>) -> Result<Counts, BoxError> {
        tokio::time::sleep(ms(3)).await;
        let hangs = {
            let mut inner = server.inner();
            inner.attempts += 1;
            inner.hangs
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        let (sender, mut told) = unbounded_channel();
        let line = {
            let mut inner = server.inner();
            if inner.refuses {
                return Err("refused".into());
            }
            inner.last += 1;
            let line = inner.last;
            inner.lines.insert(line, Line { keys: BTreeSet::new(), sender });
            line
        };
        cx.spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = upstream.closed() => return,
                    told = told.recv() => match told {
                        Some((key, value)) => upstream.changed(key, value).await,
                        None => return upstream.lost("it was cut").await,
                    }
                }
            }
        });
        Ok(Counts { server, line })
    }
}

impl SharedClient for Counts {
    const NAME: &'static str = "counts";
    type Value = u64;
    type Request = String;
    type Reply = u64;

    async fn subscribe(&self, key: &str) -> Result<(), BoxError> {
        tokio::time::sleep(ms(1)).await;
        match key {
            "a refused one" => return Err("it is nobody's".into()),
            "panics" => panic!("thrown by a client"),
            _ => {}
        }
        let mut inner = self.server.inner();
        let value = inner.values.get(key).copied();
        let line = inner.lines.get_mut(&self.line).ok_or("cut")?;
        if !line.keys.insert(key.to_owned()) {
            return Err("twice".into());
        }
        if let Some(value) = value {
            line.sender.send((key.to_owned(), value))?;
        }
        Ok(())
    }

    async fn unsubscribe(&self, key: &str) -> Result<(), BoxError> {
        let mut inner = self.server.inner();
        let line = inner.lines.get_mut(&self.line).ok_or("cut")?;
        line.keys.remove(key).then_some(()).ok_or("it was not subscribed to".into())
    }

    async fn publish(&self, key: &str, value: u64) -> Result<(), BoxError> {
        self.server.put(key, value);
        Ok(())
    }

    async fn invoke(&self, request: String) -> Result<u64, BoxError> {
        match request.as_str() {
            "never" => std::future::pending().await,
            key => self.server.inner().values.get(key).copied().ok_or_else(|| format!("there is no {key:?}").into()),
        }
    }
}

async fn lead(cx: Context, server: Server) -> hatchery::Result<()> {
    let own = cx.clone();
    cx.lead(move |upstream| Counts::connect(own.clone(), server.clone(), upstream))?;
    cx.ready();
    cx.stopping().await;
    Ok(())
}

/// What each member has heard of each key.
type Heard = Arc<Mutex<BTreeMap<(MemberId, String), Vec<Change<u64>>>>>;

/// Follows these keys, and tells.
async fn follow(cx: Context, keys: &'static [&'static str], heard: Heard) -> hatchery::Result<()> {
    let counts = cx.follow::<Counts>();
    for key in keys {
        let mut updates = counts.subscribe(key).await?;
        let (heard, place) = (heard.clone(), (cx.id(), (*key).to_owned()));
        cx.spawn(async move {
            while let Some(change) = updates.next().await {
                heard.lock().expect("nobody panicked").entry(place.clone()).or_default().push(change);
            }
        });
    }
    cx.ready();
    cx.stopping().await;
    Ok(())
}

/// Between two gaps, each value is the one after that before it and those that are known to be missed.
fn check(heard: &Heard) -> u64 {
    let mut gaps = 0;
    for (who, changes) in heard.lock().expect("nobody panicked").iter() {
        let mut last = None;
        for change in changes {
            match change {
                Change::Gap => {
                    gaps += 1;
                    assert!(last.take().is_some(), "{who:?}: two gaps in a row");
                }
                Change::Value { value, missed, .. } => {
                    if let Some(last) = last {
                        assert_eq!(*value, last + 1 + missed, "{who:?}");
                    }
                    last = Some(*value);
                }
                _ => unreachable!("there are no others"),
            }
        }
    }
    gaps
}

#[test]
fn whoever_follows_hears_every_change_or_of_a_gap_and_in_the_end_what_is() {
    const KEYS: &[&str] = &["a", "b"];
    explore(seeds(), |sim| async move {
        let (server, heard) = (Server::default(), Heard::default());
        let (own, told) = (server.clone(), heard.clone());
        let hatchery =
            Hatchery::new().agent(move |cx| lead(cx, own.clone())).workers(3, move |cx| follow(cx, KEYS, told.clone()));
        let cluster = sim.start(hatchery).await?;
        cluster.ready().await?;
        let chaos = sim.chaos(rough());
        for round in 0..600 {
            sim.elapse(ms(100)).await;
            KEYS.iter().for_each(|key| server.count(key));
            match round % 60 {
                20 => drop(sim.fault(Slot::agent(), Fault::Signal(9))),
                40 => server.cut(),
                50 => server.inner().refuses = true,
                55 => server.inner().refuses = false,
                _ => {}
            }
        }
        chaos.stop();
        sim.eventually(secs(120), || {
            cluster.status().ready(Role::WORKER) == 3 && cluster.status().ready(Role::AGENT) == 1
        })
        .await?;
        KEYS.iter().for_each(|key| server.count(key));
        sim.elapse(secs(60)).await;
        let gaps = check(&heard);
        assert!(gaps > 20, "{gaps} gaps were told of");
        // Those who live know what is.
        let roster = cluster.status();
        for worker in roster.of(Role::WORKER) {
            for key in KEYS {
                let heard = heard.lock().expect("nobody panicked");
                let changes = &heard[&(worker.id, (*key).to_owned())];
                let is = server.inner().values[*key];
                let known = matches!(changes.last(), Some(Change::Value { value, .. }) if *value == is);
                assert!(known, "{} of {key}: {is}, and has heard {:?}", worker.id, changes.last());
            }
        }
        let all: BTreeSet<String> = KEYS.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(server.subscribed(), [all], "one connection, and each key once");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

/// Follows what it is told to, and asks what it is told to.
async fn told(cx: Context) -> hatchery::Result<()> {
    let counts = cx.follow::<Counts>();
    let following = Arc::new(Mutex::new(BTreeMap::new()));
    let (own, map) = (counts.clone(), following.clone());
    cx.messenger().answer("follow", move |key: Request<String>| {
        let (own, map) = (own.clone(), map.clone());
        async move {
            let updates = own.subscribe(&key.body).await?;
            let known = updates.latest();
            map.lock().expect("nobody panicked").insert(key.body, updates);
            Ok::<_, CallError>(known)
        }
    })?;
    cx.messenger().on("leave", move |key: Message<String>| {
        following.lock().expect("nobody panicked").remove(&key.body);
    });
    let own = counts.clone();
    cx.messenger().answer("invoke", move |key: Request<String>| {
        let own = own.clone();
        async move { own.invoke_within(secs(2), key.body).await }
    })?;
    cx.messenger().answer("publish", move |value: Request<(String, u64)>| {
        let counts = counts.clone();
        async move { counts.publish(&value.body.0, value.body.1).await }
    })?;
    cx.ready();
    cx.stopping().await;
    Ok(())
}

/// A server, and a cluster whose two workers do what they are told.
async fn started(sim: &Simulation) -> hatchery::Result<(Server, ClusterHandle)> {
    let server = Server::default();
    let own = server.clone();
    let cluster = sim.start(Hatchery::new().agent(move |cx| lead(cx, own.clone())).workers(2, told)).await?;
    cluster.ready().await?;
    Ok((server, cluster))
}

#[test]
fn a_key_is_subscribed_to_once_for_all_and_left_with_the_last_of_them() {
    explore(seeds(), |sim| async move {
        let (server, cluster) = started(&sim).await?;
        let messenger = cluster.messenger();
        let key = "x".to_owned();
        let (one, two) = (Slot::worker(0), Slot::worker(1));
        assert_eq!(messenger.call::<Option<u64>>(one, "follow", &key).await?, None);
        messenger.call::<()>(one, "publish", &(key.clone(), 7u64)).await?;
        sim.eventually(secs(5), || server.subscribed() == [BTreeSet::from(["x".to_owned()])]).await?;
        sim.elapse(ms(100)).await;
        assert_eq!(messenger.call::<Option<u64>>(two, "follow", &key).await?, Some(7), "the last value first");
        assert_eq!(messenger.call::<u64>(two, "invoke", &key).await?, 7);
        let failed = messenger.call::<u64>(two, "invoke", &"y".to_owned()).await;
        assert_eq!(failed, Err(CallError::Failed("there is no \"y\"".into())));
        let late = messenger.call::<u64>(two, "invoke", &"never".to_owned()).await;
        assert!(matches!(late, Err(CallError::Failed(text)) if text.contains("deadline")), "it is bounded");
        messenger.to(one, "leave", &key).await?;
        sim.elapse(secs(1)).await;
        assert_eq!(server.subscribed().len(), 1);
        assert!(server.subscribed()[0].contains("x"), "the other follows it");
        // One that dies follows nothing.
        assert!(sim.fault(two, Fault::Signal(9)).took_effect());
        sim.eventually(secs(5), || server.subscribed() == [BTreeSet::new()]).await?;
        assert_eq!(messenger.call::<Option<u64>>(one, "follow", &key).await?, None, "nobody knew it any more");
        sim.elapse(secs(1)).await;
        assert_eq!(messenger.call::<u64>(one, "invoke", &key).await?, 7);
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_key_that_is_refused_and_a_client_that_panics_cost_the_others_nothing() {
    explore(seeds(), |sim| async move {
        let (server, cluster) = started(&sim).await?;
        let messenger = cluster.messenger();
        let (one, two) = (Slot::worker(0), Slot::worker(1));
        for key in ["a refused one", "x"] {
            messenger.call::<Option<u64>>(one, "follow", &key.to_owned()).await?;
        }
        server.put("x", 1);
        sim.elapse(secs(30)).await;
        let known = messenger.call::<Option<u64>>(two, "follow", &"x".to_owned()).await?;
        assert_eq!((known, server.subscribed()), (Some(1), vec![BTreeSet::from(["x".to_owned()])]));
        assert_eq!(server.inner().last, 1, "it is one connection all the time");
        // An exception of the agent, which lives; and there is another connection.
        messenger.call::<Option<u64>>(one, "follow", &"panics".to_owned()).await?;
        sim.eventually(secs(30), || server.inner().last > 1).await?;
        messenger.to(one, "leave", &"panics".to_owned()).await?;
        sim.elapse(secs(60)).await;
        server.put("x", 2);
        sim.elapse(secs(1)).await;
        assert_eq!(messenger.call::<Option<u64>>(two, "follow", &"x".to_owned()).await?, Some(2));
        assert_eq!(cluster.status().ready(Role::AGENT), 1);
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

/// An attempt takes half a minute, which is no connection that has lasted for that long.
#[test]
fn a_server_that_hangs_is_tried_less_and_less_often() {
    explore(seeds(), |sim| async move {
        let (server, cluster) = started(&sim).await?;
        let messenger = cluster.messenger();
        messenger.call::<Option<u64>>(Slot::worker(0), "follow", &"x".to_owned()).await?;
        sim.eventually(secs(5), || server.subscribed() == [BTreeSet::from(["x".to_owned()])]).await?;
        server.inner().hangs = true;
        server.cut();
        let before = server.inner().attempts;
        sim.elapse(secs(3_600)).await;
        let attempts = server.inner().attempts - before;
        // 30 s for each, and 10 s between two of them: 90, and a few more in the beginning. Without pauses they would be 119.
        assert!((90..=93).contains(&attempts), "{attempts}");
        server.inner().hangs = false;
        sim.eventually(secs(41), || server.subscribed() == [BTreeSet::from(["x".to_owned()])]).await?;
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn whoever_follows_after_the_last_has_left_knows_what_is_and_not_what_was() {
    explore(seeds(), |sim| async move {
        let (server, cluster) = started(&sim).await?;
        let messenger = cluster.messenger();
        let key = "x".to_owned();
        server.put("x", 0);
        for round in 1..200u64 {
            let (one, other) = (Slot::worker((round % 2) as u16), Slot::worker((1 - round % 2) as u16));
            messenger.call::<Option<u64>>(one, "follow", &key).await?;
            // All at once, in whatever order it comes to pass.
            messenger.to(other, "leave", &key).await?;
            server.put("x", round);
            if round % 3 == 0 {
                messenger.to(one, "leave", &key).await?;
                server.put("x", round + 1_000);
                messenger.call::<Option<u64>>(one, "follow", &key).await?;
            }
            let is = server.inner().values["x"];
            sim.elapse(ms(50)).await;
            let known = messenger.call::<Option<u64>>(one, "follow", &key).await?;
            assert_eq!(known, Some(is), "round {round}");
        }
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}
