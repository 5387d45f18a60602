//! What can be asked, and what comes of it.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use hatchery::{ControlReply, ControlRequest};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use super::{ask, connect, controlled, done, failed, member, place, slot, status, until_status};
use crate::harness::{Cluster, PATIENCE, is_alive, send, until, until_gone};
use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("control: a status tells of every member what the master knows and what it says itself", whole),
        trial("control: while one member is stopped and another will not go, a status has all of them", partial),
        trial("control: a member whose heartbeat is missing is named without being asked", unresponsive),
        trial("control: a cluster that is starting, and one that is stopping, can be asked", stages),
        trial("control: slots are restarted, stopped and explained, and roles scaled, from outside", operations),
        trial("control: what is wrong with a wish is told, and changes nothing", wrong),
        trial("control: whoever does not wait for the end of a wish is told that it goes on", still_going),
        trial("control: a wish that a later one takes over is told so", superseded),
        trial("control: members open their files anew, and who cannot and who does not is told", reopened),
        trial("control: a stop is answered when nobody is left, and then the connection ends", stopped),
        trial("control: a stop with a time kills whoever is left after it", stopped_in_time),
    ]
}

/// The port that worker 0 says it listens on.
fn port(cluster: &Cluster) -> u16 {
    let line = cluster.said("listens on ");
    line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

fn whole() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).arg("--worker", "ready address stopping").ready();
    let _open: Vec<_> =
        (0..3).map(|_| TcpStream::connect(("127.0.0.1", port(&cluster))).expect("it listens")).collect();
    let open = |status: &hatchery::control::ClusterStatus| {
        status.members.iter().filter_map(|member| member.open_connections).sum::<u64>()
    };
    let status = until_status(&dir, "three connections are open", |status| open(status) == 3);
    assert_eq!((status.master_pid, status.stage.as_str()), (cluster.master(), "ready"));
    assert!(status.cpu.is_some() && status.memory.is_some_and(|bytes| bytes > 1 << 20), "{status:#?}");
    assert_eq!((status.omitted, status.partial.len()), (0, 0));
    let schedules = status.schedules.as_ref().expect("the agent has said so");
    assert_eq!(schedules.iter().map(|schedule| schedule.name.as_str()).collect::<Vec<_>>(), ["hourly"]);
    assert!(schedules[0].next_ms.is_some());
    assert_eq!(status.members.len(), 3);
    for id in ["agent/0#1", "worker/0#1", "worker/1#1"] {
        let member = member(&status, id);
        assert_eq!((member.pid, member.state.as_str()), (Some(cluster.pid_of(id)), "ready"), "{member:?}");
        assert!(member.uptime.is_some_and(|uptime| !uptime.is_zero() && uptime <= status.uptime), "{member:?}");
        assert!(member.cpu.is_some() && member.memory.is_some_and(|bytes| bytes > 1 << 20), "{member:?}");
        assert!(member.messages_per_second.is_some() && member.answered, "{member:?}");
        assert_eq!((member.restarts, member.exceptions, &member.last_exit), (0, 0, &None));
    }
    send(cluster.pid_of("worker/1#1"), Signal::SIGKILL);
    let is_back = |status: &hatchery::control::ClusterStatus| {
        status
            .members
            .iter()
            .any(|member| member.slot == "worker/1" && member.incarnation == 2 && member.state == "ready")
    };
    let status = until_status(&dir, "the successor is ready", is_back);
    let successor = member(&status, "worker/1#2");
    assert_eq!((successor.restarts, successor.pid), (1, Some(cluster.pid_of("worker/1#2"))));
    assert_eq!(successor.last_exit.as_deref(), Some("killed by signal 9"));
    assert_eq!(cluster.stop().code(), Some(0));
}

fn partial() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir)
        .arg("--workers", 3)
        .arg("--worker", "ready 1?#1?sleep:600000 stopping")
        .arg("--stop-timeout", 600_000)
        .ready();
    let stopped = cluster.pid_of("worker/0#1");
    send(stopped, Signal::SIGSTOP);
    // It has a successor, and does not go for it, nor for a signal.
    assert_eq!(ask(&dir, ControlRequest::Restart { slot: slot("worker/1") }), done("worker/1 was restarted"));
    send(cluster.pid_of("worker/1#1"), Signal::SIGTERM);
    let now = status(&dir);
    assert_eq!(member(&now, "worker/1#1").state, "draining");
    assert_eq!(now.partial, ["worker/0#1"]);
    assert_eq!(now.members.len(), 5);
    let still = member(&now, "worker/0#1");
    assert_eq!((still.pid, still.state.as_str(), still.answered), (Some(stopped), "ready", false));
    assert!(still.memory.is_some() && still.uptime.is_some() && still.open_connections.is_none(), "{still:?}");
    for id in ["agent/0#1", "worker/1#1", "worker/1#2", "worker/2#1"] {
        assert!(member(&now, id).answered, "{id}: {now:#?}");
    }
    assert!(now.schedules.is_some());
    // The agent, too: then nobody says how the schedules are.
    send(cluster.pid_of("agent/0#1"), Signal::SIGSTOP);
    let is_silent = |status: &hatchery::control::ClusterStatus| status.partial == ["agent/0#1", "worker/0#1"];
    let now = until_status(&dir, "two are silent", is_silent);
    assert_eq!((now.schedules, now.members.len()), (None, 5));
    // However often somebody looks, they are asked once: what waits for them is no queue.
    (0..50).for_each(|_| assert!(is_silent(&status(&dir))));
    send(cluster.pid_of("agent/0#1"), Signal::SIGCONT);
    send(stopped, Signal::SIGCONT);
    let whole = until_status(&dir, "all have answered", |status| status.partial.is_empty());
    assert!(whole.schedules.is_some());
    let reply = ask(&dir, ControlRequest::Stop { timeout: Some(Duration::from_millis(500)) });
    assert_eq!(reply, done("stopped"));
    cluster.wait_code(0);
}

