//! The hearth control plane: the service clients talk to.
