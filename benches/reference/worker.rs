//! A worker: a runtime of one thread, an axum service on the inherited listener.

use std::io::Write;
use std::os::fd::AsFd;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::{drain, hello};

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("descriptors")
}

/// The process that everyone else waits for.
pub(crate) fn first() {
    set_pdeathsig(Signal::SIGKILL).expect("it is allowed to all");
    runtime().block_on(async {
        say_ready();
        std::future::pending().await
    })
}

pub(crate) fn worker(how: &str) {
    set_pdeathsig(Signal::SIGTERM).expect("it is allowed to all");
    runtime().block_on(async {
        let listener = std::io::stdin().as_fd().try_clone_to_owned().expect("descriptors");
        let listener = tokio::net::TcpListener::from_std(listener.into()).expect("a listener");
        let mut term = signal(SignalKind::terminate()).expect("it is allowed");
        let stop = async move {
            term.recv().await;
        };
        say_ready();
        match how {
            "axum" => {
                axum::serve(listener, hello::router()).with_graceful_shutdown(stop).await.expect("it never fails")
            }
            _ => drain::serve(listener, hello::router(), stop).await,
        }
    });
}

fn say_ready() {
    // After the start nobody waits for it any more.
    let _ = std::io::stdout().write_all(b"!\n");
}
