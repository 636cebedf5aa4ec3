//! Results of checks as text.

use hearth_api::v1::AccessCheck;
use hearth_domain::text::printable_line;

use super::{names, table::table};

/// Result of a check.
pub(crate) struct Finding {
    pub(crate) what: String,
    /// An `AccessCheckStatus`, possibly one that this client does not know yet.
    pub(crate) status: i32,
    pub(crate) message: String,
}

impl From<&AccessCheck> for Finding {
    fn from(check: &AccessCheck) -> Self {
        Self {
            what: names::access_check(check.kind),
            status: check.status,
            message: check.message.clone(),
        }
    }
}

/// `hearth doctor`, `hearth cache probe`
pub(crate) fn findings(findings: &[Finding], summary: Option<&str>) -> String {
    let rows = findings.iter().map(|finding| {
        [
            finding.what.clone(),
            names::access_status(finding.status),
            finding.message.clone(),
        ]
    });
    let mut text = table(["CHECK", "STATUS", "FINDING"], rows);
    if let Some(summary) = summary {
        text.push_str(&format!("\n{}\n", printable_line(summary)));
    }
    text
}
