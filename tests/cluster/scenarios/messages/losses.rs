//! What is lost, and comes back.

use super::*;

// What is lost later comes back, each with its reason.

pub(super) async fn returned(cx: Context) -> hatchery::Result<()> {
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

// Two send to two others, who are killed again and again.

const EACH: u32 = 1000;

pub(super) async fn storm(cx: Context) -> hatchery::Result<()> {
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
            say(&cx, "has sent its numbers");
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

pub(super) async fn deaf_worker(cx: Context) -> hatchery::Result<()> {
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

pub(super) async fn deaf_agent(cx: Context) -> hatchery::Result<()> {
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

pub(super) async fn last_words(cx: Context) -> hatchery::Result<()> {
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
        // Whoever writes to the link has its turn in between, and the socket has room for all of it.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        std::process::exit(3);
    }
    live(cx, async { Ok::<_, SendError>(()) }).await
}
