//! What a refusal says besides its code.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Its reason, in capitals; empty where it has none.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info();
    info.map(|info| info.reason.clone()).unwrap_or_default()
}

/// The fields that it names.
pub fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = &details.bad_request().expect("fields").field_violations;
    violations.iter().map(|at| at.field.clone()).collect()
}

/// Why what an attempt said of the cache was refused.
pub fn mismatch(refused: Result<(), Status>) -> String {
    let status = refused.expect_err("a refusal");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    assert_eq!(reason(&status), "CACHE_MISMATCH");
    status.message().to_owned()
}
