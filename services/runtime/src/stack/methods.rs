use std::{collections::HashMap, sync::LazyLock};

use prost::Message as _;
use prost_types::FileDescriptorSet;

const HEALTH: &str = "grpc.health.v1.Health/Check";

/// A method of a service that is served. Its name comes from the contract: what strangers make up is no label of a metric.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Method {
    /// `package.Service/Method`.
    pub(super) name: String,
    /// Whether the answer is a stream.
    pub(super) streams: bool,
}

/// Calls that nothing resumes: somebody is in a workspace through them, or through a call that they carry.
const LASTING: [&str; 4] = [
    "hearth.v1.AgentRegistryService/OpenConnection",
    "hearth.v1.WorkspaceService/Exec",
    "hearth.v1.WorkspaceService/OpenSsh",
    "hearth.v1.WorkspaceService/PortForward",
];

static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    let sets = [
        hearth_api::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    sets.into_iter().flat_map(methods).collect()
});

/// Calls of what there is not.
static UNKNOWN: LazyLock<Method> = LazyLock::new(|| Method {
    name: "unknown".to_owned(),
    streams: false,
});

impl Method {
    /// The method that a call names.
    pub(super) fn of(path: &str) -> &'static Self {
        METHODS.get(path).unwrap_or(&UNKNOWN)
    }

    /// Whether it goes on for as long as its caller wants, on a connection of any age.
    pub(super) fn lasts(&self) -> bool {
        LASTING.contains(&self.name.as_str())
    }

    /// Whether it tells that the process serves, also when that has too much to do. Watch goes on for as long as the caller wants,
    /// and counts as any call.
    pub(super) fn is_health(&self) -> bool {
        self.name == HEALTH
    }
}

/// The methods of a set of files, by the path of a call.
fn methods(descriptors: &[u8]) -> Vec<(String, Method)> {
    // They are part of the program.
    let set = FileDescriptorSet::decode(descriptors).unwrap_or_default();
    let mut methods = Vec::new();
    for file in set.file {
        for service in &file.service {
            for method in &service.method {
                let name = format!("{}.{}/{}", file.package(), service.name(), method.name());
                let path = format!("/{name}");
                let streams = method.server_streaming();
                methods.push((path, Method { name, streams }));
            }
        }
    }
    methods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_a_stream_of_the_contract() {
        for name in LASTING {
            let method = Method::of(&format!("/{name}"));
            assert!(method.streams && method.lasts(), "{name}");
        }
        assert!(!Method::of("/hearth.v1.WorkspaceService/WatchWorkspace").lasts());
    }

    #[test]
    fn methods_are_known_by_the_contract_and_others_have_one_name() {
        fn of(path: &str) -> (&'static str, bool) {
            let method = Method::of(path);
            (&method.name, method.streams)
        }
        let get = "/hearth.v1.WorkspaceService/GetWorkspace";
        assert_eq!(of(get), (&get[1..], false));
        let watch = "/hearth.v1.WorkspaceService/WatchWorkspace";
        assert_eq!(of(watch), (&watch[1..], true));
        let health = "/grpc.health.v1.Health/Check";
        assert_eq!(of(health), (&health[1..], false));
        assert!(Method::of(health).is_health() && !Method::of(get).is_health());
        for version in ["v1", "v1alpha"] {
            let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
            assert_eq!(of(&path), (&path[1..], true));
        }
        for unknown in ["/a/b", "", "/hearth.v1.WorkspaceService/Made", &get[1..]] {
            assert_eq!(of(unknown), ("unknown", false));
        }
    }
}
