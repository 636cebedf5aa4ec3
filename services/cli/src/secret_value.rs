//! The value of a secret. It comes from a file, from standard input or from the terminal, never from an argument.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::Path,
};

use console::Term;
use hearth_domain::SecretValue;

use crate::error::CliError;

/// More than any value has.
const MAX_BYTES: u64 = 64 * 1024;
/// Stands for standard input.
const STDIN: &str = "-";

/// Reads a value: from this file, or from standard input, which is asked for it when it is a terminal.
pub(crate) fn read(file: Option<&Path>) -> Result<SecretValue, CliError> {
    let text = match file {
        Some(path) if path.as_os_str() != STDIN => {
            File::open(path).and_then(from).map_err(|error| {
                CliError::Usage(format!(
                    "--value-file: cannot read {}: {error}",
                    path.display()
                ))
            })
        }
        _ => typed().map_err(|error| CliError::Usage(format!("cannot read the value: {error}"))),
    };
    value(text?)
}

fn typed() -> io::Result<String> {
    if !io::stdin().is_terminal() {
        return from(io::stdin().lock());
    }
    let terminal = Term::stderr();
    terminal.write_str("Value: ")?;
    terminal.read_secure_line()
}

fn from(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The line break at the end is of the file, and not of the value.
fn value(mut text: String) -> Result<SecretValue, CliError> {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    SecretValue::new(text).map_err(|error| CliError::Usage(format!("the value {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_break_at_the_end_is_not_part_of_a_value() {
        for (text, expected) in [
            ("planted", "planted"),
            ("planted\n", "planted"),
            ("planted\r\n", "planted"),
            ("one\ntwo\n\n", "one\ntwo\n"),
            (" a ", " a "),
        ] {
            let value = value(text.to_owned()).expect("a value");
            assert_eq!(value.expose(), expected);
        }
        for bad in ["", "\n", "planted\0", &"planted".repeat(9000)] {
            let error = value(bad.to_owned()).expect_err("no value");
            let CliError::Usage(text) = error else {
                panic!("{error:?}");
            };
            assert!(text.starts_with("the value must be") && !text.contains("planted"));
        }
    }
}
