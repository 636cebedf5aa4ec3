use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn reference(registry: &str, repository: &str, config: Option<&str>) -> CacheReference {
    let config = config.map(|name| name.parse().unwrap());
    CacheReference::new(
        &registry.parse().unwrap(),
        &repository.parse().unwrap(),
        config.as_ref(),
    )
    .unwrap()
}

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

fn key() -> CacheKey {
    format!("k1:{}", "0123456789abcdef".repeat(4))
        .parse()
        .unwrap()
}

#[test]
fn a_github_repository_has_its_own_name_in_lower_case() {
    let reference = reference("ghcr.io", "https://github.com/Octo/Repo.js", None);
    assert_eq!(
        reference.newest(&platform("linux/amd64")),
        "ghcr.io/octo/repo.js:devcontainer-cache"
    );
    assert_eq!(
        reference.entry(&platform("linux/amd64"), &key()),
        "ghcr.io/octo/repo.js:devcontainer-cache-k0123456789abcdef"
    );
    assert_eq!(
        reference.build_cache(&platform("linux/arm64")),
        "ghcr.io/octo/repo.js:devcontainer-cache-arm64-buildcache"
    );
    assert_eq!(reference.repository().registry_host(), "ghcr.io");
}

#[test]
fn other_hosts_are_part_of_the_path_and_need_another_registry() {
    let other = reference(
        "localhost:5000/cache",
        "git://127.0.0.1:9500/demo/app",
        Some("gpu"),
    );
    assert_eq!(
        other.newest(&platform("linux/amd64")),
        format!(
            "localhost:5000/cache/127.0.0.1_9500/demo/app-{}:devcontainer-cache-gpu",
            &sha256_hex("git://127.0.0.1:9500/demo/app")[..32]
        )
    );
    let refused = CacheReference::new(
        &"ghcr.io".parse().unwrap(),
        &"https://host.example/a/b".parse().unwrap(),
        None,
    );
    assert!(refused.unwrap_err().to_string().contains("host.example"));
}

#[test]
fn only_github_itself_has_the_names_of_github() {
    let at = |url: &str| reference("localhost:5000", url, None);
    let github = at("https://github.com/acme/shop");
    assert_eq!(github.repository().as_str(), "localhost:5000/acme/shop");
    for same in [
        "https://GitHub.com/Acme/Shop.git",
        "https://github.com:443/acme/shop/",
    ] {
        assert_eq!(at(same), github, "{same}");
    }
    let others = [
        "https://github.com:8443/acme/shop",
        "http://github.com/acme/shop",
        "git://github.com/acme/shop",
        "ssh://git@github.com/acme/shop",
        "ssh://git@github.com:443/acme/shop",
        "http://acme/shop",
        "https://acme/shop",
        "ssh://acme/shop",
        "git@acme:shop",
        "git@acme:~/shop",
        "bob@acme:shop",
        "https://acme:8443/shop",
    ];
    let mut places: Vec<_> = others.map(at).to_vec();
    places.push(github);
    for (number, place) in places.iter().enumerate() {
        assert!(!places[..number].contains(place), "{place:?}");
    }
    assert_eq!(
        at("git@GitHub.com:Acme/Shop"),
        at("ssh://git@github.com/acme/shop")
    );
    // GHCR keeps packages below their owners, by whichever of GitHub's URLs.
    let ssh = reference("ghcr.io", "git@github.com:acme/shop", None);
    assert!(ssh.repository().as_str().starts_with("ghcr.io/acme/shop-"));
    for elsewhere in [
        "https://github.com:8443/acme/shop",
        "http://github.com/acme/shop",
    ] {
        let refused = CacheReference::new(
            &"ghcr.io".parse().unwrap(),
            &elsewhere.parse().unwrap(),
            None,
        );
        assert!(refused.is_err(), "{elsewhere}");
    }
}

#[test]
fn a_name_on_github_that_ends_like_a_hash_is_not_that_of_another_repository() {
    let other = reference("localhost:5000", "https://acme/shop", None);
    let name = other
        .repository()
        .as_str()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    let url = format!("https://github.com/acme/{name}");
    assert_ne!(reference("localhost:5000", &url, None), other);
}

#[test]
fn letter_case_matters_outside_github() {
    let lower = reference("localhost:5000", "https://host.example/a/b", None);
    let upper = reference("localhost:5000", "https://host.example/A/b", None);
    assert_ne!(lower, upper);
}

#[test]
fn owner_and_name_never_run_together() {
    let first = reference("localhost:5000", "https://github.com/a-b/c", None);
    let second = reference("localhost:5000", "https://github.com/a/b-c", None);
    assert_ne!(first, second);
}

#[test]
fn a_config_named_like_an_ending_does_not_collide_with_it() {
    let default = reference("localhost:5000", "https://github.com/a/b", None);
    for (config, taken) in [
        ("buildcache", default.build_cache(&platform("linux/amd64"))),
        ("arm64", default.newest(&platform("linux/arm64"))),
        (
            "k0123456789abcdef",
            default.entry(&platform("linux/amd64"), &key()),
        ),
    ] {
        let named = reference("localhost:5000", "https://github.com/a/b", Some(config));
        assert_ne!(named.newest(&platform("linux/amd64")), taken);
    }
}

#[test]
fn a_registry_is_a_host_with_an_optional_prefix() {
    for good in ["ghcr.io", "localhost:5000", "registry.example/team/cache"] {
        assert_eq!(good.parse::<CacheRegistry>().unwrap().to_string(), good);
    }
    for bad in [
        "",
        "https://ghcr.io",
        "GHCR.io",
        "host:port",
        "host/",
        "host/../x",
        "user@host",
    ] {
        assert!(bad.parse::<CacheRegistry>().is_err(), "{bad}");
    }
}

