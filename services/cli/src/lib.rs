//! hearth: the command line client.
