use super::*;

#[test]
fn a_name_with_a_digest_is_no_tag_wherever_docker_lists_it() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let image = stored(ImageSummary {
        repo_tags: names(&["hearth-cache:aa", "r/o@sha256:aa"]),
        repo_digests: names(&["hearth-cache@sha256:aa", "r/o@sha256:aa"]),
        ..ImageSummary::default()
    });
    assert_eq!(image.tags, ["hearth-cache:aa"]);
    assert_eq!(image.digests, ["hearth-cache@sha256:aa", "r/o@sha256:aa"]);
}

#[tokio::test]
async fn an_engine_that_is_gone_is_told_with_its_socket_and_the_systems_word() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("engine.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let engine = DockerEngine::connect(&format!("unix://{}", socket.display())).unwrap();
    drop(listener);
    let path = socket.display();
    for failure in [
        engine.ping().await.unwrap_err(),
        engine
            .remove_workspace(&"ws-1".parse().unwrap())
            .await
            .unwrap_err(),
    ] {
        assert_eq!(
            failure.cause,
            format!("{path}: Connection refused (os error 111)")
        );
    }
}
