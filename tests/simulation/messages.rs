//! Messages, counted by the code of users: I6, I8 and I11.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hatchery::messenger::Lost;
use hatchery::simulation::{Fault, Simulation, explore};
use hatchery::{
    CallError, Context, Hatchery, MemberId, Message, Messenger, Reason, Recipient, Request, Role, Slot, Target,
};

use crate::{agent, ms, rough, secs, seeds};

/// A message, as its sender has it.
type Key = (MemberId, u64);

/// What happened to each message and each call, as user code has it: by its sender and number.
#[derive(Default)]
pub(crate) struct Ledger {
    sent: BTreeMap<Key, Target>,
    /// In which slots it was heard, and how often.
    delivered: BTreeMap<Key, BTreeMap<Slot, u32>>,
    /// Of one for a slot: for each time that it came back, whether it may have been seen.
    returned: BTreeMap<Key, Vec<bool>>,
    /// Of copies for a group, which come back without their number: by sender and slot, how many came back, and how many
    /// of them nobody had seen.
    copies: BTreeMap<(MemberId, Slot), (u64, u64)>,
    /// Returns for which there was no room.
    omitted: u64,
    /// The latest number that each receiver had of each sender, whatever the verb.
    latest: BTreeMap<(MemberId, MemberId), u64>,
    out_of_order: Vec<String>,
    /// How each call ended. `None`: it has not.
    called: BTreeMap<Key, Option<Result<u64, CallError>>>,
    /// How often each call was begun to be answered.
    begun: BTreeMap<Key, u32>,
    /// Nobody sends any more.
    hushed: bool,
}

/// Whether a group has this slot.
fn includes(target: Target, slot: Slot) -> bool {
    match target {
        Target::One(_) => false,
        Target::Role(role) => slot.role() == role,
        Target::All => true,
    }
}

impl Ledger {
    pub(crate) fn delivered(&self) -> usize {
        self.delivered.len()
    }

    fn is_returned(&self, key: &Key) -> bool {
        self.returned.contains_key(key)
    }

    /// What of all that `living` have sent is neither delivered nor back; of groups, the copies for `fixed`, the slots
    /// that there have been all the time.
    fn open(&self, living: &[MemberId], fixed: &[Slot]) -> Vec<String> {
        let mut open = Vec::new();
        let mut missing: BTreeMap<(MemberId, Slot), i64> = BTreeMap::new();
        for (key, target) in self.sent.iter().filter(|((sender, _), _)| living.contains(sender)) {
            let heard = self.delivered.get(key);
            match target {
                Target::One(_) if heard.is_none() && !self.is_returned(key) => open.push(format!("{key:?}")),
                Target::One(_) => {}
                Target::Role(_) | Target::All => {
                    for &slot in fixed.iter().filter(|slot| includes(*target, **slot)) {
                        let heard = heard.is_some_and(|heard| heard.contains_key(&slot));
                        *missing.entry((key.0, slot)).or_default() += i64::from(!heard);
                    }
                }
            }
        }
        for ((sender, slot), missing) in missing {
            let (back, unseen) = self.copies.get(&(sender, slot)).copied().unwrap_or_default();
            if missing > back as i64 {
                open.push(format!("{missing} copies of {sender} for {slot}, of which {back} came back"));
            }
            assert!(
                unseen as i64 <= missing,
                "{unseen} of {sender} for {slot} came back unseen, {missing} are missing"
            );
        }
        let called = self.called.iter().filter(|((caller, _), end)| end.is_none() && living.contains(caller));
        open.extend(called.map(|(key, _)| format!("the call {key:?}")));
        open
    }

