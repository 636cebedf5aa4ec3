use std::{
    env,
    io::{self, IsTerminal as _},
};

use hearth_api::v1::{Event, Workspace, event::Kind};

use super::live::Live;
use crate::{
    error::CliError,
    json::Json,
    out::Out,
    render::{
        clean::line,
        describe::describe,
        names,
        plain::{Plain, Stamp},
    },
};

/// How a preparation is shown while it runs: events on stdout for programs, or progress on stderr for people, so that
/// stdout holds nothing but the result.
pub(super) enum Display<'a> {
    /// One event a line.
    Json(&'a Out, &'a Json),
    /// One line for what is worth one.
    Plain(&'a Out, Box<Plain>),
    /// Drawn anew again and again.
    Live(Box<Live>, bool),
}

impl<'a> Display<'a> {
    pub(super) fn new(out: &'a Out, json: Option<&'a Json>, verbose: bool) -> Self {
        match json {
            Some(json) => Self::Json(out, json),
            None if is_drawable() => Self::Live(Box::default(), verbose),
            None => Self::Plain(out, Box::new(Plain::new(Stamp::Elapsed, verbose))),
        }
    }

    pub(super) fn snapshot(&mut self, workspace: &Workspace) {
        if let Self::Json(..) = self {
            return;
        }
        let place = match line(&workspace.node) {
            node if node.is_empty() => String::new(),
            node => format!(" on {node}"),
        };
        self.note(&format!(
            "workspace {}{place}: {}",
            line(&workspace.id),
            names::state(workspace.state)
        ));
    }

    pub(super) fn event(&mut self, event: &Event) -> Result<(), CliError> {
        match self {
            Self::Json(out, json) => out.print(&json.line(event).map_err(CliError::Local)?)?,
            Self::Plain(out, plain) => {
                for line in plain.lines(event) {
                    out.note(&line);
                }
            }
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
            Self::Json(out, _) | Self::Plain(out, _) => out.note(text),
            Self::Live(live, _) => live.lines([text.to_owned()]),
        }
    }
}

/// Whether stderr is a terminal that understands how to move the cursor.
fn is_drawable() -> bool {
    io::stderr().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}
