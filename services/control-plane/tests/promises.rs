//! What the control plane promises, against a scripted agent on a real socket. One file for each promise.

mod bad_input;
mod bounds;
mod cache_index;
mod cache_service;
mod credentials;
mod credentials_kept;
mod credentials_refused;
mod credentials_tls;
mod deleting;
mod following;
mod leaving;
mod losing_agents;
mod lost;
mod new_attempts;
mod operating;
mod outages;
mod placing;
mod preparing;
mod probing;
mod registry;
mod restarting;
mod sessions;
mod signatures;
mod starting;
mod support;
mod waiting;
