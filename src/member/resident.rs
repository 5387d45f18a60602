//! A member without a process of its own: it lives in its master's, has a messenger and nothing else, and ends with the
//! link.

use std::sync::Arc;

use tokio::io::DuplexStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::life::Event;
use super::link;
use super::shared::Member;
use crate::identity::MemberId;
use crate::transport::{Directory, Hello, Limits};

impl Member {
    /// A member that lives in this process, as tasks of `runtime`.
    pub(crate) fn resident(
        id: MemberId,
        directory: Arc<Directory>,
        limits: Limits,
        runtime: &Handle,
        link: DuplexStream,
    ) -> Arc<Member> {
        let (member, events) = Member::new(id, directory, limits, runtime.clone());
        let (reader, writer) = tokio::io::split(link);
        member.line.control(|out| Hello::of(id).put(out));
        let residence = Residence(member.clone());
        runtime.spawn(async move { link::listen(residence.0.clone(), reader).await });
        let line = member.line.clone();
        // Its error is that the other end is gone, which whoever reads hears as well.
        runtime.spawn(async move { line.write_to(writer).await });
        runtime.spawn(reside(member.clone(), events));
        member
    }
}

/// Ends with the link, and also when the runtime takes the task that reads it: nobody waits for what will not come.
struct Residence(Arc<Member>);

impl Drop for Residence {
    fn drop(&mut self) {
        self.0.disconnect();
        // Handlers hold messengers, which hold the member, which holds its handlers.
        self.0.dispatch.close();
    }
}

/// It is nobody's to replace: an exception in a handler of its is logged, and it lives on.
async fn reside(member: Arc<Member>, mut events: mpsc::UnboundedReceiver<Event>) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Exception(report) => {
                member.exception_taken();
                tracing::error!(parent: &member.span, exception = report.text, "exception");
                let unreported = member.take_unreported();
                if unreported > 0 {
                    tracing::error!(parent: &member.span, unreported, "more exceptions at the same time");
                }
            }
            Event::Orphaned | Event::MasterGone => return,
            Event::Ready | Event::Returned(_) | Event::Order(_) | Event::Terminated | Event::Quiet | Event::Overdue => {
            }
        }
    }
}
