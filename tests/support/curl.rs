//! `curl`, which reads the request from its standard input, so that no secret is in a process list.

use std::{collections::BTreeMap, fmt::Write as _, process::Stdio};

use tokio::{io::AsyncWriteExt as _, process::Command};

/// A request.
pub struct Request {
    config: String,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub body: String,
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, url: &str) -> Self {
        let mut request = Self {
            config: String::new(),
        };
        if method == "HEAD" {
            request.config.push_str("head\n");
        }
        request.option("request", method).option("url", url)
    }

    /// A header, as `Name: value`.
    pub fn header(self, header: &str) -> Self {
        self.option("header", header)
    }

    /// Basic authentication.
    pub fn login(self, user: &str, password: &str) -> Self {
        self.option("user", &format!("{user}:{password}"))
    }

    /// A token in `Authorization`.
    pub fn bearer(self, token: &str) -> Self {
        self.header(&format!("Authorization: Bearer {token}"))
    }

    /// A body.
    pub fn body(self, body: &str) -> Self {
        self.option("data-binary", body)
    }

    fn option(mut self, name: &str, value: &str) -> Self {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        writeln!(self.config, "{name} = \"{quoted}\"").expect("text");
        self
    }

    /// Sends it; panics if there is no response at all.
    pub async fn send(self) -> Answer {
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--include", "--config", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("curl");
        let mut input = curl.stdin.take().expect("a pipe");
        input
            .write_all(self.config.as_bytes())
            .await
            .expect("curl reads");
        drop(input);
        let output = curl.wait_with_output().await.expect("curl");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl: {said}");
        Answer::parse(&String::from_utf8_lossy(&output.stdout))
    }
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        // An interim answer comes before the one that counts.
        if head.contains(" 100 ") && body.starts_with("HTTP/") {
            return Self::parse(body);
        }
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.and_then(|code| code.parse().ok()).expect("a status"),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}
