//! Members that talk. Each case is what the agent does and what the workers do; a driver says what it found, and one that
//! finds what must not be panics.

use std::future::Future;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hatchery::messenger::Lost;
use hatchery::{
    Bytes, CallError, Context, Hatchery, Incarnation, MemberState, Message, Reason, Recipient, Request, Role,
    SendError, Slot, Target, Undelivered,
};

use super::{say, tell_cluster_ready};

#[derive(Clone, Debug, Parser)]
pub struct Options {
    #[arg(long)]
    case: Case,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Case {
    Counts,
    Dice,
    Verbs,
    Refused,
    Returned,
    Early,
    Restart,
    Raw,
    Order,
    Storm,
    LastWords,
    Handlers,
    Deaf,
}

/// The limit of a payload in all cases.
const LIMIT: usize = 64 << 10;

/// A call that takes longer has failed.
const SOON: Duration = Duration::from_secs(20);

pub fn cluster(Options { case }: Options) -> Hatchery {
    let plan = Hatchery::new().program("messages").payload_limit(LIMIT);
    match case {
        Case::Counts => plan.agent(counts).workers(2, counts),
        Case::Dice => plan.agent(dice_agent).workers(4, dice_worker),
        Case::Verbs => plan.agent(verbs_other).workers(2, verbs_worker).role("cache", 2, verbs_other),
        Case::Refused => plan.agent(refused).workers(2, receiver),
        Case::Returned => plan.agent(returned).workers(4, receiver),
        Case::Early => plan.agent(early).workers(1, numbers),
        Case::Restart => plan.agent(restart).workers(1, numbers),
        Case::Raw => plan.agent(raw).workers(1, echo),
        Case::Order => plan.agent(numbers).workers(2, order),
        Case::Storm => plan.agent(numbers).workers(4, storm).tune(Role::WORKER, |role| {
            role.restart_limit(None);
        }),
        Case::LastWords => plan.agent(numbers).workers(1, last_words),
        Case::Handlers => plan.agent(failing_agent).workers(1, failing_worker),
        Case::Deaf => plan.agent(deaf_agent).workers(2, deaf_worker),
    }
}

/// What every member begins with, and how it ends.
async fn live<E>(cx: Context, act: impl Future<Output = Result<(), E>>) -> hatchery::Result<()>
where
    E: Into<hatchery::BoxError>,
{
    act.await.map_err(Into::into)?;
    cx.stopping().await;
    Ok(())
}

fn begin(cx: &Context) {
    say(cx, format!("pid {}", std::process::id()));
    tell_cluster_ready(cx);
}

// Scenario 20: everybody sends by each verb once, and says what it gets.

async fn counts(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    for action in ["broadcast", "workers", "agent", "role"] {
        let told = cx.clone();
        messenger.on(action, move |message: Message<String>| {
            say(&told, format!("got {action} from {}: {}", message.from, message.body));
        });
    }
    cx.ready();
    cx.cluster_ready().await;
    live(cx.clone(), async {
        let text = format!("hello from {}", cx.id());
        messenger.broadcast("broadcast", &text).await?;
        messenger.to_workers("workers", &text).await?;
        messenger.to_agent("agent", &text).await?;
        messenger.to_role("worker", "role", &text).await
    })
    .await
}

// The dice of `to_random`: all four begin ready, then one of them is booting.

async fn dice_agent(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    cx.ready();
    cx.cluster_ready().await;
    live(cx.clone(), async {
        let throw = async |number: usize| {
            let mut hits = [0; 4];
            for _ in 0..number {
                let hit: u16 = messenger.call(Recipient::Random(Role::WORKER), "who?", &()).await?;
                hits[usize::from(hit)] += 1;
            }
            Ok::<_, CallError>(hits)
        };
        let hits = throw(2000).await?;
        // Each is as likely as the others: 500, with a standard deviation of 19.
        assert!(hits.iter().all(|&hits| (400..600).contains(&hits)), "{hits:?}");
        messenger.to(Slot::worker(3), "die", &()).await?;
        cx.members().await.wait_for(|roster| roster.ready(Role::WORKER) == 3).await;
        let hits = throw(200).await?;
        assert!(hits[3] == 0 && hits.iter().sum::<i32>() == 200, "one that is not ready: {hits:?}");
        say(&cx, "all is well");
        Ok::<_, CallError>(())
    })
    .await
}

async fn dice_worker(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    if cx.incarnation() != Incarnation::FIRST {
        std::future::pending::<()>().await;
    }
    let index = cx.slot().index();
    messenger.answer("who?", move |_: Request<()>| async move { Ok::<_, String>(index) })?;
    messenger.on("die", |_: Message<()>| -> () { std::process::exit(1) });
    cx.ready();
    live(cx, async { Ok::<_, SendError>(()) }).await
}

// Every verb, and what it says when it is used wrongly.

async fn verbs_worker(cx: Context) -> hatchery::Result<()> {
    match cx.slot().index() {
        0 => verbs(cx).await,
        _ => verbs_other(cx).await,
    }
}

async fn verbs_other(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    let id = cx.id().to_string();
    let name = id.clone();
    messenger.answer("name", move |_: Request<()>| {
        let name = name.clone();
        async move { Ok::<_, String>(name) }
    })?;
    messenger
        .answer("sum", |request: Request<Vec<i64>>| async move { Ok::<_, String>(request.body.iter().sum::<i64>()) })?;
    messenger.answer("fail", |_: Request<()>| async { Err::<(), _>("no, ".repeat(LIMIT)) })?;
    let back = messenger.clone();
    messenger.on("tell me", move |message: Message<String>| {
        let (back, id) = (back.clone(), id.clone());
        async move { back.to(message.from, "told", &(id, message.body)).await }
    });
    cx.ready();
    live(cx, async { Ok::<_, SendError>(()) }).await
}

async fn verbs(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    let mut told = messenger.stream::<(String, String)>("told");
    let mut undelivered = messenger.undelivered();
    cx.ready();
    cx.cluster_ready().await;
    live(cx.clone(), async {
        let cache = messenger.role("cache")?;
        // To one, by slot and by process, and to the members of a role.
        let cases: [(Target, &[&str]); 6] = [
            (Slot::worker(1).into(), &["worker/1#1"]),
            (Slot::worker(1).member(Incarnation::FIRST).into(), &["worker/1#1"]),
            (Slot::new(cache, 1).into(), &["cache/1#1"]),
            (Target::Role(cache), &["cache/0#1", "cache/1#1"]),
            (messenger.resolve("cache/0#1")?.into(), &["cache/0#1"]),
            (Slot::agent().into(), &["agent/0#1"]),
        ];
        for (number, (target, expected)) in cases.into_iter().enumerate() {
            messenger.send(target, "tell me", &format!("text {number}")).await?;
            let mut names = Vec::new();
            for _ in expected {
                let (name, text) = told.next().await.expect("the link lives").body;
                assert_eq!(text, format!("text {number}"));
                names.push(name);
            }
            names.sort();
            assert_eq!(names, expected);
        }
        // Calls, also of oneself.
        for slot in [Slot::worker(1), Slot::new(cache, 0), Slot::agent()] {
            let name: String = messenger.call(slot, "name", &()).await?;
            assert_eq!(name, slot.member(Incarnation::FIRST).to_string());
        }
        assert_eq!(messenger.call::<i64>(Slot::agent(), "sum", &vec![1i64, 2, 39]).await?, 42);
        messenger.answer("me", |request: Request<u8>| async move { Ok::<_, String>(request.body + 1) }).expect("free");
        assert_eq!(messenger.call::<u8>(cx.slot(), "me", &6u8).await?, 7);
        let again = messenger.answer("me", |_: Request<()>| async { Ok::<_, String>(()) });
        assert!(again.is_err(), "a call has one answer");
        // An error is a text, cut to what fits.
        match messenger.call::<()>(Slot::agent(), "fail", &()).await {
            Err(CallError::Failed(text)) => {
                assert!(text.len() <= LIMIT && text.starts_with("no, no, "), "{}", text.len())
            }
            other => panic!("{other:?}"),
        }
        // The answer is not what was expected.
        assert_eq!(messenger.call::<(u64, u64)>(Slot::agent(), "sum", &vec![1i64]).await, Err(CallError::Undecodable));
        // Once is once: the second comes back.
        let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
        messenger.once("once", move |message: Message<u8>| {
            let _ = sender.send(message.body);
        });
        messenger.to(cx.slot(), "once", &1u8).await?;
        messenger.to(cx.slot(), "once", &2u8).await?;
        assert_eq!(seen.recv().await, Some(1));
        let back = undelivered.next().await.expect("the link lives");
        assert_eq!((back.reason, back.action.as_str()), (Reason::NoHandler, "once"));
        // Several handlers of one action: each gets it, in the order of their registration.
        let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..3 {
            let sender = sender.clone();
            messenger.on("several", move |message: Message<u8>| {
                let _ = sender.send((number, message.body));
            });
        }
        messenger.to(cx.slot(), "several", &7u8).await?;
        for number in 0..3 {
            assert_eq!(seen.recv().await, Some((number, 7)));
        }
        say(&cx, "all is well");
        Ok::<_, CallError>(())
    })
    .await
}

// What cannot be sent is refused on the spot.

async fn receiver(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    messenger.on("number", |_: Message<u32>| {});
    messenger.on("die", |message: Message<i32>| -> () { std::process::exit(message.body) });
    messenger.answer("die", |request: Request<i32>| async move {
        std::process::exit(request.body);
        #[allow(unreachable_code, reason = "its type is needed")]
        Ok::<(), String>(())
    })?;
    messenger.on("block", |message: Message<u64>| std::thread::sleep(Duration::from_millis(message.body)));
    messenger.on("bulk", |_: Message<Bytes>| {});
    let incarnation = cx.incarnation().get();
    messenger.answer("incarnation", move |_: Request<()>| async move { Ok::<_, String>(incarnation) })?;
    messenger.answer("never", |_: Request<()>| std::future::pending::<Result<(), String>>())?;
    cx.ready();
    live(cx, async { Ok::<_, SendError>(()) }).await
}

async fn refused(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    cx.ready();
    cx.cluster_ready().await;
    live(cx.clone(), async {
        let unknown = |error| matches!(error, Err(SendError::NoSuchMember(_)));
        assert!(unknown(messenger.to(Slot::worker(2), "number", &1u32).await));
        assert!(unknown(messenger.to(Slot::worker(9).member(Incarnation::FIRST), "number", &1u32).await));
        assert!(unknown(messenger.to_role("mailer", "number", &1u32).await));
        for name in ["worker", "worker/", "worker/2", "worker/x", "worker/0#", "worker/0#0", "worker/0#x", "mailer/0"] {
            assert!(unknown(messenger.resolve(name).map(drop)), "{name}");
        }
        for length in [0, 256] {
            let refused = messenger.to(Slot::worker(0), &"x".repeat(length), &()).await;
            assert_eq!(refused, Err(SendError::BadAction(length)));
        }
        // One byte over the limit; with the limit itself the link still lives.
        let over = messenger.to(Slot::worker(0), "bulk", Bytes::from(vec![0; LIMIT + 1])).await;
        assert_eq!(over, Err(SendError::TooLarge { len: LIMIT + 1, limit: LIMIT }));
        messenger.to(Slot::worker(0), "bulk", Bytes::from(vec![0; LIMIT])).await?;
        assert_eq!(messenger.call::<u32>(Slot::worker(0), "incarnation", &()).await?, 1);
        // One that blocks takes what there is room for, and no more.
        messenger.to(Slot::worker(1), "block", &600_000u64).await?;
        let body = Bytes::from(vec![7; LIMIT]);
        let mut taken = 0;
        let waits = Duration::from_millis(300);
        while tokio::time::timeout(waits, messenger.to(Slot::worker(1), "bulk", body.clone())).await.is_ok() {
            taken += 1;
            assert!(taken < 64, "a window of about a mebibyte here, one at the receiver, and a socket between them");
        }
        assert!(taken >= 16, "{taken}");
        // The verb that does not wait says so and gives it back.
        let full = messenger.try_send(Slot::worker(1), "bulk", body.clone());
        assert_eq!(full.map_err(|full| (full.error, full.body)), Err((SendError::Full, body)));
        // Nobody else is kept waiting.
        assert_eq!(messenger.call::<u32>(Slot::worker(0), "incarnation", &()).await?, 1);
        say(&cx, "all is well");
        Ok::<_, CallError>(())
    })
    .await
}

// What is lost later comes back, each with its reason.

async fn returned(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    let mut undelivered = messenger.undelivered();
    cx.ready();
    cx.cluster_ready().await;
    live(cx.clone(), async {
        let mut back = async |expected: Reason, action: &str| -> Undelivered {
            let back = undelivered.next().await.expect("the link lives");
            assert_eq!((back.reason, back.action.as_str()), (expected, action), "{back:?}");
            back
        };
        messenger.to(Slot::worker(0), "unheard of", Bytes::from_static(b"as it was")).await?;
        let lost = back(Reason::NoHandler, "unheard of").await;
        assert_eq!((&lost.payload[..], lost.perhaps_seen), (&b"as it was"[..], false));
        assert_eq!(lost.to.to_string(), "worker/0#1");
        messenger.to(Slot::worker(0), "number", &"no number at all").await?;
        back(Reason::Undecodable, "number").await;
        let call = messenger.call::<()>(Slot::worker(0), "unheard of", &()).await;
        assert_eq!(call, Err(CallError::Undelivered(Reason::NoHandler)));
        let call = messenger.call::<()>(Slot::worker(0), "incarnation", &"no unit").await;
        assert_eq!(call, Err(CallError::Undelivered(Reason::Undecodable)));
        let call = messenger.call_within::<()>(Duration::from_millis(50), Slot::worker(0), "never", &()).await;
        assert!(call.is_err_and(|error| error.is_timeout()));

        // The receiver dies of it: it had been given that.
        messenger.to(Slot::worker(1), "die", &3i32).await?;
        assert!(back(Reason::Died, "die").await.perhaps_seen);
        // A call of the slot waits for the successor.
        assert_eq!(messenger.call_within::<u32>(SOON, Slot::worker(1), "incarnation", &()).await?, 2);
        let call = messenger.call_within::<()>(SOON, messenger.resolve("worker/1#2")?, "die", &4i32).await;
        assert_eq!(call, Err(CallError::Undelivered(Reason::Died)), "the master answers for the dead");
        assert_eq!(messenger.call_within::<u32>(SOON, Slot::worker(1), "incarnation", &()).await?, 3);
        let gone = Slot::worker(1).member(Incarnation::FIRST);
        messenger.to(gone, "number", &1u32).await?;
        assert_eq!(back(Reason::Gone, "number").await.to, Lost::Member(gone));
        let call = messenger.call::<u32>(gone, "incarnation", &()).await;
        assert_eq!(call, Err(CallError::Undelivered(Reason::Gone)));
        // One who watches knows it at once.
        let mut members = cx.members().await;
        assert_eq!(messenger.to(gone, "number", &1u32).await, Err(SendError::Gone(gone)));

        // No restart mends this code: the slot is parked for good.
        messenger.to(Slot::worker(2), "die", &78i32).await?;
        back(Reason::Died, "die").await;
        let parked = |roster: &hatchery::Roster| {
            roster.members.iter().any(|m| m.id.slot() == Slot::worker(2) && m.state == MemberState::Parked)
        };
        members.wait_for(parked).await;
        messenger.to(Slot::worker(2), "number", &1u32).await?;
        assert_eq!(back(Reason::Parked, "number").await.to, Lost::Slot(Slot::worker(2)));
        let call = messenger.call::<u32>(Slot::worker(2), "incarnation", &()).await;
        assert_eq!(call, Err(CallError::Undelivered(Reason::Parked)));
        // Of a group it costs that one its copy, and of one that blocks what there is no room for.
        messenger.to(Slot::worker(3), "block", &600_000u64).await?;
        let (mut parked, mut full) = (0, 0);
        while full < 10 {
            messenger.to_workers("bulk", Bytes::from(vec![0; LIMIT])).await?;
            while let Ok(Some(lost)) = tokio::time::timeout(Duration::from_millis(5), undelivered.next()).await {
                match lost.reason {
                    Reason::Parked => parked += 1,
                    Reason::Full => full += 1,
                    other => panic!("{other:?}: {lost:?}"),
                }
            }
        }
        assert!(parked >= 10, "{parked}");
        assert_eq!(messenger.call::<u32>(Slot::worker(0), "incarnation", &()).await?, 1, "the others go on");
        say(&cx, "all is well");
        Ok::<_, CallError>(())
    })
    .await
}

// Numbers, as they come: one line each, written before the next is looked at.

async fn numbers(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    let told = cx.clone();
    messenger
        .on("number", move |message: Message<u32>| say(&told, format!("got {} from {}", message.body, message.from)));
    messenger.on("die", |message: Message<i32>| -> () { std::process::exit(message.body) });
    messenger.answer("all?", |_: Request<()>| async { Ok::<_, String>(()) })?;
    cx.ready();
    live(cx, async { Ok::<_, SendError>(()) }).await
}

/// Sent before the receiver exists.
async fn early(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    for number in 0..200u32 {
        messenger.to(Slot::worker(0), "number", &number).await?;
    }
    messenger.to_workers("number", &200u32).await?;
    cx.ready();
    live(cx.clone(), async {
        messenger.call::<()>(Slot::worker(0), "all?", &()).await?;
        say(&cx, format!("{} came back", messenger.undelivered_count()));
        Ok::<_, CallError>(())
    })
    .await
}

/// Sent while the receiver dies and is restarted.
async fn restart(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    let mut undelivered = messenger.undelivered();
    cx.ready();
    cx.cluster_ready().await;
    live(cx.clone(), async {
        messenger.to(Slot::worker(0), "die", &1i32).await?;
        let lost = undelivered.next().await.expect("the link lives");
        assert_eq!((lost.reason, lost.action.as_str()), (Reason::Died, "die"));
        for number in 0..200u32 {
            messenger.to(Slot::worker(0), "number", &number).await?;
        }
        messenger.call::<()>(Slot::worker(0), "all?", &()).await?;
        say(&cx, format!("{} came back", messenger.undelivered_count() - 1));
        Ok::<_, CallError>(())
    })
    .await
}

// Bytes that mean nothing to anybody but the two ends.

async fn raw(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    let mut echoes = messenger.stream::<Bytes>("echo");
    cx.ready();
    cx.cluster_ready().await;
    live(cx.clone(), async {
        let every: Vec<u8> = (0..=255).collect();
        // Would be an endless length, and text that is none.
        let nonsense = [vec![0xfd; 40], vec![0xff; 1], Vec::new(), every.repeat(256)];
        for bytes in nonsense.map(Bytes::from) {
            messenger.to(Slot::worker(0), "echo", bytes.clone()).await?;
            assert_eq!(echoes.next().await.expect("the link lives").body, bytes);
            let answer: Bytes = messenger.call(Slot::worker(0), "echo", bytes.clone()).await?;
            assert_eq!(answer, bytes);
        }
        say(&cx, "all is well");
        Ok::<_, CallError>(())
    })
    .await
}

async fn echo(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    let back = messenger.clone();
    messenger.on("echo", move |message: Message<Bytes>| {
        let back = back.clone();
        async move { back.to(message.from, "echo", message.body).await }
    });
    messenger.answer("echo", |request: Request<Bytes>| async move { Ok::<_, String>(request.body) })?;
    cx.ready();
    live(cx, async { Ok::<_, SendError>(()) }).await
}

// One sender, one receiver, every verb: one order.

async fn order(cx: Context) -> hatchery::Result<()> {
    if cx.slot().index() == 1 {
        return numbers(cx).await;
    }
    begin(&cx);
    let messenger = cx.messenger();
    messenger.on("number", |_: Message<u32>| {});
    cx.ready();
    cx.cluster_ready().await;
    live(cx.clone(), async {
        let receiver = Slot::worker(1);
        for number in 0..4000u32 {
            match number % 4 {
                0 => messenger.to(receiver, "number", &number).await?,
                1 => messenger.to(receiver.member(Incarnation::FIRST), "number", &number).await?,
                2 => messenger.to_workers("number", &number).await?,
                _ => messenger.broadcast("number", &number).await?,
            }
        }
        messenger.call::<()>(receiver, "all?", &()).await?;
        say(&cx, format!("{} came back", messenger.undelivered_count()));
        Ok::<_, CallError>(())
    })
    .await
}

// Everybody sends to everybody, and now and then somebody dies.

const EACH: u32 = 1000;

async fn storm(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    let told = cx.clone();
    let got =
        move |message: &Message<Bytes>| say(&told, format!("got {} from {}", number_in(&message.body), message.from));
    // Of the one action more waits than of the other: what came later is handed on earlier.
    let (fast, slow, noisy) = (got.clone(), got, messenger.clone());
    messenger.on("fast", move |message: Message<Bytes>| {
        fast(&message);
        // Long frames go the other way, between the acknowledgements.
        let _ = noisy.try_send(message.from.slot(), "noise", &message.body);
    });
    messenger.on("slow", move |message: Message<Bytes>| {
        slow(&message);
        tokio::time::sleep(Duration::from_millis(5))
    });
    messenger.on("noise", |_: Message<Bytes>| {});
    messenger.answer("all?", |_: Request<()>| async { Ok::<_, String>(()) })?;
    let mut undelivered = messenger.undelivered();
    cx.ready();
    cx.cluster_ready().await;
    let back = cx.clone();
    cx.spawn(async move {
        while let Some(lost) = undelivered.next().await {
            if lost.action == "noise" {
                continue;
            }
            let (number, seen) = (number_in(&lost.payload), if lost.perhaps_seen { "perhaps seen" } else { "unseen" });
            say(&back, format!("back {number} {seen}: {} omitted {}", lost.reason, lost.omitted));
        }
    });
    live(cx.clone(), async {
        // Only the first two send: the others are there to die.
        if cx.slot().index() < 2 {
            for number in 0..EACH {
                let receiver = Slot::worker(2 + (number % 2) as u16);
                let mut body = number.to_le_bytes().to_vec();
                // Up to beyond what is copied behind its head.
                body.resize(4 + (number as usize * 7_919) % (if number % 4 == 0 { 50_000 } else { 300 }), 7);
                let action = if number % 3 == 0 { "slow" } else { "fast" };
                messenger.to(receiver, action, Bytes::from(body)).await?;
                if number % 16 == 0 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            for index in [2, 3] {
                while messenger.call_within::<()>(SOON, Slot::worker(index), "all?", &()).await.is_err() {}
            }
            say(&cx, "has sent all");
        }
        Ok::<_, CallError>(())
    })
    .await
}

// One worker asks the other for more than it may be sent, sends it what nobody wants, and is stopped.

async fn deaf_worker(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    messenger.answer("much", |_: Request<()>| async { Ok::<_, String>(Bytes::from(vec![7; LIMIT])) })?;
    messenger.answer("well?", |_: Request<()>| async { Ok::<_, String>(()) })?;
    cx.ready();
    cx.cluster_ready().await;
    if cx.slot() == Slot::worker(0) {
        let me = cx.clone();
        messenger.answer("be deaf", move |_: Request<()>| {
            let messenger = me.messenger();
            async move {
                let asking = messenger.clone();
                // More than the window of answers, none of which will be read.
                for _ in 0..40 {
                    let asking = asking.clone();
                    tokio::spawn(async move { asking.call::<Bytes>(Slot::worker(1), "much", &()).await });
                }
                for _ in 0..40 {
                    messenger
                        .send(Slot::worker(1), "unwanted", Bytes::from(vec![7; LIMIT]))
                        .await
                        .map_err(|error| error.to_string())?;
                }
                Ok::<_, String>(())
            }
        })?;
    }
    live(cx, async { Ok::<_, SendError>(()) }).await
}

async fn deaf_agent(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    cx.ready();
    cx.cluster_ready().await;
    let roster = cx.members().await.current();
    let pid = roster.of(Role::WORKER).next().and_then(|member| member.pid).expect("it is ready");
    let deaf = nix::unistd::Pid::from_raw(pid as i32);
    // It may be stopped before it can say that it is about to be.
    let _ = messenger.call_within::<()>(Duration::from_millis(200), Slot::worker(0), "be deaf", &()).await;
    nix::sys::signal::kill(deaf, nix::sys::signal::Signal::SIGSTOP)?;
    for _ in 0..20 {
        messenger.call_within::<()>(SOON, Slot::worker(1), "well?", &()).await?;
    }
    let other = messenger.call_within::<()>(SOON, Slot::worker(1), "nobody answers this", &()).await;
    assert_eq!(other, Err(CallError::Undelivered(Reason::NoHandler)));
    say(&cx, "all is well");
    live(cx, async { Ok::<_, SendError>(()) }).await
}

/// The number that a message of the storm begins with.
fn number_in(body: &Bytes) -> u32 {
    body.first_chunk().map_or(u32::MAX, |number| u32::from_le_bytes(*number))
}

// Said while the master cannot hear, just before the end.

async fn last_words(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    cx.ready();
    cx.cluster_ready().await;
    if cx.incarnation() == Incarnation::FIRST {
        let master = nix::unistd::getppid();
        nix::sys::signal::kill(master, nix::sys::signal::Signal::SIGSTOP)?;
        for number in 0..100u32 {
            messenger.to_agent("number", &number).await?;
        }
        // The runtime has only this to do: what was said is in the socket now.
        tokio::time::sleep(Duration::from_millis(50)).await;
        std::process::exit(3);
    }
    live(cx, async { Ok::<_, SendError>(()) }).await
}

// Handlers that fail in every way, and a worker that tells how it was answered.

async fn failing_agent(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    messenger.on("throw", throw::<Message<()>>);
    messenger.on("reject", |_: Message<()>| async { Err::<(), _>("no") });
    messenger.answer("throw", |_: Request<()>| async {
        throw(());
        Ok::<(), String>(())
    })?;
    messenger.answer("reject", |_: Request<()>| async { Err::<(), _>("no") })?;
    messenger.answer("string", |_: Request<()>| async { Err::<(), _>("just a text".to_owned()) })?;
    cx.ready();
    Ok(())
}

fn throw<T>(_: T) {
    panic!("asked to throw")
}

async fn failing_worker(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    cx.ready();
    let messenger = cx.messenger();
    live(cx.clone(), async {
        for action in ["throw", "reject", "string", "unknown"] {
            if action != "string" {
                messenger.to_agent(action, &()).await?;
            }
            let outcome = match messenger.call::<()>(Slot::agent(), action, &()).await {
                Ok(()) => "answered".into(),
                Err(CallError::Dropped) => "dropped".into(),
                Err(CallError::Failed(text)) => format!("failed: {text}"),
                Err(CallError::Undelivered(Reason::NoHandler)) => "no handler".into(),
                Err(other) => format!("{other:?}"),
            };
            say(&cx, format!("{action}: {outcome}"));
        }
        Ok::<_, SendError>(())
    })
    .await
}
