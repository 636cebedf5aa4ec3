//! Words of a Dockerfile: splitting, and substitution of variables as BuildKit's `shell` package does it
//! (`frontend/dockerfile/shell/lex.go`).

use std::collections::BTreeMap;

/// What is known of variables. `None` stands for a name whose value depends on the frontend's version: it is both a
/// build argument and an environment variable, and the order of precedence of the two has changed between versions.
pub(super) type Env = BTreeMap<String, Option<String>>;

/// Why a word cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WordError {
    /// It is malformed; BuildKit refuses it as well.
    Syntax,
    /// BuildKit may know its value, this reader does not.
    Unknown,
}

/// Substitutes variables and removes quotes and escapes.
pub(super) fn expand(word: &str, env: &Env, escape: char) -> Result<String, WordError> {
    Lexer::new(word, env, escape)
        .until(None)
        .map(|(text, _)| text)
}

/// Splits a line into words and leaves quotes, escapes and variables as they are.
pub(super) fn raw_words(line: &str) -> Result<Vec<String>, WordError> {
    let env = Env::new();
    // Here-documents are found with a backslash as escape, whatever the escape directive says.
    let mut lexer = Lexer::new(line, &env, '\\');
    lexer.raw = true;
    lexer.until(None).map(|(_, words)| words)
}

/// Removes the quotes and escapes of a here-document's word, and tells whether there were any quotes.
pub(super) fn unquote(word: &str) -> Result<(String, bool), WordError> {
    let env = Env::new();
    let mut lexer = Lexer::new(word, &env, '\\');
    lexer.keep_unset = true;
    let (text, words) = lexer.until(None)?;
    if words.len() != 1 {
        return Err(WordError::Syntax);
    }
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let quoted = quotes(&text) != quotes(word);
    Ok((text, quoted))
}

/// Splits the arguments of ENV and ARG; quotes keep words together and stay.
pub(super) fn quoted_words(rest: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut inside) = (String::new(), None, false);
    let mut chars = rest.chars();
    while let Some(mut ch) = chars.next() {
        match quote {
            None if ch.is_whitespace() => {
                if inside {
                    words.push(std::mem::take(&mut word));
                }
                inside = false;
                continue;
            }
            None if ch == '\'' || ch == '"' => quote = Some(ch),
            Some(open) if ch == open => quote = None,
            _ => {}
        }
        inside = true;
        if ch == escape && quote != Some('\'') {
            let Some(next) = chars.next() else { continue };
            word.push(ch);
            ch = next;
        }
        word.push(ch);
    }
    if inside {
        words.push(word);
    }
    words
}

/// Names that a text refers to by `$NAME` or `${NAME`, and perhaps some that it does not: they do no harm.
pub(super) fn references(text: &str) -> impl Iterator<Item = &str> {
    text.split('$').skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest
            .find(|ch: char| !ch.is_alphanumeric() && ch != '_')
            .unwrap_or(rest.len());
        (end > 0).then(|| &rest[..end])
    })
}

/// How deep `${A:-${B:-…}}` may nest. No real Dockerfile comes near it, and each level takes some of the stack.
const MAX_DEPTH: usize = 100;
/// Most that variables can add to a word, in bytes. Values that are made of each other would have no end otherwise:
/// `ENV A=$A$A` doubles one.
const MAX_ADDED: usize = 16 * 1024;

struct Lexer<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    env: &'a Env,
    escape: char,
    /// Keeps quotes and escapes, and variables that are not set.
    raw: bool,
    /// Keeps variables that are not set.
    keep_unset: bool,
    /// Braces around the current position.
    depth: usize,
    /// What variables added so far, in bytes.
    added: usize,
}

/// Words under construction, beside the text as a whole.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: String,
}

impl Words {
    fn add(&mut self, ch: char) {
        if ch.is_whitespace() {
            self.end();
        } else {
            self.word.push(ch);
        }
    }

