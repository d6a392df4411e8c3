//! Checks the ownership protocol in two ways.
//!
//! | module | what runs | what it covers |
//! |---|---|---|
//! | [`model`] | a small abstract machine, every interleaving | the rules: which are needed, which are not |
//!
//! The page is `docs/simulation.md`.

pub mod model;
