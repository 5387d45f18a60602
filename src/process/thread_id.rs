//! The number of a thread, by which `top -H` and a debugger show it.

/// The number of the present thread in the operating system. That of the first thread of a process is the process's.
pub(crate) fn thread_id() -> u32 {
    nix::unistd::gettid().as_raw().unsigned_abs()
}
