use std::time::Duration;

use console::{Term, style};
use hearth_api::v1::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::{
    progress::Progress,
    render::view::{Key, Look, rows},
};

/// How often spinners and their seconds are redrawn.
const TICK: Duration = Duration::from_millis(100);

/// The live display: keeps the rows on the terminal in step with the progress.
#[derive(Default)]
pub(super) struct Live {
    screen: MultiProgress,
    progress: Progress,
    rows: Vec<Row>,
}

struct Row {
    key: Key,
    bar: ProgressBar,
    look: Option<Look>,
}

impl Live {
    pub(super) fn event(&mut self, event: &Event) {
        self.progress.apply(event);
        // The terminal may have another size than at the event before.
        let (_, columns) = Term::stderr().size();
        let wanted = rows(&self.progress, columns.into());
        self.rows.retain(|row| {
            let stays = wanted.iter().any(|(key, _)| *key == row.key);
            if !stays {
                row.bar.finish_and_clear();
                self.screen.remove(&row.bar);
            }
            stays
        });
        for (position, (key, look)) in wanted.into_iter().enumerate() {
            if self.rows.get(position).is_none_or(|row| row.key != key) {
                let bar = self.screen.insert(position, ProgressBar::no_length());
                self.rows.insert(
                    position,
                    Row {
                        key,
                        bar,
                        look: None,
                    },
                );
            }
            if let Some(row) = self.rows.get_mut(position) {
                row.show(look);
            }
        }
    }

    /// Prints lines above the rows.
    pub(super) fn lines(&self, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            // That stderr is closed is no reason to stop.
            self.screen.println(line).ok();
        }
    }
}

impl Drop for Live {
    /// The rows make room for the summary or for an error.
    fn drop(&mut self) {
        for row in &self.rows {
            row.bar.finish_and_clear();
        }
        self.screen.clear().ok();
    }
}

impl Row {
    fn show(&mut self, look: Look) {
        if self.look.as_ref() == Some(&look) {
            return;
        }
        let same_kind = self
            .look
            .as_ref()
            .is_some_and(|old| std::mem::discriminant(old) == std::mem::discriminant(&look));
        match &look {
            Look::Running(text) => {
                if !same_kind {
                    self.style("{spinner} {wide_msg} {elapsed:>6}");
                }
                self.bar.set_message(text.clone());
                if !same_kind {
                    self.bar.enable_steady_tick(TICK);
                }
            }
            Look::Ended(succeeded, text) => {
                let mark = match succeeded {
                    true => style('✓').green(),
                    false => style('✗').red(),
                };
                self.style("{msg}");
                let mark = mark.for_stderr();
                self.bar.finish_with_message(format!("{mark} {text}"));
            }
            Look::Line(text) => {
                if !same_kind {
                    self.style("{msg}");
                    self.bar.disable_steady_tick();
                }
                self.bar.set_message(text.clone());
            }
        }
        self.look = Some(look);
    }

    fn style(&self, template: &str) {
        // The templates are constants; a faulty one would leave the default style.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }
}
