//! A server outside of the cluster that counts, over TCP, and the client that the agent leads and the workers follow.
//!
//! Its protocol is lines: `+key` and `-key` subscribe, `=key value` publishes, `?key` asks; it tells `key value`, and answers a
//! question with `?key value`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hatchery::shared::{Change, SharedClient, Upstream};
use hatchery::{BoxError, Context, Request, Role, Slot};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// Where the server listens is told to the agent by the host.
pub const TOPIC: &str = "registry";

#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    values: BTreeMap<String, u64>,
    lines: BTreeMap<u64, (BTreeSet<String>, mpsc::UnboundedSender<String>)>,
    accepted: u64,
    /// What a client has done that none may.
    wrongs: Vec<String>,
}

impl Registry {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves until the test ends.
    pub async fn open(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let address = listener.local_addr().expect("it is bound");
        let registry = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(registry.clone().serve(stream));
            }
        });
        address
    }

    async fn serve(self, stream: TcpStream) {
        let (reader, mut writer) = stream.into_split();
        let (sender, mut told) = mpsc::unbounded_channel::<String>();
        let number = {
            let mut inner = self.inner();
            inner.accepted += 1;
            let number = inner.accepted;
            inner.lines.insert(number, (BTreeSet::new(), sender));
            number
        };
        let mut lines = BufReader::new(reader).lines();
        loop {
            tokio::select! {
                line = lines.next_line() => match line {
                    Ok(Some(line)) => self.hear(number, &line),
                    Ok(None) | Err(_) => break,
                },
                line = told.recv() => match line {
                    Some(line) if writer.write_all(format!("{line}\n").as_bytes()).await.is_ok() => {}
                    Some(_) | None => break,
                },
            }
        }
        self.inner().lines.remove(&number);
    }

    fn hear(&self, number: u64, line: &str) {
        let (verb, rest) = line.split_at(1);
        let mut inner = self.inner();
        let value = inner.values.get(rest).copied();
        let Some((keys, sender)) = inner.lines.get_mut(&number) else { return };
        match verb {
            "+" => {
                let is_new = keys.insert(rest.to_owned());
                if let Some(value) = value {
                    let _ = sender.send(format!("{rest} {value}"));
                }
                if !is_new {
                    inner.wrongs.push(format!("{rest} is subscribed to twice"));
                }
            }
            "-" => {
                if !keys.remove(rest) {
                    inner.wrongs.push(format!("{rest} was not subscribed to"));
                }
            }
            "?" => drop(sender.send(format!("?{rest} {}", value.unwrap_or(0)))),
            "=" => {
                drop(inner);
                let (key, value) = rest.split_once(' ').expect("a key and a value");
                self.put(key, value.parse().expect("a number"));
            }
            other => panic!("nobody says {other:?}"),
        }
    }

    pub fn put(&self, key: &str, value: u64) {
        let mut inner = self.inner();
        inner.values.insert(key.to_owned(), value);
        for (keys, sender) in inner.lines.values() {
            if keys.contains(key) {
                let _ = sender.send(format!("{key} {value}"));
            }
        }
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.inner().lines.clear();
    }

    pub fn wrongs(&self) -> Vec<String> {
        self.inner().wrongs.clone()
    }

    /// What each connection has subscribed to.
    pub fn subscribed(&self) -> Vec<BTreeSet<String>> {
        self.inner().lines.values().map(|(keys, _)| keys.clone()).collect()
    }
}

/// The client.
pub struct Counts {
    lines: mpsc::UnboundedSender<String>,
    asked: Arc<Mutex<VecDeque<oneshot::Sender<u64>>>>,
}

impl Counts {
    async fn connect(cx: Context, upstream: Upstream<u64>) -> Result<Counts, BoxError> {
        let address =
            cx.messenger().subscribe::<SocketAddr>(TOPIC).await?.latest().ok_or("nobody has told where it is")?;
        let (reader, mut writer) = TcpStream::connect(address).await?.into_split();
        let (lines, mut written) = mpsc::unbounded_channel::<String>();
        let asked = Arc::new(Mutex::new(VecDeque::<oneshot::Sender<u64>>::new()));
        let answers = asked.clone();
        cx.spawn(async move {
            let mut lines = BufReader::new(reader).lines();
            let why = loop {
                tokio::select! {
                    biased;
                    () = upstream.closed() => return,
                    line = written.recv() => match line {
                        Some(line) => match writer.write_all(format!("{line}\n").as_bytes()).await {
                            Ok(()) => {}
                            Err(error) => break error.to_string(),
                        },
                        None => return,
                    },
                    line = lines.next_line() => match line {
                        Ok(Some(line)) => {
                            let (key, value) = line.split_once(' ').expect("a key and a value");
                            let value = value.parse().expect("a number");
                            match key.strip_prefix('?') {
                                Some(_) => {
                                    let waiting = answers.lock().expect("nobody panicked").pop_front();
                                    waiting.map(|waiting| waiting.send(value));
                                }
                                None => upstream.changed(key, value).await,
                            }
                        }
                        Ok(None) => break "it was closed".to_owned(),
                        Err(error) => break error.to_string(),
                    },
                }
            };
            upstream.lost(why).await;
        });
        Ok(Counts { lines, asked })
    }

    fn say(&self, line: String) -> Result<(), BoxError> {
        Ok(self.lines.send(line)?)
    }
}

impl SharedClient for Counts {
    const NAME: &'static str = "counts";
    type Value = u64;
    type Request = String;
    type Reply = u64;

    async fn subscribe(&self, key: &str) -> Result<(), BoxError> {
        self.say(format!("+{key}"))
    }

    async fn unsubscribe(&self, key: &str) -> Result<(), BoxError> {
        self.say(format!("-{key}"))
    }

    async fn publish(&self, key: &str, value: u64) -> Result<(), BoxError> {
        self.say(format!("={key} {value}"))
    }

    async fn invoke(&self, key: String) -> Result<u64, BoxError> {
        let (sender, answer) = oneshot::channel();
        self.asked.lock().expect("nobody panicked").push_back(sender);
        self.say(format!("?{key}"))?;
        Ok(answer.await?)
    }
}

/// Leads, or follows: what it hears it tells the host.
pub async fn shared(cx: Context) -> Result<(), BoxError> {
    if cx.role() == Role::AGENT {
        let own = cx.clone();
        cx.lead(move |upstream| Counts::connect(own.clone(), upstream))?;
    } else {
        let counts = cx.follow::<Counts>();
        let own = counts.clone();
        cx.messenger().answer("invoke", move |key: Request<String>| {
            let own = own.clone();
            async move { own.invoke(key.body).await }
        })?;
        let mut updates = counts.subscribe("x").await?;
        let own = counts.clone();
        cx.messenger().answer("publish", move |value: Request<u64>| {
            let own = own.clone();
            async move { own.publish("x", value.body).await }
        })?;
        let (messenger, me) = (cx.messenger(), cx.id().to_string());
        cx.spawn(async move {
            while let Some(change) = updates.next().await {
                let told = match change {
                    Change::Value { value, missed, .. } => Some((value, missed)),
                    _ => None,
                };
                let _ = messenger.to(Slot::master(), "heard", &(me.clone(), told)).await;
            }
        });
    }
    cx.ready();
    cx.stopping().await;
    Ok(())
}
