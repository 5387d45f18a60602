//! What a signal does to a member: what its handlers do, and for the rest what the kernel of Linux does unless told
//! otherwise.

/// What becomes of a process that gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// Nothing.
    Ignored,
    /// It hears that it is to end.
    Asks,
    /// It stands still.
    Stops,
    /// If it stands still, it does no longer.
    Continues,
    /// It is dead.
    Ends,
}

/// What this signal does to a member. Its numbers are those of Linux on the machines that most have.
pub(super) fn disposition(number: i32) -> Disposition {
    match number {
        // HUP: a member handles it, and does nothing. See `MemberSignals`.
        1 => Disposition::Ignored,
        // PIPE: every Rust program ignores it.
        13 => Disposition::Ignored,
        // INT, QUIT, TERM.
        2 | 3 | 15 => Disposition::Asks,
        // CONT.
        18 => Disposition::Continues,
        // STOP, TSTP, TTIN, TTOU. Each member is in a group of its own, whose parent is in the same session: so the last
        // three stop it, too.
        19..=22 => Disposition::Stops,
        // CHLD, URG, WINCH.
        17 | 23 | 28 => Disposition::Ignored,
        4..=12 | 14 | 16 | 24..=27 | 29..=64 => Disposition::Ends,
        // There is no such signal.
        _ => Disposition::Ignored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_outlives_what_it_handles_and_what_the_kernel_ignores() {
        let of =
            |wanted: Disposition| -> Vec<i32> { (-1..=65).filter(|&number| disposition(number) == wanted).collect() };
        assert_eq!(of(Disposition::Ignored), [-1, 0, 1, 13, 17, 23, 28, 65]);
        assert_eq!(of(Disposition::Asks), [2, 3, 15]);
        assert_eq!(of(Disposition::Stops), [19, 20, 21, 22]);
        assert_eq!(of(Disposition::Continues), [18]);
        for deadly in [4, 5, 6, 9, 11, 14, 31, 34, 64] {
            assert_eq!(disposition(deadly), Disposition::Ends, "{deadly}");
        }
    }
}
