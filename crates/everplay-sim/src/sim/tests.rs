//! The same seed does the same, and a handful of seeds find nothing.

use crate::{Plan, Planted, run};

#[test]
fn a_seed_repeats_itself() {
    for seed in 0..6 {
        let plan = Plan { seed, planted: Planted::None, verbose: false };
        let (first, second) = (run(plan), run(plan));
        assert_eq!(first.hash, second.hash, "seed {seed}");
    }
}

#[test]
fn some_seeds_find_nothing() {
    for seed in 0..20 {
        let report = run(Plan { seed, planted: Planted::None, verbose: true });
        if let Some(failure) = report.failure {
            let from = report.log.len().saturating_sub(150);
            panic!("seed {seed}: {failure}\n{}", report.log[from..].join("\n"));
        }
    }
}
