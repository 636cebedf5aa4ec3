//! What every hearth process needs: logs, a gRPC server with health and reflection, an admin port with metrics, tasks
//! with an owner, and a shutdown with a deadline.

mod admin;
mod blocking;
mod connection;
mod contain;
pub mod contract;
pub mod events;
mod files;
mod grpc;
mod keyed_tasks;
mod limits;
mod line;
mod listen;
mod lock_file;
mod peer;
mod places;
mod process;
mod ready;
mod stack;
mod status;
mod tasks;
mod telemetry;
mod trace;
mod tunnel;
mod variables;

pub use admin::{Admin, Metrics, Obstacle};
pub use blocking::blocking;
pub use contain::{Panicked, contain};
pub use files::{create_whole, write_atomically};
pub use grpc::GrpcServer;
pub use keyed_tasks::{KeyedTasks, Start};
pub use limits::LimitArgs;
pub use line::OnConnection;
pub use listen::{ListenArgs, ListenError};
pub use lock_file::{LockError, lock_file};
pub use peer::{Peer, PeerCertificate};
pub use process::{EXIT_CONFIG, EXIT_FAILED, run};
pub use ready::write_ready_file;
pub use stack::{CallMetrics, Stack};
pub use status::{FieldFaults, Reason, status, status_with_metadata};
pub use tasks::Tasks;
pub use telemetry::{LogArgs, LogFormat};
pub use trace::in_trace;
pub use tunnel::{Tunnel, serve_tunnel, tunnel_channel};
pub use variables::without_empty_variables;
