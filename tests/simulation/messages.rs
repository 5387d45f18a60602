//! Messages, counted by the code of users: I6, I8 and I11.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hatchery::simulation::{Chaos, Fault, explore};
use hatchery::{Context, Hatchery, MemberId, Message, Role, Slot};

use crate::{agent, ms, secs, seeds};

/// What happened to each message, as user code has it: by its sender and number.
#[derive(Default)]
pub(crate) struct Ledger {
    sent: BTreeMap<(MemberId, u64), u32>,
    delivered: BTreeMap<(MemberId, u64), u32>,
    /// For each time that it came back: whether it may have been seen.
    returned: BTreeMap<(MemberId, u64), Vec<bool>>,
    /// The latest number that each receiver had of each sender.
    latest: BTreeMap<(MemberId, MemberId), u64>,
    out_of_order: Vec<String>,
}

impl Ledger {
    pub(crate) fn delivered(&self) -> usize {
        self.delivered.len()
    }

    /// I6 and I8, of all that was sent. `living`: who was there at the end, and has been told of all that was lost.
    pub(crate) fn check(&self, living: &[MemberId]) {
        assert_eq!(self.out_of_order, Vec::<String>::new());
        let twice = self.delivered.iter().find(|(_, times)| **times > 1);
        assert_eq!(twice, None, "delivered twice");
        let twice = self.returned.iter().find(|(_, times)| times.len() > 1);
        assert_eq!(twice, None, "came back twice");
        // Who trusts a message that comes back as never seen sends it again.
        let denied = self.returned.iter().find(|(key, seen)| self.delivered.contains_key(key) && seen.contains(&false));
        assert_eq!(denied, None, "delivered, and came back as never seen");
        let unsent = self.returned.keys().find(|key| !self.sent.contains_key(key));
        assert_eq!(unsent, None, "came back, and was not sent");
        let unsent = self.delivered.keys().find(|key| !self.sent.contains_key(key));
        assert_eq!(unsent, None, "delivered, and was not sent");
        // The last of each may still have been under way at the stop.
        for member in living {
            let of_it = self.sent.keys().filter(|(sender, _)| sender == member);
            let lost = of_it.filter(|key| !self.delivered.contains_key(key) && !self.returned.contains_key(key));
            let lost: Vec<_> = lost.collect();
            assert!(lost.len() <= 1, "neither delivered nor returned: {lost:?}");
        }
    }
}

pub(crate) type Shared = Arc<Mutex<Ledger>>;

/// Sends a numbered message to the next of `of` workers every so often, and writes down what comes and what comes back.
pub(crate) async fn correspond(cx: &Context, ledger: Shared, of: u16, every: Duration) {
    let me = cx.id();
    let book = ledger.clone();
    cx.messenger().on("raw", move |message: Message<hatchery::Bytes>| {
        let number = u64::from_le_bytes(message.body[..].try_into().expect("it was 8 bytes"));
        let mut ledger = book.lock().expect("nobody panicked");
        *ledger.delivered.entry((message.from, number)).or_default() += 1;
        let latest = ledger.latest.insert((me, message.from), number);
        if latest.is_some_and(|latest| latest >= number) {
            ledger.out_of_order.push(format!("{me} had {latest:?} of {} before {number}", message.from));
        }
    });
    let mut returns = cx.messenger().undelivered();
    let book = ledger.clone();
    cx.spawn(async move {
        while let Some(lost) = returns.next().await {
            let bytes: [u8; 8] = lost.payload[..].try_into().expect("it was 8 bytes");
            let mut ledger = book.lock().expect("nobody panicked");
            ledger.returned.entry((me, u64::from_le_bytes(bytes))).or_default().push(lost.perhaps_seen);
        }
    });
    cx.ready();
    let to = Slot::worker((me.slot().index() + 1) % of);
    for number in 0u64.. {
        tokio::select! {
            biased;
            () = cx.stopping() => break,
            () = tokio::time::sleep(every) => {}
        }
        let sent = cx.messenger().try_send(to, "raw", hatchery::Bytes::copy_from_slice(&number.to_le_bytes()));
        if sent.is_ok() {
            ledger.lock().expect("nobody panicked").sent.insert((me, number), 1);
        }
    }
}

/// A cluster of `count` workers that correspond.
pub(crate) fn correspondents(ledger: &Shared, count: u16, every: Duration) -> Hatchery {
    let ledger = ledger.clone();
    Hatchery::new().agent(agent).workers(count.into(), move |cx: Context| {
        let ledger = ledger.clone();
        async move {
            correspond(&cx, ledger, count, every).await;
            Ok::<_, hatchery::BoxError>(())
        }
    })
}

