//! The master's process from its first listener to its exit code: a cluster that has the process to itself.

use std::io;
use std::process::ExitCode;

use crate::cluster::{Cluster, ClusterError, ClusterHandle, DESCRIPTORS, Home, Sockets, launch};
use crate::process::signals::{MasterSignals, Wish};
use crate::process::{self, Orphans, ProcessBackend, have_descriptors};
use crate::supervision::Urgency;

const STOPPED: u8 = 0;
const START_FAILED: u8 = 1;
const GAVE_UP: u8 = 3;

/// Binds, starts, supervises until the end, and says why it ended if it should not have.
pub(crate) fn master(cluster: &Cluster) -> ExitCode {
    let sockets = match cluster.bind() {
        Ok(sockets) => sockets,
        Err(error) => return say(START_FAILED, &error.to_string()),
    };
    match supervise(cluster, sockets) {
        Ok(end) => conclude(end),
        Err(error) => say(START_FAILED, &format!("the master cannot run: {error}")),
    }
}

fn supervise(cluster: &Cluster, sockets: Sockets) -> io::Result<Result<(), ClusterError>> {
    // Some of what follows would panic.
    have_descriptors(DESCRIPTORS)?;
    // One thread: a master routes and decides, and runs no code of the user's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let end = runtime.block_on(async {
        let signals = MasterSignals::listen()?;
        let backend = cluster.backend(Orphans::Ours).map_err(io::Error::other)?;
        let parts = cluster.launch(sockets, backend.clone()).map_err(io::Error::other)?;
        let (_, _, handle) = launch(parts, Home::Handle).await.map_err(io::Error::other)?;
        Ok(attend(&handle, &*backend, signals).await)
    });
    // Nothing is left that could be waited for, but a thread that writes where nobody reads.
    runtime.shutdown_background();
    end
}

/// Attends the cluster until its end.
async fn attend(
    handle: &ClusterHandle,
    backend: &dyn ProcessBackend,
    mut signals: MasterSignals,
) -> Result<(), ClusterError> {
    let mut end = std::pin::pin!(handle.wait());
    loop {
        tokio::select! {
            biased;
            end = &mut end => return end,
            wish = signals.next() => match wish {
                // The core knows whether it is the second time.
                Wish::Stop(signal) => handle.pass_on(Urgency::Graceful, signal),
                Wish::Children => backend.sweep(),
                Wish::Reopen => reopen_logs(handle),
            }
        }
    }
}

/// Passes that on to whoever writes them.
fn reopen_logs(handle: &ClusterHandle) {
    #[cfg(feature = "log")]
    {
        let handle = handle.clone();
        tokio::spawn(async move {
            match handle.reopen_logs().await {
                Ok(()) => tracing::info!("the log files are opened again"),
                Err(error) => tracing::warn!(%error, "the log files cannot be opened again"),
            }
        });
    }
    #[cfg(not(feature = "log"))]
    let _ = handle;
}

fn conclude(end: Result<(), ClusterError>) -> ExitCode {
    match end {
        Ok(()) => ExitCode::from(STOPPED),
        Err(error) => {
            let code = match &error {
                ClusterError::StartFailed { .. } => START_FAILED,
                ClusterError::GaveUp { .. } | ClusterError::Killed => GAVE_UP,
                ClusterError::LeftBehind(_) | ClusterError::Stopped => STOPPED,
            };
            say(code, &error.to_string())
        }
    }
}

fn say(code: u8, sentence: &str) -> ExitCode {
    process::say(sentence);
    ExitCode::from(code)
}
