//! Members that do what a script says.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use clap::Parser;
use hatchery::supervision::{Backoff, Intensity, OnException};
use hatchery::{Context, Hatchery, Heartbeat, MemberState, RoleSettings};
use nix::sys::socket::{Shutdown, getsockopt, shutdown, sockopt};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use super::{say, tell_cluster_ready};

/// Who is there, and what they do.
///
/// A script is words: each is a step, taken when the one before is done. `1?` before a step: only in slot 1. `#2?`: only
/// in the second incarnation.
#[derive(Clone, Debug, Parser)]
pub struct Probe {
    #[arg(long, default_value = "ready")]
    agent: String,
    #[arg(long, default_value = "ready forever")]
    worker: String,
    #[arg(long, default_value = "1")]
    workers: usize,
    /// No agent at all.
    #[arg(long)]
    no_agent: bool,
    #[arg(long)]
    listen: Vec<String>,
    #[arg(long)]
    ready_timeout: Option<u64>,
    #[arg(long)]
    stop_timeout: Option<u64>,
    #[arg(long)]
    give_up_after: Option<u64>,
    #[arg(long)]
    stable_after: Option<u64>,
    /// How often the workers are asked whether they are there, and how long they may be silent: MS/MS.
    #[arg(long)]
    heartbeat: Option<String>,
    #[arg(long)]
    agent_delay: Option<u64>,
    #[arg(long)]
    drain: Option<u64>,
    #[arg(long)]
    limit: Option<String>,
    /// How many failures of the whole role go without backoff, in a minute.
    #[arg(long)]
    role_limit: Option<usize>,
    /// How long a parked slot waits.
    #[arg(long)]
    park: Option<u64>,
    #[arg(long, default_value = "5000")]
    orphan_grace: u64,
    #[arg(long)]
    executable: Option<String>,
    #[arg(long)]
    threads: Option<usize>,
    /// A role to change nothing of.
    #[arg(long)]
    tune: Option<String>,
    #[arg(long)]
    capture_stderr: bool,
    #[arg(long)]
    pid_file: Option<String>,
}

pub fn cluster(probe: Probe) -> Hatchery {
    let millis = |millis: Option<u64>| millis.map(Duration::from_millis);
    let Probe { workers, orphan_grace, threads, capture_stderr, .. } = probe;
    let (ready, stop, give_up) = (millis(probe.ready_timeout), millis(probe.stop_timeout), millis(probe.give_up_after));
    let (stable, delay, drain) = (millis(probe.stable_after), millis(probe.agent_delay), millis(probe.drain));
    let (role_limit, park) = (probe.role_limit, millis(probe.park));
    let (limit, executable) = (probe.limit.clone(), probe.executable.clone());
    let heartbeat = probe.heartbeat.as_deref().map(|text| {
        let (interval, timeout) = text.split_once('/').expect("two numbers");
        let millis = |text: &str| Duration::from_millis(text.parse().expect("a number"));
        Heartbeat::every(millis(interval)).timeout(millis(timeout))
    });
    let tune = move |role: &mut RoleSettings| {
        if let Some(timeout) = ready {
            role.ready_timeout(timeout);
        }
        if let Some(timeout) = stop {
            role.stop_timeout(timeout);
        }
        if let Some(span) = give_up {
            role.give_up_after(span);
        }
        if let Some(span) = stable {
            role.stable_after(span);
        }
        if let Some(threads) = threads {
            role.runtime_threads(threads);
        }
        if let Some(path) = &executable {
            role.executable(path);
        }
        match limit.as_deref().map(|limit| limit.split_once('/')) {
            None => {}
            Some(Some((restarts, secs))) => {
                let (restarts, secs) = (restarts.parse().expect("a number"), secs.parse().expect("a number"));
                role.restart_limit(Intensity::new(restarts, Duration::from_secs(secs)));
            }
            Some(None) => {
                role.restart_limit(None);
            }
        }
        if let Some(failures) = role_limit {
            role.role_restart_limit(Intensity::new(failures, Duration::from_secs(60)));
        }
        if let Some(span) = park {
            role.probe(Backoff::doubling(span, span));
        }
        role.capture_stderr(capture_stderr).env("PROBE", "set for members");
    };
    let mut plan = Hatchery::new().program("probe").orphan_grace(Duration::from_millis(orphan_grace));
    if let Some(path) = probe.pid_file {
        plan = plan.pid_file(path);
    }
    if let Some(role) = probe.tune {
        plan = plan.tune(role, |_| {});
    }
    for address in probe.listen {
        plan = match address.split_once('=') {
            Some((name, address)) => plan.listen_named(name, address),
            None => plan.listen(address),
        };
    }
    let script = probe.worker;
    plan = plan.workers(workers, move |cx| act(cx, script.clone())).tune("worker", tune.clone());
    plan = plan.tune("worker", move |role| {
        if let Some(drain) = drain {
            role.on_exception(OnException::Replace { drain });
        }
        role.heartbeat(heartbeat);
    });
    if probe.no_agent {
        return plan;
    }
    let script = probe.agent;
    plan.agent(move |cx| act(cx, script.clone())).tune("agent", tune).tune("agent", move |role| {
        if let Some(delay) = delay {
            role.restart_delay(delay);
        }
    })
}

