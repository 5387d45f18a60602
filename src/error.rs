//! What role functions return, and how an error is told in one line.

use std::error::Error;

/// Any error: what user code returns need be no more.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What a role function returns. Every error converts into it with `?`.
pub type Result<T, E = BoxError> = std::result::Result<T, E>;

/// An error and all that caused it, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Many errors say what caused them already.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to read the settings")]
    struct Settings(#[source] std::num::ParseIntError);

    #[test]
    fn an_error_is_told_with_its_causes_once() {
        let cause = "x".parse::<i32>().expect_err("no number");
        assert_eq!(chain(&Settings(cause)), "failed to read the settings: invalid digit found in string");
    }
}
