//! What a control plane, agents and clients say to each other, as another version of them would say it.

use std::sync::atomic::{AtomicUsize, Ordering};

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, ReflectMessage as _,
    Value,
};

/// Two fields that nobody knows, in wire format: number 15001 has a text, and 15002 a number.
const UNKNOWN: &[u8] = b"\xca\xa9\x07\x05newer\xd0\xa9\x07\x07";
/// An event of a kind that nobody knows.
const UNKNOWN_KIND: &[u8] = b"\xda\xa9\x07\x02\x08\x01";
/// What no enum has.
const UNKNOWN_NUMBER: i32 = 9999;
/// Kinds of events that become such of a newer version: they are for display.
const KINDS: [&str; 3] = ["activity", "build_step", "log"];
/// Enums that become such of a newer version, by message and field.
const ENUMS: [(&str, &str); 6] = [
    ("NodeInfo", "image_store"),
    ("AgentServicePrepareWorkspaceRequest", "cache_skip_reason"),
    ("AgentServicePrepareWorkspaceRequest", "host_access"),
    ("LogChunk", "step"),
    ("BuildStep", "status"),
    ("PushReport", "outcome"),
];

/// Another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// That of the newest release: what its contract does not have is left out, and calls that it does not have are not known.
    Released,
    /// A later one: every message has fields that nobody knows, and there are events and values of enums that nobody knows.
    Later,
}

/// Turns what is said into what the other version would have said.
pub struct Speech {
    pub version: Version,
    pool: DescriptorPool,
    /// How many fields were left out, or added.
    changed: AtomicUsize,
    /// How many calls were not known.
    unknown: AtomicUsize,
}

/// The call by which agents are called. Without it, which came after the release, nobody could be.
pub const OPEN: &str = "/hearth.v1.AgentRegistryService/OpenConnection";

impl Speech {
    pub fn of(version: Version) -> Self {
        let pool = match version {
            Version::Released => DescriptorPool::decode(&*newest_release()),
            Version::Later => DescriptorPool::decode(hearth_api::FILE_DESCRIPTOR_SET),
        };
        Self {
            version,
            pool: pool.expect("a contract"),
            changed: AtomicUsize::new(0),
            unknown: AtomicUsize::new(0),
        }
    }

    /// The call of this path, if the other version has it.
    pub fn method(&self, path: &str) -> Option<MethodDescriptor> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        let service = self.pool.get_service_by_name(service);
        let found = service.and_then(|service| service.methods().find(|one| one.name() == method));
        if found.is_none() {
            self.unknown.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// A message as the other version would have sent it.
    pub fn say(&self, message: &MessageDescriptor, bytes: &[u8]) -> Vec<u8> {
        let decoded = DynamicMessage::decode(message.clone(), bytes);
        let mut decoded = decoded.expect("a message of the contract");
        self.change(&mut decoded);
        decoded.encode_to_vec()
    }

    fn change(&self, message: &mut DynamicMessage) {
        match self.version {
            Version::Released => {
                let left_out = message.take_unknown_fields().count();
                self.changed.fetch_add(left_out, Ordering::Relaxed);
            }
            Version::Later => self.add_unknown(message),
        }
        for (_, value) in message.fields_mut() {
            self.change_value(value);
        }
    }

    fn change_value(&self, value: &mut Value) {
        match value {
            // Those of others have a fixed form.
            Value::Message(message) if message.descriptor().package_name() == "hearth.v1" => {
                self.change(message);
            }
            Value::List(values) => values.iter_mut().for_each(|value| self.change_value(value)),
            Value::Map(values) => values
                .values_mut()
                .for_each(|value| self.change_value(value)),
            _ => {}
        }
    }

    fn add_unknown(&self, message: &mut DynamicMessage) {
        let descriptor = message.descriptor();
        if descriptor.name() == "Event" {
            for kind in KINDS {
                let field = descriptor.get_field_by_name(kind).expect("a kind");
                if message.has_field(&field) {
                    message.clear_field(&field);
                    message.merge(UNKNOWN_KIND).expect("a field");
                }
            }
        }
        for field in descriptor.fields() {
            let is_one = ENUMS.contains(&(descriptor.name(), field.name()));
            if is_one && matches!(field.kind(), Kind::Enum(_)) {
                message.set_field(&field, Value::EnumNumber(UNKNOWN_NUMBER));
            }
        }
        message.merge(UNKNOWN).expect("fields");
        self.changed.fetch_add(1, Ordering::Relaxed);
    }

    /// How much of what was said was changed so far.
    pub fn changed(&self) -> usize {
        self.changed.load(Ordering::Relaxed)
    }

    /// How many calls were not known so far.
    pub fn unknown(&self) -> usize {
        self.unknown.load(Ordering::Relaxed)
    }
}

/// The contract of the newest release.
fn newest_release() -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/released");
    let files = std::fs::read_dir(folder).expect("contracts of releases");
    let versions = files.filter_map(|file| {
        let path = file.expect("a file").path();
        let name = path.file_name()?.to_str()?;
        let version = name.strip_prefix('v')?.strip_suffix(".binpb")?;
        let numbers: Result<Vec<u32>, _> = version.split('.').map(str::parse).collect();
        Some((numbers.ok()?, path.clone()))
    });
    let (_, newest) = versions.max().expect("a release");
    std::fs::read(newest).expect("a contract")
}
