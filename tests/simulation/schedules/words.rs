//! What a run logs.

use super::*;

/// What is written to it is kept.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_a_run_logs_says_of_which_schedule() {
    if !alone("schedules::words::what_a_run_logs_says_of_which_schedule") {
        return;
    }
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        Simulation::run(1, |sim| async move {
            let job = |_, _| async {
                tracing::info!("before it waits");
                tokio::time::sleep(secs(1)).await;
                tracing::info!("and after");
                hatchery::Result::<()>::Ok(())
            };
            let cluster = sim.start(plan(1).schedule("daily", Schedule::once(), job)).await?;
            cluster.ready().await?;
            sim.elapse(secs(5)).await;
            cluster.shutdown().await?;
            sim.check_quiescent()
        });
    });
    let text = String::from_utf8(written.0.lock().expect("nobody panicked").clone()).expect("it is text");
    for said in ["before it waits", "and after"] {
        let line = text.lines().find(|line| line.contains(said)).expect("it is logged");
        let span = "member{id=worker/0#1}:run{schedule=\"daily\" number=";
        assert!(line.contains(span) && line.contains("attempt=1}"), "{line}");
    }
}
