use std::{sync::Arc, time::Duration};

use hearth_api::v1::{AgentServiceGetBuildLogRequest, AgentServiceGetBuildLogResponse};
use tonic::{Code, Streaming};

use crate::{
    error::CallError,
    node::{Agents, Fleet, Standing, within},
    record::Record,
};

/// Until the node's agent answers.
const CALL: Duration = Duration::from_secs(10);

/// The output of image builds, which the nodes have.
pub(crate) struct BuildLogs {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) agents: Arc<Agents>,
}

/// The pieces of a log, as they come.
pub(crate) type BuildLog = Streaming<AgentServiceGetBuildLogResponse>;

impl BuildLogs {
    /// The log of a workspace's last build.
    pub(crate) async fn open(&self, record: &Record) -> Result<BuildLog, CallError> {
        let node = self.fleet.known(&record.workspace.node)?;
        match node.standing {
            Standing::Online | Standing::Expected | Standing::Unavailable => {}
            Standing::Lost => return Err(CallError::NodeLost(node.name)),
            Standing::Left => return Err(CallError::NodeLeft(node.name)),
        }
        let request = AgentServiceGetBuildLogRequest {
            workspace_id: record.id.to_string(),
        };
        let answer = within(CALL, async {
            let mut client = self.agents.client(&node.name).await?;
            client.get_build_log(request).await
        });
        let answer = answer.await.map_err(|status| match status.code() {
            Code::NotFound => CallError::BuildLogUnknown(record.id.clone()),
            _ => CallError::AgentFailed {
                node: node.name,
                why: status.message().to_owned(),
            },
        })?;
        Ok(answer.into_inner())
    }
}
