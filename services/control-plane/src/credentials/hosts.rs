use hearth_domain::split_port;

/// `host[:port]` in lower case; `None` if the text is something else.
pub(super) fn parse(text: &str) -> Option<String> {
    let host = text.to_ascii_lowercase();
    let (name, port) = split_port(&host);
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
}
