//! The commands of this repository, so that people and the pipeline run the same: `cargo xtask help`.
//!
//! play, cluster, build   web.rs builds the page, cargo the server
//! test [LANE...]         lanes.rs: everything that must hold, in parts that fail alone
//! check                  check.rs: format, lints, documentation, lanes, dependencies
//! bench, fuzz, sim       bench.rs, fuzz.rs, sim.rs
//!
//! The house rules that no compiler knows are in tidy.rs.

mod bench;
mod check;
mod fuzz;
mod lanes;
mod npm;
mod play;
mod python;
mod run;
mod sim;
mod tidy;
mod web;
mod workspace;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use workspace::Workspace;

/// The commands of this repository
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the page and the server, start it, and say where to look; Ctrl-C stops it
    Play {
        /// Port to listen on
        #[arg(long, default_value_t = 2567)]
        port: u16,
        /// Optimise: slower to build, faster to run
        #[arg(long)]
        release: bool,
        /// Where the rooms are kept; the next start continues them
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Build everything and start a whole region: a page with the game, and beside it the nodes with a kill button each
    Cluster {
        /// Port of that page
        #[arg(long, default_value_t = 2567)]
        port: u16,
        /// Optimise: slower to build, faster to run
        #[arg(long)]
        release: bool,
    },
    /// Build the page and the optimised server, which carries the page
    Build,
    /// Run the tests, in lanes that fail alone; without names all of them
    Test {
        /// Lanes to run, in this order
        #[arg(value_name = "LANE", value_parser = lanes::by_name)]
        lanes: Vec<lanes::Lane>,
        /// Print the lanes and what each shows
        #[arg(long)]
        list: bool,
    },
    /// Everything a change must pass: format, lints, documentation, the lanes of `test`, dependencies
    Check,
    /// Measure the server beside Colyseus and the floor and write docs/benchmarks.md; with names, other benchmarks
    Bench {
        /// A package with benchmarks, or `server` for the program by itself under load
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        comparison: bench::Comparison,
        /// Arguments for the benchmarks themselves
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Run the cluster in one thread from seeds, or search its protocol; `cargo xtask sim --help`
    #[command(disable_help_flag = true)]
    Sim {
        /// What the simulator is told, such as `--seeds 10000`, `--seed 17` or `--plant-all`
        #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Feed the decoders hostile bytes; without a name each target in turn
    Fuzz {
        /// A file of fuzz/fuzz_targets, without its ending
        #[arg(value_name = "TARGET")]
        target: Option<String>,
        /// Time for each target
        #[arg(long, default_value_t = 60, value_name = "N")]
        seconds: u64,
        /// Print the targets
        #[arg(long)]
        list: bool,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = Workspace::find().and_then(|workspace| match cli.command {
        Command::Play { port, release, data_dir } => {
            play::play(&workspace, port, release, data_dir.as_deref())
        }
        Command::Cluster { port, release } => play::cluster(&workspace, port, release),
        Command::Build => play::build(&workspace),
        Command::Test { list: true, .. } => {
            lanes::list();
            Ok(true)
        }
        Command::Test { lanes, .. } => Ok(lanes::test(&workspace, &lanes)),
        Command::Check => Ok(check::check(&workspace)),
        Command::Bench { names, comparison, arguments } => {
            bench::bench(&workspace, &names, &comparison, &arguments)
        }
        Command::Sim { arguments } => sim::sim(&arguments),
        Command::Fuzz { list: true, .. } => fuzz::list(&workspace),
        Command::Fuzz { target, seconds, .. } => fuzz::fuzz(&workspace, target.as_deref(), seconds),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
