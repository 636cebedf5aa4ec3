//! A real registry that asks for tokens of the stand-in.

use hearth_tests::{
    Proxy,
    curl::Request,
    github::{Repositories, Route},
};
use serde_json::{Value, json};

use super::{
    ask,
    client::{EMPTY_DIGEST, world},
    mint, try_mint,
};

#[tokio::test]
async fn packages_are_read_and_written_with_exactly_the_permission_for_it() {
    let world = world().await;
    let writer = mint(&world.github, &json!({"packages": "write"})).await;
    let reader = mint(&world.github, &json!({"packages": "read"})).await;
    let contents = mint(&world.github, &json!({"contents": "read"})).await;
    for repository in ["acme/shop", &world.cache_path(), "cache/acme/shop"] {
        assert_eq!(world.push(&reader, repository).await, 401);
        assert_eq!(world.push(&contents, repository).await, 401);
        assert_eq!(world.push(&writer, repository).await, 201);
        for (password, status) in [
            (Some(reader.as_str()), 200),
            (Some(writer.as_str()), 200),
            (Some(contents.as_str()), 401),
            (Some("ghs_wrong"), 401),
            (None, 401),
        ] {
            let answer = world.pull(password, repository).await;
            assert_eq!(answer.status, status, "{repository}: {answer:?}");
        }
    }
    assert!(world.github.requests_to(Route::RegistryToken) > 0);
}

#[tokio::test]
async fn packages_of_other_repositories_are_neither_read_nor_written() {
    let world = world().await;
    let (_, admin) = world.github.admin();
    let writer = mint(&world.github, &json!({"packages": "write"})).await;
    for repository in [
        "acme/secret",
        "acme/nothing",
        "acme/shop-cd68fc9",
        "shop/acme",
        "shop",
    ] {
        assert_eq!(world.push(&writer, repository).await, 401, "{repository}");
    }
    let url = format!(
        "{}/token?service={}&scope=repository:acme/secret:pull,push&scope=repository:acme/shop:pull,push,fly",
        world.github.url(),
        world.github.registry_service()
    );
    let given = async |user, password| {
        let answer = Request::new("GET", &url).login(user, password).send().await;
        answer.json()["scope"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        given("any", &writer).await,
        "repository:acme/shop:pull,push"
    );
    assert_eq!(
        given("admin", admin).await,
        "repository:acme/secret:pull,push repository:acme/shop:pull,push,fly"
    );
    let wrong = Request::new("GET", &url)
        .login("admin", "guessed")
        .send()
        .await;
    assert_eq!(wrong.status, 401);
}

/// The installation has both repositories, and the token is for one.
#[tokio::test]
async fn a_token_for_one_repository_reaches_no_other_of_its_installation() {
    let world = world().await;
    world.github.select("acme", Repositories::All);
    let permissions = json!({"contents": "read", "packages": "write"});
    let token = mint(&world.github, &permissions).await;
    assert_eq!(world.push(&token, "acme/shop").await, 201);
    assert_eq!(world.push(&token, "acme/secret").await, 401);
    for (repository, status) in [("acme/shop", 200), ("acme/secret", 404)] {
        let path = format!("/repos/{repository}");
        let seen = ask(&world.github, "GET", &path, &token, "").await;
        assert_eq!(seen.status, status, "{repository}");
        let refs = format!(
            "{}/info/refs?service=git-upload-pack",
            world.github.clone_url(repository)
        );
        let cloned = Request::new("GET", &refs).login("x", &token).send().await;
        assert_eq!(cloned.status, status, "{repository}");
    }
    let both = try_mint(&world.github, &json!({})).await.json();
    let both = both["token"].as_str().unwrap();
    assert_eq!(world.push(both, "acme/secret").await, 201);
}

#[tokio::test]
async fn a_manifest_is_deleted_by_who_may_write() {
    let world = world().await;
    let writer = mint(&world.github, &json!({"packages": "write"})).await;
    let reader = mint(&world.github, &json!({"packages": "read"})).await;
    assert_eq!(world.push(&writer, "acme/shop").await, 201);
    assert_eq!(world.registry.tags("acme/shop").await, ["1"]);
    let manifest = world.pull(Some(&reader), "acme/shop").await;
    let digest = &manifest.headers["docker-content-digest"];
    let path = format!("acme/shop/manifests/{digest}");
    assert_eq!(
        world.ask(Some(&reader), "DELETE", &path, "").await.status,
        401
    );
    assert_eq!(
        world.ask(Some(&writer), "DELETE", &path, "").await.status,
        202
    );
    assert!(world.registry.tags("acme/shop").await.is_empty());
}

#[tokio::test]
async fn a_public_package_is_pulled_by_everybody_and_pushed_by_its_repository_alone() {
    let world = world().await;
    // There is no such manifest; without the right to pull, the answer does not say so.
    let reader = mint(&world.github, &json!({"contents": "read"})).await;
    assert_eq!(world.pull(None, "acme/secret").await.status, 401);
    world.github.publish_package("acme/secret");
    assert_eq!(world.pull(None, "acme/secret").await.status, 404);
    assert_eq!(world.pull(Some(&reader), "acme/secret").await.status, 404);
    assert_eq!(world.push(&reader, "acme/secret").await, 401);
}

#[tokio::test]
async fn a_form_gives_the_same_token_and_both_live_as_long_as_is_said() {
    let world = world().await;
    let github = &world.github;
    let writer = mint(github, &json!({"packages": "write"})).await;
    github.registry_token_lifetime(std::time::Duration::from_secs(1));
    let url = format!("{}/token", github.url());
    let form = format!(
        "grant_type=password&username=x&password={writer}&service={}&client_id=test&scope={}",
        github.registry_service(),
        "repository%3Aacme%2Fshop%3Apull%2Cpush+repository%3Aacme%2Fsecret%3Apull"
    );
    let answer = Request::new("POST", &url).body(&form).send().await.json();
    assert_eq!(answer["expires_in"], 60);
    assert_eq!(answer["scope"], "repository:acme/shop:pull,push");
    let token = answer["access_token"].as_str().unwrap();
    assert!(github.secrets().iter().any(|secret| secret == token));
    let uploads = format!(
        "http://{}/v2/acme/shop/blobs/uploads/",
        world.registry.host()
    );
    let begun = Request::new("POST", &uploads).bearer(token).send().await;
    assert_eq!(begun.status, 202, "{begun:?}");

    let other = form.replace("grant_type=password", "grant_type=refresh_token");
    assert_eq!(
        Request::new("POST", &url).body(&other).send().await.status,
        400
    );
    let wrong = form.replace(&writer, "ghs_wrong");
    assert_eq!(
        Request::new("POST", &url).body(&wrong).send().await.status,
        401
    );
}

#[tokio::test]
async fn an_installation_token_that_ended_gets_no_token_for_the_registry() {
    let world = world().await;
    let writer = mint(&world.github, &json!({"packages": "write"})).await;
    assert_eq!(world.push(&writer, "acme/shop").await, 201);
    world.github.revoke(&writer);
    let refused = world.pull(Some(&writer), "acme/shop").await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json()["errors"][0]["code"], "UNAUTHORIZED");
}

