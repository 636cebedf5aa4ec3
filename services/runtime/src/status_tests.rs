use super::*;

#[test]
fn every_status_names_its_domain_and_reason_and_repeatable_ones_say_when() {
    for reason in Reason::ALL {
        let details = status(reason, "text").get_error_details();
        let info = details.error_info().expect("error info");
        assert_eq!(
            (info.domain.as_str(), info.reason.as_str()),
            ("hearth", reason.as_str())
        );
        assert_eq!(
            details.retry_info().is_some(),
            reason.retry_after().is_some(),
            "{reason:?}"
        );
        assert!(
            reason.code() != Code::Unavailable || details.retry_info().is_some(),
            "{reason:?} is UNAVAILABLE and does not say when to retry"
        );
    }
}

#[test]
fn all_faults_of_a_request_come_in_one_answer() {
    let mut faults = FieldFaults::default();
    faults.add("spec.repository", "must not be empty");
    assert_eq!(faults.check("node", "7".parse::<u8>()), Some(7));
    assert_eq!(faults.check::<u8, _>("spec.ref", Err("has a space")), None);
    assert_eq!(faults.check_optional::<u8>("spec.config", ""), Some(None));
    assert_eq!(faults.check_optional("spec.config", "7"), Some(Some(7_u8)));
    let status = faults.into_result().unwrap_err();
    assert_eq!(
        status.message(),
        "spec.repository must not be empty; spec.ref has a space"
    );
    let details = status.get_error_details();
    let fields: Vec<_> = details
        .bad_request()
        .expect("bad request")
        .field_violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(fields, ["spec.repository", "spec.ref"]);
    assert!(FieldFaults::default().into_result().is_ok());
}
