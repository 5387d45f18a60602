//! Whom each verb reaches, and what it says when it is used wrongly.

use super::*;

// Scenario 20: everybody sends by each verb once, and says what it gets.

pub(super) async fn counts(cx: Context) -> hatchery::Result<()> {
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

pub(super) async fn dice_agent(cx: Context) -> hatchery::Result<()> {
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

pub(super) async fn dice_worker(cx: Context) -> hatchery::Result<()> {
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

// Random messages while one of two workers is stopped: more than all that may wait for it.

pub(super) async fn idle(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    cx.messenger().on("any", |_: Message<u32>| {});
    cx.ready();
    live(cx, async { Ok::<_, SendError>(()) }).await
}

pub(super) async fn detour(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    cx.ready();
    cx.cluster_ready().await;
    let roster = cx.members().await.current();
    let pid = roster.of(Role::WORKER).next().and_then(|member| member.pid).expect("it is ready");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGSTOP)?;
    for number in 0..100_000u32 {
        messenger.to_random("any", &number).await?;
    }
    say(&cx, "all is well");
    live(cx, async { Ok::<_, SendError>(()) }).await
}

// Every verb, and what it says when it is used wrongly.

pub(super) async fn verbs_worker(cx: Context) -> hatchery::Result<()> {
    match cx.slot().index() {
        0 => verbs(cx).await,
        _ => verbs_other(cx).await,
    }
}

pub(super) async fn verbs_other(cx: Context) -> hatchery::Result<()> {
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

pub(super) async fn verbs(cx: Context) -> hatchery::Result<()> {
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

pub(super) async fn receiver(cx: Context) -> hatchery::Result<()> {
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

pub(super) async fn refused(cx: Context) -> hatchery::Result<()> {
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
