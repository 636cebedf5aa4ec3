//! Text from outside (repositories, commands, servers), made safe and short enough to show.
//!
//! A terminal obeys what it is sent, so a build could move the cursor over earlier lines, set the window's title, or
//! put a command on the clipboard.

use std::{error::Error, iter::Peekable, str::Chars};

/// One line that is safe to print: without terminal escapes, control characters and marks that turn the direction of
/// writing. Line breaks and tabs become blanks, blanks at the end go.
pub fn printable_line(text: &str) -> String {
    strip(text).replace(['\n', '\t'], " ").trim_end().to_owned()
}

/// Like [`printable_line`], but line breaks and tabs stay. A carriage return becomes a line break.
pub fn printable_lines(text: &str) -> String {
    strip(text)
}

/// Characters that do harm to a reader beside ASCII's control characters: DEL, the C1 controls (escape sequences in
/// one character), and the marks that turn the direction of writing, with which a text can show other than it is.
pub fn is_harmful(c: char) -> bool {
    matches!(
        c,
        '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// The first `max` characters of a text, and `…` where there are more.
pub fn shortened(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The text of the last error in a chain of causes. Errors of HTTP and gRPC clients say which layer failed, and only
/// the innermost one says why.
pub fn innermost_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// A text without the byte order mark that some editors put in front of it, which is no part of what it says.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn strip(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{9b}' => skip_control_sequence(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut chars),
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    clean.push('\n');
                }
            }
            '\n' | '\t' => clean.push(c),
            _ if c.is_control() || is_harmful(c) => {}
            _ => clean.push(c),
        }
    }
    clean
}

/// Skips the rest of a sequence that began with ESC (ECMA-48).
fn skip_escape(chars: &mut Peekable<Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_control_sequence(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            skip_string(chars);
        }
        _ => {
            while chars.next_if(|c| matches!(c, ' '..='/')).is_some() {}
            chars.next_if(|c| matches!(c, '0'..='~'));
        }
    }
}

/// Skips parameters and intermediates, then one final character.
fn skip_control_sequence(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    chars.next_if(|c| matches!(c, '@'..='~'));
}

/// Skips a string up to BEL or ST. It also ends with the line, so that a missing end does not hide the rest of a log.
fn skip_string(chars: &mut Peekable<Chars<'_>>) {
    while let Some(c) = chars.next_if(|c| *c != '\n') {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                chars.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_go_and_their_text_stays() {
        for (dirty, clean) in [
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]52;c;cm0gLXJm\u{1b}\\after", "after"),
            ("\u{9b}2Jx\u{9d}8;;http://a\u{9c}y", "xy"),
            ("\u{1b}(Bx\u{1b}cy\u{1b}7z", "xyz"),
            ("a\u{8}b\u{0}c\u{7f}d", "abcd"),
            ("admin\u{202e}nimda", "adminnimda"),
            ("ends early \u{1b}", "ends early"),
            ("grün 火 ✓", "grün 火 ✓"),
        ] {
            assert_eq!(printable_line(dirty), clean, "{dirty:?}");
        }
    }

    #[test]
    fn an_unended_string_hides_no_more_than_its_own_line() {
        assert_eq!(printable_lines("\u{1b}]0;hidden\nshown"), "\nshown");
    }

    #[test]
    fn a_line_stays_a_line_and_a_block_keeps_its_lines() {
        assert_eq!(printable_line("a\nb\tc\r\nd\n"), "a b c d");
        assert_eq!(
            printable_lines("10%\r20%\r\ndone\tok"),
            "10%\n20%\ndone\tok"
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        for (text, short) in [("", ""), ("grün", "grün"), ("grüne", "grün…")] {
            assert_eq!(shortened(text, 4), short);
        }
        assert_eq!(shortened("x", 0), "…");
    }

    #[test]
    fn the_innermost_cause_says_what_happened() {
        #[derive(Debug, thiserror::Error)]
        #[error("the request failed")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("no route to host"));
        assert_eq!(innermost_cause(&error), "no route to host");
    }

    proptest! {
        #[test]
        fn what_is_printable_stays_as_it_is_and_nothing_else_is_left(text in "\\PC{0,40}|.{0,40}") {
            let line = printable_line(&text);
            prop_assert!(!line.contains(|c: char| c.is_control() || is_harmful(c)));
            prop_assert_eq!(printable_line(&line), line.clone());
            prop_assert_eq!(printable_lines(&line), line);
        }
    }
}
