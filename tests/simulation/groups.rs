//! Who goes along with whom, ends that were meant, and giving up, on whole clusters: in which order members leave and come
//! back, and what becomes of clients and messages meanwhile.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hatchery::simulation::{Client, Fault, Simulation, Trace, explore};
use hatchery::supervision::{Escalating, Intensity, OneForAll, OneForOne, RestForOne, RestartType, Significant};
use hatchery::{ClusterError, ClusterHandle, Context, Hatchery, MemberId, Message, Role, Slot};

use crate::{agent, ms, secs, seeds, web, worker};

/// These lines come in this order, whatever comes between.
fn assert_order(trace: &Trace, lines: &[String]) {
    let mut rest = trace.lines();
    for line in lines {
        assert!(rest.any(|said| said.contains(line.as_str())), "{line:?} is not in its place:\n{trace}");
    }
}

/// Asks again and again until it is done. Returns how many were answered, and the ends of those that were not.
pub(crate) async fn keep_asking(
    sim: &Simulation,
    client: &Client,
    path: &str,
    done: &Cell<bool>,
) -> (usize, Vec<Duration>) {
    let (mut answered, mut lost) = (0, Vec::new());
    while !done.get() {
        match client.get(path).await {
            Ok(reply) if reply.is_success() => answered += 1,
            Ok(reply) => panic!("{reply:?}"),
            Err(_) => lost.push(sim.now()),
        }
        sim.elapse(ms(20)).await;
    }
    (answered, lost)
}

/// Every slot is at this incarnation, and ready.
fn all_are(cluster: &ClusterHandle, workers: usize, incarnation: u32) -> bool {
    let status = cluster.status();
    status.ready(Role::WORKER) == workers
        && status.ready(Role::AGENT) == 1
        && status.members.len() == workers + 1
        && status.members.iter().all(|member| member.id.incarnation().get() == incarnation)
}

/// The incarnations of the workers' slots that a number was told to, by number.
type Heard = Arc<Mutex<BTreeMap<u32, Vec<MemberId>>>>;

/// The usual web server, whose workers write down the numbers that they are told.
fn listening(workers: usize, heard: &Heard) -> Hatchery {
    let heard = heard.clone();
    let plan = Hatchery::new().listen_named("http", "127.0.0.1:8080").agent(agent);
    plan.workers(workers, move |cx: Context| {
        let (me, heard) = (cx.id(), heard.clone());
        cx.messenger().on("number", move |message: Message<u32>| {
            heard.lock().expect("nobody panicked").entry(message.body).or_default().push(me);
        });
        worker(cx)
    })
}

