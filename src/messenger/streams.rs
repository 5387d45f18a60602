//! What comes one after the other: messages, and what is lost of them.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::{broadcast, mpsc};

use super::handler::Message;
use crate::member::Undelivered;

/// The messages of one action. See [`Messenger::stream`](super::Messenger::stream).
#[derive(Debug)]
pub struct Messages<T> {
    pub(super) messages: mpsc::Receiver<Message<T>>,
}

impl<T> Messages<T> {
    /// The next one. `None`: the member is on its way out. Cancel-safe.
    pub async fn next(&mut self) -> Option<Message<T>> {
        self.messages.recv().await
    }
}

impl<T> Stream for Messages<T> {
    type Item = Message<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message<T>>> {
        self.messages.poll_recv(cx)
    }
}

/// What is lost of a member's messages. See [`Messenger::undelivered`](super::Messenger::undelivered).
#[derive(Debug)]
pub struct UndeliveredMessages {
    pub(super) receiver: broadcast::Receiver<Undelivered>,
}

impl UndeliveredMessages {
    /// The next one. `None`: the member is on its way out. Cancel-safe.
    ///
    /// Up to 1,024 wait for whoever listens; the number of those that did not is in the next one's `omitted`.
    pub async fn next(&mut self) -> Option<Undelivered> {
        let mut missed = 0;
        loop {
            match self.receiver.recv().await {
                Ok(mut undelivered) => {
                    undelivered.omitted += missed;
                    return Some(undelivered);
                }
                Err(broadcast::error::RecvError::Lagged(count)) => missed += count,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