#[tokio::test]
async fn an_account_may_forbid_new_packages_and_still_take_new_versions() {
    let world = world().await;
    let writer = mint(&world.github, &json!({"packages": "write"})).await;
    assert_eq!(world.push(&writer, "acme/shop").await, 201);
    world.github.deny_package_creation();
    assert_eq!(world.push(&writer, "acme/shop").await, 201);
    assert_eq!(world.push(&writer, &world.cache_path()).await, 401);
    world.github.heal();
    assert_eq!(world.push(&writer, &world.cache_path()).await, 201);
}

#[tokio::test]
async fn in_front_of_a_registry_refusals_are_those_of_ghcr() {
    let mut world = world().await;
    let proxy = Proxy::ghcr(&world.registry).await;
    world.host = proxy.host();
    let writer = mint(&world.github, &json!({"packages": "write"})).await;
    let reader = mint(&world.github, &json!({"packages": "read"})).await;
    let reason = async |password: &str, repository: &str| {
        let refused = world.begin_push(password, repository).await;
        assert_eq!(refused.status, 403, "{refused:?}");
        let error = refused.json()["errors"][0].take();
        assert_eq!(error["code"], "DENIED");
        error["message"].as_str().unwrap().to_owned()
    };
    let created = "installation not allowed to Create organization package";
    assert_eq!(reason(&reader, "acme/shop").await, created);
    world.github.deny_package_creation();
    assert_eq!(reason(&writer, "acme/shop").await, created);
    world.github.heal();
    assert_eq!(world.push(&writer, "acme/shop").await, 201);
    assert_eq!(
        reason(&reader, "acme/shop").await,
        "permission_denied: write_package"
    );
    assert_eq!(world.pull(Some(&reader), "acme/shop").await.status, 200);
    assert_eq!(world.pull(Some(&writer), "acme/secret").await.status, 403);
    assert_eq!(world.pull(Some("ghs_wrong"), "acme/shop").await.status, 401);
}

#[tokio::test]
async fn a_registry_comes_back_as_guarded_as_it_was() {
    let mut world = world().await;
    let writer = mint(&world.github, &json!({"packages": "write"})).await;
    assert_eq!(world.push(&writer, "acme/shop").await, 201);
    world.registry.stop();
    world.registry.resume();
    assert_eq!(world.pull(None, "acme/shop").await.status, 401);
    assert_eq!(world.pull(Some(&writer), "acme/shop").await.status, 200);
    let manifest = world.registry.manifest("acme/shop", "1").await;
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["config"]["digest"], EMPTY_DIGEST);
}
