//! The only file that prints. Standard output is data, standard error is status: spinners on a
//! terminal, one line per step otherwise.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::Error;

const SPINNER_TICK: Duration = Duration::from_millis(80);

/// Where a command tells how it is getting on.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    interactive: bool,
    colour: bool,
    quiet: bool,
}

impl Ui {
    /// The terminal or pipes that the process was started with. `quiet` drops all status.
    pub fn new(quiet: bool) -> Ui {
        let terminal = std::io::stderr().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Ui { interactive: terminal && !quiet && !dumb, colour: colour && !dumb, quiet }
    }

    /// Prints data to standard output. A reader that went away is not an error.
    pub fn data(&self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Prints bytes to standard output.
    pub fn bytes(&self, bytes: &[u8]) {
        let mut output = std::io::stdout().lock();
        let _ = output.write_all(bytes).and_then(|()| output.flush());
    }

    /// Prints one line of status.
    pub fn status(&self, line: &str) {
        if !self.quiet {
            self.line(line);
        }
    }

    /// Prints a line that is told even with `--quiet`.
    pub fn warning(&self, line: &str) {
        let label = self.paint("warning:", "33;1");
        self.line(&format!("{label} {line}"));
    }

    /// Prints an error and its hints.
    pub fn error(&self, error: &Error) {
        let label = self.paint("error:", "31;1");
        self.line(&format!("{label} {}", error.full_message()));
        error.hints().iter().for_each(|hint| self.hint(hint));
    }

    /// Prints what to do next.
    pub fn hint(&self, hint: &str) {
        let label = self.paint("hint:", "36;1");
        self.line(&format!("{label} {hint}"));
    }

    /// Begins a step that takes a moment.
    pub fn step(&self, text: impl Into<String>) -> Step {
        let text = text.into();
        let spinner = self.interactive.then(|| {
            let target = ProgressDrawTarget::stderr();
            let spinner = ProgressBar::with_draw_target(None, target);
            let style = ProgressStyle::with_template("{spinner} {msg}");
            spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            spinner.set_message(text.clone());
            spinner.enable_steady_tick(SPINNER_TICK);
            spinner
        });
        Step { ui: *self, spinner }
    }

    fn line(&self, line: &str) {
        let mut output = std::io::stderr().lock();
        let _ = writeln!(output, "{line}");
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A step under way. Dropping it without [`Step::done`] leaves no trace on the terminal.
pub struct Step {
    ui: Ui,
    spinner: Option<ProgressBar>,
}

impl Step {
    /// Changes what is told about the step while it runs.
    pub fn update(&self, text: impl Into<String>) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(text.into());
        }
    }

    /// The step is done: `text` says what is there now.
    pub fn done(mut self, text: &str) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
            let mark = self.ui.paint("✓", "32;1");
            self.ui.status(&format!("{mark} {text}"));
        } else {
            self.ui.status(text);
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }
}
