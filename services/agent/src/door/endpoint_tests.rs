use super::*;

fn parse(method: &str, target: &str) -> Result<Call, Refused> {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    Call::parse(&method.parse().unwrap(), path, query)
}

#[test]
fn calls_of_the_table_are_read_and_written_as_they_came() {
    for (method, target, action, name) in [
        ("HEAD", "/_ping", Action::Pass, ""),
        ("GET", "/v1.45/containers/json?all=1", Action::List, ""),
        (
            "GET",
            "/containers/shop-dev/json",
            Action::Container,
            "shop-dev",
        ),
        (
            "GET",
            "/v1.45/images/localhost:5000/a/b:1/json",
            Action::Image,
            "localhost:5000/a/b:1",
        ),
        ("GET", "/images/json/json", Action::Image, "json"),
        (
            "DELETE",
            "/v1.24/images/a/b@sha256:00",
            Action::RemoveImage,
            "a/b@sha256:00",
        ),
        ("POST", "/v1.45/grpc", Action::BuildKit, ""),
        ("POST", "/v1.45/networks/create", Action::CreateNetwork, ""),
        ("GET", "/networks/create", Action::Network, "create"),
    ] {
        let call = parse(method, target).unwrap();
        assert_eq!(
            (call.action, call.name().as_str()),
            (action, name),
            "{target}"
        );
        assert_eq!(call.target(), target);
    }
    assert!(parse("GET", "/v1.45/_ping").unwrap().has_subpaths());
    assert!(!parse("GET", "/v1.9/_ping").unwrap().has_subpaths());
    assert!(!parse("GET", "/_ping").unwrap().has_subpaths());
}

#[test]
fn everything_else_is_refused_by_a_sentence_with_the_call() {
    for (method, target) in [
        ("POST", "/build"),
        ("POST", "/images/load"),
        ("GET", "/images/get"),
        ("POST", "/images/a/push"),
        ("POST", "/commit?container=a"),
        ("POST", "/containers/prune"),
        ("POST", "/containers/a/update"),
        ("GET", "/containers/a/export"),
        ("GET", "/containers/a/attach/ws"),
        ("POST", "/swarm/init"),
        ("GET", "/secrets"),
        ("GET", "/plugins"),
        ("GET", "/system/df"),
        ("POST", "/images/create?fromSrc=-"),
        ("POST", "/images/create?fromImage=a&fromImage=b"),
        ("POST", "/containers/a/start?checkpoint=x"),
        ("DELETE", "/containers/a?link=1"),
        ("GET", "/containers/../json"),
        ("GET", "/containers/a%2F..%2Fb/json"),
        ("GET", "/containers/%2e%2e/json"),
        ("GET", "/containers/a%252fb/json"),
        ("GET", "/containers//json"),
        ("GET", "//containers/json"),
        ("GET", "/containers/a;b/json"),
        ("GET", "/v1.45/v1.45/info"),
        ("GET", "/v1/info"),
        ("TRACE", "/info"),
        ("GET", "*"),
        ("GET", ""),
    ] {
        let refused = parse(method, target).unwrap_err().to_string();
        let path = target.split('?').next().unwrap();
        assert!(
            refused.starts_with(&format!("hearth does not pass {method} {path} on")),
            "{refused}"
        );
    }
}

#[test]
fn a_call_is_about_what_it_is_renamed_to() {
    let mut call = parse("GET", "/v1.45/containers/shop/logs?follow=1").unwrap();
    call.rename("c0ffee");
    call.set("tail", "a b&c".to_owned());
    assert_eq!(
        call.target(),
        "/v1.45/containers/c0ffee/logs?follow=1&tail=a+b%26c"
    );
    assert_eq!(call.parameter("tail"), Some("a b&c"));
    assert_eq!(call.name(), "c0ffee");
}
