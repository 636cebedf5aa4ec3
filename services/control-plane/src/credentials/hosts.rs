use std::net::IpAddr;

/// `host[:port]` in lower case, or nothing where the text is something else.
pub(super) fn parse(text: &str) -> Option<String> {
    let host = text.to_ascii_lowercase();
    let (name, port) = split(&host);
    let good_name = match name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !name.is_empty()
                && !name.starts_with(['-', '.'])
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        }
    };
    let good_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    (good_name && good_port).then_some(host)
}

/// Whether a `host[:port]` is this machine, which is reached without TLS.
pub(super) fn is_loopback(host: &str) -> bool {
    let (name, _) = split(host);
    name == "localhost"
        || name
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn split(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        // A colon inside of brackets belongs to the address.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for (text, host) in [
            ("GitHub.com", "github.com"),
            ("localhost:5000", "localhost:5000"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:443", "[::1]:443"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(host));
        }
        for bad in [
            "",
            "https://github.com",
            "github.com/acme",
            "user@github.com",
            "github.com:",
            "github.com:http",
            "a b",
            "[localhost]",
            "::1",
            "-x",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for here in [
            "localhost",
            "localhost:1",
            "127.0.0.2:80",
            "[::1]:5",
            "[::1]",
        ] {
            assert!(is_loopback(here), "{here}");
        }
        for there in [
            "10.0.0.1",
            "localhost.example",
            "github.com:443",
            "[fe80::1]",
        ] {
            assert!(!is_loopback(there), "{there}");
        }
    }
}
