//! The token that proves who calls. It comes from a file, from standard input or from the terminal, never from an argument.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::Path,
};

use console::Term;
use secrecy::{ExposeSecret as _, SecretString};

use crate::error::CliError;

const MAX_BYTES: u64 = 4096;
/// Stands for standard input.
const STDIN: &str = "-";

/// Reads a token from a file; `name` is what named it.
pub(crate) fn from_file(name: &str, path: &Path) -> Result<SecretString, CliError> {
    if path.as_os_str() == STDIN {
        return from(name, io::stdin().lock());
    }
    let file = File::open(path).map_err(|error| unreadable(name, path, &error))?;
    from(name, file)
}

/// Asks for a token on the terminal, or reads it from standard input. `None`: there was none.
pub(crate) fn asked_for() -> Result<Option<SecretString>, CliError> {
    let text: SecretString = if io::stdin().is_terminal() {
        let terminal = Term::stderr();
        let asked = terminal
            .write_str("Token (nothing if the control plane asks for none): ")
            .and_then(|()| terminal.read_secure_line());
        let failed = |error| CliError::Usage(format!("cannot read the token: {error}"));
        asked.map_err(failed)?.into()
    } else {
        read(io::stdin().lock()).map_err(|error| unreadable("stdin", Path::new(STDIN), &error))?
    };
    match text.expose_secret().trim() {
        "" => Ok(None),
        _ => checked("the token", &text).map(Some),
    }
}

fn from(name: &str, source: impl Read) -> Result<SecretString, CliError> {
    let text = read(source).map_err(|error| unreadable(name, Path::new(STDIN), &error))?;
    checked(name, &text)
}

fn read(source: impl Read) -> io::Result<SecretString> {
    let mut text = String::new();
    source.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    Ok(text.into())
}

/// One that fits into a header. The text itself is not told.
fn checked(name: &str, text: &SecretString) -> Result<SecretString, CliError> {
    let token = text.expose_secret().trim();
    let fits = !token.is_empty() && token.len() as u64 <= MAX_BYTES;
    match fits && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token.into()),
        false => Err(CliError::Usage(format!(
            "{name} has to hold one token and nothing else"
        ))),
    }
}

fn unreadable(name: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::Usage(format!("{name}: cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_what_is_none_is_not_repeated() {
        let good = from("--token-file", &b" hearth_0123 \r\n"[..]).expect("a token");
        assert_eq!(good.expose_secret(), "hearth_0123");
        let long = "x".repeat(5000);
        for bad in [
            "",
            "\n",
            "planted secret",
            "planted\nsecret",
            "plänted",
            &long,
        ] {
            let error = from("--token-file", bad.as_bytes()).expect_err("no token");
            let CliError::Usage(text) = error else {
                panic!("{error:?}");
            };
            assert_eq!(text, "--token-file has to hold one token and nothing else");
        }
    }
}
