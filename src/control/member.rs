//! What a member does for an operator who asks: it says how many connections are open.

use crate::context::Context;
use crate::messenger::Request;

/// The action by which a member is asked how many of its connections are open.
pub(super) const CONNECTIONS: &str = "hatchery:control/connections";

/// Has a member answer, before its function runs.
pub(crate) fn install(cx: &Context) {
    let busy = cx.member().busy.clone();
    let count = move |_: Request<()>| {
        let open = busy.connections() as u64;
        async move { Ok::<u64, String>(open) }
    };
    // Nobody else takes that action.
    let _ = cx.messenger().serve(CONNECTIONS, count);
}
