//! What both sides serve.

use axum::Router;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// One route, whose answer names the process.
pub(crate) fn router() -> Router {
    let pid = HeaderValue::from(std::process::id());
    Router::new().route("/", get(move || hello(pid.clone())))
}

async fn hello(pid: HeaderValue) -> Response {
    let mut response = "hello world\n".into_response();
    response.headers_mut().insert("x-worker", pid);
    response
}
