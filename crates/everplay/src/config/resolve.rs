//! From the places a setting may come from to one value and the knowledge of where it came from.

use super::{Config, SETTINGS, Setting};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// This environment variable.
    Environment(&'static str),
    /// This command-line flag.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => write!(f, "default"),
            Source::File(path) => write!(f, "file {}", path.display()),
            Source::Environment(name) => write!(f, "environment {name}"),
            Source::Flag(flag) => write!(f, "flag --{flag}"),
        }
    }
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The text.
    pub text: String,
    /// Where it was written.
    pub source: Source,
}

/// Why the settings are refused. The message names the key and the place.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A value does not fit its setting.
    #[error("setting `{key}` from {source_of_it}: the value {problem}")]
    Wrong {
        /// The setting.
        key: &'static str,
        /// Where the value came from.
        source_of_it: Source,
        /// What is wrong with it. Never the value itself: it may be a secret.
        problem: String,
    },
    /// A store of a cluster without the other.
    #[error(
        "`{set}` is set and `{missing}` is not: the nodes of a cluster keep rooms in Redis and their ownership in \
         PostgreSQL, so they need both; set {} too, or neither to keep rooms in the data directory",
        env_of(missing)
    )]
    Alone {
        /// The setting that is there.
        set: &'static str,
        /// The setting that is not.
        missing: &'static str,
    },
    /// Settings that exclude each other.
    #[error("{problem}")]
    Contradiction {
        /// Which and why.
        problem: &'static str,
    },
    /// A key of the file is not a setting.
    #[error("{}: there is no setting `{key}`{}", path.display(), did_you_mean(closest))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The setting that was probably meant.
        closest: Option<String>,
    },
    /// A variable with our prefix is not a setting.
    #[error("environment variable {name}: there is no such setting{}", did_you_mean(closest))]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The variable that was probably meant.
        closest: Option<String>,
    },
    /// A variable is not text.
    #[error("environment variable {name} is not valid UTF-8")]
    NotText {
        /// The variable.
        name: String,
    },
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not valid TOML: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
}

fn env_of(key: &str) -> &'static str {
    setting(key).map_or("", |setting| setting.env)
}

fn did_you_mean(closest: &Option<String>) -> String {
    closest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// What was found in each place, before it is understood.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Flags: key and text.
    pub flags: Vec<(&'static str, String)>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The file's path and text.
    pub file: Option<(PathBuf, String)>,
}

/// One line of `everplay config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The setting's key.
    pub key: &'static str,
    /// Its value; dots for a secret.
    pub value: String,
    /// Where the value came from.
    pub source: Source,
}

/// Settings in force, and where each came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The values.
    pub config: Config,
    /// For people.
    pub rows: Vec<Row>,
}

impl Sources {
    /// Names a configuration file and reads it.
    pub fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        self.file = Some((path.to_owned(), text));
        Ok(())
    }

    /// Puts the places in order and checks everything in them.
    pub fn resolve(self) -> Result<Resolved, ConfigError> {
        let mut given: HashMap<&'static str, Given> = HashMap::new();
        if let Some((path, text)) = self.file {
            from_file(&path, &text, &mut given)?;
        }
        from_environment(self.environment, &mut given)?;
        for (key, text) in self.flags {
            let setting = setting(key).expect("the command line is built from the settings");
            given.insert(key, Given { text, source: Source::Flag(setting.flag()) });
        }
        let config = Config::read(|key| given.get(key))?;
        let rows = SETTINGS.iter().map(|setting| row(setting, given.get(setting.key))).collect();
        Ok(Resolved { config, rows })
    }
}

fn row(setting: &'static Setting, given: Option<&Given>) -> Row {
    let (text, source) = match given {
        Some(given) => (given.text.clone(), given.source.clone()),
        None => ((setting.default)(), Source::Default),
    };
    let value = if setting.secret && !text.is_empty() { "••••••••".to_owned() } else { text };
    Row { key: setting.key, value, source }
}

fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

fn from_file(path: &Path, text: &str, given: &mut HashMap<&'static str, Given>) -> Result<(), ConfigError> {
    let table: toml::Table = text
        .parse()
        .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
    for (key, value) in table {
        let Some(setting) = setting(&key) else {
            let closest = closest(&key, SETTINGS.iter().map(|setting| setting.key));
            return Err(ConfigError::UnknownKey { path: path.to_owned(), key, closest });
        };
        let source = Source::File(path.to_owned());
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            toml::Value::Array(items) if items.iter().all(toml::Value::is_str) => {
                items.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(",")
            }
            _ => {
                return Err(ConfigError::Wrong {
                    key: setting.key,
                    source_of_it: source,
                    problem: "must be a text, a list of texts, a number, or true or false".into(),
                });
            }
        };
        given.insert(setting.key, Given { text, source });
    }
    Ok(())
}

fn from_environment(
    environment: Vec<(OsString, OsString)>,
    given: &mut HashMap<&'static str, Given>,
) -> Result<(), ConfigError> {
    for (name, value) in environment {
        let Some(name) = name.to_str() else { continue };
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.env == name) {
            let text = value.into_string().map_err(|_| ConfigError::NotText { name: name.to_owned() })?;
            given.insert(setting.key, Given { text, source: Source::Environment(setting.env) });
        } else if name.starts_with("EVERPLAY_") && name != CONFIG_VARIABLE && !is_service_link(name, &value) {
            let renamed = SETTINGS
                .iter()
                .find(|setting| name.eq_ignore_ascii_case(&format!("EVERPLAY_{}", setting.key)));
            let closest = match renamed {
                Some(setting) => Some(setting.env.to_owned()),
                None => closest(name, SETTINGS.iter().map(|setting| setting.env)),
            };
            return Err(ConfigError::UnknownVariable { name: name.to_owned(), closest });
        }
    }
    Ok(())
}

/// Names the configuration file, as `--config` does.
pub(crate) const CONFIG_VARIABLE: &str = "EVERPLAY_CONFIG";

/// Kubernetes gives every pod variables about the services of its namespace; one called `everplay` or
/// `everplay-...` makes these. They are nobody's settings and no mistake.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let is_url = value.to_str().is_some_and(|value| value.contains("://"));
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.contains("_PORT_")
        || (name.ends_with("_PORT") && is_url)
}

/// The candidate that differs in the fewest letters, if it is close enough to be meant.
fn closest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    candidates
        .map(|candidate| (edits(text, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= (candidate.len() / 3).max(2))
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
