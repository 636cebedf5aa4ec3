//! Stops and starts the containers of a workspace, in the order in which those of a Compose project need each other, and tells
//! what became of one.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use bollard::{
    Docker,
    errors::Error,
    models::{
        ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, HealthStatusEnum,
    },
    query_parameters::{
        InspectContainerOptions, ListContainersOptions, ListContainersOptionsBuilder,
        LogsOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
    },
};
use futures_util::{
    StreamExt as _,
    future::{join_all, try_join_all},
};
use hearth_domain::WorkspaceId;
use tokio::time::{Instant, sleep, timeout};

use super::{
    container,
    error::{is_absent, is_unchanged},
    removal::{COMPOSE_LABEL, labels},
};
use crate::external::engine::{
    api::{KnownContainer, VOLUME_PREFIX, WORKSPACE_LABEL},
    metadata::METADATA_LABEL,
};

const SERVICE: &str = "com.docker.compose.service";
/// What a service needs, as `NAME:CONDITION:RESTART`, with commas between them.
const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// The longest grace time of a container: a repository may ask for hours.
const GRACE: i64 = 60;
/// Docker's own.
const DEFAULT_GRACE: i64 = 10;
/// All containers of a workspace have so long to stop together; what runs then is killed.
const STOP: Duration = Duration::from_secs(90);
/// How long a container that others need may take to become what they need.
const NEEDED: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(250);
/// How long the last output of a container may take.
const LOGS: Duration = Duration::from_secs(3);
const MAX_TAIL: usize = 8 * 1024;
const TAIL_LINES: &str = "50";

/// A container of a workspace.
struct Member {
    id: String,
    /// Its service of the Compose project.
    service: Option<String>,
    /// The services that it needs.
    needs: Vec<Need>,
    runs: bool,
}

/// A service that another one needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Need {
    service: String,
    condition: Condition,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Started,
    Healthy,
    Completed,
}

/// Ids of the containers of workspaces that run.
pub(super) async fn running(docker: &Docker) -> Result<Vec<String>, Error> {
    let running = docker
        .list_containers(None::<ListContainersOptions>)
        .await?;
    let of_workspaces = running.into_iter().filter(|container| {
        container.labels.as_ref().is_some_and(|labels| {
            let project = labels.get(COMPOSE_LABEL);
            labels.contains_key(WORKSPACE_LABEL)
                || project.is_some_and(|project| project.starts_with(VOLUME_PREFIX))
        })
    });
    Ok(of_workspaces.filter_map(|container| container.id).collect())
}

/// Stops what runs, the containers that nothing needs first.
pub(super) async fn stop(docker: &Docker, workspace: &WorkspaceId) -> Result<(), Error> {
    let deadline = Instant::now() + STOP;
    for wave in waves(members(docker, workspace).await?).into_iter().rev() {
        let running = wave.iter().filter(|member| member.runs);
        let stops = running.map(|member| stop_one(docker, &member.id, deadline));
        // One that cannot be stopped keeps no other one from it.
        join_all(stops)
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
    }
    Ok(())
}

async fn stop_one(docker: &Docker, id: &str, deadline: Instant) -> Result<(), Error> {
    let left = deadline.saturating_duration_since(Instant::now()).as_secs();
    let own = match inspect(docker, id).await? {
        Some(found) => found.config.and_then(|config| config.stop_timeout),
        None => return Ok(()),
    };
    let grace = own.unwrap_or(DEFAULT_GRACE).clamp(0, GRACE);
    let grace = grace.min(i64::try_from(left).unwrap_or(GRACE));
    let options = StopContainerOptionsBuilder::default()
        .t(i32::try_from(grace).unwrap_or_default())
        .build();
    match docker.stop_container(id, Some(options)).await {
        Err(error) if is_absent(&error) || is_unchanged(&error) => Ok(()),
        stopped => stopped,
    }
}

