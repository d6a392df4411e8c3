//! What every adapter must do, as runnable cases.