    /// I6 and I8, of all that was sent.
    pub(crate) fn check(&self) {
        assert_eq!(self.out_of_order, Vec::<String>::new());
        for (key, heard) in &self.delivered {
            let Some(target) = self.sent.get(key) else { panic!("{key:?} is delivered, and was not sent") };
            assert!(heard.values().all(|times| *times == 1), "{key:?} is delivered twice: {heard:?}");
            match target {
                Target::One(_) => assert_eq!(heard.len(), 1, "{key:?} is for one: {heard:?}"),
                Target::Role(_) | Target::All => {
                    assert!(heard.keys().all(|slot| includes(*target, *slot)), "{key:?} is not for all of {heard:?}");
                }
            }
        }
        let twice = self.returned.iter().find(|(_, times)| times.len() > 1);
        assert_eq!(twice, None, "came back twice");
        // Who trusts a message that comes back as never seen sends it again.
        let denied = self.returned.iter().find(|(key, seen)| self.delivered.contains_key(key) && seen.contains(&false));
        assert_eq!(denied, None, "delivered, and came back as never seen");
        let unsent = self.returned.keys().find(|key| !self.sent.contains_key(key));
        assert_eq!(unsent, None, "came back, and was not sent");
        assert_eq!(self.omitted, 0, "there is room for all that comes back");
        for (key, times) in &self.begun {
            assert_eq!(*times, 1, "the call {key:?} is answered twice");
            assert!(self.called.contains_key(key), "the call {key:?} is answered, and was not made");
        }
        for (key, end) in self.called.iter().filter_map(|(key, end)| Some((key, end.as_ref()?))) {
            let begun = self.begun.contains_key(key);
            match end {
                Ok(answer) => assert!(begun && *answer == key.1, "the answer to {key:?} is {answer}"),
                Err(CallError::Undelivered(Reason::Gone | Reason::Parked | Reason::Full) | CallError::Send(_)) => {
                    assert!(!begun, "the call {key:?} is begun, and told to be unseen: {end:?}");
                }
                Err(
                    CallError::Undelivered(Reason::Died | Reason::TimedOut) | CallError::Dropped | CallError::Closed,
                ) => {}
                Err(other) => panic!("the call {key:?}: {other}"),
            }
        }
    }
}

pub(crate) type Shared = Arc<Mutex<Ledger>>;

/// Has nobody send any more, and waits until all that `living` have sent is delivered or back, every copy and every call of
/// it. `fixed`: the slots that there have been all the time.
pub(crate) async fn settle(sim: &Simulation, ledger: &Shared, living: &[MemberId], fixed: &[Slot]) {
    let hushed = |ledger: &Shared| {
        let mut ledger = ledger.lock().expect("nobody panicked");
        ledger.hushed = true;
        ledger.open(living, fixed)
    };
    let until = sim.now() + secs(60);
    loop {
        let open = hushed(ledger);
        if open.is_empty() {
            return;
        }
        assert!(sim.now() < until, "neither delivered nor returned: {open:#?}");
        sim.elapse(secs(1)).await;
    }
}

/// Writes down what comes and what comes back. Before it is ready: from then on there is something to be heard.
pub(crate) fn enrol(cx: &Context, ledger: &Shared) {
    let (me, messenger) = (cx.id(), cx.messenger());
    let book = ledger.clone();
    messenger.on("raw", move |message: Message<hatchery::Bytes>| {
        let number = u64::from_le_bytes(message.body[..].try_into().expect("it was 8 bytes"));
        let mut ledger = book.lock().expect("nobody panicked");
        *ledger.delivered.entry((message.from, number)).or_default().entry(me.slot()).or_default() += 1;
        let latest = ledger.latest.insert((me, message.from), number);
        if latest.is_some_and(|latest| latest >= number) {
            ledger.out_of_order.push(format!("{me} had {latest:?} of {} before {number}", message.from));
        }
    });
    let book = ledger.clone();
    let answered = messenger.answer("echo", move |request: Request<u64>| {
        *book.lock().expect("nobody panicked").begun.entry((request.from, request.body)).or_default() += 1;
        async move { Ok::<_, String>(request.body) }
    });
    answered.expect("nobody else answers it");
    let mut returns = messenger.undelivered();
    let book = ledger.clone();
    cx.spawn(async move {
        while let Some(lost) = returns.next().await {
            let mut ledger = book.lock().expect("nobody panicked");
            ledger.omitted += lost.omitted;
            let slot = match lost.to {
                Lost::Slot(slot) => slot,
                other => panic!("nothing is for {other}"),
            };
            match lost.payload[..].try_into() {
                Ok(number) => {
                    ledger.returned.entry((me, u64::from_le_bytes(number))).or_default().push(lost.perhaps_seen);
                }
                Err(_) => {
                    assert!(lost.payload.is_empty(), "it was 8 bytes, or a copy");
                    let (back, unseen) = ledger.copies.entry((me, slot)).or_default();
                    *back += 1;
                    *unseen += u64::from(!lost.perhaps_seen);
                }
            }
        }
    });
}

