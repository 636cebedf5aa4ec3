//! The gRPC contract of hearth.
//!
//! [`v1`] is generated from `proto/hearth/v1/*.proto`; the comments there are the documentation.
//! [`FILE_DESCRIPTOR_SET`] serves reflection and JSON.

use std::fmt;

/// Messages, clients and servers of the package `hearth.v1`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    unused_qualifications,
    reason = "generated; buf lint demands a comment on everything in the contract itself"
)]
pub mod v1 {
    tonic::include_proto!("hearth.v1");
}

/// The contract as an encoded `google.protobuf.FileDescriptorSet`, imports and comments included.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/hearth_descriptor.bin"));

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

// The messages are taken apart field by field, so that a new field stops the build here and it
// has to be decided whether it may be printed.
impl fmt::Debug for v1::RegistryCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            registry,
            username,
            password: _,
            expire_time,
        } = self;
        f.debug_struct("RegistryCredential")
            .field("registry", registry)
            .field("username", username)
            .field("password", &REDACTED)
            .field("expire_time", expire_time)
            .finish()
    }
}

impl fmt::Debug for v1::GitCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            username,
            password: _,
            expire_time,
        } = self;
        f.debug_struct("GitCredential")
            .field("host", host)
            .field("username", username)
            .field("password", &REDACTED)
            .field("expire_time", expire_time)
            .finish()
    }
}

impl fmt::Debug for v1::RegisterResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            heartbeat_seconds,
            lease_seconds,
            session_token: _,
            cache_public_key,
            control_plane_id,
            unknown_workspace_ids,
            default_images,
        } = self;
        f.debug_struct("RegisterResponse")
            .field("heartbeat_seconds", heartbeat_seconds)
            .field("lease_seconds", lease_seconds)
            .field("session_token", &REDACTED)
            .field("cache_public_key", cache_public_key)
            .field("control_plane_id", control_plane_id)
            .field("unknown_workspace_ids", unknown_workspace_ids)
            .field("default_images", default_images)
            .finish()
    }
}

impl fmt::Debug for v1::CreateClientResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, token: _ } = self;
        f.debug_struct("CreateClientResponse")
            .field("client", client)
            .field("token", &REDACTED)
            .finish()
    }
}

impl fmt::Debug for v1::SetSecretRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            repositories,
            value: _,
            all_refs,
        } = self;
        f.debug_struct("SetSecretRequest")
            .field("name", name)
            .field("repositories", repositories)
            .field("value", &REDACTED)
            .field("all_refs", all_refs)
            .finish()
    }
}

impl fmt::Debug for v1::SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value: _ } = self;
        f.debug_struct("SecretValue")
            .field("name", name)
            .field("value", &REDACTED)
            .finish()
    }
}

impl fmt::Debug for v1::CreateJoinTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            token,
            join_token: _,
        } = self;
        f.debug_struct("CreateJoinTokenResponse")
            .field("token", token)
            .field("join_token", &REDACTED)
            .finish()
    }
}

impl fmt::Debug for v1::EnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            certificate_request,
            join_token: _,
            service_account_token: _,
        } = self;
        f.debug_struct("EnrolRequest")
            .field("node", node)
            .field("certificate_request", certificate_request)
            .field("join_token", &REDACTED)
            .field("service_account_token", &REDACTED)
            .finish()
    }
}

impl fmt::Debug for v1::Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, token: _ } = self;
        f.debug_struct("Neighbour")
            .field("address", address)
            .field("token", &REDACTED)
            .finish()
    }
}

impl fmt::Debug for v1::AgentServicePrepareWorkspaceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            attempt,
            spec,
            cache,
            cache_skip_reason,
            after_sequence,
            trusted,
            host_access,
            cache_mounts: _,
            control_plane_id,
            keep_clone,
            no_cache,
            default_image,
        } = self;
        f.debug_struct("AgentServicePrepareWorkspaceRequest")
            .field("attempt", attempt)
            .field("spec", spec)
            .field("cache", cache)
            .field("cache_skip_reason", cache_skip_reason)
            .field("after_sequence", after_sequence)
            .field("trusted", trusted)
            .field("host_access", host_access)
            .field("cache_mounts", &REDACTED)
            .field("control_plane_id", control_plane_id)
            .field("keep_clone", keep_clone)
            .field("no_cache", no_cache)
            .field("default_image", default_image)
            .finish()
    }
}

