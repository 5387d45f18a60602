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
    let turns = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    match (c.is_control() && c != '\t') || turns {
        true => into.extend(c.escape_default()),
        false => into.push(c),
    }
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