    fn end(&mut self) {
        if !self.word.is_empty() {
            self.done.push(std::mem::take(&mut self.word));
        }
    }
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, env: &'a Env, escape: char) -> Self {
        Self {
            chars: text.chars().peekable(),
            env,
            escape,
            raw: false,
            keep_unset: false,
            depth: 0,
            added: 0,
        }
    }

    fn until(&mut self, stop: Option<char>) -> Result<(String, Vec<String>), WordError> {
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(ch) = self.chars.next() {
            if stop == Some(ch) {
                words.end();
                return Ok((text, words.done));
            }
            match ch {
                '\'' | '"' => {
                    let part = self.quoted(ch)?;
                    text.push_str(&part);
                    words.word.push_str(&part);
                }
                '$' => {
                    let part = self.dollar()?;
                    text.push_str(&part);
                    part.chars().for_each(|ch| words.add(ch));
                }
                '<' => {
                    let mut part = ch.to_string();
                    if let Some(second) = self.chars.next_if_eq(&'<') {
                        part.push(second);
                        // White space may stand between << and its word.
                        while let Some(space) = self.chars.next_if(|ch| ch.is_whitespace()) {
                            part.push(space);
                        }
                    }
                    text.push_str(&part);
                    words.word.push_str(&part);
                }
                _ if ch == self.escape => {
                    if self.raw {
                        text.push(ch);
                        words.word.push(ch);
                    }
                    let Some(next) = self.chars.next() else { break };
                    text.push(next);
                    words.word.push(next);
                }
                _ => {
                    text.push(ch);
                    words.add(ch);
                }
            }
        }
        words.end();
        if stop.is_some() {
            return Err(WordError::Syntax);
        }
        Ok((text, words.done))
    }

    fn quoted(&mut self, quote: char) -> Result<String, WordError> {
        let mut text = String::new();
        if self.raw {
            text.push(quote);
        }
        loop {
            let ch = self.chars.next().ok_or(WordError::Syntax)?;
            if ch == quote {
                if self.raw {
                    text.push(quote);
                }
                return Ok(text);
            }
            if quote == '"' && ch == '$' {
                text.push_str(&self.dollar()?);
                continue;
            }
            if quote == '"' && ch == self.escape {
                let Some(next) = self
                    .chars
                    .next_if(|next| matches!(next, '"' | '$') || *next == self.escape)
                else {
                    text.push(ch);
                    continue;
                };
                if self.raw {
                    text.push(ch);
                }
                text.push(next);
                continue;
            }
            text.push(ch);
        }
    }

    fn dollar(&mut self) -> Result<String, WordError> {
        if self.chars.next_if_eq(&'{').is_none() {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            let kept = || format!("${name}");
            return Ok(self.value(&name)?.unwrap_or_else(|| self.unset(kept)));
        }
        let name = self.name();
        if name.is_empty() {
            return Err(WordError::Syntax);
        }
        let mut modifier = self.chars.next().ok_or(WordError::Syntax)?;
        if modifier == '}' {
            let kept = || format!("${{{name}}}");
            return Ok(self.value(&name)?.unwrap_or_else(|| self.unset(kept)));
        }
        let null_is_unset = modifier == ':';
        if null_is_unset {
            modifier = self.chars.next().ok_or(WordError::Syntax)?;
        }
        // Patterns (#, %, /) are understood by new frontends only, and rarely written.
        if !matches!(modifier, '-' | '+' | '?') && !self.raw && !self.keep_unset {
            return Err(WordError::Unknown);
        }
        if self.depth == MAX_DEPTH {
            return Err(WordError::Unknown);
        }
        self.depth += 1;
        let (word, _) = self.until(Some('}'))?;
        self.depth -= 1;
        let value = self.value(&name)?;
        if value.is_none() && (self.raw || self.keep_unset) {
            let colon = if null_is_unset { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        }
        let value = value.filter(|value| !(null_is_unset && value.is_empty()));
        match (modifier, value) {
            ('-', value) => Ok(value.unwrap_or(word)),
            ('+', value) => Ok(value.map(|_| word).unwrap_or_default()),
            (_, value) => value.ok_or(WordError::Syntax),
        }
    }

    fn unset(&self, kept: impl FnOnce() -> String) -> String {
        if self.raw || self.keep_unset {
            kept()
        } else {
            String::new()
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(&ch) = self.chars.peek() {
            let special = name.is_empty() && "@*#?-$!0".contains(ch);
            let digits = name.starts_with(|first: char| first.is_ascii_digit());
            let part = ch == '_' || ch.is_alphanumeric();
            if !special && (!part || digits && !ch.is_ascii_digit()) {
                break;
            }
            name.push(ch);
            self.chars.next();
            if special {
                break;
            }
        }
        name
    }

    fn value(&mut self, name: &str) -> Result<Option<String>, WordError> {
        match self.env.get(name) {
            Some(Some(value)) => {
                self.added += value.len();
                if self.added > MAX_ADDED {
                    return Err(WordError::Unknown);
                }
                Ok(Some(value.clone()))
            }
            Some(None) => Err(WordError::Unknown),
            None => Ok(None),
        }
    }
}
