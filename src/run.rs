//! The master's process from its first listener to its exit code: a cluster that has the process to itself.

mod announcer;
mod port;

use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use self::announcer::Announcer;
use self::port::bind;
use crate::cluster::{Cluster, ClusterError, ClusterHandle, DESCRIPTORS, Home, launch};
#[cfg(feature = "control")]
use crate::control::{Control, ControlGuard};
use crate::process::signals::{MasterSignals, Wish};
use crate::process::{self, BindError, Launcher, Notifier, Orphans, PidFile, ProcessBackend, have_descriptors};
use crate::reopen::Reopened;
use crate::supervision::Urgency;

const STOPPED: u8 = 0;
const START_FAILED: u8 = 1;
const GAVE_UP: u8 = 3;

/// What a master has besides, where the process is its own.
#[derive(Debug, Default)]
pub(crate) struct Services {
    /// Where its number stands.
    pub(crate) pid_file: Option<PathBuf>,
    #[cfg(feature = "control")]
    pub(crate) control: Option<Control>,
}

impl Services {
    /// Begins what there is. That something cannot be had is no reason for a cluster not to run.
    fn begin(self, handle: &ClusterHandle) -> Running {
        #[cfg(feature = "control")]
        let control = self.control.and_then(|control| {
            let served = handle.serve_control(control);
            let complain = |error: &_| {
                tracing::error!(%error, "the control socket is not served");
                // Also where nobody listens to that: every command would say that nothing runs.
                process::say(&format!("the control socket is not served: {error}"));
            };
            served.inspect_err(complain).ok()
        });
        #[cfg(not(feature = "control"))]
        let _ = (self, handle);
        Running {
            #[cfg(feature = "control")]
            control,
        }
    }
}

/// What a master has besides, while it runs.
struct Running {
    #[cfg(feature = "control")]
    control: Option<ControlGuard>,
}

impl Running {
    /// The cluster has ended: whoever waits for that is told.
    async fn finish(self) {
        #[cfg(feature = "control")]
        if let Some(control) = self.control {
            control.finish().await;
        }
    }
}

/// Binds, starts, supervises until the end, and says why it ended if it should not have.
///
/// A pid file is taken before anything else: of two masters that are started at once one must not come as far as to
/// disturb the other.
pub(crate) fn master(cluster: &Cluster, services: Services) -> ExitCode {
    let launcher = match Launcher::attach() {
        Ok(launcher) => launcher,
        Err(error) => return say(START_FAILED, &format!("the master cannot go into the background: {error}")),
    };
    let pid_file = match services.pid_file.as_deref().map(PidFile::take).transpose() {
        Ok(pid_file) => pid_file,
        Err(error) => return say(START_FAILED, &error.to_string()),
    };
    let code = match supervise(cluster, services, launcher) {
        Ok(end) => conclude(end),
        Err(fault) => say(START_FAILED, &fault.to_string()),
    };
    // Held until nobody is left.
    drop(pid_file);
    code
}

/// Why there was no cluster.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("the master cannot run: {0}")]
    Os(#[from] io::Error),
}

/// Binds, and runs the cluster until its end.
fn supervise(
    cluster: &Cluster,
    services: Services,
    launcher: Option<Launcher>,
) -> Result<Result<(), ClusterError>, Fault> {
    // Some of what follows would panic.
    have_descriptors(DESCRIPTORS)?;
    let announcer = Announcer::new(manager());
    // One thread: a master routes and decides, and runs no code of the user's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let end = runtime.block_on(async {
        let mut signals = MasterSignals::listen(launcher.is_some())?;
        let Some(sockets) = bind(cluster, &mut signals).await? else { return Ok(Ok(())) };
        let stderr = launcher.as_ref().map(Launcher::stderr).transpose()?;
        let backend = cluster.backend(Orphans::Ours, stderr).map_err(io::Error::other)?;
        let parts = cluster.launch(sockets, backend.clone()).map_err(io::Error::other)?;
        let (_, _, handle) = launch(parts, Home::Handle).await.map_err(io::Error::other)?;
        let running = services.begin(&handle);
        let end = tokio::select! {
            biased;
            end = attend(&handle, &*backend, signals) => end,
            () = release(&handle, launcher) => unreachable!("it waits for ever"),
            () = announcer.announce(&handle) => unreachable!("it announces for ever"),
        };
        announcer.end(&end);
        running.finish().await;
        Ok(end)
    });
    // Nothing is left that could be waited for, but a thread that writes where nobody reads.
    runtime.shutdown_background();
    end
}

/// The service manager that started us. One that cannot be told keeps nobody from starting.
fn manager() -> Option<Notifier> {
    Notifier::of_environment().unwrap_or_else(|error| {
        tracing::warn!(%error, "the service manager cannot be told how the cluster is");
        None
    })
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
                Wish::Reload => tracing::warn!("SIGHUP: there is no configuration to be read again, nothing is done"),
                Wish::Reopen => reopen(handle),
            }
        }
    }
}

/// Lets a launcher go when all are ready. Where they do not come to that it hears all that is said, up to the end.
async fn release(handle: &ClusterHandle, launcher: Option<Launcher>) {
    if let Some(launcher) = launcher
        && handle.ready().await.is_ok()
    {
        launcher.ready();
    }
    pending().await
}

/// How long members may take to open their files anew.
const REOPENING: Duration = Duration::from_secs(5);

/// Passes that on to those who have any.
fn reopen(handle: &ClusterHandle) {
    let handle = handle.clone();
    tokio::spawn(async move {
        let Reopened { by, failed, silent } = handle.reopen(REOPENING).await;
        match failed.is_empty() && silent.is_empty() {
            true => tracing::info!(?by, "SIGUSR1: files are opened anew"),
            false => tracing::warn!(?by, ?failed, ?silent, "SIGUSR1: not all files are opened anew"),
        }
    });
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
