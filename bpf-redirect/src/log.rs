//! libbpf's messages: to `tracing` at debug level, and into the error of the load that failed.
//!
//! Without this they go to stderr. libbpf calls back on the thread that called it, so a capture
//! is a matter of that thread alone.

use std::cell::RefCell;
use std::sync::Once;

use libbpf_rs::{PrintLevel, set_print};

thread_local! {
    static CAPTURE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `operation`; returns its result and the warnings that libbpf printed meanwhile, which
/// hold the verifier's log when a program was refused.
pub(crate) fn capture<T>(operation: impl FnOnce() -> T) -> (T, String) {
    static REDIRECT: Once = Once::new();
    REDIRECT.call_once(|| {
        set_print(Some((PrintLevel::Debug, on_message)));
    });
    CAPTURE.set(Some(String::new()));
    let result = operation();
    (result, CAPTURE.take().unwrap_or_default())
}

fn on_message(level: PrintLevel, message: String) {
    tracing::debug!(target: "libbpf", "{}", message.trim_end());
    if level != PrintLevel::Warn {
        return;
    }
    CAPTURE.with_borrow_mut(|capture| {
        if let Some(capture) = capture {
            capture.push_str(&message);
        }
    });
}
