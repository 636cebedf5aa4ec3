//! Logins are for what the attempt may do and nothing else, and come from the source that serves the host.

use hearth_api::v1::{
    CacheAccess, CredentialProblemReason as Reason, CredentialUse, RefreshCredentialsResponse,
};
use hearth_tests::github::{GitHub, Repositories, Visibility, WRITER};

use crate::support::{
    agent::FakeAgent,
    logins::{LoginLab, REGISTRY, question, token, try_ask},
    logs,
    plane::{Plane, shop},
};

/// What the token of an answer is good for, as GitHub has it.
fn rights(lab: &LoginLab, answer: &RefreshCredentialsResponse) -> Vec<String> {
    let git = answer.git.as_ref().expect("a login for git");
    let (repositories, permissions) = lab.github.rights_of(&git.password);
    assert_eq!(repositories, ["shop"]);
    permissions
}

#[tokio::test]
async fn a_token_can_do_what_the_attempt_needs_in_its_repository_and_nothing_else() {
    let lab = LoginLab::start().await;
    lab.github.grant("acme", "issues", "write");
    lab.github
        .create_repository("acme/other", Visibility::Private);
    let writes = lab.workspace("acme/shop").await;
    let mut request = lab.request("acme/shop");
    let spec = request.spec.as_mut().expect("a spec");
    spec.cache_access = CacheAccess::ReadOnly.into();
    let reads = lab.plane.prepare(request).await.id().to_owned();
    let mut request = lab.request("acme/shop");
    request.spec.as_mut().expect("a spec").lightweight = true;
    let leaves_alone = lab.plane.prepare(request).await.id().to_owned();

    let answer = lab.ask(&writes).await;
    assert_eq!(answer.problems, []);
    let git = answer.git.clone().expect("a login");
    assert_eq!(
        (git.host, git.username.as_str()),
        (lab.github.host(), "x-access-token")
    );
    assert_eq!(answer.registry.clone().expect("a login").registry, REGISTRY);
    assert!(git.expire_time.is_some());
    token(&answer);
    let all = ["contents:read", "metadata:read", "packages:write"];
    assert_eq!(rights(&lab, &answer), all);

    let answer = lab.ask(&reads).await;
    token(&answer);
    let all = ["contents:read", "metadata:read", "packages:read"];
    assert_eq!(rights(&lab, &answer), all);

    let mut inside = question(&writes);
    inside.r#use = CredentialUse::Workspace.into();
    let inside = try_ask(&lab.plane, &lab.session, inside).await;
    for answer in [inside.expect("an answer"), lab.ask(&leaves_alone).await] {
        assert!(answer.registry.is_none(), "{answer:?}");
        assert_eq!(answer.problems, []);
        let all = ["contents:read", "metadata:read"];
        assert_eq!(rights(&lab, &answer), all);
    }
}

#[tokio::test]
async fn what_was_not_granted_is_done_without_and_named_until_it_is_granted() {
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    for (packages, has_login, permission) in [
        ("none", false, "`packages: write` on acme/shop"),
        ("read", true, "nothing can be pushed to localhost:1"),
    ] {
        lab.github.grant("acme", "packages", packages);
        let answer = lab.ask(&id).await;
        assert!(answer.git.is_some());
        assert_eq!(answer.registry.is_some(), has_login, "{packages}");
        let [problem] = &answer.problems[..] else {
            panic!("one problem: {:?}", answer.problems);
        };
        assert_eq!(problem.reason(), Reason::PermissionMissing);
        assert_eq!(problem.host, REGISTRY);
        assert!(problem.message.contains(permission), "{}", problem.message);
    }
    lab.github.grant("acme", "packages", "write");
    let answer = lab.ask(&id).await;
    token(&answer);
    assert_eq!(answer.problems, []);

    lab.github.grant("acme", "contents", "none");
    lab.github.grant("acme", "packages", "none");
    lab.github.revoke_all();
    let refused = hearth_domain::sha256_hex(token(&answer));
    let answer = lab.ask_again(&id, &refused).await;
    assert!(
        answer.git.is_none() && answer.registry.is_none(),
        "{answer:?}"
    );
    let reasons = answer.problems.iter().map(|problem| problem.reason());
    assert!(reasons.eq([Reason::PermissionMissing; 2]));
}

