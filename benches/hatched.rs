//! The program that is measured: `hatched ADDRESS WORKERS`.

#[path = "hello.rs"]
mod hello;

use std::process::ExitCode;

use hatchery::{Context, Hatchery, Role};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo bench` runs whatever is declared as one; this is for the figures to start.
    let [_, address, workers] = arguments.as_slice() else { return ExitCode::SUCCESS };
    Hatchery::new()
        .listen(address.as_str())
        .agent(agent)
        .workers(workers.parse().expect("a number"), worker)
        // Whoever is killed twice in a second is to come back at once, too.
        .tune(Role::WORKER, |role| {
            role.restart_limit(None);
        })
        .run()
}

async fn agent(cx: Context) -> hatchery::Result<()> {
    cx.ready();
    if cx.cluster_ready().await {
        println!("ready {}", cx.listener()?.local_addr()?);
    }
    Ok(())
}

async fn worker(cx: Context) -> hatchery::Result<()> {
    let listener = cx.listener()?;
    cx.ready();
    hatchery::axum::serve(listener, hello::router(), &cx).await
}
