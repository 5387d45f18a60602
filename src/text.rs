//! Texts that others wrote, on their way through frames and files of fixed size.

/// As much of the beginning of `text` as fits into `bytes`, in whole characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_a_short_one_is_not() {
        assert_eq!(cut("größer", 3), "gr");
        assert_eq!(cut("größer", 4), "grö");
        assert_eq!(cut("größer", 80), "größer");
        assert_eq!(cut("ü", 1), "");
    }
}
