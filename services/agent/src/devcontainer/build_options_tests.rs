use std::{fs, os::unix::fs::symlink, path::Path};

use super::*;
use crate::clone_files::CloneFiles;

fn read(words: &[&str]) -> Options {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    let seen = SeenFrom {
        root: Path::new("/node/app"),
        folder: Path::new(""),
    };
    Options::read(words, seen, &mut BTreeMap::new())
}

#[test]
fn what_is_passed_on_is_known_and_the_rest_is_left_out_by_its_name() {
    for words in [
        &["--add-host", "a:1.2.3.4"][..],
        &["--label=a=b"],
        &["--network=none"],
        &["--no-cache"],
        &["--no-cache-filter", "a"],
        &["--pull"],
        &["--shm-size=1g"],
        &["--ulimit", "nofile=1:2"],
    ] {
        let read = read(words);
        assert_eq!(
            read.options,
            [BuildOption::Plain(words.join("="))],
            "{words:?}"
        );
        assert_eq!(read.left_out, []);
    }
    for word in [
        "--progress=plain",
        "-q",
        "--quiet",
        "--load",
        "--network=default",
        "--push=false",
        "--pull=0",
        "--build-arg=HTTP_PROXY",
        "--memory=1g",
        "-m1g",
        "--rm",
        "--squash",
    ] {
        let read = read(&[word]);
        assert_eq!(
            (read.options, read.left_out),
            (Vec::new(), Vec::new()),
            "{word}"
        );
    }
    for (word, shapes) in [
        ("--output=type=local,dest=/", false),
        ("-otype=local,dest=/", false),
        ("--push", false),
        ("--tag=base:1", false),
        ("-t=base:1", false),
        ("--iidfile=/etc/passwd", false),
        ("--metadata-file=/etc/passwd", false),
        ("--cache-to=type=local,dest=/", false),
        ("--cache-from=type=local,src=/", false),
        ("--annotation=dev.hearth.key=x", false),
        ("--attest=type=sbom", false),
        ("--provenance=true", false),
        ("--sbom=true", false),
        ("--builder=x", false),
        ("--cgroup-parent=/", false),
        ("--check", false),
        ("--call=check", false),
        ("--help", false),
        ("--label=dev.hearth.key=x", true),
        ("--label=hearth.workspace", true),
        ("--network=container:x", true),
        ("--allow=device", true),
        ("--push=maybe", true),
        ("--unknown", true),
        ("--targe=x", true),
        ("-x", true),
        ("--", true),
        ("/etc", true),
        ("--network", true),
    ] {
        let read = read(&[word]);
        assert_eq!(read.options, [], "{word}");
        assert_eq!(read.left_out.len(), 1, "{word}");
        let LeftOut {
            what, shapes: told, ..
        } = &read.left_out[0];
        assert_eq!(*told, shapes, "{word}");
        assert!(what.starts_with("the build option "), "{what}");
    }
}