#[test]
fn i6_i8_what_living_members_sent_was_delivered_once_and_in_order_or_came_back() {
    explore(seeds(), |sim| async move {
        let ledger = Shared::default();
        let cluster = sim.start(correspondents(&ledger, 3, ms(20))).await?;
        cluster.ready().await?;
        let chaos = sim.chaos(
            Chaos::new()
                .crashes_per_hour(300.0)
                .freezes_per_hour(100.0)
                .link_stalls_per_hour(100.0)
                .panics_per_hour(60.0),
        );
        sim.elapse(secs(120)).await;
        chaos.stop();
        sim.eventually(secs(120), || cluster.status().ready(Role::WORKER) == 3).await?;
        sim.elapse(secs(60)).await;
        assert!(chaos.took_effect() > 3, "{} faults took effect", chaos.took_effect());
        // Who is alive now has been told of all that was lost.
        let living: Vec<MemberId> = cluster.status().of(Role::WORKER).map(|status| status.id).collect();
        let before = sim.now();
        cluster.shutdown().await?;
        assert!(sim.now() - before < secs(15));
        let ledger = ledger.lock().expect("nobody panicked");
        assert!(ledger.delivered() > 5_000, "{} were delivered", ledger.delivered());
        ledger.check(&living);
        sim.check_quiescent()
    });
}

#[test]
fn a_broadcast_reaches_every_member_once_the_sender_included() {
    explore(seeds(), |sim| async move {
        let heard = Arc::new(Mutex::new(BTreeMap::<(MemberId, MemberId), u32>::new()));
        let member = |heard: &Arc<Mutex<BTreeMap<(MemberId, MemberId), u32>>>| {
            let heard = heard.clone();
            move |cx: Context| {
                let (me, heard) = (cx.id(), heard.clone());
                async move {
                    cx.messenger().on("hello", move |message: Message<u8>| {
                        *heard.lock().expect("nobody panicked").entry((message.from, me)).or_default() += 1;
                    });
                    cx.ready();
                    if cx.cluster_ready().await {
                        cx.messenger().broadcast("hello", &1u8).await?;
                    }
                    cx.stopping().await;
                    Ok::<_, hatchery::BoxError>(())
                }
            }
        };
        let plan = Hatchery::new().agent(member(&heard)).workers(2, member(&heard));
        let cluster = sim.start(plan).await?;
        cluster.ready().await?;
        sim.elapse(secs(1)).await;
        let heard = heard.lock().expect("nobody panicked").clone();
        assert_eq!((heard.len(), heard.values().sum::<u32>()), (9, 9), "{heard:?}");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn i11_a_random_recipient_is_any_ready_worker_as_often_as_any_other() {
    const WORKERS: usize = 4;
    const SENT: usize = 2_000;
    let found = Mutex::new(BTreeMap::<u64, f64>::new());
    explore(seeds(), |sim| {
        let found = &found;
        async move {
            let counts = Arc::new(Mutex::new(BTreeMap::<Slot, usize>::new()));
            let worker = {
                let counts = counts.clone();
                move |cx: Context| {
                    let (slot, counts) = (cx.slot(), counts.clone());
                    async move {
                        cx.messenger().on("count", move |_: Message<()>| {
                            *counts.lock().expect("nobody panicked").entry(slot).or_default() += 1;
                        });
                        cx.ready();
                        cx.stopping().await;
                        Ok::<_, hatchery::BoxError>(())
                    }
                }
            };
            // One more than are ready when it matters: nothing is for it.
            let cluster = sim.start(Hatchery::new().agent(agent).workers(WORKERS + 1, worker)).await?;
            cluster.ready().await?;
            sim.elapse(secs(2)).await;
            let absent = Slot::worker((sim.seed() % (WORKERS as u64 + 1)) as u16);
            sim.fault(absent, Fault::SlowBoot(secs(30)));
            sim.fault(absent, Fault::Signal(9));
            sim.elapse(secs(1)).await;
            assert_eq!(cluster.status().ready(Role::WORKER), WORKERS);
            for _ in 0..SENT {
                cluster.messenger().to_random("count", &()).await?;
            }
            sim.elapse(secs(1)).await;
            let counts = counts.lock().expect("nobody panicked").clone();
            assert_eq!((counts.len(), counts.get(&absent)), (WORKERS, None), "{counts:?}");
            assert_eq!(counts.values().sum::<usize>(), SENT);
            let expected = SENT as f64 / WORKERS as f64;
            let chi: f64 = counts.values().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
            found.lock().expect("nobody panicked").insert(sim.seed(), chi);
            cluster.shutdown().await?;
            sim.check_quiescent()
        }
    });
    // The sums of independent ones make one of as many degrees of freedom. Its quantile of 0.999, by Wilson and Hilferty.
    let found = found.into_inner().expect("nobody panicked");
    let freedom = (found.len() * (WORKERS - 1)) as f64;
    let unit = 2.0 / (9.0 * freedom);
    let most = freedom * (1.0 - unit + 3.0902 * unit.sqrt()).powi(3);
    let chi: f64 = found.values().sum();
    assert!(chi < most, "χ² {chi:.1} of {freedom} degrees of freedom: p < 0.001");
}
