//! Hears the warnings that PostgreSQL sends with its answers.
//!
//! The client library hands them to `tracing` and to nobody else, so this is a subscriber that notes them and passes
//! everything on to the subscriber that was in force when it was made. It is set for the arbiter's task alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// Where the client library reports what the server says besides its answers.
const TARGET: &str = "sqlx::postgres::notice";

/// Whether a warning came since they were last forgotten.
#[derive(Clone)]
pub(super) struct Warnings {
    heard: Arc<AtomicBool>,
    dispatch: Dispatch,
}

impl Warnings {
    pub(super) fn new() -> Warnings {
        let heard = Arc::new(AtomicBool::new(false));
        let next = tracing::dispatcher::get_default(Dispatch::clone);
        let dispatch = Dispatch::new(Listener { heard: Arc::clone(&heard), next });
        Warnings { heard, dispatch }
    }

    /// What a task must run under for its warnings to be heard.
    pub(super) fn dispatch(&self) -> Dispatch {
        self.dispatch.clone()
    }

    pub(super) fn forget(&self) {
        self.heard.store(false, Ordering::Relaxed);
    }

    pub(super) fn any(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }
}

struct Listener {
    heard: Arc<AtomicBool>,
    next: Dispatch,
}

fn is_warning(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET && *metadata.level() <= Level::WARN
}

impl Subscriber for Listener {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_warning(metadata) { Interest::always() } else { self.next.register_callsite(metadata) }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_warning(metadata) || self.next.enabled(metadata)
    }

    /// The next subscriber's own level is known to `tracing` already.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        if is_warning(event.metadata()) {
            self.heard.store(true, Ordering::Relaxed);
        }
        if self.next.enabled(event.metadata()) {
            self.next.event(event);
        }
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.next.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.next.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.next.record_follows_from(span, follows);
    }

    fn enter(&self, span: &Id) {
        self.next.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.next.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.next.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.next.try_close(id)
    }
}
