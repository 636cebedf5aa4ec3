//! Parser directives: comments at the top of a Dockerfile that set its syntax and its escape character.

/// The directives read so far. The first line that is not one ends them.
pub(super) struct Directives {
    open: bool,
    seen: Vec<String>,
    pub syntax: Option<String>,
    pub escape: char,
}

impl Directives {
    pub fn new() -> Self {
        Self {
            open: true,
            seen: Vec::new(),
            syntax: None,
            escape: '\\',
        }
    }

    pub fn read(&mut self, line: &str) -> Result<(), &'static str> {
        if !self.open {
            return Ok(());
        }
        let Some((name, value)) = directive(line, "#") else {
            self.open = false;
            return Ok(());
        };
        if self.seen.contains(&name) {
            return Err("a repeated directive");
        }
        match name.as_str() {
            "syntax" => self.syntax = value.split(' ').next().map(str::to_owned),
            "escape" => {
                self.escape = match value {
                    "\\" => '\\',
                    "`" => '`',
                    _ => return Err("an escape character other than \\ and `"),
                }
            }
            "check" => {}
            _ => self.open = false,
        }
        self.seen.push(name);
        Ok(())
    }
}

fn directive<'a>(line: &'a str, comment: &str) -> Option<(String, &'a str)> {
    let (name, value) = line.strip_prefix(comment)?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let valid = name.starts_with(|ch: char| ch.is_ascii_alphabetic())
        && name.chars().all(|ch| ch.is_ascii_alphanumeric())
        && !value.is_empty();
    valid.then(|| (name.to_ascii_lowercase(), value))
}

/// The frontend as BuildKit also finds it: below a `#!` line, in a `//` comment, in JSON. The rest of such a text may
/// be in another language.
pub(super) fn foreign_syntax(text: &str) -> Option<String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str::<serde_json::Value>(text)
            .ok()?
            .get("syntax")?
            .as_str()
            .map(str::to_owned);
    }
    let shebang = text.starts_with("#!");
    let mut lines = text.lines().skip(usize::from(shebang));
    let first = lines.clone().next()?;
    let comment = if first.starts_with("//") { "//" } else { "#" };
    lines
        .by_ref()
        .map_while(|line| directive(line.trim_start(), comment))
        .find(|(name, _)| name == "syntax")
        .and_then(|(_, value)| value.split(' ').next().map(str::to_owned))
}