/// Starts `container` and the others of its Compose project, those first that others need. Returns what is not as it was asked
/// for, in sentences. It goes through the attempt's door, as the first start did, since what ran in a container may have changed
/// it.
pub(super) async fn start(
    docker: &Docker,
    door: &Docker,
    workspace: &WorkspaceId,
    container: &str,
) -> Result<Vec<String>, Error> {
    let mut members = members(docker, workspace).await?;
    members.retain(|member| member.id == container || member.service.is_some());
    let needed: Vec<Need> = members
        .iter()
        .flat_map(|member| member.needs.clone())
        .collect();
    let mut warnings = Vec::new();
    for wave in waves(members) {
        let starts = wave.iter().map(|member| start_one(door, &member.id));
        try_join_all(starts).await?;
        let waits = wave.iter().map(|member| async {
            let service = member.service.as_deref()?;
            let of_it = needed.iter().filter(|need| need.service == service);
            let condition = of_it.map(|need| need.condition).max_by_key(|one| *one as u8)?;
            let is_so = until(docker, &member.id, condition);
            let waited = timeout(NEEDED, is_so).await;
            let (Ok(Err(_)) | Err(_)) = waited else {
                return None;
            };
            Some(format!(
                "the service {service} is not {} within {} s; what needs it is started all the same",
                condition.text(),
                NEEDED.as_secs()
            ))
        });
        warnings.extend(join_all(waits).await.into_iter().flatten());
    }
    Ok(warnings)
}

async fn start_one(door: &Docker, id: &str) -> Result<(), Error> {
    match door
        .start_container(id, None::<StartContainerOptions>)
        .await
    {
        Err(error) if is_unchanged(&error) => Ok(()),
        started => started,
    }
}

async fn until(docker: &Docker, id: &str, condition: Condition) -> Result<(), Error> {
    loop {
        let state = inspect(docker, id).await?.and_then(|found| found.state);
        let state = state.unwrap_or_default();
        let is_so = match condition {
            Condition::Started => true,
            Condition::Healthy => state.health.is_none_or(|health| {
                matches!(
                    health.status,
                    Some(HealthStatusEnum::HEALTHY | HealthStatusEnum::NONE)
                )
            }),
            Condition::Completed => state.running != Some(true),
        };
        if is_so {
            return Ok(());
        }
        sleep(POLL).await;
    }
}

/// What a container of a workspace is like now. `None`: there is none, or it is not the workspace's.
pub(super) async fn known(
    docker: &Docker,
    workspace: &WorkspaceId,
    container: &str,
) -> Result<Option<KnownContainer>, Error> {
    let Some(found) = inspect(docker, container).await? else {
        return Ok(None);
    };
    let mut labels = found.config.unwrap_or_default().labels.unwrap_or_default();
    if !is_of(&labels, workspace) {
        return Ok(None);
    }
    let state = found.state.unwrap_or_default();
    let running = state.running == Some(true);
    let finished = state.finished_at.and_then(|time| time.parse().ok());
    Ok(Some(KnownContainer {
        running,
        exit_code: state
            .exit_code
            .and_then(|code| i32::try_from(code).ok())
            .unwrap_or_default(),
        out_of_memory: state.oom_killed == Some(true),
        // Docker has the year 1 where there is no time.
        finished: finished.filter(|time: &prost_types::Timestamp| time.seconds > 0),
        output_tail: match running {
            true => String::new(),
            false => tail(docker, container).await,
        },
        devcontainer_metadata: labels.remove(METADATA_LABEL),
    }))
}

fn is_of(labels: &HashMap<String, String>, workspace: &WorkspaceId) -> bool {
    self::labels(workspace).iter().any(|label| {
        let label = label.split_once('=');
        label.is_some_and(|(name, value)| labels.get(name).is_some_and(|known| known == value))
    })
}

