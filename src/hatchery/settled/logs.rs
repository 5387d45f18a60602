//! The logs of a plan: checked, and given to each member before its function runs.

use std::sync::Arc;

use super::super::ContextFn;
use super::super::plan_error::PlanError;
use super::Settled;
use crate::cluster::Logbook;
use crate::context::Context;
use crate::identity::Role;
use crate::log::{self, Book, Logs};
use crate::member::RoleFuture;

/// Checks them, and has every role know of them.
pub(super) fn logs(
    roles: &mut [Settled],
    logs: Option<Logs>,
    payload_limit: usize,
) -> Result<Option<Arc<dyn Logbook>>, PlanError> {
    let Some(logs) = logs else { return Ok(None) };
    let mut known: Vec<Role> = roles.iter().map(|settled| settled.role).collect();
    known.sort();
    if !known.contains(&Role::AGENT) {
        return Err(PlanError::NoWriter);
    }
    let rules = Arc::new(logs.check(&known, payload_limit).map_err(PlanError::Logs)?);
    for settled in roles {
        let (run, rules) = (settled.run.clone(), rules.clone());
        settled.backtraces = rules.backtraces;
        let logging: Arc<ContextFn> = Arc::new(move |cx: Context| -> RoleFuture {
            let (run, rules) = (run.clone(), rules.clone());
            Box::pin(async move {
                log::install(&cx, &rules).await?;
                run(cx).await
            })
        });
        settled.run = logging;
    }
    Ok(Some(Arc::new(Book(rules))))
}
