//! Images in and out of a registry and an engine.
