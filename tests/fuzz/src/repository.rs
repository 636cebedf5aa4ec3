use hearth_domain::{CacheReference, ConfigName, KeyManifest, Platform, Repository};

/// Reads the lines of the input as a repository's URL, the name of a configuration, and a platform.
///
/// A repository survives being written and read again, and carries no password. Its cache has a name that registries
/// accept.
pub fn repository(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let Ok(repository) = lines.next().unwrap_or_default().parse::<Repository>() else {
        return;
    };
    let url = repository.clone_url();
    assert_eq!(url.parse(), Ok(repository.clone()), "{url}");
    assert!(!repository.name().is_empty() && !repository.name().starts_with('-'));
    let authority = url.split('/').nth(2).unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    assert!(user.is_none_or(|user| !user.contains(':')), "{url}");

    let config: Option<ConfigName> = lines.next().and_then(|name| name.parse().ok());
    let platform: Option<Platform> = lines.next().and_then(|name| name.parse().ok());
    let (Ok(registry), Ok(usual)) = ("localhost:5000/prefix".parse(), "linux/amd64".parse()) else {
        panic!("the registry or the platform of this test is refused");
    };
    let Ok(reference) = CacheReference::new(&registry, &repository, config.as_ref()) else {
        panic!("{url} has no cache");
    };
    let parts = CacheReference::from_parts(reference.repository().clone(), reference.tag());
    assert_eq!(parts.as_ref(), Ok(&reference));
    let (platform, key) = (platform.unwrap_or(usual), KeyManifest::default().key());
    for image in [
        reference.newest(&platform),
        reference.entry(&platform, &key),
        reference.build_cache(&platform),
    ] {
        let Some((path, tag)) = image
            .strip_prefix("localhost:5000/prefix/")
            .and_then(|rest| rest.split_once(':'))
        else {
            panic!("{image}");
        };
        assert!(path.split('/').all(is_path_component), "{image}");
        assert!((1..=128).contains(&tag.len()), "{image}");
        let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        assert!(tag.bytes().all(is_tag), "{image}");
        assert!(!tag.starts_with(['.', '-']), "{image}");
    }
}

/// OCI distribution spec, "Pulling manifests": `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_path_component(part: &str) -> bool {
    let ends_well = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = part.as_bytes();
    let known = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    let separators =
        |text: &str| matches!(text, "" | "." | "_" | "__") || text.trim_matches('-').is_empty();
    ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes.iter().all(known)
        && part
            .split(|c: char| c.is_ascii_alphanumeric())
            .all(separators)
}
