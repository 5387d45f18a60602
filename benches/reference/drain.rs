//! axum with a drain that loses no request: what still comes on a kept connection is answered with `Connection: close`,
//! and a connection is closed when nothing came for a second.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::{CONNECTION, HeaderValue};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_service::Service;

const LINGER: Duration = Duration::from_secs(1);

/// What the connections of a worker share.
#[derive(Default)]
struct Draining(AtomicBool);

pub(crate) async fn serve(listener: TcpListener, app: Router, stop: impl Future<Output = ()>) {
    let draining = Arc::new(Draining::default());
    let (drain, drained) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                connections.spawn(connection(stream, app.clone(), draining.clone(), drained.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    draining.0.store(true, Ordering::Relaxed);
    let _ = drain.send(());
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, app: Router, draining: Arc<Draining>, mut drain: watch::Receiver<()>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let answering = Arc::new(AtomicUsize::new(0));
    let (begun, open) = (requests.clone(), answering.clone());
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        begun.fetch_add(1, Ordering::Relaxed);
        open.fetch_add(1, Ordering::Relaxed);
        let (mut app, open, draining) = (app.clone(), open.clone(), draining.clone());
        async move {
            let mut response = app.call(request.map(Body::new)).await?;
            if draining.0.load(Ordering::Relaxed) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            open.fetch_sub(1, Ordering::Relaxed);
            Ok::<_, Infallible>(response)
        }
    });
    let builder = Builder::new(TokioExecutor::new());
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        _ = drain.changed() => {}
    }
    loop {
        let before = requests.load(Ordering::Relaxed);
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = tokio::time::sleep(LINGER) => {}
        }
        if requests.load(Ordering::Relaxed) == before && answering.load(Ordering::Relaxed) == 0 {
            break;
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