/// Says that it was dropped.
struct Cleanup(Context);

impl Drop for Cleanup {
    fn drop(&mut self) {
        say(&self.0, "cleaned up");
    }
}

/// Takes the steps of a script.
pub async fn act(cx: Context, script: String) -> hatchery::Result<()> {
    say(&cx, format!("pid {}", std::process::id()));
    let mut cleanup = None;
    tell_cluster_ready(&cx);
    for step in script.split_whitespace() {
        let Some(step) = applies(&cx, step) else { continue };
        let (verb, what) = step.split_once(':').unwrap_or((step, ""));
        let number = || what.parse::<u64>().unwrap_or_else(|_| panic!("{step}: a number is missing"));
        match verb {
            "ready" => {
                cx.ready();
                say(&cx, "says ready");
            }
            "say" => say(&cx, what),
            "cry" => eprintln!("{what}"),
            "sleep" => tokio::time::sleep(Duration::from_millis(number())).await,
            "block" => std::thread::sleep(Duration::from_millis(number())),
            "forever" => std::future::pending::<()>().await,
            "stopping" => {
                cx.stopping().await;
                say(&cx, "is stopping");
            }
            "cluster" => {
                if !cx.cluster_ready().await {
                    say(&cx, "knows that the cluster will not be ready");
                    return Ok(());
                }
                say(&cx, "knows that the cluster is ready");
            }
            "cleanup" => cleanup = Some(Cleanup(cx.clone())),
            "return" => return Ok(()),
            "fail" => return Err(what.replace('_', " ").into()),
            "panic" => panic!("{what}"),
            "detached-panic" => drop(cx.spawn(panicking(what.to_owned()))),
            "thread-panic" => {
                let text = what.to_owned();
                std::thread::spawn(move || panic!("{text}")).join().expect_err("it panicked");
            }
            "contained-panic" => {
                let text = what.to_owned();
                hatchery::contain(move || panic!("{text}")).expect_err("it panicked");
            }
            "quiet-panic" => std::panic::resume_unwind(Box::new(what.to_owned())),
            "own-hook" => std::panic::set_hook(Box::new(|_| {})),
            "report" => cx.report_exception(what),
            "reports" => {
                for _ in 0..number() {
                    cx.report_exception("again and again, and each time with a text that takes its place in memory");
                    tokio::task::yield_now().await;
                }
                say(&cx, "has reported");
            }
            "exit" => std::process::exit(number() as i32),
            "abort" => std::process::abort(),
            "abort-on-panic" => std::panic::set_hook({
                let hook = std::panic::take_hook();
                Box::new(move |info| {
                    hook(info);
                    std::process::abort()
                })
            }),
            "kill" => {
                let signal = nix::sys::signal::Signal::try_from(number() as i32).expect("a signal");
                nix::sys::signal::raise(signal).expect("it is ours");
            }
            "spin" => loop {
                std::hint::spin_loop();
            },
            "kill-master" => {
                let master = nix::unistd::getppid();
                nix::sys::signal::kill(master, nix::sys::signal::Signal::SIGKILL).expect("it is there");
                std::future::pending::<()>().await;
            }
            // Until there is a file of that name.
            "wait" => {
                while !std::path::Path::new(what).exists() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            "kill-agent" => {
                let roster = cx.members().await.current();
                let pid = roster.of(hatchery::Role::AGENT).find_map(|agent| agent.pid).expect("an agent");
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL)
                    .expect("it is there");
            }
            "all-ready" => {
                let ready =
                    |roster: &hatchery::Roster| roster.members.iter().all(|member| member.state == MemberState::Ready);
                cx.members().await.wait_for(ready).await;
                say(&cx, "sees all ready");
            }
            "sees" => {
                let is_ready = |roster: &hatchery::Roster| {
                    let mut members = roster.members.iter();
                    members.any(|member| member.id.to_string() == what && member.state == MemberState::Ready)
                };
                cx.members().await.wait_for(is_ready).await;
                say(&cx, format!("sees {what}"));
            }
            "cut-link" => cut_link(),
            "allocate" => allocate(),
            "environment" => {
                let of = |name: &str| std::env::var(name).unwrap_or_else(|_| "none".into());
                say(&cx, format!("PROBE={} NOTIFY_SOCKET={}", of("PROBE"), of("NOTIFY_SOCKET")));
            }
            "child" => {
                let command = what.replace('_', " ");
                let mut child = std::process::Command::new("sh").arg("-c").arg(command).spawn().expect("a shell");
                say(&cx, format!("child {}", child.id()));
                std::thread::spawn(move || child.wait());
            }
            "leak" => leak(),
            "address" => match if what.is_empty() { cx.listener() } else { cx.listener_named(what) } {
                Ok(listener) => say(&cx, format!("listens on {}", listener.local_addr()?)),
                Err(error) => say(&cx, format!("has no {what}: {error}")),
            },
            other => panic!("no step is called {other}"),
        }
    }
    drop(cleanup);
    Ok(())
}

