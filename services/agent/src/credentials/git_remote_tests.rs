use super::*;

fn remote(url: &str) -> GitRemote {
    GitRemote::of(&url.parse().unwrap()).unwrap()
}

fn about(protocol: &str, host: &str, path: &str) -> String {
    format!("protocol={protocol}\nhost={host}\npath={path}\n")
}

#[test]
fn a_repository_is_meant_by_each_of_its_names_and_by_no_other() {
    let own = remote("https://git.example/Group/app");
    for (host, path) in [
        ("git.example", "Group/app"),
        ("git.example", "Group/app.git"),
        ("Git.Example", "Group/app.git/"),
        ("git.example:443", "Group/app"),
        ("git.example", "Group/app.git/info/lfs"),
        ("git.example", "Group/app/info/lfs/objects/batch"),
    ] {
        assert!(own.is_meant(&about("https", host, path)), "{host} {path}");
    }
    for (protocol, host, path) in [
        ("http", "git.example", "Group/app"),
        ("https", "git.example", "group/app"),
        ("https", "git.example", "Group/app2"),
        ("https", "git.example", "Group/app/sub"),
        ("https", "git.example", "Group/app/info/lfsx"),
        ("https", "git.example", "Group"),
        ("https", "git.example", ""),
        ("https", "git.example:444", "Group/app"),
        ("https", "git.example.evil.org", "Group/app"),
        ("", "", ""),
    ] {
        let question = about(protocol, host, path);
        assert!(!own.is_meant(&question), "{question}");
    }
    assert!(!own.is_meant(""));
    assert!(
        !own.is_meant("protocol=https\nhost=git.example\n"),
        "without useHttpPath"
    );
}

#[test]
fn letter_case_of_the_path_counts_except_on_github() {
    let github = remote("https://github.com/Acme/Shop");
    assert!(github.is_meant(&about("https", "github.com", "acme/shop.git")));
    assert!(!github.is_meant(&about("https", "github.com", "acme/other")));
}

#[test]
fn the_last_of_several_values_counts_as_git_reads_them() {
    let own = remote("http://127.0.0.1:3000/a/b");
    let question = about("http", "127.0.0.1:3000", "a/b");
    assert!(own.is_meant(&question));
    assert!(!own.is_meant(&format!("{question}path=a/c\n")));
}

#[test]
fn a_repository_that_is_reached_without_passwords_has_no_remote() {
    for url in [
        "git@git.example:a/b",
        "ssh://git.example/a/b",
        "git://git.example/a/b",
    ] {
        assert_eq!(GitRemote::of(&url.parse().unwrap()), None, "{url}");
    }
}
