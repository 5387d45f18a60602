//! What a member has to do with logs: given to it before its function runs, and used by that.

use std::sync::Arc;

use tracing_subscriber::layer::SubscriberExt;

use super::courier::{Batch, WRITE, Way, carry};
use super::format::{Clock, dropped};
use super::layer::layer;
use super::outbox::Outbox;
use super::scribe::{Complaint, Scribe};
use super::settings::Rules;
use crate::context::{AlreadySubscribed, Context};
use crate::identity::{Incarnation, Role};
use crate::messenger::Request;

/// What is kept with a member.
#[derive(Clone)]
pub(super) struct Local {
    pub(super) rules: Arc<Rules>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) clock: Clock,
}

/// `None`: the plan says nothing of logs, or the link is lost.
pub(super) fn local(cx: &Context) -> Option<Local> {
    cx.member().keep.visit(|kept: &mut Option<Local>| kept.clone()).flatten()
}

/// Gives a member what the plan says of logs, before its function runs. The agent opens the files.
///
/// # Errors
/// They cannot be opened, and the cluster has not begun. Later, nobody ends for that: the lines wait.
pub(crate) async fn install(cx: &Context, rules: &Arc<Rules>) -> Result<(), String> {
    let member = cx.member();
    let way = match cx.role() == Role::AGENT {
        false => Way::Link(cx.messenger()),
        true => {
            let scribe = Scribe::new(rules.clone(), member.spawner.clone());
            let ended = scribe.clone();
            member.spawner.adopt(move || ended.close());
            if cx.incarnation() == Incarnation::FIRST {
                scribe.open().await?;
            }
            let complaint = Complaint::default();
            serve(cx, &scribe, &complaint);
            Way::Here(cx.id(), scribe, complaint)
        }
    };
    let spawner = member.spawner.clone();
    let clock = Clock { calendar: Arc::new(move || spawner.calendar()), stamp: rules.stamp.clone() };
    let notice = dropped(clock.clone(), rules.json, cx.id().to_string());
    let room = (rules.buffer, rules.batch);
    let outbox = Arc::new(Outbox::new(room, Some(member.busy.clone()), rules.of_role(cx.role()), notice));
    let local = Local { rules: rules.clone(), outbox: outbox.clone(), clock };
    member.keep.visit(|kept: &mut Option<Local>| *kept = Some(local));
    // Its end is the end of all that the member has.
    member.spawner.spawn(carry(outbox, member.spawner.random(), way, std::future::pending()));
    Ok(())
}

fn serve(cx: &Context, scribe: &Scribe, complaint: &Complaint) {
    let (writer, complaint) = (scribe.clone(), complaint.clone());
    let write = move |request: Request<Batch>| {
        let (writer, complaint) = (writer.clone(), complaint.clone());
        async move {
            let written = writer.write(request.body.author(request.from), request.body).await;
            complaint.hear(&written);
            written
        }
    };
    // Nobody else answers that.
    let _ = cx.messenger().serve(WRITE, write);
    let reopener = scribe.clone();
    cx.on_reopen(move || {
        let reopener = reopener.clone();
        async move { reopener.reopen().await }
    });
}

/// Has everything that this member logs go through [`layer`], from here on: a `tracing` subscriber of it alone. For one that has
/// other layers, too, there is [`Context::subscribe`].
///
/// # Errors
/// [`AlreadySubscribed`]: there is a subscriber already. `main` runs in members, too: what it sets up for the master, it has to
/// leave out in them, see [`is_member`](crate::is_member).
pub fn init(cx: &Context) -> Result<(), AlreadySubscribed> {
    cx.subscribe(tracing_subscriber::registry().with(layer(cx)))
}
