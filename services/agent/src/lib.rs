//! The hearth agent: prepares and runs workspaces on one node.
