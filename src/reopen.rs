//! Files that are opened anew when somebody has renamed them: members say which they have, an operator says when.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::cluster::ClusterHandle;
use crate::context::Context;
use crate::error::{BoxError, chain};
use crate::identity::MemberId;
use crate::messenger::{CallError, Reason, Request};
use crate::roster::MemberState;

/// The action by which a member is asked to.
const REOPEN: &str = "hatchery:reopen";

type Reopening = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What this member has that can be opened anew.
#[derive(Clone, Default)]
struct Files(Vec<Arc<dyn Fn() -> Reopening + Send + Sync>>);

impl Context {
    /// Has `reopen` called when an operator asks for files to be opened anew, as after a log was rotated: by SIGUSR1 to a master
    /// under [`run`](crate::Hatchery::run), or by [`ClusterHandle::reopen`]. Several are called one after the other; each is called
    /// as often as somebody asks.
    ///
    /// A panic in it is an exception of this member. An error is told to whoever asked, and so is that it takes longer than
    /// they wait; then it is dropped.
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

/// What came of it that files were to be opened anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reopened {
    /// The members that have.
    pub by: Vec<MemberId>,
    /// Those that could not, and why.
    pub failed: Vec<(MemberId, String)>,
    /// Those that have not answered in time.
    pub silent: Vec<MemberId>,
}

impl ClusterHandle {
    /// Has all members that [have files](Context::on_reopen) open them anew, within `patience`: the agent its [logs](crate::Hatchery),
    /// where the plan has any. All at once, each by its process: what a successor opens is new.
    ///
    /// Cancellation: those that were asked do it.
    pub async fn reopen(&self, patience: Duration) -> Reopened {
        let has_begun = |state: MemberState| match state {
            MemberState::Ready | MemberState::Unresponsive | MemberState::Draining => true,
            MemberState::Starting | MemberState::Waiting | MemberState::Parked | MemberState::Stopped => false,
        };
        let mut asked = JoinSet::new();
        for member in self.status().members.into_iter().filter(|member| has_begun(member.state)) {
            let (messenger, id) = (self.messenger(), member.id);
            asked.spawn(async move { (id, messenger.request::<()>(patience, id.into(), REOPEN, &()).await) });
        }
        let mut answers: Vec<(MemberId, Result<(), CallError>)> = Vec::new();
        while let Some(answer) = asked.join_next().await {
            answers.extend(answer.ok());
        }
        answers.sort_by_key(|(id, _)| *id);
        let mut reopened = Reopened::default();
        for (id, answer) in answers {
            match answer {
                Ok(()) => reopened.by.push(id),
                Err(CallError::Undelivered(Reason::NoHandler)) => {}
                Err(error) if error.is_timeout() => reopened.silent.push(id),
                Err(error) => reopened.failed.push((id, error.to_string())),
            }
        }
        reopened
    }
}