#[test]
fn with_an_agent_that_dies_its_workers_are_replaced_in_order_after_it_and_no_client_or_message_is_lost() {
    explore(seeds(), |sim| async move {
        let heard = Heard::default();
        let plan = listening(3, &heard).tune(Role::AGENT, |agent| {
            agent.strategy(RestForOne::new(OneForOne::agent()));
        });
        let cluster = sim.start(plan).await?;
        cluster.ready().await?;
        sim.elapse(secs(2)).await;
        let (client, done) = (sim.client("http"), Cell::new(false));
        let (asked, also_asked, sent) =
            tokio::join!(keep_asking(&sim, &client, "/who", &done), keep_asking(&sim, &client, "/who", &done), async {
                let mut sent = 0;
                sim.elapse(ms(300)).await;
                assert!(sim.fault(Slot::agent(), Fault::Signal(9)).took_effect());
                // What is for a slot waits for whoever comes next.
                while !all_are(&cluster, 3, 2) {
                    cluster
                        .messenger()
                        .to(Slot::worker((sent % 3) as u16), "number", &sent)
                        .await
                        .expect("it is there");
                    sent += 1;
                    sim.elapse(ms(50)).await;
                    assert!(sent < 1_000, "{}", sim.trace());
                }
                sim.elapse(secs(1)).await;
                done.set(true);
                sent
            },);
        for (answered, lost) in [asked, also_asked] {
            assert!(answered > 20 && lost.is_empty(), "{answered} answered, lost at {lost:?}\n{}", sim.trace());
        }
        let trace = sim.trace();
        let mut lines = vec!["agent/0#1 killed by signal 9 -> restart in".to_owned()];
        lines.extend((0..3).rev().map(|worker| format!("worker/{worker}#1 is to drain")));
        lines.extend(["agent/0#2 is to start", "agent/0#2 is ready"].map(str::to_owned));
        lines.extend((0..3).map(|worker| format!("worker/{worker}#2 is to start")));
        assert_order(&trace, &lines);
        for worker in 0..3 {
            // Each in its own time, and all before the agent's successor.
            let gone = format!("worker/{worker}#1 exited with code 0");
            assert_order(&trace, &[lines[1].clone(), gone, "agent/0#2 is to start".to_owned()]);
        }
        let heard = heard.lock().expect("nobody panicked").clone();
        assert_eq!(heard.keys().copied().collect::<Vec<_>>(), (0..sent).collect::<Vec<_>>(), "all arrive");
        let by = |number: u32| heard[&number].iter().map(|id| (id.slot(), id.incarnation().get())).collect::<Vec<_>>();
        for number in 0..sent {
            let [(slot, incarnation)] = by(number)[..] else { panic!("{number} was heard by {:?}", by(number)) };
            assert_eq!(slot, Slot::worker((number % 3) as u16));
            assert!(number < 3 || incarnation >= by(number - 3)[0].1, "the successor has what comes later");
        }
        assert!((0..sent).any(|number| by(number)[0].1 == 2), "some waited");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn where_one_is_for_all_everyone_leaves_with_a_worker_that_dies_and_the_agent_is_back_first() {
    explore(seeds(), |sim| async move {
        let plan = web(3).strategy(OneForAll::new(OneForOne::worker()));
        let cluster = sim.start(plan).await?;
        cluster.ready().await?;
        sim.elapse(secs(2)).await;
        let victim = (sim.seed() % 3) as u16;
        let (client, done) = (sim.client("http"), Cell::new(false));
        let (one, other, killed_at) =
            tokio::join!(keep_asking(&sim, &client, "/who", &done), keep_asking(&sim, &client, "/who", &done), async {
                sim.elapse(ms(300 + sim.seed())).await;
                assert!(sim.fault(Slot::worker(victim), Fault::Signal(9)).took_effect());
                let killed_at = sim.now();
                let back = sim.eventually(secs(30), || all_are(&cluster, 3, 2)).await;
                sim.elapse(secs(1)).await;
                done.set(true);
                back.map(|()| killed_at)
            },);
        let killed_at = killed_at?;
        for (answered, lost) in [one, other] {
            // What the dead one had begun, and nothing else.
            let by_the_kill = lost.iter().all(|at| (killed_at..killed_at + ms(10)).contains(at));
            assert!(answered > 20 && lost.len() <= 1 && by_the_kill, "{answered} answered, lost at {lost:?}");
        }
        let trace = sim.trace();
        let died = format!("worker/{victim}#1 killed by signal 9 -> restart at once with everyone");
        for worker in (0..3).filter(|worker| *worker != victim) {
            let (drains, gone) =
                (format!("worker/{worker}#1 is to drain"), format!("worker/{worker}#1 exited with code 0"));
            assert_order(&trace, &[died.clone(), drains, gone, "agent/0#1 is to drain".to_owned()]);
        }
        let mut lines: Vec<String> =
            ["agent/0#1 is to drain", "agent/0#1 exited with code 0", "agent/0#2 is to start", "agent/0#2 is ready"]
                .map(str::to_owned)
                .to_vec();
        lines.extend((0..3).map(|worker| format!("worker/{worker}#2 is to start")));
        assert_order(&trace, &lines);
        assert!(!trace.as_str().contains("#3 is to start"), "once:\n{trace}");
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn a_worker_that_throws_takes_its_role_along_which_finishes_what_it_has_begun_and_the_agent_stays() {
    explore(seeds(), |sim| async move {
        let plan = web(2).tune(Role::WORKER, |worker| {
            worker.strategy(OneForAll::new(OneForOne::worker()).within_role());
        });
        let cluster = sim.start(plan).await?;
        cluster.ready().await?;
        sim.elapse(secs(2)).await;
        let client = sim.client("http");
        let (slow, also_slow, waited) = tokio::join!(client.get("/slow"), client.get("/slow"), async {
            sim.elapse(ms(200)).await;
            assert!(sim.fault(Slot::worker((sim.seed() % 2) as u16), Fault::ReportException).took_effect());
            sim.elapse(ms(200)).await;
            // Nobody is there to accept it, and the port keeps it.
            client.get("/who").await
        });
        assert_eq!((slow?.text(), also_slow?.text()), ("done".to_owned(), "done".to_owned()));
        assert!(waited?.text().ends_with("#2"));
        sim.eventually(secs(10), || cluster.status().ready(Role::WORKER) == 2).await?;
        let mut members: Vec<String> = cluster.status().members.iter().map(|member| member.id.to_string()).collect();
        members.sort();
        assert_eq!(members, ["agent/0#1", "worker/0#2", "worker/1#2"]);
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

#[test]
fn what_fails_while_a_group_is_on_its_way_makes_it_begin_again_and_it_comes_up_all_the_same() {
    explore(seeds(), |sim| async move {
        let plan = web(3).strategy(RestForOne::new(OneForOne::worker().unlimited()));
        let cluster = sim.start(plan).await?;
        cluster.ready().await?;
        sim.elapse(secs(2)).await;
        let mut luck = crate::Luck::of(&sim);
        for _ in 0..12 {
            let slot = match luck.below(4) {
                0 => Slot::agent(),
                worker => Slot::worker(worker as u16 - 1),
            };
            sim.fault(slot, Fault::Signal(9));
            // From within the same step of a group to after its end.
            let longest = 1 << luck.below(12);
            sim.elapse(ms(luck.below(longest))).await;
        }
        let whole = || cluster.status().ready(Role::WORKER) == 3 && cluster.status().ready(Role::AGENT) == 1;
        sim.eventually(secs(30), whole).await?;
        assert!(sim.client("http").get("/count").await?.is_success());
        // The first of the order who fails takes all others along: whoever is there is younger than the agent.
        let trace = sim.trace();
        let last = |what: &str| {
            trace.lines().enumerate().filter(|(_, line)| line.contains(what) && line.contains("is to start")).last()
        };
        for worker in (0..3).map(|index| format!("worker/{index}#")) {
            assert!(last(&worker) > last("agent/0#"), "{worker} is older than the agent:\n{trace}");
        }
        cluster.shutdown().await?;
        sim.check_quiescent()
    });
}

/// Does something that takes so long for each of its slots, and is done.
fn jobs(workers: usize) -> Hatchery {
    Hatchery::new().agent(agent).workers(workers, |cx: Context| async move {
        cx.ready();
        tokio::select! {
            biased;
            () = cx.stopping() => {}
            () = tokio::time::sleep(secs(10 * (1 + u64::from(cx.slot().index())))) => {}
        }
        Ok::<_, hatchery::BoxError>(())
    })
}

fn transient() -> OneForOne {
    OneForOne::worker().restart(RestartType::Transient)
}

/// It has ended by itself, well, and at this time after all were ready.
async fn completed(sim: &Simulation, cluster: &ClusterHandle, ready_at: Duration, after: Duration) {
    assert_eq!(cluster.wait().await, Ok(()));
    let took = sim.now() - ready_at;
    assert!((after..after + secs(1)).contains(&took), "after {took:?}:\n{}", sim.trace());
    assert!(sim.trace().as_str().contains("finished: Completed"), "{}", sim.trace());
    assert_eq!(cluster.shutdown().await, Ok(()), "asked for late, it is the same end");
}

#[test]
fn the_first_significant_member_that_is_done_ends_the_cluster_well_and_one_that_was_killed_is_not_done() {
    explore(seeds(), |sim| async move {
        let plan = jobs(3).tune(Role::WORKER, |worker| {
            worker.strategy(Significant::any(transient()));
        });
        let cluster = sim.start(plan).await?;
        cluster.ready().await?;
        let ready_at = sim.now();
        sim.elapse(secs(4)).await;
        assert!(sim.fault(Slot::worker(0), Fault::Signal(9)).took_effect());
        // It begins again, and all others are still about theirs.
        completed(&sim, &cluster, ready_at, secs(14)).await;
        let trace = sim.trace();
        let done = "worker/0#2 exited with code 0 -> all is done: stop the cluster".to_owned();
        for worker in 1..3 {
            let gone = format!("worker/{worker}#1 exited with code 0");
            assert_order(&trace, &[done.clone(), gone, "agent/0#1 is to stop".to_owned()]);
        }
        sim.check_quiescent()
    });
}

#[test]
fn of_all_significant_members_the_last_that_is_done_ends_the_cluster_well() {
    explore(seeds(), |sim| async move {
        let plan = jobs(3).tune(Role::WORKER, |worker| {
            // Nobody has to be ready for there to be something to wait for.
            worker.strategy(Significant::all(transient())).give_up_after(secs(600));
        });
        let cluster = sim.start(plan).await?;
        cluster.ready().await?;
        let ready_at = sim.now();
        sim.elapse(secs(15)).await;
        assert_eq!(cluster.status().ready(Role::WORKER), 2, "one is done, and nothing follows");
        assert!(sim.fault(Slot::worker(2), Fault::Signal(9)).took_effect());
        completed(&sim, &cluster, ready_at, secs(45)).await;
        assert!(sim.trace().as_str().contains("worker/2#2 exited with code 0 -> all is done: stop the cluster"));
        sim.check_quiescent()
    });
}

#[test]
fn one_restart_too_many_ends_the_cluster_in_order_and_says_whose_it_would_have_been() {
    explore(seeds(), |sim| async move {
        let group = OneForAll::new(OneForOne::worker().unlimited());
        let cluster = sim.start(web(2).strategy(Escalating::new(group, Intensity::new(1, secs(60))))).await?;
        cluster.ready().await?;
        sim.elapse(secs(2)).await;
        assert!(sim.fault(Slot::worker(0), Fault::Signal(9)).took_effect());
        sim.eventually(secs(30), || all_are(&cluster, 2, 2)).await?;
        let client = sim.client("http");
        let mut idle = client.connect().await?;
        assert!(sim.fault(Slot::worker(1), Fault::Exit(7)).took_effect());
        let end = cluster.wait().await;
        let Err(ClusterError::GaveUp { reason, leftovers }) = end else { panic!("{end:?}") };
        assert_eq!(reason.to_string(), "worker/1 would be restart 2 within 60s");
        assert_eq!(leftovers, []);
        let mut nothing = [0; 1];
        assert!(matches!(tokio::io::AsyncReadExt::read(&mut idle, &mut nothing).await, Ok(0) | Err(_)));
        assert!(client.get("/who").await.is_err(), "nobody listens any more");
        let order =
            ["worker/1#2 exited with code 7 -> give up", "worker/0#2 exited with code 0", "agent/0#2 is to stop"];
        assert_order(&sim.trace(), &order.map(str::to_owned));
        sim.check_quiescent()
    });
}