#[test]
fn what_is_not_a_cache_is_not_read_as_one() {
    for bad in [
        "",
        "localhost:5000",
        "localhost:5000/",
        "ghcr.io/a:tag",
        "ghcr.io/A",
        "ghcr.io/a@x",
    ] {
        assert_eq!(
            bad.parse::<CacheRepository>(),
            Err(CacheRepositoryError),
            "{bad}"
        );
    }
    let repository: CacheRepository = "ghcr.io/a/b".parse().unwrap();
    for bad in [
        "",
        "latest",
        "devcontainer-cached",
        "devcontainer-cache-ä",
        "devcontainer-cache:x",
    ] {
        let parsed = CacheReference::from_parts(repository.clone(), bad);
        assert_eq!(parsed, Err(CacheTagError), "{bad}");
    }
}

#[test]
fn a_service_has_a_tag_that_no_configuration_and_no_other_service_has() {
    let of = |config: &str| {
        let config = (!config.is_empty()).then(|| config.parse().unwrap());
        CacheReference::new(
            &"localhost:5000".parse().unwrap(),
            &"https://github.com/a/b".parse().unwrap(),
            config.as_ref(),
        )
        .unwrap()
    };
    let service = |config: &str, name: &str| of(config).of_service(&name.parse().unwrap());
    let long = "x".repeat(128);
    let all = [
        of(""),
        of("api"),
        of("a-b"),
        of("a"),
        of(&long),
        service("", "api"),
        service("a", "b-c"),
        service("a-b", "c"),
        service("", "a-b"),
        service("a", "b"),
        service("", &long),
        service(&long, &long),
        service(&long, "api"),
        service("", "buildcache"),
    ];
    let tags: std::collections::BTreeSet<_> = all.iter().map(CacheReference::tag).collect();
    assert_eq!(tags.len(), all.len(), "{tags:?}");
    for reference in &all {
        let again = CacheReference::from_parts(reference.repository().clone(), reference.tag());
        assert_eq!(again.as_ref(), Ok(reference));
        let longest = reference.entry(&platform("linux/arm64"), &key());
        assert!(
            longest.rsplit_once(':').unwrap().1.len() <= MAX_TAG,
            "{longest}"
        );
    }
    assert!(
        service("", "api")
            .tag()
            .starts_with("devcontainer-cache-api-")
    );
    assert!(
        service("gpu", "api")
            .tag()
            .starts_with("devcontainer-cache-gpu-api-")
    );
}

proptest! {
    #[test]
    fn every_tag_is_valid_and_no_two_configs_share_one(
        names in proptest::collection::hash_set("[a-zA-Z0-9_. äÖ:-]{1,140}", 2..40)
    ) {
        let mut seen = HashMap::new();
        for name in names {
            let Ok(config) = name.parse::<ConfigName>() else { continue };
            let reference = CacheReference::new(
                &"localhost:5000".parse().unwrap(),
                &"https://github.com/a/b".parse().unwrap(),
                Some(&config),
            ).unwrap();
            let again = CacheReference::from_parts(reference.repository().clone(), reference.tag());
            prop_assert_eq!(again.as_ref(), Ok(&reference));
            for platform in [&platform("linux/amd64"), &platform("linux/arm64")] {
                for full in [
                    reference.newest(platform),
                    reference.entry(platform, &key()),
                    reference.build_cache(platform),
                ] {
                    let tag = full.rsplit_once(':').unwrap().1.to_owned();
                    prop_assert!(tag.len() <= MAX_TAG, "{tag}");
                    prop_assert!(tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)));
                    prop_assert_eq!(seen.insert(tag.clone(), name.clone()), None, "{}", tag);
                }
            }
        }
    }

    #[test]
    fn every_repository_path_is_one_that_registries_accept(
        path in "[a-zA-Z0-9._~]{1,30}(/[a-zA-Z0-9._~-]{1,60}){0,4}"
    ) {
        if let Ok(repository) = format!("https://host.example:8443/{path}").parse::<Repository>() {
            let reference =
                CacheReference::new(&"localhost:5000".parse().unwrap(), &repository, None).unwrap();
            let text = reference.repository().as_str();
            prop_assert_eq!(text.parse::<CacheRepository>(), Ok(reference.repository().clone()));
            let path = text.strip_prefix("localhost:5000/").unwrap();
            prop_assert!(path.len() <= 200);
            prop_assert!(path.split('/').all(is_path_component), "{}", path);
        }
    }

    #[test]
    fn no_two_repositories_share_a_path(
        urls in proptest::collection::hash_set(
            "(https|http|git|ssh)://(git@|bob@)?(github[.]com|github[.]com:8443|Host[.]example|host[.]example:(8443|443|80|22)|host-8443[.]example|a)/[a-zA-B._-]{1,3}(/[a-zA-B._-]{1,4})?",
            2..40
        )
    ) {
        let mut seen: HashMap<CacheRepository, Repository> = HashMap::new();
        for url in urls {
            let Ok(repository) = url.parse::<Repository>() else { continue };
            let registry = "localhost:5000".parse().unwrap();
            let Ok(reference) = CacheReference::new(&registry, &repository, None) else { continue };
            let path = reference.repository().clone();
            if let Some(other) = seen.insert(path.clone(), repository.clone()) {
                let (one, two) = (other.clone_url(), repository.clone_url());
                // GitHub does not tell letter case apart.
                let same = one == two || (repository.is_github() && one.eq_ignore_ascii_case(&two));
                prop_assert!(same, "{other} and {repository} share {path}");
            }
        }
    }
}
