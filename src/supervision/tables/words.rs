//! What an operator reads: facts, decisions and plans in words.

use super::*;

#[test]
fn moments_say_how_long_the_master_had_been_up() {
    let moment = Moment::from_start(Duration::from_micros(61_000_007));
    assert_eq!(moment.to_string(), "+61.000007s");
    assert_eq!(format!("{moment:?}"), "+61.000007s");
    assert_eq!(moment.since_start(), Duration::from_micros(61_000_007));
}

#[test]
fn restart_types_have_the_words_of_otp() {
    let words = [RestartType::Permanent, RestartType::Transient, RestartType::Temporary].map(|kind| kind.to_string());
    assert_eq!(words, ["permanent", "transient", "temporary"]);
}

#[test]
fn a_plan_says_of_a_role_all_but_its_strategy() {
    let plan = RolePlan { overlap: false, ..RolePlan::new(Role::WORKER, 3, OneForOne::worker()) };
    assert_eq!(
        format!("{plan:?}"),
        format!(
            "RolePlan {{ role: {:?}, count: 3, overlap: false, ready_timeout: 60s, stop_timeout: 5s, give_up_after: 60s, .. }}",
            Role::WORKER
        )
    );
    assert_eq!(format!("{:?}", from_fn(|_, _, _| Directive::Remove)), "FromFn");
}

#[test]
fn an_end_says_all_that_is_known_of_it() {
    let core_dumped = Exit::new(ExitStatus::Signal { number: 11, core_dumped: true });
    let starved = Exit { out_of_memory: true, ..core_dumped.clone() };
    let thrown = Exit { exception: Some(Exception::new(ExceptionKind::Reported, "no disk")), ..Exit::code(70) };
    let rows = [
        (Exit::code(3), "exited with code 3"),
        (core_dumped, "killed by signal 11 (core dumped)"),
        (starved, "killed by signal 11 (core dumped) (out of memory)"),
        (thrown, "exited with code 70: reported an exception: no disk"),
        (Exit::not_started("no such file", Some(2)), "could not be started: no such file"),
        (Exit::new(ExitStatus::Unkillable), "killed, but still there"),
    ];
    for (exit, words) in rows {
        assert_eq!(exit.to_string(), words);
    }
}

#[test]
fn a_link_and_a_boot_say_how_they_failed() {
    let allowed = millis(10_000);
    assert_eq!(LinkError::Io("reset".into()).to_string(), "its link failed: reset");
    let failure = BootFailure::LinkLost { error: LinkError::Closed, exit: Exit::signal(9) };
    assert_eq!(failure.to_string(), "it closed its link, before it was ready");
    assert_eq!(failure.exit(), &Exit::signal(9));
    let failure = BootFailure::TimedOut { allowed, exit: Exit::signal(9) };
    assert_eq!(failure.to_string(), "was not ready within 10s: start timeout");
    let failure = BootFailure::Ended(Exit::not_started("no such file", Some(2)));
    assert_eq!(failure.to_string(), "could not be started: no such file");
}
