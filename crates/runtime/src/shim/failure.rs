//! Why a container could not be made: one sentence that users see in its status.

use std::fmt;
use std::io;

/// A sentence.
#[derive(Debug)]
pub(crate) struct Failed(pub String);

/// What the steps of making a container answer.
pub(crate) type Result<T> = std::result::Result<T, Failed>;

impl From<String> for Failed {
    fn from(text: String) -> Failed {
        Failed(text)
    }
}

/// An error of the system in plain lower case, without its number.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Says what was being done when an error of the system came.
pub(crate) trait Context<T> {
    /// `what: why`
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failed(format!("{what}: {}", plain(&error))))
    }
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(io::Error::from).context(what)
    }
}
