//! A tokio program of its own, with a cluster in it: the program goes on, risky work is done in processes of their own.
//!
//! ```console
//! $ cargo run --example embed_in_tokio
//! ready after 2 workers said so
//! 12 * 12 = 144, says worker/1#1
//! worker/0 is asked for the impossible
//!   worker/0#1 exited with code 3 -> restart in 100.0ms
//!   worker/0#2 ready
//! 7 * 7 = 49, says worker/0#2
//! stopped, nobody is left
//! ```
//!
//! What follows the exit may differ: a worker that had been ready for a second is restarted at once. It ends by itself.

use std::process::ExitCode;

use hatchery::{Cluster, ClusterEvent, Context, Hatchery, Request, Slot};

/// Not `#[tokio::main]`: a worker is this program started again, and must not have a thread before it knows what it is.
/// `enter` tells the two apart. It returns in the master; a worker never gets past it.
pub(crate) fn main() -> ExitCode {
    let cluster = match Hatchery::new().workers(2, worker).enter() {
        Ok(cluster) => cluster,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    // From here on it is a program like any other.
    let runtime = tokio::runtime::Runtime::new().expect("a machine with threads");
    match runtime.block_on(serve(cluster)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(cluster: Cluster) -> hatchery::Result<()> {
    let handle = cluster.start().await?;
    // Everything that happens in the cluster, for a log, a metric or a page.
    let mut events = handle.events();
    handle.ready().await?;
    println!("ready after {} workers said so", handle.status().members.len());

    let messenger = handle.messenger();
    println!("12 * 12 = {}", messenger.call::<String>(Slot::worker(1), "square", &12u32).await?);

    println!("worker/0 is asked for the impossible");
    // It does not survive that. The call comes back with the reason, and this program does not notice otherwise.
    let lost = messenger.call::<String>(Slot::worker(0), "square", &u32::MAX).await;
    debug_assert!(lost.is_err());
    while let Some(event) = events.next().await {
        let (told, is_back) = match &event {
            ClusterEvent::Exited { .. } => (true, false),
            ClusterEvent::Ready { member } => (member.incarnation().get() > 1, member.incarnation().get() > 1),
            _ => (false, false),
        };
        if told {
            println!("  {event}");
        }
        if is_back {
            break;
        }
    }
    // The slot is the same, whoever fills it.
    println!("7 * 7 = {}", messenger.call::<String>(Slot::worker(0), "square", &7u32).await?);

    // In order, each with its time to finish. Dropping the handle instead would kill them.
    handle.shutdown().await?;
    println!("stopped, nobody is left");
    Ok(())
}

/// Runs in a process of its own, with a runtime of its own.
async fn worker(cx: Context) -> hatchery::Result<()> {
    let id = cx.id();
    cx.messenger().answer("square", move |request: Request<u32>| async move {
        match request.body.checked_mul(request.body) {
            Some(square) => Ok::<_, String>(format!("{square}, says {id}")),
            None => crash(),
        }
    })?;
    cx.ready();
    cx.stopping().await;
    Ok(())
}

/// What a library in another language might do to its process.
#[allow(clippy::disallowed_methods, reason = "this is what the example is about")]
fn crash() -> ! {
    std::process::exit(3)
}
