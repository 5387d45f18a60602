//! What a member does for an operator who asks: it says how many connections are open, and opens its files anew.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::context::Context;
use crate::error::{BoxError, chain};
use crate::messenger::Request;

/// The action by which a member is asked how many of its connections are open.
pub(super) const CONNECTIONS: &str = "hatchery:control/connections";

/// The action by which it is asked to open its files anew.
pub(super) const REOPEN: &str = "hatchery:control/reopen";

type Reopening = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What this member has that can be opened anew.
#[derive(Clone, Default)]
struct Files(Vec<Arc<dyn Fn() -> Reopening + Send + Sync>>);

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

impl Context {
    /// Has `reopen` called when an operator asks for files to be opened anew, as after a log was rotated. Several are called
    /// one after the other; each is called as often as somebody asks.
    ///
    /// A panic in it is an exception of this member. An error is told to whoever asked, and so is that it takes longer than
    /// they wait: 5 s at most; then it is dropped.
    pub fn on_reopen<Fut, E>(&self, reopen: impl Fn() -> Fut + Send + Sync + 'static)
    where
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let reopen = move || -> Reopening {
            let work = reopen();
            Box::pin(async move { work.await.map_err(|error| chain(&*error.into())) })
        };
        let member = self.member();
        let is_first = member.keep.visit(|files: &mut Files| {
            files.0.push(Arc::new(reopen));
            files.0.len() == 1
        });
        // `None`: the link is lost, and nobody will ask.
        if is_first == Some(true) {
            let cx = self.clone();
            // Nobody else takes that action.
            let _ = self.messenger().serve(REOPEN, move |_: Request<()>| {
                let files = cx.member().keep.visit(|files: &mut Files| files.clone()).unwrap_or_default();
                async move {
                    for reopen in files.0 {
                        reopen().await?;
                    }
                    Ok::<(), String>(())
                }
            });
        }
    }
}
