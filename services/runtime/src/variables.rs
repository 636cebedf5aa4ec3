use std::env;

use clap::{Command, builder::Resettable};

/// Takes empty environment variables for variables that are not set: that is what `NAME=` in a unit's or a shell's file
/// means, and no flag has an empty value.
pub fn without_empty_variables(command: Command) -> Command {
    command.mut_args(|argument| {
        let variable = argument.get_env().and_then(env::var_os);
        match variable.is_some_and(|value| value.is_empty()) {
            true => argument.env(Resettable::Reset),
            false => argument,
        }
    })
}
