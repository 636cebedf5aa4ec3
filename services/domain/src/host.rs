use std::net::IpAddr;

/// Splits `host[:port]`. The colons of an IPv6 address, which stands in brackets, belong to the host.
pub fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

/// Whether `host[:port]` is on this machine by its name alone: `localhost`, 127.0.0.0/8, or `[::1]`. Such hosts are
/// reached without TLS, as Docker does (its `insecure-registries` have 127.0.0.0/8 by default).
pub fn is_loopback(host: &str) -> bool {
    let address_is_loopback = |text: &str| {
        text.parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
    };
    let (name, _) = split_port(host);
    let in_brackets = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    match in_brackets {
        Some(address) => address.contains(':') && address_is_loopback(address),
        // An IPv6 address without brackets has no port.
        None if name.contains(':') => address_is_loopback(host),
        None => name.eq_ignore_ascii_case("localhost") || address_is_loopback(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for here in [
            "localhost",
            "localhost:5000",
            "LOCALHOST",
            "127.0.0.1",
            "127.8.8.8:5000",
            "[::1]",
            "[::1]:5000",
            "::1",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in [
            "",
            ":5000",
            "10.0.0.1",
            "10.0.0.1:127",
            "localhost.example",
            "localhost.example:5000",
            "github.com:443",
            "127.0.0.1.example",
            "[fe80::1]",
            "[fe80::1]:80",
            "fe80::1",
            "[localhost]",
            "[127.0.0.1]",
            "[::1",
            "::1]",
            "::1:5000",
            "user@localhost",
            "localhost/a",
        ] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_port_is_told_from_the_end_of_an_address() {
        for (text, split) in [
            ("a.example", ("a.example", None)),
            ("a.example:80", ("a.example", Some("80"))),
            ("a.example:", ("a.example", Some(""))),
            ("[::1]", ("[::1]", None)),
            ("[::1]:80", ("[::1]", Some("80"))),
        ] {
            assert_eq!(split_port(text), split, "{text}");
        }
    }
}
