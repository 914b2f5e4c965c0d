//! Lines that a guest writes for its author. They are kept during a call and go to the host's own
//! log after it, so a guest's chatter costs no formatting while it holds the scope.

use super::bindings::Level;
use atomic_store_core::{Limits, ScopeName};

/// The beginning of a text, at most so many bytes and whole characters.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The first lines of one call.
#[derive(Debug, Default)]
pub(super) struct LogLines {
    kept: Vec<(Level, String)>,
    dropped: u64,
}

impl LogLines {
    /// True if one more line would be kept.
    pub(super) fn has_room(&self, limits: &Limits) -> bool {
        self.kept.len() < limits.log_lines_max
    }

    /// Keeps a line. The caller has seen that there is room, and cut it.
    pub(super) fn push(&mut self, level: Level, message: String) {
        self.kept.push((level, message));
    }

    /// Counts a line that is not kept.
    pub(super) fn drop_one(&mut self) {
        self.dropped += 1;
    }

    /// Hands the lines to the host's log. Control characters are escaped: the text is the guest's,
    /// and whoever reads the log may read it in a terminal.
    pub(super) fn flush(&mut self, scope: &ScopeName, call: &'static str) {
        for (level, message) in self.kept.drain(..) {
            let message = message.escape_debug();
            match level {
                Level::Debug => {
                    tracing::debug!(target: "guest", %scope, call, "{message}");
                }
                Level::Info => tracing::info!(target: "guest", %scope, call, "{message}"),
                Level::Warn => tracing::warn!(target: "guest", %scope, call, "{message}"),
                Level::Error => tracing::error!(target: "guest", %scope, call, "{message}"),
            }
        }
        if self.dropped > 0 {
            tracing::info!(target: "guest", %scope, call, "{} more lines", self.dropped);
            self.dropped = 0;
        }
    }
}