#[test]
fn files_and_folders_are_those_of_the_repository() {
    for (words, expected) in [
        (
            ["--secret", "id=x,src=a/b"],
            BuildOption::Secret {
                id: "x".to_owned(),
                file: "a/b".into(),
            },
        ),
        (
            ["--secret", "source=/node/app/a,type=file,id=x"],
            BuildOption::Secret {
                id: "x".to_owned(),
                file: "a".into(),
            },
        ),
        (
            ["--secret", "id=x"],
            BuildOption::Secret {
                id: "x".to_owned(),
                file: "x".into(),
            },
        ),
        (
            ["--secret", "id=x,\"src=a,b\""],
            BuildOption::Secret {
                id: "x".to_owned(),
                file: "a,b".into(),
            },
        ),
        (
            ["--ssh", "k=a,b/c"],
            BuildOption::Ssh {
                id: "k".to_owned(),
                keys: vec!["a".into(), "b/c".into()],
            },
        ),
        (
            ["--build-context", "a=b"],
            BuildOption::Folder {
                name: "a".to_owned(),
                folder: "b".into(),
            },
        ),
        (
            ["--build-context", "a=."],
            BuildOption::Folder {
                name: "a".to_owned(),
                folder: "".into(),
            },
        ),
        (
            ["--build-context", "a=docker-image://b"],
            BuildOption::Remote {
                name: "a".to_owned(),
                from: "docker-image://b".to_owned(),
            },
        ),
        (
            ["--build-context", "a=https://x/y.git#z"],
            BuildOption::Remote {
                name: "a".to_owned(),
                from: "https://x/y.git#z".to_owned(),
            },
        ),
    ] {
        assert_eq!(read(&words).options, [expected], "{words:?}");
    }
    for words in [
        ["--secret", "id=x,src=/root/.netrc"],
        ["--secret", "id=x,src=../x"],
        ["--secret", "id=x,env=TOKEN"],
        ["--secret", "id=x,type=env,src=TOKEN"],
        ["--secret", "id=x,TYPE=env"],
        ["--secret", "src=a"],
        ["--secret", "id=x,src=a\nid=y,src=/etc/passwd"],
        ["--ssh", "default"],
        ["--ssh", "default=/run/ssh.sock"],
        ["--ssh", "k=a,/root/.ssh/id"],
        ["--build-context", "a=/etc"],
        ["--build-context", "a=.."],
        ["--build-context", "a=oci-layout:///var/lib"],
        ["--build-context", "a=git@host:x"],
        ["--build-context", "a="],
        ["--build-context", "=b"],
        ["--build-context", "a"],
        ["--file", "../Dockerfile"],
    ] {
        let read = read(&words);
        assert_eq!(read.options, [], "{words:?}");
        assert_eq!(read.dockerfile, None);
        assert!(
            matches!(&read.left_out[..], [LeftOut { shapes: true, .. }]),
            "{words:?}"
        );
    }
}

#[test]
fn docker_gets_copies_of_secrets_and_no_link_leads_out() {
    let dir = tempfile::tempdir().unwrap();
    let clone = dir.path().join("app");
    fs::create_dir_all(clone.join("folder")).unwrap();
    fs::write(clone.join("a"), "hush").unwrap();
    fs::write(dir.path().join("node"), "secret of the node").unwrap();
    symlink("../node", clone.join("out")).unwrap();
    symlink("..", clone.join("up")).unwrap();
    let files = CloneFiles::open(&clone).unwrap();
    let mut kept = Vec::new();
    let mut word = |words: &[&str]| {
        let option = read(words).options.remove(0);
        option.word(&files, &clone, &mut |content| {
            kept.push(content);
            Ok(PathBuf::from(format!("/copy/{}", kept.len())))
        })
    };
    assert_eq!(
        word(&["--secret=id=x,src=a"]).unwrap().unwrap(),
        "--secret=\"id=x\",\"src=/copy/1\""
    );
    assert_eq!(
        word(&["--ssh=k=a,a"]).unwrap().unwrap(),
        "--ssh=k=/copy/2,/copy/3"
    );
    let folder = word(&["--build-context=n=folder"]).unwrap().unwrap();
    assert_eq!(
        folder,
        format!("--build-context=n={}/folder", clone.display())
    );
    for (option, expected) in [
        ("--secret=id=x,src=out", "leads out"),
        ("--secret=id=x,src=none", "No such file"),
        ("--ssh=k=a,out", "leads out"),
        ("--build-context=n=up", "leads out"),
        ("--build-context=n=a", "Not a directory"),
    ] {
        let left_out = word(&[option]).unwrap_err();
        assert!(left_out.why.contains(expected), "{left_out:?}");
        assert!(left_out.shapes);
    }
    assert!(kept.iter().all(|content| content == b"hush"), "{kept:?}");
}

#[test]
fn platforms_have_several_names() {
    for (asked, node, expected) in [
        ("linux/amd64", "linux/amd64", true),
        ("linux/x86_64", "linux/amd64", true),
        ("amd64", "linux/amd64", true),
        ("local", "linux/amd64", true),
        ("linux/arm64/v8", "linux/arm64", true),
        ("linux/aarch64", "linux/arm64/v8", true),
        ("linux/arm64", "linux/amd64", false),
        ("linux/amd64,linux/arm64", "linux/amd64", false),
        ("windows/amd64", "linux/amd64", false),
    ] {
        assert_eq!(
            is_platform(asked, &node.parse().unwrap()),
            expected,
            "{asked}"
        );
    }
}
