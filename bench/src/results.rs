//! What scenarios came to, kept in a file, so that one of them can be measured again without the others.

use crate::figures::Figure;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// All that is known, by letter of the scenario.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) scenarios: BTreeMap<char, Outcome>,
}

/// What one scenario came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) title: String,
    /// What was done, in a few sentences.
    pub(crate) method: String,
    /// Who was measured.
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) conditions: Conditions,
}

/// One measure of all contestants; None: it has no such thing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) cells: Vec<Option<Figure>>,
}

/// A figure that was to be reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// What is compared with what.
    pub(crate) name: String,
    pub(crate) figure: Figure,
    pub(crate) goal: Goal,
}

/// What was to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// Reported without one.
    None,
}

/// What a reader has to know about a measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Conditions {
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) versions: String,
    pub(crate) cores: String,
    pub(crate) rounds: usize,
    /// What others took of the machine meanwhile, in shares of a core.
    pub(crate) foreign: Option<Figure>,
    /// What the driver took of its core, at most.
    pub(crate) driver: f64,
}

impl Verdict {
    pub(crate) fn reached(&self) -> bool {
        match self.goal {
            Goal::AtMost(limit) => self.figure.median <= limit,
            Goal::AtLeast(limit) => self.figure.median >= limit,
            Goal::None => true,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Goal::AtMost(limit) => write!(f, "<= {limit}"),
            Goal::AtLeast(limit) => write!(f, ">= {limit}"),
            Goal::None => f.write_str("-"),
        }
    }
}

impl Results {
    /// What the file holds; nothing when there is none.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                serde_json::from_str(&text).with_context(|| format!("{} is not ours", path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}