/// The last output of a container, as far as it comes at once.
async fn tail(docker: &Docker, container: &str) -> String {
    let options = LogsOptionsBuilder::default()
        .stdout(true)
        .stderr(true)
        .tail(TAIL_LINES)
        .build();
    let mut bytes = Vec::new();
    let read = async {
        let mut output = std::pin::pin!(docker.logs(container, Some(options)));
        while let Some(Ok(chunk)) = output.next().await {
            bytes.extend_from_slice(&chunk.into_bytes());
            if bytes.len() > 2 * MAX_TAIL {
                bytes.drain(..bytes.len() - MAX_TAIL);
            }
        }
    };
    // Without it less is told.
    let _ = timeout(LOGS, read).await;
    let start = bytes.len().saturating_sub(MAX_TAIL);
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

async fn inspect(docker: &Docker, id: &str) -> Result<Option<ContainerInspectResponse>, Error> {
    let found = docker.inspect_container(id, None::<InspectContainerOptions>);
    match found.await {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn members(docker: &Docker, workspace: &WorkspaceId) -> Result<Vec<Member>, Error> {
    let mut members: Vec<Member> = Vec::new();
    for label in labels(workspace) {
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&container::by_label(&label))
            .build();
        let found = docker.list_containers(Some(options)).await?;
        for found in found.into_iter().filter_map(Member::read) {
            if !members.iter().any(|known| known.id == found.id) {
                members.push(found);
            }
        }
    }
    Ok(members)
}

impl Member {
    fn read(found: ContainerSummary) -> Option<Self> {
        let mut labels = found.labels.unwrap_or_default();
        Some(Self {
            id: found.id?,
            service: labels.remove(SERVICE),
            needs: labels
                .remove(DEPENDS_ON)
                .as_deref()
                .map_or_else(Vec::new, needs),
            runs: !matches!(
                found.state,
                Some(
                    ContainerSummaryStateEnum::EXITED
                        | ContainerSummaryStateEnum::CREATED
                        | ContainerSummaryStateEnum::DEAD
                )
            ),
        })
    }
}

impl Condition {
    fn text(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Healthy => "healthy",
            Self::Completed => "done",
        }
    }
}

fn needs(label: &str) -> Vec<Need> {
    let needs = label.split(',').filter(|need| !need.is_empty());
    needs
        .map(|need| {
            let mut words = need.split(':');
            Need {
                service: words.next().unwrap_or_default().to_owned(),
                condition: match words.next() {
                    Some("service_healthy") => Condition::Healthy,
                    Some("service_completed_successfully") => Condition::Completed,
                    _ => Condition::Started,
                },
            }
        })
        .collect()
}

/// The containers in the order of their starts: each wave needs only what is in those before it. What needs itself is started
/// last.
fn waves(mut rest: Vec<Member>) -> Vec<Vec<Member>> {
    let mut waves = Vec::new();
    while !rest.is_empty() {
        let open: BTreeSet<String> = rest.iter().filter_map(|one| one.service.clone()).collect();
        let is_next = |member: &Member| {
            let mut needs = member.needs.iter();
            needs.all(|need| !open.contains(&need.service))
        };
        let (next, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_next);
        if next.is_empty() {
            waves.push(others);
            return waves;
        }
        waves.push(next);
        rest = others;
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, depends_on: &str) -> Member {
        Member {
            id: id.to_owned(),
            service: Some(id.to_owned()),
            needs: needs(depends_on),
            runs: true,
        }
    }

    fn order(members: Vec<Member>) -> Vec<Vec<String>> {
        let waves = waves(members).into_iter();
        let ids = |wave: Vec<Member>| wave.into_iter().map(|member| member.id).collect();
        waves.map(ids).collect()
    }

    #[test]
    fn what_others_need_is_started_before_them() {
        let members = vec![
            member("app", "web:service_started:false,db:service_healthy:true"),
            member("web", "db"),
            member("db", ""),
            member("alone", "gone:service_started:false"),
        ];
        assert_eq!(
            order(members),
            [vec!["db", "alone"], vec!["web"], vec!["app"]]
        );
        let round = vec![member("a", "b"), member("b", "a"), member("c", "")];
        assert_eq!(order(round), [vec!["c"], vec!["a", "b"]]);
        assert!(order(Vec::new()).is_empty());
    }

    #[test]
    fn conditions_are_read_as_compose_writes_them() {
        let read =
            needs("db:service_healthy:false,init:service_completed_successfully:true,x,,y:other");
        let conditions: Vec<_> = read.iter().map(|need| need.condition).collect();
        assert_eq!(
            conditions,
            [
                Condition::Healthy,
                Condition::Completed,
                Condition::Started,
                Condition::Started
            ]
        );
    }
}
