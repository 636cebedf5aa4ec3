use std::{
    env,
    io::{self, IsTerminal as _},
};

use hearth_api::v1::{Event, Workspace, event::Kind};
use hearth_domain::text::printable_line;

use super::live::Live;
use crate::{
    error::CliError,
    json::Json,
    out,
    render::{
        describe::describe,
        names,
        plain::{Plain, Stamp},
    },
};

/// Shows the events of `hearth up`: on stdout for programs, or on stderr for people, so that stdout has only the result.
pub(super) enum Display<'a> {
    Json(&'a Json),
    Plain(Box<Plain>),
    /// On a terminal. The flag asks for the output of commands, too.
    Live(Box<Live>, bool),
}

impl<'a> Display<'a> {
    pub(super) fn new(json: Option<&'a Json>, verbose: bool) -> Self {
        match json {
            Some(json) => Self::Json(json),
            None if is_drawable() => Self::Live(Box::default(), verbose),
            None => Self::Plain(Box::new(Plain::new(Stamp::Elapsed, verbose))),
        }
    }

    pub(super) fn snapshot(&mut self, workspace: &Workspace) {
        if let Self::Json(..) = self {
            return;
        }
        let on_node = match printable_line(&workspace.node) {
            node if node.is_empty() => String::new(),
            node => format!(" on {node}"),
        };
        self.note(&format!(
            "workspace {}{on_node}: {}",
            printable_line(&workspace.id),
            names::state(workspace.state)
        ));
    }

    pub(super) fn event(&mut self, event: &Event) -> Result<(), CliError> {
        match self {
            Self::Json(json) => json.print(event)?,
            Self::Plain(plain) => plain.lines(event).iter().for_each(|line| out::note(line)),
            Self::Live(live, verbose) => {
                live.event(event);
                match &event.kind {
                    Some(kind @ Kind::Warning(_)) => live.lines(describe(kind)),
                    Some(kind @ Kind::Log(_)) if *verbose => live.lines(describe(kind)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    pub(super) fn note(&mut self, text: &str) {
        match self {
            Self::Json(_) | Self::Plain(_) => out::note(text),
            Self::Live(live, _) => live.lines([text.to_owned()]),
        }
    }
}

/// Whether stderr is a terminal that can move its cursor.
fn is_drawable() -> bool {
    io::stderr().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}
