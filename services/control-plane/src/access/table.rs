use hearth_domain::Scope;

use self::MayCall::{AnyClient, Anybody, Client, ControlPlane, Node};

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayCall {
    /// Whoever reaches the port. The call itself asks for a proof.
    Anybody,
    /// The agent of a node, for itself. What proves that is a matter of `services/caller.rs`.
    Node,
    /// The control plane: the call is served by agents, on the connection that they opened.
    ControlPlane,
    /// Every client.
    AnyClient,
    /// Clients with this scope.
    Client(Scope),
}

impl MayCall {
    /// Whether callers have to be clients.
    pub(super) fn is_for_clients(self) -> bool {
        match self {
            AnyClient | Client(_) => true,
            Anybody | Node | ControlPlane => false,
        }
    }
}

const PACKAGE: &str = "/hearth.v1.";

/// Every call of the contract. Health and reflection are no part of it: they say nothing that is not in the repository, so
/// everybody may call them.
const TABLE: [(&str, MayCall); 60] = [
    ("AgentRegistryService/Deregister", Node),
    // With a join token.
    ("AgentRegistryService/Enrol", Anybody),
    ("AgentRegistryService/Heartbeat", Node),
    ("AgentRegistryService/OpenConnection", Node),
    ("AgentRegistryService/Register", Node),
    ("AgentRegistryService/RenewCertificate", Node),
    ("AgentService/Exec", ControlPlane),
    ("AgentService/GetBuildLog", ControlPlane),
    ("AgentService/GetContainer", ControlPlane),
    ("AgentService/ListConfigs", ControlPlane),
    ("AgentService/OpenSsh", ControlPlane),
    ("AgentService/PortForward", ControlPlane),
    ("AgentService/PrepareWorkspace", ControlPlane),
    ("AgentService/RemoveWorkspace", ControlPlane),
    ("AgentService/StartWorkspace", ControlPlane),
    ("AgentService/StopWorkspace", ControlPlane),
    ("CacheIndexService/CommitBuildCache", Node),
    ("CacheIndexService/CommitCache", Node),
    ("CacheIndexService/DropCache", Node),
    ("CacheIndexService/FindBuildCache", Node),
    ("CacheIndexService/FindLastGood", Node),
    ("CacheIndexService/FindNeighbours", Node),
    ("CacheIndexService/ResolveCache", Node),
    ("CacheService/ExplainRef", Client(Scope::Read)),
    ("CacheService/ExplainWorkspace", Client(Scope::Read)),
    ("CacheService/GetPublicKey", Client(Scope::Read)),
    ("CacheService/GetStats", Client(Scope::Read)),
    ("CacheService/InvalidateEntry", Client(Scope::Prepare)),
    ("CacheService/ListEntries", Client(Scope::Read)),
    // They use the control plane's logins, and try to write.
    ("CacheService/ProbeAccess", Client(Scope::Prepare)),
    ("CacheService/VerifyCache", Client(Scope::Prepare)),
    ("ClientService/CreateClient", Client(Scope::Admin)),
    ("ClientService/GetCaller", AnyClient),
    ("ClientService/IssueCertificate", AnyClient),
    ("ClientService/ListClients", Client(Scope::Admin)),
    ("ClientService/RevokeClient", Client(Scope::Admin)),
    ("CredentialService/GetSecrets", Node),
    ("CredentialService/RefreshCredentials", Node),
    ("JoinTokenService/CreateJoinToken", Client(Scope::Admin)),
    ("JoinTokenService/ListJoinTokens", Client(Scope::Admin)),
    ("JoinTokenService/RevokeJoinToken", Client(Scope::Admin)),
    ("NodeService/ListNodes", Client(Scope::Read)),
    ("NodeService/RemoveNode", Client(Scope::Admin)),
    ("NodeService/RemoveQuarantined", Client(Scope::Admin)),
    ("SecretService/DeleteSecret", Client(Scope::Admin)),
    ("SecretService/ListSecrets", Client(Scope::Admin)),
    ("SecretService/SetSecret", Client(Scope::Admin)),
    ("WorkspaceService/DeleteWorkspace", Client(Scope::Prepare)),
    ("WorkspaceService/Exec", Client(Scope::Exec)),
    ("WorkspaceService/GetBuildLog", Client(Scope::Read)),
    ("WorkspaceService/GetWorkspace", Client(Scope::Read)),
    // It uses the control plane's logins, and a node.
    ("WorkspaceService/ListConfigs", Client(Scope::Prepare)),
    ("WorkspaceService/ListWorkspaces", Client(Scope::Read)),
    ("WorkspaceService/OpenSsh", Client(Scope::Exec)),
    ("WorkspaceService/PortForward", Client(Scope::Exec)),
    ("WorkspaceService/PrepareWorkspace", Client(Scope::Prepare)),
    ("WorkspaceService/RenewWorkspace", Client(Scope::Prepare)),
    ("WorkspaceService/StartWorkspace", Client(Scope::Prepare)),
    ("WorkspaceService/StopWorkspace", Client(Scope::Prepare)),
    ("WorkspaceService/WatchWorkspace", Client(Scope::Read)),
];

/// The name of a call, as `Service/Call`, and who may make it. `None`: the contract does not have it.
pub(super) fn row(path: &str) -> Option<(&'static str, MayCall)> {
    let name = path.strip_prefix(PACKAGE)?;
    TABLE.iter().find(|(call, _)| *call == name).copied()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_call_of_the_contract_is_in_the_table_and_nothing_else_is() {
        let contract = FileDescriptorSet::decode(hearth_api::FILE_DESCRIPTOR_SET);
        let files = contract.expect("the contract").file.into_iter();
        let own = files.filter(|file| file.package() == "hearth.v1");
        let services = own.flat_map(|file| file.service);
        let calls = services.flat_map(|service| {
            let name = service.name().to_owned();
            let calls = service.method.into_iter();
            calls.map(move |call| format!("{name}/{}", call.name()))
        });
        let mut calls: Vec<String> = calls.collect();
        calls.sort();
        assert_eq!(calls, TABLE.map(|(call, _)| call));
        for call in calls {
            let (found, _) = row(&format!("/hearth.v1.{call}")).expect("a row");
            assert_eq!(found, call);
        }
    }

    #[test]
    fn what_is_not_exactly_a_call_is_none() {
        for path in [
            "",
            "/",
            "/hearth.v1.WorkspaceService",
            "/hearth.v1.WorkspaceService/",
            "/hearth.v1.WorkspaceService/getWorkspace",
            "/hearth.v1.WorkspaceService/GetWorkspace/",
            "/hearth.v1.WorkspaceService/Get%57orkspace",
            "/hearth.v2.WorkspaceService/GetWorkspace",
            "WorkspaceService/GetWorkspace",
        ] {
            assert_eq!(row(path), None, "{path}");
        }
    }

    #[test]
    fn the_manual_has_the_same_table() {
        let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/access.md");
        let manual = fs::read_to_string(manual).expect("docs/access.md");
        let rows = TABLE.map(|(call, may)| {
            let who = match may {
                Anybody => "whoever has a join token".to_owned(),
                Node => "the agent of a node".to_owned(),
                ControlPlane => "the control plane".to_owned(),
                AnyClient => "every client".to_owned(),
                Client(scope) => format!("clients with `{scope}`"),
            };
            format!("| `{call}` | {who} |")
        });
        let table: Vec<&str> = manual
            .lines()
            .filter(|line| line.starts_with("| `") && line.contains("Service/"))
            .collect();
        assert_eq!(table, rows, "docs/access.md is to have these lines");
    }
}