impl fmt::Debug for v1::ExecCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command,
            terminal,
            environment: _,
            folder,
            user,
            sftp,
        } = self;
        f.debug_struct("ExecCommand")
            .field("command", command)
            .field("terminal", terminal)
            .field("environment", &REDACTED)
            .field("folder", folder)
            .field("user", user)
            .field("sftp", sftp)
            .finish()
    }
}

/// What goes into a workspace and comes out of it is nobody else's: the names of these messages alone are printed, and those
/// of what they are one of.
macro_rules! opaque {
    ($($message:ident in $module:ident),* $(,)?) => {$(
        impl fmt::Debug for v1::$message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        }

        impl fmt::Debug for v1::$module::Message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(REDACTED)
            }
        }
    )*};
}

opaque!(
    ExecRequest in exec_request,
    ExecResponse in exec_response,
    OpenSshRequest in open_ssh_request,
    OpenSshResponse in open_ssh_response,
    PortForwardRequest in port_forward_request,
    PortForwardResponse in port_forward_response,
);

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::v1;

    #[test]
    fn messages_with_secrets_print_redacted() {
        let logins = v1::RefreshCredentialsResponse {
            registry: Some(v1::RegistryCredential {
                registry: "registry.example".into(),
                username: "robot".into(),
                password: "planted-registry-secret".into(),
                expire_time: None,
            }),
            git: Some(v1::GitCredential {
                host: "git.example".into(),
                username: "x-access-token".into(),
                password: "planted-git-secret".into(),
                expire_time: None,
            }),
            ..Default::default()
        };
        let session = v1::RegisterResponse {
            session_token: "planted-session-secret".into(),
            ..Default::default()
        };
        let prepare = v1::AgentServicePrepareWorkspaceRequest {
            cache_mounts: "planted-namespace".into(),
            ..Default::default()
        };
        let neighbours = v1::FindNeighboursResponse {
            neighbours: vec![v1::Neighbour {
                token: "planted-token".into(),
                ..Default::default()
            }],
        };
        let client = v1::CreateClientResponse {
            token: "planted-client-token".into(),
            ..Default::default()
        };
        let token = v1::CreateJoinTokenResponse {
            join_token: "planted-join-token".into(),
            ..Default::default()
        };
        let enrol = v1::EnrolRequest {
            join_token: "planted-join-token".into(),
            service_account_token: "planted-account-token".into(),
            ..Default::default()
        };
        let set = v1::SetSecretRequest {
            value: "planted-secret".into(),
            ..Default::default()
        };
        let secrets = v1::GetSecretsResponse {
            secrets: vec![v1::SecretValue {
                value: "planted-secret".into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let command = v1::ExecCommand {
            environment: [("A".to_owned(), "planted-variable".to_owned())].into(),
            ..Default::default()
        };
        let input = v1::ExecRequest {
            message: Some(v1::exec_request::Message::Stdin("planted-input".into())),
        };
        let output = v1::exec_response::Message::Stdout("planted-output".into());
        let printed = format!(
            "{command:?} {input:?} {input:#?} {output:?} {logins:?} {logins:#?} {session:?} {session:#?} {prepare:?} {prepare:#?} {neighbours:?} {neighbours:#?} \
             {client:?} {client:#?} {token:?} {token:#?} {enrol:?} {enrol:#?} \
             {set:?} {set:#?} {secrets:?} {secrets:#?}"
        );
        assert!(printed.contains("registry.example") && printed.contains("git.example"));
        assert!(!printed.contains("planted"), "{printed}");
    }

    /// A field marked `debug_redact` in a message whose `Debug` is still generated would print.
    #[test]
    fn every_redacted_field_is_in_a_message_that_is_redacted_by_hand() {
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/hearth/v1");
        let mut redacted = Vec::new();
        for entry in fs::read_dir(proto).expect("the contract") {
            let text = fs::read_to_string(entry.expect("a file").path()).expect("text");
            for message in text.split("\nmessage ").skip(1) {
                if message.contains("debug_redact = true") {
                    redacted.push(message.split(' ').next().unwrap_or_default().to_owned());
                }
            }
        }
        redacted.sort();
        assert_eq!(
            redacted,
            [
                "AgentServicePrepareWorkspaceRequest",
                "CreateClientResponse",
                "CreateJoinTokenResponse",
                "EnrolRequest",
                "ExecCommand",
                "ExecRequest",
                "ExecResponse",
                "GitCredential",
                "Neighbour",
                "OpenSshRequest",
                "OpenSshResponse",
                "PortForwardRequest",
                "PortForwardResponse",
                "RegisterResponse",
                "RegistryCredential",
                "SecretValue",
                "SetSecretRequest"
            ]
        );
    }
}
