use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Repository, RepositoryError> {
    text.parse()
}

#[test]
fn spellings_of_one_place_are_equal() {
    let plain = parse("https://github.com/Octo/Repo").unwrap();
    for same in [
        "https://GitHub.com/Octo/Repo",
        "https://github.com/Octo/Repo.git",
        "https://github.com/Octo/Repo/",
        "https://github.com:443/Octo/Repo.git/",
    ] {
        assert_eq!(parse(same).unwrap(), plain, "{same}");
    }
    assert_eq!(plain.clone_url(), "https://github.com/Octo/Repo");
    assert_eq!(plain.name(), "Repo");
    assert!(plain.is_github());
}

#[test]
fn the_short_form_is_ssh() {
    let repository = parse("git@host.example:team/sub/project.git").unwrap();
    assert_eq!(
        repository.clone_url(),
        "ssh://git@host.example/team/sub/project"
    );
    assert_eq!(
        parse("ssh://git@host.example:22/team/sub/project").unwrap(),
        repository
    );
}

#[test]
fn ports_are_kept_unless_they_are_the_schemes_own() {
    assert_eq!(
        parse("git://127.0.0.1:9500/a").unwrap().host_port(),
        "127.0.0.1:9500"
    );
    assert_eq!(
        parse("git://127.0.0.1:9418/a").unwrap().host_port(),
        "127.0.0.1"
    );
    assert_eq!(parse("http://[::1]:80/a/b").unwrap().host_port(), "[::1]");
}

#[test]
fn a_host_that_only_looks_like_github_is_not_github() {
    for other in [
        "https://github.com.evil.org/a/b",
        "https://evilgithub.com/a/b",
        "https://www.github.com/a/b",
    ] {
        assert!(!parse(other).unwrap().is_github(), "{other}");
    }
}

#[test]
fn what_names_no_repository_is_refused_with_its_reason() {
    use RepositoryError as E;
    for (text, why) in [
        ("", E::Empty),
        ("not a url", E::NotAUrl),
        ("owner/name", E::NotAUrl),
        ("https://github.com/a/b\n", E::NotAUrl),
        ("file:///etc", E::Scheme),
        ("ext::sh -c id", E::NotAUrl),
        ("https://user:secret@github.com/a/b", E::UserInfo),
        ("https://token@github.com/a/b", E::UserInfo),
        ("ssh://git:secret@host/a/b", E::UserInfo),
        ("ssh://-oProxyCommand=id@host/a", E::UserInfo),
        ("ssh://-oProxyCommand=id/a", E::NoHost),
        ("https:///github.com/a/b", E::NoHost),
        ("https://0x7f.1/a/b", E::NoHost),
        ("https://%67ithub.com/a/b", E::NoHost),
        ("https://github.com/a/b?x=1", E::Query),
        ("https://github.com/a/b#x", E::Query),
        ("https://github.com/", E::Path),
        ("https://github.com/owner/../x", E::Path),
        ("https://github.com/owner/%2e%2e", E::Path),
        ("https://github.com/owner/nämé", E::Path),
        ("https://github.com/owner//x", E::Path),
        ("https://github.com/owner/-x", E::Path),
        ("https://github.com/only-owner", E::GitHubPath),
        ("https://github.com/a/b/c", E::GitHubPath),
    ] {
        assert_eq!(parse(text), Err(why), "{text}");
    }
    assert_eq!(
        parse(&format!("https://h/{}", "x".repeat(2048))),
        Err(E::TooLong(2058))
    );
}

#[test]
fn an_error_never_repeats_a_secret() {
    let error = parse("https://user:hunter2@github.com/a/b").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn parsing_never_panics_and_what_it_accepts_survives_a_round_trip(text in ".{0,80}") {
        if let Ok(repository) = parse(&text) {
            prop_assert_eq!(parse(&repository.clone_url()), Ok(repository));
        }
    }

    #[test]
    fn accepted_urls_never_carry_an_option_or_a_parent_folder(
        text in "(https|http|ssh|git)://[-a-z0-9.@:%/~_]{1,60}"
    ) {
        if let Ok(repository) = parse(&text) {
            prop_assert!(!repository.path().split('/').any(|part| part == ".." || part.starts_with('-')));
            prop_assert!(!repository.host_port().starts_with('-'));
            prop_assert_eq!(parse(&repository.clone_url()), Ok(repository));
        }
    }

    #[test]
    fn only_github_com_itself_is_github(
        scheme in "(https|http|ssh|git)",
        before in "([a-z0-9-]{1,8}[.])?",
        after in "([.][a-z]{2,4}|:[1-9][0-9]{3})?",
    ) {
        let text = format!("{scheme}://{before}github.com{after}/a/b");
        if let Ok(repository) = parse(&text) {
            let alone = repository.host_port() == "github.com" && matches!(&*scheme, "https" | "ssh");
            prop_assert_eq!(repository.is_github(), alone, "{}", text);
        }
    }

    #[test]
    fn the_host_is_the_one_that_git_would_ask(
        text in "(https|http|ssh|git)://[-a-z0-9.:@/_]{1,40}"
    ) {
        if let Ok(repository) = parse(&text) {
            // Git takes what stands between the scheme and the first slash, after a user.
            let authority = text.split_once("://").and_then(|(_, rest)| rest.split('/').next());
            let host = authority.and_then(|text| text.rsplit('@').next()).unwrap_or_default();
            let name = host.split(':').next().unwrap_or_default();
            let asked = repository.host_port();
            prop_assert_eq!(asked.split(':').next(), Some(name), "{}", text);
        }
    }
}
