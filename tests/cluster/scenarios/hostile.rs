//! A worker that sends over its link what no member may send.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use hatchery::{Context, Hatchery, Heartbeat, Message, Request, Role, Slot};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rustix::net::{Shutdown, SocketType, shutdown, sockopt};

use super::probe::own_descriptors;
use super::tell_cluster_ready;

#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// The process of `worker/0` that finds this file removes it and sends what it says.
    #[arg(long)]
    marker: PathBuf,
    #[arg(long)]
    when: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    BeforeHello,
    Starting,
    Ready,
    Draining,
}

pub fn cluster(options: Options) -> Hatchery {
    let is_victim = std::env::args_os().next().is_some_and(|name| name.to_string_lossy().ends_with(": worker/0"));
    // Standard input is the link as long as nobody has taken it.
    if options.when == When::BeforeHello
        && is_victim
        && let Some(what) = claim(&options.marker)
    {
        send(&rustix::io::dup(rustix::stdio::stdin()).expect("the link"), &what);
    }
    Hatchery::new().program("hostile").agent(agent).workers(2, move |cx| worker(cx, options.clone())).tune(
        Role::WORKER,
        |role| {
            // Who is asked whether it is there may answer, once.
            role.restart_limit(None).heartbeat(Heartbeat::every(Duration::from_millis(20)));
        },
    )
}

async fn agent(cx: Context) -> hatchery::Result<()> {
    cx.messenger().answer("ping", |_: Request<()>| async { Ok::<_, String>(()) })?;
    cx.messenger().on("random", |_: Message<()>| {});
    cx.ready();
    Ok(())
}

async fn worker(cx: Context, Options { marker, when }: Options) -> hatchery::Result<()> {
    println!("{} pid {}", cx.id(), std::process::id());
    tell_cluster_ready(&cx);
    if cx.slot().index() == 1 {
        cx.ready();
        // Whatever its neighbour does, its own messages arrive.
        loop {
            cx.messenger().call::<()>(Slot::agent(), "ping", &()).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let what = claim(&marker).filter(|_| when != When::BeforeHello);
    let Some(what) = what else {
        cx.ready();
        cx.stopping().await;
        return Ok(());
    };
    match when {
        When::BeforeHello | When::Starting => {}
        When::Ready => {
            cx.ready();
            cx.cluster_ready().await;
        }
        When::Draining => {
            cx.ready();
            cx.cluster_ready().await;
            cx.report_exception("about to misbehave");
            cx.stopping().await;
        }
    }
    let master = std::os::unix::process::parent_id() as i32;
    let is_link = |fd: &OwnedFd| {
        nix::sys::socket::getsockopt(fd, nix::sys::socket::sockopt::PeerCredentials)
            .is_ok_and(|peer| peer.pid() == master)
            && sockopt::socket_type(fd).is_ok_and(|kind| kind == SocketType::STREAM)
    };
    send(&own_descriptors().into_iter().find(is_link).expect("the link"), &what);
    // It is ended for what it said, and for nothing else.
    std::future::pending().await
}

/// What the file says, for the first to ask.
fn claim(marker: &PathBuf) -> Option<String> {
    let what = fs::read_to_string(marker).ok()?;
    fs::remove_file(marker).ok().map(|()| what)
}

/// The header of a message to the agent, with a payload of this length.
fn header(kind: u8, action: u16, payload: u32) -> Vec<u8> {
    let mut header = vec![kind, 0];
    header.extend(action.to_le_bytes());
    header.extend(payload.to_le_bytes());
    // To slot 0 of the role with rank 0.
    header.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    header.resize(32, 0);
    header
}

/// A frame that wants this of a topic.
fn wish(want: u8, topic: &[u8]) -> Vec<u8> {
    let mut frame = header(49, topic.len() as u16, 0);
    (frame[8], frame[28]) = (6, want);
    frame.extend(topic);
    frame
}

/// A frame without a fault: alone, it would be delivered.
fn message() -> Vec<u8> {
    let mut frame = header(33, 6, 0);
    frame.extend(b"random");
    frame
}

fn send(link: &OwnedFd, what: &str) {
    println!("hostile pid={} sends {what}", std::process::id());
    let (name, seed) = what.split_once(' ').unwrap_or((what, "0"));
    let mut dice = Pcg64Mcg::seed_from_u64(seed.parse().expect("a seed"));
    let bytes = match name {
        "oversized-payload" => header(33, 6, u32::MAX),
        "oversized-action" => header(33, u16::MAX, 0),
        "unknown-kind" => header(99, 0, 0),
        "unknown-flags" => {
            let mut frame = message();
            frame[1] = 0xf0;
            frame
        }
        "unknown-address" => {
            let mut frame = message();
            frame[8] = 77;
            frame
        }
        "a-masters-word" => header(17, 0, 0),
        "wrong-state" => [header(1, 0, 0), header(2, 0, 0), header(2, 0, 0)].concat(),
        "no-such-call" => header(35, 0, 0),
        // One of them may be an answer: then its own is not.
        "unasked-pong" => header(6, 0, 0),
        "flood-of-pongs" => header(6, 0, 0).repeat(1_000),
        "long-pong" => [header(6, 0, 4_000), vec![0; 4_000]].concat(),
        "a-masters-ping" => header(24, 0, 0),
        "nameless-topic" => wish(1, b""),
        "unknown-wish" => wish(9, b"topic"),
        "a-masters-value" => header(50, 0, 0),
        "not-a-text" => {
            let mut frame = message();
            frame[32..].fill(0xff);
            frame
        }
        "truncated" => message()[..20].to_vec(),
        "random" => {
            let mut bytes = vec![0; 4096];
            dice.fill_bytes(&mut bytes);
            bytes
        }
        // Good frames in which some bits have turned.
        "mutated" => {
            let mut bytes = message().repeat(100);
            for _ in 0..40 {
                let at = dice.random_range(0..bytes.len());
                bytes[at] ^= 1 << dice.random_range(0..8);
            }
            bytes.extend(header(99, 0, 0).repeat(64));
            bytes
        }
        other => panic!("nothing is called {other}"),
    };
    rustix::io::write(link, &bytes).expect("there is room");
    // Where the last of it looks like the beginning of more.
    if ["truncated", "random", "mutated"].contains(&name) {
        shutdown(link, Shutdown::Write).expect("it is open");
    }
}
