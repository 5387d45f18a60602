//! The schedules of a plan: checked, and given to each member before its function runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::ContextFn;
use super::super::plan_error::PlanError;
use super::Settled;
use super::checks::number;
use crate::context::Context;
use crate::identity::Role;
use crate::schedule::{self, Job, PAYLOAD, Program, Schedule, ScheduleError};

/// Checks them, and has every role know of them.
pub(super) fn schedule(
    roles: &mut [Settled],
    declared: Vec<(String, Schedule, Arc<Job>)>,
    payload_limit: usize,
) -> Result<(), PlanError> {
    if declared.is_empty() {
        return Ok(());
    }
    if !roles.iter().any(|settled| settled.role == Role::AGENT) {
        return Err(PlanError::NoAgent);
    }
    number(
        "payload_limit of a plan with schedules",
        payload_limit as i64,
        PAYLOAD as i64..=i64::MAX,
        "at least 64 KiB",
    )?;
    let (mut program, mut names) = (Program::default(), BTreeSet::new());
    for (name, schedule, job) in declared {
        let wrong = |error| PlanError::Schedule { name: name.clone(), error };
        schedule::check_name(&name).map_err(wrong)?;
        if !names.insert(name.clone()) {
            return Err(wrong(ScheduleError::Twice));
        }
        let found = roles.iter().find(|settled| settled.role.name() == schedule.role());
        let unknown =
            || ScheduleError::Setting { setting: "the role", why: format!("{:?} is not declared", schedule.role()) };
        let role = found.ok_or_else(unknown).map_err(wrong)?.role;
        program.schedules.push((name.clone(), schedule.check(role).map_err(wrong)?));
        program.jobs.push((name, job));
    }
    let program = Arc::new(program);
    for settled in roles {
        let (run, program) = (settled.run.clone(), program.clone());
        let knowing: Arc<ContextFn> = Arc::new(move |cx: Context| {
            schedule::install(&cx, &program);
            run(cx)
        });
        settled.run = knowing;
    }
    Ok(())
}
