//! The tokens of JSON with comments.

use serde_json::{Number, Value};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// One of `{}[]:,`.
    Mark(u8),
    String(String),
    Literal(Value),
    End,
}

/// Reads tokens, and notes the first fault of the text.
pub(super) struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    pub fault: Option<String>,
}

impl<'a> Tokens<'a> {
    pub fn of(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
            fault: None,
        }
    }

    /// Notes a fault at this place, if it is the first.
    pub fn fault(&mut self, what: &str) {
        if self.fault.is_none() {
            let before = &self.text[..self.at.min(self.text.len())];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            self.fault = Some(format!("line {line}: {what}"));
        }
    }

    /// Leaves the rest of the text out.
    pub fn end(&mut self) {
        self.at = self.text.len();
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// Reads the next token. What is none is skipped.
    pub fn next(&mut self) -> Token {
        loop {
            let Some(byte) = self.peek(0) else {
                return Token::End;
            };
            match (byte, self.peek(1)) {
                (b' ' | b'\t' | b'\n' | b'\r', _) => self.at += 1,
                (b'{' | b'}' | b'[' | b']' | b':' | b',', _) => {
                    self.at += 1;
                    return Token::Mark(byte);
                }
                (b'"', _) => {
                    self.at += 1;
                    return Token::String(self.string());
                }
                (b'/', Some(b'/')) => self.while_it(|byte| !is_line_break(byte)),
                (b'/', Some(b'*')) => self.block_comment(),
                (b'/', _) => {
                    self.fault("text that is no JSON is left out");
                    self.at += 1;
                }
                (b'0'..=b'9', _) | (b'-', Some(b'0'..=b'9')) => {
                    return Token::Literal(Value::Number(self.number()));
                }
                (b'-', _) => {
                    self.fault("text that is no JSON is left out");
                    self.at += 1;
                }
                _ => {
                    let from = self.at;
                    self.while_it(|byte| !b" \t\n\r{}[]\":,/".contains(&byte));
                    match &self.text[from..self.at] {
                        b"true" => return Token::Literal(Value::Bool(true)),
                        b"false" => return Token::Literal(Value::Bool(false)),
                        b"null" => return Token::Literal(Value::Null),
                        _ => self.fault("text that is no JSON is left out"),
                    }
                }
            }
        }
    }

    fn while_it(&mut self, is_part: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&is_part) {
            self.at += 1;
        }
    }

    fn block_comment(&mut self) {
        let body = self.at + 2;
        let rest = self.text.get(body..).unwrap_or_default();
        match rest.windows(2).position(|pair| pair == b"*/") {
            Some(length) => self.at = body + length + 2,
            None => {
                self.at = self.text.len();
                self.fault("a comment does not end");
            }
        }
    }

    fn number(&mut self) -> Number {
        let from = self.at;
        let digits = |parser: &mut Self| {
            let from = parser.at;
            parser.while_it(|byte| byte.is_ascii_digit());
            parser.at > from
        };
        if self.peek(0) == Some(b'-') {
            self.at += 1;
        }
        if self.peek(0) == Some(b'0') {
            self.at += 1;
        } else {
            digits(self);
        }
        let mut end = self.at;
        let mut whole = true;
        if self.peek(0) == Some(b'.') {
            self.at += 1;
            whole = digits(self);
            end = if whole { self.at } else { end };
        }
        if whole && matches!(self.peek(0), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(0), Some(b'+' | b'-')) {
                self.at += 1;
            }
            whole = digits(self);
            end = if whole { self.at } else { end };
        }
        if !whole {
            self.fault("a number does not end");
        }
        number(&String::from_utf8_lossy(&self.text[from..end]))
    }

    fn string(&mut self) -> String {
        // In UTF-16, since an escape stands for half of a character at times.
        let mut units: Vec<u16> = Vec::new();
        let add = |units: &mut Vec<u16>, text: &[u8]| {
            units.extend(String::from_utf8_lossy(text).encode_utf16());
        };
        let mut from = self.at;
        loop {
            let byte = self.peek(0);
            match byte {
                Some(b'"') => {
                    add(&mut units, &self.text[from..self.at]);
                    self.at += 1;
                    break;
                }
                None | Some(b'\n' | b'\r') => {
                    add(&mut units, &self.text[from..self.at]);
                    self.fault("a string does not end");
                    break;
                }
                Some(b'\\') => {
                    add(&mut units, &self.text[from..self.at]);
                    self.at += 1;
                    self.escape(&mut units);
                    from = self.at;
                }
                Some(control) => {
                    if control < 0x20 {
                        self.fault("a string has a control character");
                    }
                    self.at += 1;
                }
            }
        }
        String::from_utf16_lossy(&units)
    }

    fn escape(&mut self, units: &mut Vec<u16>) {
        let Some(byte) = self.peek(0) else {
            return;
        };
        // A character outside of ASCII is left out as a whole.
        self.at += 1;
        while self.peek(0).is_some_and(|byte| byte & 0xc0 == 0x80) {
            self.at += 1;
        }
        let unit = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode_escape(units),
            _ => return self.fault("a string has an unknown escape"),
        };
        units.push(u16::from(unit));
    }

    fn unicode_escape(&mut self, units: &mut Vec<u16>) {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek(0).and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit.and_then(|digit| u16::try_from(digit).ok()) else {
                return self.fault("a string has an unknown escape");
            };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        units.push(unit);
    }
}

fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// A number as JavaScript has it: `1.0` is `1`. One that is too large for it is 0.
fn number(text: &str) -> Number {
    if let Ok(whole) = text.parse::<i64>() {
        return whole.into();
    }
    let number: f64 = text.parse().unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "it is small enough")]
    let whole = number as i64;
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        return whole.into();
    }
    Number::from_f64(number).unwrap_or_else(|| 0.into())
}