async fn panicking(text: String) {
    panic!("{text}")
}

/// The step without its conditions, if they hold.
fn applies<'a>(cx: &Context, step: &'a str) -> Option<&'a str> {
    match step.split_once('?') {
        None => Some(step),
        Some((condition, rest)) => {
            let holds = match condition.strip_prefix('#') {
                Some(incarnation) => incarnation == cx.incarnation().to_string(),
                None => condition == cx.slot().index().to_string(),
            };
            holds.then(|| applies(cx, rest)).flatten()
        }
    }
}

/// Shuts the link down without ending the process.
fn cut_link() {
    let master = std::os::unix::process::parent_id() as i32;
    let is_link = |fd: &OwnedFd| getsockopt(fd, sockopt::PeerCredentials).is_ok_and(|peer| peer.pid() == master);
    for link in own_descriptors().iter().filter(|fd| is_link(fd)) {
        shutdown(link.as_raw_fd(), Shutdown::Both).expect("it is open");
    }
}

/// Takes memory until there is none.
fn allocate() {
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1u8; 1 << 20]);
    }
}

/// Leaves copies of all descriptors to whatever this process starts.
fn leak() {
    for fd in own_descriptors() {
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::empty()).expect("it is open");
        std::mem::forget(fd);
    }
}

/// Copies of all descriptors of this process.
pub fn own_descriptors() -> Vec<OwnedFd> {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).expect("it is alive");
    let entries = std::fs::read_dir("/proc/self/fd").expect("it is mounted");
    let numbers: Vec<i32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.into_iter().filter_map(|number| pidfd_getfd(&own, number, PidfdGetfdFlags::empty()).ok()).collect()
}
