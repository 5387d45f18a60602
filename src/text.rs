//! Texts that others wrote, on their way through frames and files of fixed size, and to people.

/// As much of the beginning of `text` as fits into `bytes`, in whole characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A character as it may be shown: none that ends a line, moves a cursor or turns the text around it. A tab is as harmless as a
/// space.
#[cfg(any(feature = "log", feature = "cli"))]
pub(crate) fn show(c: char, into: &mut String) {
    match misleads(c) {
        true => into.extend(c.escape_default()),
        false => into.push(c),
    }
}

/// Whether a character is none that may be shown.
#[cfg(any(feature = "log", feature = "cli"))]
pub(crate) fn misleads(c: char) -> bool {
    (c.is_control() && c != '\t') || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether there may be one among them. In ASCII it is seen; beyond, those characters begin with one of two bytes, as others do.
#[cfg(any(feature = "log", feature = "cli"))]
pub(crate) fn may_mislead(text: &[u8]) -> bool {
    text.iter().any(|&byte| (byte < b' ' && byte != b'\t') || matches!(byte, 0x7f | 0xc2 | 0xe2))
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
