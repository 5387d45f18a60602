//! The panic hook of a member, and the scope in which a panic is nobody's business.
//!
//! The hook is the only place that sees the panic of a detached task and of a program built with `panic = "abort"`. It
//! runs on the thread that panics, in whatever state that is: it takes no lock of ours and sends nothing over the link.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::fs::File;
use std::future::Future;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{black_box, stderr};

thread_local! {
    /// How many containing scopes this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// How many panics of this thread the hook has told of.
    static TOLD: Cell<u64> = const { Cell::new(0) };
}

/// A panic that was contained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Contained(String);

/// Runs `f`; a panic in it is an error for the caller and no exception of the member.
///
/// The panic is printed all the same, by the hook that prints it elsewhere.
///
/// For code that panics on purpose, or whose panics are dealt with where they happen. Whatever `f` was changing when it
/// panicked stays as it was then.
///
/// # Errors
/// [`Contained`], with the text of the panic.
///
/// ```
/// let answer = hatchery::contain(|| 6 * 7).unwrap();
/// assert_eq!(answer, 42);
/// assert_eq!(hatchery::contain(|| panic!("boom")).unwrap_err().to_string(), "boom");
/// ```
pub fn contain<R>(f: impl FnOnce() -> R) -> Result<R, Contained> {
    let _scope = Scope::enter();
    panic::catch_unwind(AssertUnwindSafe(f)).map_err(|payload| Contained(text(&*payload).to_owned()))
}

/// Like [`contain`], for a future. Tasks that it spawns are not inside. Dropped, it drops the future; a panic in that is
/// not contained.
///
/// # Errors
/// [`Contained`], with the text of the panic.
pub async fn contain_future<F: Future>(future: F) -> Result<F::Output, Contained> {
    Containing { future: Box::pin(future) }.await
}

struct Containing<F> {
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Containing<F> {
    type Output = Result<F::Output, Contained>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match contain(|| self.future.as_mut().poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(contained) => Poll::Ready(Err(contained)),
        }
    }
}

/// A panic that was caught. It is an exception all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it may be that nobody has heard of it"]
pub(crate) struct Panicked {
    /// What it said, if the hook has not told: it was resumed, or user code has set a hook of its own since.
    pub(crate) untold: Option<String>,
}

/// Runs `f`; a panic in it ends it alone.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Panicked> {
    let told = TOLD.get();
    panic::catch_unwind(AssertUnwindSafe(f))
        .map_err(|payload| Panicked { untold: (TOLD.get() == told).then(|| text(&*payload).to_owned()) })
}

