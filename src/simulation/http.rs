//! HTTP over a virtual connection (feature `axum`).

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::client::{Client, ClientError};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Response {
    /// Its status, as a number.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Response {
    /// Its body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        StatusCode::from_u16(self.status).is_ok_and(|status| status.is_success())
    }
}

impl Client {
    /// Gets `path` over a connection of its own. Dropped before it resolves, the connection is cut: the request may have
    /// been served.
    ///
    /// # Errors
    /// Any [`ClientError`]. An answer with another status than 200 is an answer.
    pub async fn get(&self, path: &str) -> Result<Response, ClientError> {
        let request = Request::get(path).body(String::new()).map_err(broken)?;
        self.request(request).await
    }

    /// Posts `body` to `path` over a connection of its own. Cancellation: as of [`get`](Client::get).
    ///
    /// # Errors
    /// As of [`get`](Client::get).
    pub async fn post(&self, path: &str, body: impl Into<String>) -> Result<Response, ClientError> {
        let request = Request::post(path).body(body.into()).map_err(broken)?;
        self.request(request).await
    }

    /// Sends a request over a connection of its own, and waits up to a virtual minute for the answer. Cancellation: as of
    /// [`get`](Client::get).
    ///
    /// # Errors
    /// As of [`get`](Client::get).
    pub async fn request(&self, mut request: Request<String>) -> Result<Response, ClientError> {
        let headers = request.headers_mut();
        headers.entry(http::header::HOST).or_insert(http::HeaderValue::from_static("simulation"));
        headers.entry(http::header::CONNECTION).or_insert(http::HeaderValue::from_static("close"));
        tokio::time::timeout(PATIENCE, self.exchange(request)).await.map_err(|_| ClientError::TimedOut(PATIENCE))?
    }

    async fn exchange(&self, request: Request<String>) -> Result<Response, ClientError> {
        let stream = TokioIo::new(self.connect().await?);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(broken)?;
        let answered = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let (head, body) = response.into_parts();
            Ok(Response { status: head.status.as_u16(), headers: head.headers, body: collect(body).await? })
        };
        // The connection has to be polled for the answer to come, and may end before it has been read.
        let (mut answered, mut connection) = (std::pin::pin!(answered), std::pin::pin!(connection));
        tokio::select! {
            biased;
            response = answered.as_mut() => return response,
            _ = connection.as_mut() => {}
        }
        answered.await
    }
}

async fn collect(mut body: Incoming) -> Result<Bytes, ClientError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

fn broken(error: impl std::error::Error + 'static) -> ClientError {
    ClientError::Http(crate::error::chain(&error))
}
