use super::{super::ConfigsRequest, Remote, *};

async fn fetch(
    url: &str,
    git_ref: &str,
) -> (tempfile::TempDir, Result<Option<CommitHash>, CloneFailure>) {
    let dir = tempfile::tempdir().unwrap();
    let scratch = dir.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    fs::create_dir(dir.path().join("files")).unwrap();
    let fetched = GitCli::default()
        .fetch_configs(&ConfigsRequest {
            url,
            git_ref: &git_ref.parse().unwrap(),
            into: &dir.path().join("files/repo"),
            scratch: &scratch,
            login: None,
        })
        .await;
    (dir, fetched)
}

/// The files that were checked out.
fn files(dir: &Path) -> Vec<String> {
    let output = Command::new("find")
        .args([
            ".", "-path", "./.git", "-prune", "-o", "!", "-type", "d", "-print",
        ])
        .current_dir(dir.join("files/repo"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut files: Vec<_> = text.lines().map(|line| line[2..].to_owned()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn nothing_but_the_configurations_of_a_ref_is_fetched_and_links_in_their_places_are_followed()
{
    let remote = Remote::start();
    let url = remote.repo(
        "mono",
        "mkdir -p .devcontainer/gpu api/tools/dev web '.devcontainer/odd name'
         echo '{}' | tee .devcontainer/gpu/devcontainer.json api/tools/dev/devcontainer.json \
           '.devcontainer/odd name/devcontainer.json' shared.json >/dev/null
         ln -s ../../shared.json .devcontainer/gpu/other.json; ln -s tools/dev api/.devcontainer
         ln -s ../shared.json web/.devcontainer.json; ln -s ../../../../etc/passwd .devcontainer.json
         ln -s gpu .devcontainer/again; head -c 3000000 /dev/urandom >large; echo x >web/file
         git add .; git commit -qm one; git tag v1; git checkout -q -b side
         git rm -rqf .devcontainer; git commit -qm two; git checkout -q main",
    );
    let (dir, fetched) = fetch(&url, "").await;
    assert_eq!(
        fetched.unwrap().unwrap().as_str(),
        head(&remote.path().with_file_name("mono"))
    );
    assert_eq!(
        files(dir.path()),
        [
            ".devcontainer.json",
            ".devcontainer/again",
            ".devcontainer/gpu/devcontainer.json",
            ".devcontainer/odd name/devcontainer.json",
            "api/.devcontainer",
            "api/tools/dev/devcontainer.json",
            "shared.json",
            "web/.devcontainer.json",
        ]
    );
    let size = Command::new("du")
        .args(["-sk", "."])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let size = String::from_utf8(size.stdout).unwrap();
    let kib: u64 = size.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < 2000, "{kib} KiB: the large file is not fetched");
    let (dir, fetched) = fetch(&url, "side").await;
    assert!(fetched.unwrap().is_some());
    assert!(!files(dir.path()).iter().any(|file| file.contains("gpu")));
    for tag in ["v1", "refs/tags/v1"] {
        assert!(fetch(&url, tag).await.1.unwrap().is_some(), "{tag}");
    }
}

#[tokio::test]
async fn a_ref_that_is_not_there_is_told_with_those_that_are_and_an_empty_repository_has_none() {
    let remote = Remote::start();
    let (_dir, missing) = fetch(&remote.url, "nope").await;
    let Err(CloneFailure::RefNotFound(_, names)) = missing else {
        panic!("{missing:?}");
    };
    assert!(names.contains(&"main".to_owned()), "{names:?}");
    let empty = remote.repo("empty", "");
    assert_eq!(fetch(&empty, "").await.1.unwrap(), None);
    let (_dir, gone) = fetch(&remote.url.replace("repo", "none"), "").await;
    assert!(matches!(gone, Err(CloneFailure::Failed(_))), "{gone:?}");
}
