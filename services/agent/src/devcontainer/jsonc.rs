//! JSON with comments, as tolerant as the reader of the devcontainer CLI (`parse` of npm's `jsonc-parser` 3): text that is
//! no JSON is skipped up to where the next value can begin, and a text that ends too early ends every value in it.
//!
//! A stricter reader would refuse configurations that the CLI and editors start without a word.

use serde_json::{Map, Value};

use super::tokens::{Token, Tokens};

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
    let value = parser.value(0);
    if value.is_none() {
        parser.fault("a value is missing");
    } else if parser.token != Token::End {
        parser.fault("there is text behind the end");
    }
    Parsed {
        value: if parser.too_deep { None } else { value },
        fault: parser.tokens.fault,
    }
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    token: Token,
    too_deep: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let mut tokens = Tokens::of(text);
        Self {
            token: tokens.next(),
            tokens,
            too_deep: false,
        }
    }

    fn advance(&mut self) {
        self.token = self.tokens.next();
    }

    fn fault(&mut self, what: &str) {
        self.tokens.fault(what);
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
            self.tokens.end();
            self.token = Token::End;
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

    /// What takes the square of their length takes minutes.
    #[test]
    fn large_texts_are_read_on_a_small_stack() {
        let inputs = [
            "[",
            "{\"a\":",
            "\"\\u0041",
            "\"",
            "//x\n",
            "/*",
            "/**/",
            "1e",
            "-",
            "{}",
            ",",
            "]",
            "\"a\":1,",
            "\\",
            "é",
            "[1",
        ];
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let thread = thread.spawn(move || {
            for input in inputs {
                for before in ["", "{", "[", "{\"a\":", "\""] {
                    let text = format!("{before}{}", input.repeat((1 << 20) / input.len()));
                    let parsed = parse(&text);
                    assert!(parsed.value.is_some() || parsed.fault.is_some());
                }
            }
        });
        thread.unwrap().join().unwrap();
    }
}
