//! Messages, counted by the code of users: I6 and I8.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hatchery::simulation::{Chaos, explore};
use hatchery::{Context, Hatchery, MemberId, Message, Role, Slot};

use crate::{agent, ms, secs, seeds};

/// What happened to each message, as user code has it: by its sender and number.
#[derive(Default)]
struct Ledger {
    sent: BTreeMap<(MemberId, u64), u32>,
    delivered: BTreeMap<(MemberId, u64), u32>,
    returned: BTreeMap<(MemberId, u64), u32>,
    /// The latest number that each receiver had of each sender.
    latest: BTreeMap<(MemberId, MemberId), u64>,
    out_of_order: Vec<String>,
}

type Shared = Arc<Mutex<Ledger>>;

/// A worker that sends a numbered message to a slot every 20 ms, and writes down what comes and what comes back.
async fn correspondent(cx: Context, ledger: Shared) -> hatchery::Result<()> {
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
            *book.lock().expect("nobody panicked").returned.entry((me, u64::from_le_bytes(bytes))).or_default() += 1;
        }
    });
    cx.ready();
    let to = Slot::worker((me.slot().index() + 1) % 3);
    for number in 0u64.. {
        tokio::select! {
            biased;
            () = cx.stopping() => break,
            () = tokio::time::sleep(ms(20)) => {}
        }
        let sent = cx.messenger().try_send(to, "raw", hatchery::Bytes::copy_from_slice(&number.to_le_bytes()));
        if sent.is_ok() {
            ledger.lock().expect("nobody panicked").sent.insert((me, number), 1);
        }
    }
    Ok(())
}

#[test]
fn i6_i8_what_living_members_sent_was_delivered_once_and_in_order_or_came_back() {
    explore(seeds(), |sim| async move {
        let ledger = Shared::default();
        let book = ledger.clone();
        let worker = move |cx: Context| correspondent(cx, book.clone());
        let cluster = sim.start(Hatchery::new().agent(agent).workers(3, worker)).await?;
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
        assert_eq!(ledger.out_of_order, Vec::<String>::new());
        assert!(ledger.delivered.len() > 5_000, "{} were delivered", ledger.delivered.len());
        let twice = ledger.delivered.iter().find(|(_, times)| **times > 1);
        assert_eq!(twice, None, "delivered twice");
        let both: Vec<_> = ledger.returned.iter().filter(|(_, times)| **times > 1).collect();
        assert!(both.is_empty(), "came back twice: {both:?}");
        // Those of the last second may still have been under way at the stop.
        let mut lost = 0;
        for key in ledger.sent.keys().filter(|(sender, _)| living.contains(sender)) {
            lost += usize::from(!ledger.delivered.contains_key(key) && !ledger.returned.contains_key(key));
        }
        assert!(lost <= 3, "{lost} of living members are neither delivered nor returned");
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
