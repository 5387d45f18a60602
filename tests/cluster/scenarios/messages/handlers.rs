//! Handlers that fail.

use super::*;

// In every way, and a worker tells how it was answered.

pub(super) async fn failing_agent(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    let messenger = cx.messenger();
    messenger.on("throw", throw::<Message<()>>);
    messenger.on("reject", |_: Message<()>| async { Err::<(), _>("no") });
    messenger.answer("throw", |_: Request<()>| async {
        throw(());
        Ok::<(), String>(())
    })?;
    messenger.answer("reject", |_: Request<()>| async { Err::<(), _>("no") })?;
    messenger.answer("string", |_: Request<()>| async { Err::<(), _>("just a text".to_owned()) })?;
    cx.ready();
    Ok(())
}

fn throw<T>(_: T) {
    panic!("asked to throw")
}

pub(super) async fn failing_worker(cx: Context) -> hatchery::Result<()> {
    begin(&cx);
    cx.ready();
    let messenger = cx.messenger();
    live(cx.clone(), async {
        for action in ["throw", "reject", "string", "unknown"] {
            if action != "string" {
                messenger.to_agent(action, &()).await?;
            }
            let outcome = match messenger.call::<()>(Slot::agent(), action, &()).await {
                Ok(()) => "answered".into(),
                Err(CallError::Dropped) => "dropped".into(),
                Err(CallError::Failed(text)) => format!("failed: {text}"),
                Err(CallError::Undelivered(Reason::NoHandler)) => "no handler".into(),
                Err(other) => format!("{other:?}"),
            };
            say(&cx, format!("{action}: {outcome}"));
        }
        Ok::<_, SendError>(())
    })
    .await
}