#[tokio::test]
async fn github_for_git_and_another_registry_for_the_cache_each_give_their_own_login() {
    let directory = tempfile::tempdir().expect("a directory");
    let github = GitHub::start(directory.path().join("github")).await;
    github.create_repository("acme/shop", Visibility::Private);
    github.install("acme", Repositories::All, &WRITER[..2]);
    let password = directory.path().join("password");
    std::fs::write(&password, "first\n").expect("a write");
    let sources = directory.path().join("sources.toml");
    let text = format!(
        "[[source]]\nkind = \"github-app\"\nhosts = [\"{}\"]\napp-id = {}\napp-key-file = \"{}\"\napi-url = \"{}\"\n\
         [[source]]\nkind = \"static\"\nhosts = [\"{REGISTRY}\"]\nusername = \"robot\"\npassword-file = \"password\"\n",
        github.host(),
        github.app_id(),
        github.key_file().display(),
        github.url(),
    );
    std::fs::write(&sources, text).expect("a write");
    let file = format!("--credentials-file={}", sources.display());
    let registry = format!("--cache-registry={REGISTRY}");
    let flags = ["--credentials=file", &file, &registry];
    let plane = Plane::start(directory.path(), &flags).await;
    let agent = FakeAgent::start("n1").await;
    let session = agent.register(&plane, &[]).await.session_token;
    let mut request = shop();
    request.spec.as_mut().expect("a spec").repository = github.clone_url("acme/shop");
    let id = plane.prepare(request).await.id().to_owned();
    for expected in ["first", "second"] {
        std::fs::write(&password, expected).expect("a write");
        let answer = try_ask(&plane, &session, question(&id)).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.problems, []);
        assert!(answer.git.expect("a login").password.starts_with("ghs_"));
        let registry = answer.registry.expect("a login");
        assert_eq!(
            (registry.username.as_str(), registry.password.as_str()),
            ("robot", expected)
        );
    }
    assert_eq!(
        github.mints(),
        1,
        "packages are not GitHub's here: nothing is missing"
    );
}

#[tokio::test]
async fn without_sources_there_are_no_logins_and_no_problems() {
    let plane = Plane::fresh(&[]).await;
    let agent = FakeAgent::start("n1").await;
    let session = agent.register(&plane, &[]).await.session_token;
    let id = plane.prepare(shop()).await.id().to_owned();
    let answer = try_ask(&plane, &session, question(&id)).await;
    assert_eq!(
        answer.expect("an answer"),
        RefreshCredentialsResponse::default()
    );
}

#[tokio::test]
async fn no_secret_is_logged_shown_or_stored() {
    logs::capture();
    let lab = LoginLab::start().await;
    let id = lab.workspace("acme/shop").await;
    token(&lab.ask(&id).await);
    lab.github.suspend("acme");
    let again = hearth_domain::sha256_hex(token(&lab.ask(&id).await));
    lab.ask_again(&id, &again).await;
    let metrics = lab.plane.admin("/metrics").await;
    let database = lab.directory.path().join("hearth.db");
    let mut secrets = lab.github.secrets();
    secrets.push(lab.session.clone());
    assert!(secrets.iter().any(|secret| secret.starts_with("ghs_")));
    lab.plane.stop().await;
    let stored = std::fs::read(database).expect("the database");
    let stored = String::from_utf8_lossy(&stored);
    let logged = logs::captured();
    assert!(logged.contains("suspended"), "the log is there");
    for secret in secrets {
        for (place, text) in [
            ("log", &*logged),
            ("metrics", &metrics),
            ("database", &stored),
        ] {
            assert!(!text.contains(&secret), "{place}");
        }
    }
}

#[tokio::test]
async fn a_static_login_that_may_write_is_never_given_to_who_may_only_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, password: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, password).expect("a write");
        path.display().to_string()
    };
    let (writer, reader) = (file("writer", "of-writer"), file("reader", "of-reader"));
    let hosts = format!("--static-hosts=github.com,{REGISTRY}");
    let one = [
        "--credentials=static",
        &hosts,
        &format!("--cache-registry={REGISTRY}"),
        "--static-username=writer",
        &format!("--static-password-file={writer}"),
    ];
    let two = [
        "--static-read-username=reader",
        &format!("--static-read-password-file={reader}"),
    ];
    for (flags, reads_as) in [
        (one.to_vec(), None),
        ([&one[..], &two].concat(), Some("reader")),
    ] {
        let plane = Plane::fresh(&flags).await;
        let agent = FakeAgent::start("n1").await;
        let session = agent.register(&plane, &[]).await.session_token;
        for (git_ref, expected) in [
            ("main", Some("writer")),
            ("refs/pull/7/head", reads_as),
            ("refs/merge-requests/7/head", reads_as),
        ] {
            let mut request = shop();
            request.spec.as_mut().expect("a spec").r#ref = git_ref.into();
            let id = plane.prepare(request).await.id().to_owned();
            let logins = try_ask(&plane, &session, question(&id)).await;
            let logins = logins.expect("logins");
            let of_git = logins.git.map(|login| login.username);
            assert_eq!(of_git.as_deref(), Some("writer"), "git is not meant");
            let of_registry = logins.registry.map(|login| login.username);
            assert_eq!(of_registry.as_deref(), expected, "{git_ref}");
            assert_eq!(logins.problems, []);
        }
        plane.stop().await;
    }
}