/// Nobody is asked of whom it is known that it does not answer; it is named all the same.
fn unresponsive() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).arg("--heartbeat", 50).ready();
    let stopped = cluster.pid_of("worker/1#1");
    send(stopped, Signal::SIGSTOP);
    let now = until_status(&dir, "it is missed", |status| member(status, "worker/1#1").state == "unresponsive");
    assert_eq!(now.partial, ["worker/1#1"]);
    assert!(!member(&now, "worker/1#1").answered && member(&now, "worker/0#1").answered);
    send(stopped, Signal::SIGCONT);
    until_status(&dir, "it is heard", |status| status.partial.is_empty());
    assert_eq!(cluster.stop().code(), Some(0));
}

fn stages() {
    let (_scratch, dir) = place();
    let mut cluster =
        controlled(&dir).arg("--worker", "0?ready 0?stopping sleep:600000").arg("--stop-timeout", 600_000).spawn();
    cluster.said("worker/1#1 pid");
    let now = until("it is served", || hatchery::ControlClient::connect(&dir).ok().map(|_| status(&dir)));
    assert_eq!((now.stage.as_str(), member(&now, "worker/1#1").state.as_str()), ("starting", "starting"));
    let reply = ask(&dir, ControlRequest::Scale { role: slot("worker"), count: 3 });
    assert_eq!(reply, failed("the cluster is not ready yet"));
    cluster.signal(Signal::SIGTERM);
    cluster.said("worker/0#1 is stopping");
    let now = status(&dir);
    assert_eq!((now.stage.as_str(), member(&now, "worker/0#1").state.as_str()), ("stopping", "draining"));
    assert_eq!(ask(&dir, ControlRequest::Restart { slot: slot("worker/0") }), failed("the cluster is stopping"));
    cluster.stop_quickly();
    cluster.wait_code(0);
    assert_eq!(fs::read_dir(&dir).expect("it stays").count(), 0);
}

fn operations() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).ready();
    let before = cluster.pid_of("worker/0#1");
    assert_eq!(ask(&dir, ControlRequest::Restart { slot: slot("worker/0") }), done("worker/0 was restarted"));
    let now = status(&dir);
    assert!(member(&now, "worker/0#2").pid.is_some_and(|pid| pid != before));
    until_gone(before);
    assert_eq!(ask(&dir, ControlRequest::Scale { role: slot("worker"), count: 3 }), done("worker has 3"));
    assert_eq!(member(&status(&dir), "worker/2#1").state, "ready");
    let third = cluster.pid_of("worker/2#1");
    assert_eq!(ask(&dir, ControlRequest::StopSlot { slot: slot("worker/2") }), done("worker/2 was stopped"));
    until_gone(third);
    let now = status(&dir);
    let third = member(&now, "worker/2#1");
    assert_eq!((third.state.as_str(), third.pid, third.uptime, third.answered), ("stopped", None, None, false));
    let ControlReply::Why { text } = ask(&dir, ControlRequest::Why { slot: slot("worker/2") }) else {
        panic!("no why")
    };
    assert!(text.starts_with("worker/2 is stopped\n"), "{text}");
    assert!(text.contains(": stop worker/2\n") && text.ends_with(" now"), "{text}");
    assert_eq!(ask(&dir, ControlRequest::Restart { slot: slot("worker/2") }), done("worker/2 was restarted"));
    assert_eq!(ask(&dir, ControlRequest::Scale { role: slot("worker"), count: 1 }), done("worker has 1"));
    assert_eq!(status(&dir).members.len(), 2);
    let ControlReply::Schedules { schedules } = ask(&dir, ControlRequest::Schedules) else { panic!("no schedules") };
    assert_eq!(schedules.len(), 1);
    for (verb, outcome) in [
        ("restart worker/0", "worker/0 was restarted"),
        ("scale worker to 3", "worker has 3"),
        ("stop worker/2", "worker/2 was stopped"),
        ("scale worker to 1", "worker has 1"),
    ] {
        let line = cluster.said(&format!("control verb={verb} uid="));
        let (user, own) = (nix::unistd::geteuid(), std::process::id());
        assert!(line.contains(&format!("uid={user} pid={own} outcome={outcome:?} took_ms=")), "{line}");
    }
    assert_eq!(
        (cluster.count("control verb=status"), cluster.count("control verb=why")),
        (0, 0),
        "those change nothing"
    );
    assert_eq!(cluster.stop().code(), Some(0));
}

