//! What every hearth process needs: logs, a gRPC server with health and reflection, an admin port with metrics, tasks
//! with an owner, and a shutdown with a deadline.

mod admin;
mod blocking;
mod contain;
pub mod contract;
pub mod events;
mod files;
mod grpc;
mod keyed_tasks;
mod listen;
mod lock_file;
mod peer;
mod port;
mod process;
mod ready;
mod status;
mod tasks;
mod telemetry;
pub mod tls;
mod tunnel;
mod variables;

pub use admin::{Admin, Metrics, Obstacle};
pub use blocking::blocking;
pub use contain::{Panicked, contain};
pub use files::{create_whole, replace_whole, write_atomically};
pub use grpc::GrpcServer;
pub use keyed_tasks::{KeyedTasks, Start};
pub use listen::{ListenArgs, ListenError};
pub use lock_file::{LockError, lock_file};
pub use peer::{Peer, PeerCertificate};
pub use port::Port;
pub use process::{EXIT_CONFIG, EXIT_FAILED, run};
pub use ready::write_ready_file;
pub use status::{FieldFaults, Reason, status, status_with_metadata};
pub use tasks::Tasks;
pub use telemetry::{LogArgs, LogFormat};
pub use tunnel::{Tunnel, serve_tunnel, tunnel_channel};
pub use variables::without_empty_variables;
