//! What a command finds around it: its user, its terminal.

use std::io;

use rustix::process::geteuid;
use rustix::termios::{isatty, tcgetwinsize};

/// The number of the user that this process acts for. 0: root.
pub(crate) fn user() -> u32 {
    geteuid().as_raw()
}

/// The columns and rows of the terminal that stdout is. `None`: it is none. A terminal that does not say is one of old.
pub(crate) fn screen() -> Option<(u16, u16)> {
    let stdout = io::stdout();
    if !isatty(&stdout) {
        return None;
    }
    match tcgetwinsize(&stdout) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Some((size.ws_col, size.ws_row)),
        Ok(_) | Err(_) => Some((80, 24)),
    }
}
