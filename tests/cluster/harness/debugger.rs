//! Holds processes as a debugger does.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use nix::sys::ptrace::{self, Options};
use nix::unistd::Pid;

/// Traces a process and never waits for it: once it has ended, nobody can reap it. Dropped, it lets go.
pub struct Debugger {
    /// Tracing is a matter of threads: with the end of this one it is over.
    thread: Option<JoinHandle<()>>,
    attached: Option<mpsc::Sender<()>>,
}

impl Debugger {
    /// Takes hold of a process: it may die, but not be reaped.
    #[track_caller]
    pub fn hold(pid: u32) -> Debugger {
        Debugger::attach(pid, Options::empty())
    }

    /// Takes hold of a process so that it cannot even die: at its end it waits for us, and no signal reaches it there.
    #[track_caller]
    pub fn hold_at_exit(pid: u32) -> Debugger {
        Debugger::attach(pid, Options::PTRACE_O_TRACEEXIT)
    }

    #[track_caller]
    fn attach(pid: u32, options: Options) -> Debugger {
        let (attached, until_dropped) = mpsc::channel();
        let (told, answer) = mpsc::channel();
        let thread = thread::spawn(move || {
            let _ = told.send(ptrace::seize(Pid::from_raw(pid as i32), options));
            let _ = until_dropped.recv();
        });
        answer.recv().expect("the thread runs").expect("descendants may be traced");
        Debugger { thread: Some(thread), attached: Some(attached) }
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        drop(self.attached.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