fn wrong() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).ready();
    let before = cluster.members();
    let restart = |name: &str| ControlRequest::Restart { slot: name.into() };
    for (request, why) in [
        (restart("worker/9"), "there is no slot worker/9"),
        (restart("worker/65536"), "there is no slot worker/65536"),
        (restart("mailer/0"), "there is no role \"mailer\""),
        (restart("worker"), "a slot is named as in \"worker/2\", not \"worker\""),
        (restart("worker/+1"), "a slot is named as in \"worker/2\", not \"worker/+1\""),
        (restart("master/0"), "there is no role \"master\""),
        (restart("a\nb"), "a slot is named as in \"worker/2\", not \"a\\nb\""),
        (ControlRequest::StopSlot { slot: slot("worker/9") }, "there is no slot worker/9"),
        (ControlRequest::Why { slot: slot("worker/9") }, "there is no slot worker/9: worker has 2, counted from 0"),
        (ControlRequest::Scale { role: slot("mailer"), count: 1 }, "there is no role \"mailer\""),
        (ControlRequest::Scale { role: slot("agent"), count: 2 }, "role agent may have 1 members at most"),
        (ControlRequest::Reopen, "no member keeps files that it could open anew"),
    ] {
        assert_eq!(ask(&dir, request.clone()), failed(why), "{request}");
    }
    cluster.said("control verb=restart a\\nb uid=");
    assert_eq!(cluster.members(), before);
    assert_eq!(cluster.stop().code(), Some(0));
}

fn still_going() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).arg("--worker", "#2?sleep:700 ready stopping").ready();
    let request = ControlRequest::Restart { slot: slot("worker/0") };
    let reply = connect(&dir).ask(&request, Duration::from_millis(1)).expect("an answer");
    assert_eq!(reply, ControlReply::StillGoing { what: slot("restart worker/0") });
    // Nobody waits for it any more, and it comes to its end.
    cluster.said("control verb=restart worker/0 uid=");
    cluster.said("worker/0#2 says ready");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn superseded() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).arg("--worker", "#2?sleep:600000 ready stopping").ready();
    let waits = std::thread::spawn({
        let dir = dir.clone();
        move || ask(&dir, ControlRequest::Restart { slot: slot("worker/0") })
    });
    cluster.said("worker/0#2 pid");
    assert_eq!(ask(&dir, ControlRequest::StopSlot { slot: slot("worker/0") }), done("worker/0 was stopped"));
    let reply = waits.join().expect("it is answered");
    assert_eq!(reply, ControlReply::Superseded { what: slot("restart worker/0") });
    cluster.said("outcome=\"superseded by a later wish\"");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn reopened() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).arg("--workers", 3).flag("--files").ready();
    let reply = connect(&dir).ask(&ControlRequest::Reopen, Duration::from_secs(2)).expect("an answer");
    let ControlReply::Reopened { by, failed, silent } = reply else { panic!("{reply:?}") };
    assert_eq!((by, silent), (vec![slot("worker/0#1")], vec![slot("worker/2#1")]));
    assert_eq!(failed, [(slot("worker/1#1"), slot("no room on the disk"))]);
    cluster.said("control verb=reopen uid=");
    assert_eq!(cluster.stop().code(), Some(0));
}

fn stopped() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).ready();
    let members = cluster.members();
    let mut client = connect(&dir);
    assert_eq!(client.master_pid(), cluster.master());
    // Another one who has not asked for anything.
    let idle = connect(&dir);
    assert_eq!(client.ask(&ControlRequest::Stop { timeout: None }, PATIENCE).expect("an answer"), done("stopped"));
    assert!(members.into_iter().all(|pid| !is_alive(pid)), "it was said when nobody was left");
    client.until_closed(PATIENCE).expect("it ends");
    assert_eq!(fs::read_dir(&dir).expect("it stays").count(), 0, "and then the directory was free");
    idle.until_closed(PATIENCE).expect("it ends");
    cluster.wait_code(0);
    cluster.said("control verb=stop uid=");
}

fn stopped_in_time() {
    let (_scratch, dir) = place();
    let mut cluster = controlled(&dir).arg("--worker", "ready sleep:600000").arg("--stop-timeout", 600_000).ready();
    let stop = |timeout| ControlRequest::Stop { timeout };
    let reply = connect(&dir).ask(&stop(None), Duration::from_millis(1)).expect("an answer");
    assert_eq!(reply, ControlReply::StillGoing { what: slot("stop") });
    assert_eq!(ask(&dir, stop(Some(Duration::from_millis(300)))), done("stopped"));
    cluster.wait_code(0);
    assert!(cluster.said("member exited slot=worker/0").contains("killed by signal 9"));
}