/// The same for a future.
pub(crate) async fn catch_future<F: Future + Unpin>(mut future: F) -> Result<F::Output, Panicked> {
    std::future::poll_fn(move |cx| match catch(|| Pin::new(&mut future).poll(cx)) {
        Ok(poll) => poll.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

/// Whether a panic on this thread would be nobody's business.
pub(crate) fn is_contained() -> bool {
    DEPTH.get() > 0
}

struct Scope;

impl Scope {
    fn enter() -> Scope {
        DEPTH.set(DEPTH.get() + 1);
        Scope
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Who is told of panics.
pub(crate) trait Alarm: Send + Sync + 'static {
    /// There is one.
    fn begins(&self);

    /// Its place and text, and where it came from, if that was asked for.
    fn told(&self, text: String, backtrace: String);
}

/// Puts a hook in front of the present one: it writes place and text of every panic that is not contained into
/// `black_box` and gives them to `alarm`, with backtraces where there are to be any. The present one is left out while stderr
/// has stalled.
pub(crate) fn install_hook(black_box: File, backtraces: bool, alarm: impl Alarm) {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if DEPTH.get() == 0 {
            let (mut message, mut backtrace) = (describe(info), String::new());
            // The runtime's own panics on the way to an abort: what led to them says more.
            if CONSEQUENCES.iter().any(|consequence| message.ends_with(consequence))
                && let Some(cause) = black_box::read(&black_box)
            {
                message = format!("{}, then {message}", cause.text);
                backtrace = cause.backtrace;
            }
            black_box::write(&black_box, &message, &backtrace);
            TOLD.set(TOLD.get() + 1);
            alarm.begins();
            if backtraces && backtrace.is_empty() {
                // It takes milliseconds to find out the names, and the process may not live that long.
                backtrace = relevant(&Backtrace::force_capture().to_string()).to_owned();
                black_box::write(&black_box, &message, &backtrace);
            }
            alarm.told(message, backtrace);
        }
        // It may not return before stderr has taken the text, and with it the thread that would report the panic, serve
        // and leave. Where nobody reads, the text is lost there; the report and the black box have it.
        if stderr::has_room() {
            previous(info);
        }
    }));
}

/// What there is of a backtrace between the machinery of a panic and that of the start of a thread. Without names, all of it.
fn relevant(backtrace: &str) -> &str {
    // A frame is a line, and often a second one that says where it is.
    let after = |frame: usize| {
        let end = |at: usize| backtrace[at..].find('\n').map_or(backtrace.len(), |length| at + length + 1);
        let next = end(frame);
        if backtrace[next..].trim_start().starts_with("at ") { end(next) } else { next }
    };
    let begin = backtrace.find("rust_begin_unwind").map_or(0, after);
    let rest = &backtrace[begin..];
    let end = rest.find("__rust_begin_short_backtrace").and_then(|marker| rest[..marker].rfind('\n'));
    end.map_or(rest, |end| &rest[..=end])
}

const CONSEQUENCES: [&str; 2] = ["panic in a function that cannot unwind", "panic in a destructor during cleanup"];

fn describe(info: &PanicHookInfo<'_>) -> String {
    let text = text(info.payload());
    match info.location() {
        Some(place) => format!("{place}: {text}"),
        None => text.to_owned(),
    }
}

/// What a panic said.
fn text(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "a panic without a text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_is_of_the_code_that_panicked() {
        let whole = "   0: hook\n  at hook.rs:1\n   1: __rustc::rust_begin_unwind\n             at std.rs:2\n   2: core::panicking::panic_fmt\n   \
                     3: user::code\n             at user.rs:3\n   4: std::sys::backtrace::__rust_begin_short_backtrace\n   5: main\n";
        assert_eq!(relevant(whole), "   2: core::panicking::panic_fmt\n   3: user::code\n             at user.rs:3\n");
        assert_eq!(relevant("   0: <unknown>\n   1: <unknown>\n"), "   0: <unknown>\n   1: <unknown>\n");
        assert_eq!(relevant("   1: rust_begin_unwind"), "");
        assert_eq!(relevant(""), "");
        let own = contain(|| Backtrace::force_capture().to_string()).expect("no panic");
        assert!(relevant(&own).contains("a_backtrace_is_of_the_code_that_panicked"), "{own}");
    }

    #[tokio::test]
    async fn a_panic_that_goes_past_the_hook_is_known_to_be_untold() {
        let caught = catch_future(Box::pin(async { panic::resume_unwind(Box::new("quietly")) })).await;
        assert_eq!(caught, Err::<(), _>(Panicked { untold: Some("quietly".into()) }));
        assert_eq!(catch(|| 7), Ok(7));
    }

    #[tokio::test]
    async fn a_contained_panic_is_an_error_also_in_a_future_and_when_nested() {
        let nested = contain(|| {
            assert_eq!(DEPTH.get(), 1);
            contain(|| panic!("inner {}", 1)).map_err(|contained| contained.to_string())
        });
        assert_eq!(nested, Ok(Err::<(), _>("inner 1".to_owned())));
        let later = contain_future(async {
            tokio::task::yield_now().await;
            assert_eq!(DEPTH.get(), 1);
            panic!("later");
        });
        assert_eq!(later.await, Err::<(), _>(Contained("later".into())));
        assert_eq!(DEPTH.get(), 0, "the scope ends with the panic");
    }
}
