//! `hearth token`

use hearth_api::v1::{
    CreateJoinTokenRequest, CreateJoinTokenResponse, JoinToken, ListJoinTokensResponse,
    RevokeJoinTokenRequest,
};
use hearth_runtime::{Reason, status};

use crate::support::{Answer, Call, ControlPlane, run};

#[tokio::test]
async fn a_token_is_printed_once_alone_and_listed_without_its_secret() {
    let token = JoinToken {
        id: "jt-1".into(),
        uses_left: Some(3),
        nodes: "build-*".into(),
        ..JoinToken::default()
    };
    let created = || {
        Answer::TokenCreated(CreateJoinTokenResponse {
            token: Some(token.clone()),
            join_token: "secret@ab".into(),
        })
    };
    let tokens = ListJoinTokensResponse {
        tokens: vec![token.clone()],
    };
    let plane = ControlPlane::start([
        created(),
        created(),
        Answer::Tokens(tokens),
        Answer::TokenRevoked,
        Answer::Refuse(status(
            Reason::TokenUnknown,
            "there is no join token \"jt-2\"",
        )),
    ])
    .await;
    let ended = run(plane.hearth(&["token", "create"])).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "secret@ab\n")
    );
    let flags = [
        "--uses=0",
        "--hours=7",
        "--nodes=build-*",
        "--description=pool",
    ];
    let ended = run(plane.hearth(&[&["token", "create"], &flags[..]].concat())).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ended = run(plane.hearth(&["token", "ls"])).await;
    assert!(
        ended.stdout.contains("jt-1") && ended.stdout.contains("build-*"),
        "{}",
        ended.stdout
    );
    let ended = run(plane.hearth(&["token", "revoke", "jt-1"])).await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "revoked jt-1\n")
    );
    let ended = run(plane.hearth(&["token", "revoke", "jt-2"])).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("no join token"), "{}", ended.stderr);
    let create = |uses, hours, nodes: &str, description: &str| {
        Call::CreateToken(CreateJoinTokenRequest {
            uses: Some(uses),
            hours,
            nodes: nodes.into(),
            description: description.into(),
        })
    };
    let revoke = |id: &str| Call::RevokeToken(RevokeJoinTokenRequest { id: id.into() });
    assert_eq!(
        plane.calls(),
        [
            create(1, 24, "", ""),
            create(0, 7, "build-*", "pool"),
            Call::Tokens,
            revoke("jt-1"),
            revoke("jt-2"),
        ]
    );
}
