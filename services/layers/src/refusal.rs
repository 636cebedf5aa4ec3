use reqwest::StatusCode;
use serde::Deserialize;

/// What a registry says about a refusal (OCI distribution spec, "Error Codes").
#[derive(Default, Deserialize)]
pub(crate) struct Refusal {
    #[serde(default)]
    errors: Vec<RefusalEntry>,
}

#[derive(Deserialize)]
struct RefusalEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Refusal {
    pub fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// In the registry's words, or the status alone.
    pub fn message(&self, status: StatusCode) -> String {
        let message = self.errors.first().map(|error| &error.message);
        message
            .filter(|message| !message.is_empty())
            .map_or_else(|| format!("status {status}"), String::clone)
    }

    pub fn is_not_found(&self) -> bool {
        let codes = ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"];
        self.errors
            .iter()
            .any(|error| codes.contains(&error.code.as_str()))
    }
}
