//! JSON with comments, as tolerant as the reader of the devcontainer CLI (`parse` of npm's `jsonc-parser` 3): text that is
//! no JSON is skipped up to where the next value can begin, and a text that ends too early ends every value in it.
//!
//! A stricter reader would refuse configurations that the CLI and editors start without a word.

use serde_json::{Map, Number, Value};

/// Deepest nesting of a value. Recursion needs a bound; the CLI's is the size of its stack.
const MAX_DEPTH: usize = 128;

/// What was read.
#[derive(Debug, PartialEq)]
pub struct Parsed {
    /// The value; `None` if the text has none.
    pub value: Option<Value>,
    /// What is wrong with the text, first of all: the value is a guess. Comments and commas at an end are not wrong.
    pub fault: Option<String>,
}

/// Reads a text.
pub fn parse(text: &str) -> Parsed {
    let mut parser = Parser::new(text);
    parser.advance();
    let value = parser.value(0);
    if value.is_none() {
        parser.fault("a value is missing");
    } else if parser.token != Token::End {
        parser.fault("there is text behind the end");
    }
    Parsed {
        value: if parser.too_deep { None } else { value },
        fault: parser.fault,
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// One of `{}[]:,`.
    Mark(u8),
    String(String),
    Literal(Value),
    End,
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    token: Token,
    fault: Option<String>,
    too_deep: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
            token: Token::End,
            fault: None,
            too_deep: false,
        }
    }

    fn fault(&mut self, what: &str) {
        if self.fault.is_none() {
            let before = &self.text[..self.at.min(self.text.len())];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            self.fault = Some(format!("line {line}: {what}"));
        }
    }

    fn is(&self, mark: u8) -> bool {
        self.token == Token::Mark(mark)
    }

    /// Notes a fault, and skips to a comma or the end of the object or array.
    fn skip(&mut self, what: &str, close: u8) {
        self.fault(what);
        while self.token != Token::End && !self.is(b',') && !self.is(close) {
            self.advance();
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            self.fault("values are nested too deeply");
            self.too_deep = true;
            // Nothing behind it counts.
            (self.at, self.token) = (self.text.len(), Token::End);
            return None;
        }
        match &self.token {
            Token::Mark(b'{') => Some(Value::Object(self.object(depth))),
            Token::Mark(b'[') => Some(Value::Array(self.array(depth))),
            Token::String(text) => {
                let value = Value::String(text.clone());
                self.advance();
                Some(value)
            }
            Token::Literal(value) => {
                let value = value.clone();
                self.advance();
                Some(value)
            }
            Token::Mark(_) | Token::End => None,
        }
    }

    fn object(&mut self, depth: usize) -> Map<String, Value> {
        let mut properties = Map::new();
        self.items(b'}', |parser| {
            let Token::String(name) = parser.token.clone() else {
                return parser.skip("the name of a property is missing", b'}');
            };
            parser.advance();
            if !parser.is(b':') {
                return parser.skip("a colon is missing", b'}');
            }
            parser.advance();
            match parser.value(depth + 1) {
                Some(value) => drop(properties.insert(name, value)),
                None => parser.skip("a value is missing", b'}'),
            }
        });
        properties
    }

    fn array(&mut self, depth: usize) -> Vec<Value> {
        let mut values = Vec::new();
        self.items(b']', |parser| match parser.value(depth + 1) {
            Some(value) => values.push(value),
            None => parser.skip("a value is missing", b']'),
        });
        values
    }

    /// Reads what is between two brackets, with commas between the items.
    fn items(&mut self, close: u8, mut item: impl FnMut(&mut Self)) {
        self.advance();
        let mut needs_comma = false;
        while !self.is(close) && self.token != Token::End {
            if self.is(b',') {
                if !needs_comma {
                    self.fault("a value is missing");
                }
                self.advance();
                if self.is(close) {
                    break;
                }
            } else if needs_comma {
                self.fault("a comma is missing");
            }
            item(self);
            needs_comma = true;
        }
        if self.is(close) {
            self.advance();
        } else {
            self.fault("the text ends too early");
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// Reads the next token. What is none is skipped.
    fn advance(&mut self) {
        self.token = loop {
            let Some(byte) = self.peek(0) else {
                break Token::End;
            };
            match (byte, self.peek(1)) {
                (b' ' | b'\t' | b'\n' | b'\r', _) => self.at += 1,
                (b'{' | b'}' | b'[' | b']' | b':' | b',', _) => {
                    self.at += 1;
                    break Token::Mark(byte);
                }
                (b'"', _) => {
                    self.at += 1;
                    break Token::String(self.string());
                }
                (b'/', Some(b'/')) => self.while_it(|byte| !is_line_break(byte)),
                (b'/', Some(b'*')) => self.block_comment(),
                (b'/', _) => {
                    self.fault("text that is no JSON is left out");
                    self.at += 1;
                }
                (b'0'..=b'9', _) | (b'-', Some(b'0'..=b'9')) => {
                    break Token::Literal(Value::Number(self.number()));
                }
                (b'-', _) => {
                    self.fault("text that is no JSON is left out");
                    self.at += 1;
                }
                _ => {
                    let from = self.at;
                    self.while_it(|byte| !b" \t\n\r{}[]\":,/".contains(&byte));
                    match &self.text[from..self.at] {
                        b"true" => break Token::Literal(Value::Bool(true)),
                        b"false" => break Token::Literal(Value::Bool(false)),
                        b"null" => break Token::Literal(Value::Null),
                        _ => self.fault("text that is no JSON is left out"),
                    }
                }
            }
        };
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_editors_accept_is_no_fault() {
        for (text, value) in [
            ("{}", json!({})),
            (
                "{ // why\n\"a\": [1, 2.5, -3e2,], /* x */ \"b\": null,\n}\r\n",
                json!({"a": [1, 2.5, -300], "b": null}),
            ),
            (r#""\u00e9\ud83d\ude00\n\/""#, json!("é😀\n/")),
            ("1.0", json!(1)),
        ] {
            let parsed = parse(text);
            assert_eq!(
                parsed,
                Parsed {
                    value: Some(value),
                    fault: None
                },
                "{text}"
            );
        }
    }

    /// Each value is what `parse` of npm's jsonc-parser 3.3.1 returns.
    #[test]
    fn a_broken_text_is_read_as_the_cli_reads_it_and_its_first_fault_is_told() {
        for (text, value, fault) in [
            (
                "{\"a\": 1 \"b\": 2}",
                json!({"a": 1, "b": 2}),
                "line 1: a comma is missing",
            ),
            (
                "{\"a\": {\"b\": [1, {\"c\": \"d",
                json!({"a": {"b": [1, {"c": "d"}]}}),
                "line 1: a string does not end",
            ),
            (
                "{\"a\": {\"b\": 1",
                json!({"a": {"b": 1}}),
                "line 1: the text ends too early",
            ),
            (
                "{\n\"a\": ,\n\"b\": 2}",
                json!({"b": 2}),
                "line 2: a value is missing",
            ),
            (
                "{\"a\" 5, \"b\": 2}",
                json!({"b": 2}),
                "line 1: a colon is missing",
            ),
            (
                "{a: 1, \"b\": 2}",
                json!({"b": 2}),
                "line 1: text that is no JSON is left out",
            ),
            (
                "{\"a\": 'x', \"b\": 2}",
                json!({"b": 2}),
                "line 1: text that is no JSON is left out",
            ),
            (
                "{\"a\": 1}}",
                json!({"a": 1}),
                "line 1: there is text behind the end",
            ),
            (
                "\u{feff}{\"a\": 1}",
                json!({"a": 1}),
                "line 1: text that is no JSON is left out",
            ),
            (
                "{\"a\": \"x\ny\"}",
                json!({"a": "x"}),
                "line 1: a string does not end",
            ),
            (
                "{\"a\": [1 2}, \"b\": 3",
                json!({"a": [1, 2, "b"]}),
                "line 1: a comma is missing",
            ),
            (
                "{\"a\": 1 /* x",
                json!({"a": 1}),
                "line 1: a comment does not end",
            ),
            (
                "[01, 1., 1e, -]",
                json!([0, 1, 1, 1]),
                "line 1: a comma is missing",
            ),
            (
                "\"\\x\\u12\"",
                json!(""),
                "line 1: a string has an unknown escape",
            ),
        ] {
            let parsed = parse(text);
            assert_eq!(parsed.value, Some(value), "{text}");
            assert_eq!(parsed.fault.as_deref(), Some(fault), "{text}");
        }
    }

    #[test]
    fn a_text_without_a_value_has_none() {
        for text in ["", " // nothing\n", "}", "nothing"] {
            let parsed = parse(text);
            assert_eq!(parsed.value, None, "{text}");
            assert!(parsed.fault.is_some(), "{text}");
        }
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let parsed = parse(&"[".repeat(1_000_000));
        assert_eq!(parsed.value, None);
        assert_eq!(
            parsed.fault.as_deref(),
            Some("line 1: values are nested too deeply")
        );
        assert!(parse(&("[".repeat(100) + &"]".repeat(100))).fault.is_none());
    }
}
