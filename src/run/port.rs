//! The addresses that a master listens on, and what becomes of a start where somebody else has them.

use std::io;
use std::time::Duration;

use crate::cluster::{Cluster, Sockets};
use crate::process::signals::{MasterSignals, Wish};
use crate::process::{BindError, clock, holders, say};

/// How long the members of a master that was killed take to notice.
const NOTICING: Duration = Duration::from_millis(500);

/// How long the sockets of a process that has ended may outlive it.
const FADING: Duration = Duration::from_millis(100);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Binds the listeners. What members of a master that was killed still hold is waited for: they have no longer than their grace. What
/// anybody else holds is not. `None`: somebody wants us to stop.
pub(super) async fn bind(cluster: &Cluster, signals: &mut MasterSignals) -> Result<Option<Sockets>, BindError> {
    let began = clock::now();
    let (mut held, mut orphaned) = (began, None);
    loop {
        let error = match cluster.bind() {
            Err(error) if error.error.kind() == io::ErrorKind::AddrInUse => error,
            bound => return bound.map(Some),
        };
        // Looked for after the attempt: one that is not seen any more may have had it.
        let holders = holders(&cluster.blueprint.program, &error.address);
        let orphans: Vec<&str> =
            holders.iter().filter(|holder| holder.is_orphaned).map(|holder| holder.seat.as_str()).collect();
        let now = clock::now();
        if !orphans.is_empty() {
            if orphaned.is_none() {
                let (who, address) = (orphans.join(", "), &error.address);
                say(&format!("{address} is held by {who} of a master that was killed: waiting until they have gone"));
            }
            orphaned = Some(now);
        }
        if !holders.is_empty() {
            held = now;
        }
        let due = match (holders.is_empty(), orphaned) {
            (true, _) => held + FADING,
            (false, None) => began + NOTICING,
            // One that is being taken down has lost the thread by which it is known before it loses its sockets.
            (false, Some(last)) => (last + FADING).min(began + cluster.blueprint.orphan_grace + NOTICING),
        };
        if now > due {
            return Err(error);
        }
        let due = tokio::time::Instant::from_std(now + PAUSE);
        loop {
            tokio::select! {
                biased;
                wish = signals.next() => match wish {
                    Wish::Stop(_) => return Ok(None),
                    // Nobody is there for whom it would mean anything.
                    Wish::Children | Wish::Reload | Wish::Reopen => {}
                },
                () = tokio::time::sleep_until(due) => break,
            }
        }
    }
}