/// Sends a number every so often until it is to stop: most to the next of `of` workers, some to all of them, some to
/// everybody; and asks the next one now and then.
pub(crate) async fn correspond(cx: &Context, ledger: Shared, of: u16, every: Duration) {
    let me = cx.id();
    let next = Slot::worker((me.slot().index() + 1) % of);
    for number in 0u64.. {
        tokio::select! {
            biased;
            () = cx.stopping() => return,
            () = tokio::time::sleep(every) => {}
        }
        if ledger.lock().expect("nobody panicked").hushed {
            cx.stopping().await;
            return;
        }
        let target = match number % 8 {
            2 => Target::All,
            5 => Target::Role(Role::WORKER),
            7 => {
                let call = call(cx.messenger(), ledger.clone(), next, number);
                cx.spawn(call);
                continue;
            }
            _ => Target::One(Recipient::Slot(next)),
        };
        let sent = cx.messenger().try_send(target, "raw", hatchery::Bytes::copy_from_slice(&number.to_le_bytes()));
        if sent.is_ok() {
            ledger.lock().expect("nobody panicked").sent.insert((me, number), target);
        }
    }
}

async fn call(messenger: Messenger, ledger: Shared, to: Slot, number: u64) {
    let key = (messenger.id(), number);
    let note = |end| ledger.lock().expect("nobody panicked").called.insert(key, end);
    note(None);
    let end = messenger.call_within::<u64>(secs(20), to, "echo", &number).await;
    note(Some(end));
}

/// An agent that listens, and a cluster of `count` workers that correspond.
pub(crate) fn correspondents(ledger: &Shared, count: u16, every: Duration) -> Hatchery {
    let (heard, ledger) = (ledger.clone(), ledger.clone());
    let plan = Hatchery::new().agent(move |cx: Context| {
        enrol(&cx, &heard);
        agent(cx)
    });
    plan.workers(count.into(), move |cx: Context| {
        let ledger = ledger.clone();
        async move {
            enrol(&cx, &ledger);
            cx.ready();
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
        let chaos = sim.chaos(rough());
        sim.elapse(secs(120)).await;
        chaos.stop();
        sim.eventually(secs(120), || cluster.status().ready(Role::WORKER) == 3).await?;
        sim.elapse(secs(60)).await;
        assert!(chaos.took_effect() > 3, "{} faults took effect", chaos.took_effect());
        let living: Vec<MemberId> = cluster.status().of(Role::WORKER).map(|status| status.id).collect();
        let everybody: Vec<Slot> = [Slot::agent()].into_iter().chain((0..3).map(Slot::worker)).collect();
        settle(&sim, &ledger, &living, &everybody).await;
        let before = sim.now();
        cluster.shutdown().await?;
        assert!(sim.now() - before < secs(15));
        let ledger = ledger.lock().expect("nobody panicked");
        assert!(ledger.delivered() > 5_000, "{} were delivered", ledger.delivered());
        ledger.check();
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
