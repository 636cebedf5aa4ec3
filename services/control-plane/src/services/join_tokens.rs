use std::{sync::Arc, time::Duration};

use hearth_api::v1::{
    CreateJoinTokenRequest, CreateJoinTokenResponse, JoinToken, ListJoinTokensRequest,
    ListJoinTokensResponse, RevokeJoinTokenRequest, RevokeJoinTokenResponse,
    join_token_service_server::JoinTokenService,
};
use hearth_runtime::FieldFaults;
use secrecy::ExposeSecret as _;
use tonic::{Request, Response, Status};

use crate::{
    error::CallError,
    identity::{JoinTokens, NewJoinToken},
    store::StoredJoinToken,
};

const DEFAULT_HOURS: u32 = 24;
const MAX_HOURS: u32 = 366 * 24;
const MAX_PATTERN_BYTES: usize = 63;
const MAX_DESCRIPTION: usize = 200;

/// Serves `JoinTokenService`.
pub(super) struct JoinTokenApi(pub(super) Arc<JoinTokens>);

#[tonic::async_trait]
impl JoinTokenService for JoinTokenApi {
    async fn create_join_token(
        &self,
        request: Request<CreateJoinTokenRequest>,
    ) -> Result<Response<CreateJoinTokenResponse>, Status> {
        let new = read(request.into_inner())?;
        let (token, secret) = self.0.create(new).await?;
        Ok(Response::new(CreateJoinTokenResponse {
            token: Some(message(token)),
            join_token: secret.expose_secret().to_owned(),
        }))
    }

    async fn list_join_tokens(
        &self,
        _: Request<ListJoinTokensRequest>,
    ) -> Result<Response<ListJoinTokensResponse>, Status> {
        let tokens = self.0.list().await?.into_iter();
        Ok(Response::new(ListJoinTokensResponse {
            tokens: tokens.map(message).collect(),
        }))
    }

    async fn revoke_join_token(
        &self,
        request: Request<RevokeJoinTokenRequest>,
    ) -> Result<Response<RevokeJoinTokenResponse>, Status> {
        self.0.revoke(&request.into_inner().id).await?;
        Ok(Response::new(RevokeJoinTokenResponse {}))
    }
}

fn read(request: CreateJoinTokenRequest) -> Result<NewJoinToken, CallError> {
    let CreateJoinTokenRequest {
        uses,
        hours,
        nodes,
        description,
    } = request;
    let mut faults = FieldFaults::default();
    let hours = match hours {
        0 => DEFAULT_HOURS,
        hours => hours,
    };
    if hours > MAX_HOURS {
        faults.add("hours", "are more than 8784");
    }
    let good = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'*' | b'?');
    if nodes.len() > MAX_PATTERN_BYTES || !nodes.bytes().all(good) {
        faults.add(
            "nodes",
            "must be a pattern of at most 63 lower-case letters, digits, dashes, dots, * and ?",
        );
    }
    if description.chars().count() > MAX_DESCRIPTION || description.chars().any(char::is_control) {
        faults.add("description", "must be one line of at most 200 characters");
    }
    faults.complete(Some(()))?;
    Ok(NewJoinToken {
        uses: match uses {
            None => Some(1),
            Some(0) => None,
            Some(uses) => Some(uses),
        },
        life: Duration::from_secs(u64::from(hours) * 3600),
        nodes,
        description,
    })
}

fn message(token: StoredJoinToken) -> JoinToken {
    JoinToken {
        id: token.id,
        expire_time: Some(token.expires),
        uses_left: token.uses_left,
        nodes: token.nodes,
        create_time: Some(token.created),
        last_use_time: token.used,
        description: token.description,
    }
}
