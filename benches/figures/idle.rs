//! What a master costs that has nothing to do.

use std::thread::sleep;
use std::time::Duration;

use crate::measure::median;
use crate::programs::{Programs, Side, rss, switches};

pub(crate) fn idle(programs: &Programs) {
    const ROUNDS: usize = 5;
    const SPAN: Duration = Duration::from_secs(10);
    let (mut empty, mut masters, mut woken) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut nothing = programs.empty();
        let server = programs.start(Side::Hatchery, 2);
        // What the start left to do is done.
        sleep(Duration::from_secs(2));
        let before = switches(server.master());
        sleep(SPAN);
        woken.push((switches(server.master()) - before) as f64);
        empty.push(rss(nothing.id()) as f64);
        masters.push(rss(server.master()) as f64);
        nothing.kill().and_then(|()| nothing.wait()).expect("it is ours");
    }
    let (empty, master) = (median(&empty), median(&masters));
    println!("{:<44} {empty:>12.0} {master:>12.0}  +{:.0} <= +6144", "resident when idle: KiB", master - empty);
    println!("{:<44} {:>12} {:>12.0}  0 ({woken:?})", "wake-ups of the idle master in 10 s", "", median(&woken));
}
