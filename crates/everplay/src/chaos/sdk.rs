//! Players that are the official SDK of 0.18, all in one process of `node`, judged here like our own.

use super::bots::{Common, Who};
use super::child::{find, trouble};
use super::witness::{Page, Witness};
use crate::Result;
use crate::chronicle::RING;
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::timeout;

const SCRIPT: &str = include_str!("sdk.mjs");
/// The release that is asked for.
const RELEASE: &str = "0.18.";
/// Time for all of them to join.
const JOINING: Duration = Duration::from_secs(60);
/// How to get what is missing.
const INSTALL: &str = "`npm install @colyseus/sdk@0.18` in a folder, and name it with --sdk-folder";

/// A package that was found, and what runs it.
#[derive(Debug)]
pub(super) struct Sdk {
    node: PathBuf,
    package: PathBuf,
    pub(super) version: String,
}

/// What a player was shown, as the script says it.
#[derive(Debug, Deserialize)]
struct Line {
    player: usize,
    #[serde(flatten)]
    what: What,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum What {
    State {
        tick: u32,
        chain: String,
        /// Place in the ring, and the link that is there.
        links: Vec<(usize, String)>,
        scribe: Option<[u32; 3]>,
        sent: u32,
        full: bool,
    },
    Mark {
        mark: u32,
    },
    Joined {
        joined: String,
        session: String,
    },
    Dropped {
        #[serde(rename = "dropped")]
        _code: u16,
    },
    Left {
        left: u16,
        reason: String,
    },
    Failed {
        failed: String,
    },
}

/// A line, or why it is none.
type Said = Result<Line, String>;

/// Players that have joined. Their process ends with this.
#[derive(Debug)]
pub(super) struct Players {
    process: Running,
    lines: UnboundedReceiver<Said>,
    /// What was said until all had joined.
    early: Vec<Line>,
}

/// A process that ends when it is dropped.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is as good.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// One of them.
struct Player {
    number: usize,
    who: String,
    room: String,
    witness: Witness,
}

impl Sdk {
    /// Looks for `node` and the package. The error says what is missing and how to get it.
    pub(super) fn find(folder: Option<&Path>) -> Result<Sdk, String> {
        let node = find("node", "install Node.js 20 or newer").map_err(|error| error.to_string())?;
        let places: Vec<PathBuf> = match folder {
            Some(folder) => vec![folder.to_owned()],
            None => {
                let here = std::env::current_dir().unwrap_or_default();
                here.ancestors().flat_map(|folder| [folder.to_owned(), folder.join("tests/sdk")]).collect()
            }
        };
        let names = ["node_modules/@colyseus/sdk", "node_modules/sdk18", "."];
        let mut packages = places.iter().flat_map(|place| names.map(|name| place.join(name)));
        let found = packages.find_map(|package| Some((version(&package)?, package)));
        let (version, package) = found.ok_or_else(|| format!("@colyseus/sdk is not there: {INSTALL}"))?;
        let package = package.canonicalize().map_err(|error| error.to_string())?;
        Ok(Sdk { node, package, version })
    }

    /// Has one player for each group join.
    pub(super) async fn join(&self, url: &str, kind: &str, groups: &[String]) -> Result<Players> {
        let failed = |problem: String| trouble(format!("the SDK's players: {problem}"));
        let mut command = Command::new(&self.node);
        command.args(["--input-type=commonjs", "-e", SCRIPT, "--"]).arg(&self.package).args([url, kind]);
        command.args(groups).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.process_group(0).spawn().map_err(|error| failed(error.to_string()))?;
        let out = child.stdout.take().ok_or_else(|| failed("they cannot be heard".to_owned()))?;
        let process = Running(child);
        let (say, mut lines) = unbounded_channel();
        // Ends with the process, or when nobody listens any more.
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let line: Said = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"));
                if say.send(line).is_err() {
                    break;
                }
            }
        });
        let mut early: Vec<Line> = Vec::new();
        let mut missing = groups.len();
        while missing > 0 {
            let line = timeout(JOINING, lines.recv()).await;
            let line = line.map_err(|_| failed("they do not get in".to_owned()))?;
            let said: Said = line.ok_or_else(|| failed("they ended".to_owned()))?;
            let line = said.map_err(failed)?;
            match &line.what {
                What::Joined { .. } => missing -= 1,
                What::Failed { failed: why } => return Err(failed(why.clone())),
                _ => {}
            }
            early.push(line);
        }
        Ok(Players { process, lines, early })
    }
}

/// The version of a package, if it is one we know.
fn version(package: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let text = std::fs::read_to_string(package.join("package.json")).ok()?;
    let package: Package = serde_json::from_str(&text).ok()?;
    (package.name == "@colyseus/sdk" && package.version.starts_with(RELEASE)).then_some(package.version)
}

/// Judges what they say, until the game is over.
pub(super) async fn listen(players: Players, common: Arc<Mutex<Common>>, mut scatter: watch::Receiver<u32>) {
    let Players { mut process, mut lines, early } = players;
    let mut known: HashMap<usize, Player> = HashMap::new();
    for line in early {
        judge(&mut known, line, &common);
    }
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(Ok(line)) => judge(&mut known, line, &common),
                Some(Err(problem)) => common.lock().violate(format!("the SDK's process said {problem}")),
                None => {
                    common.lock().violate("the SDK's process ended".to_owned());
                    return;
                }
            },
            Ok(()) = scatter.changed() => {
                if let Some(stdin) = &mut process.0.stdin {
                    // A process that ended is told above.
                    let _ = stdin.write_all(b"scatter\n");
                }
            }
        }
    }
}

fn judge(known: &mut HashMap<usize, Player>, line: Line, common: &Mutex<Common>) {
    let mut common = common.lock();
    if let What::Joined { joined: room, session } = line.what {
        let who = format!("{session} (SDK) in {room}");
        let number = common.enlist(Who::Sdk, room.clone());
        known.insert(line.player, Player { number, who, room, witness: Witness::default() });
        return;
    }
    let Some(player) = known.get_mut(&line.player) else { return };
    let Player { number, who, room, witness } = player;
    match line.what {
        What::State { tick, chain, links, scribe, sent, full } => {
            common.shown(*number, full);
            witness.sent = sent;
            match page(tick, &chain, &links, scribe) {
                // The bytes are not seen here: that a step was shown twice shows by what it says.
                Some(page) => common.judge(who, room, witness, &page, full, false),
                None => common.violate(format!("{who}: a state that is not a chronicle's")),
            }
        }
        What::Mark { mark } => {
            if let Err(problem) = witness.marks(mark) {
                common.violate(format!("{who}: {problem}"));
            }
        }
        What::Dropped { .. } => {
            witness.drops();
            common.dropped(*number);
        }
        What::Left { left, reason } => common.lose(*number, who, left, &reason),
        What::Failed { failed } => common.violate(format!("{who}: {failed}")),
        What::Joined { .. } => {}
    }
}

fn page(tick: u32, chain: &str, links: &[(usize, String)], scribe: Option<[u32; 3]>) -> Option<Page> {
    let mut ring = vec![0; RING as usize];
    for (at, link) in links {
        *ring.get_mut(*at)? = link.parse().ok()?;
    }
    Some(Page::new(tick, chain.parse().ok()?, ring, scribe))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Line {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn what_the_script_says_is_understood() {
        let line = read(
            r#"{"player":1,"at":9,"tick":65,"chain":"18446744073709551615","links":[[1,"7"]],"scribe":[1,2,0],"sent":2,"full":true}"#,
        );
        let What::State { tick, chain, links, scribe, .. } = line.what else { panic!("{line:?}") };
        let page = page(tick, &chain, &links, scribe).unwrap();
        assert_eq!((line.player, page.tick, page.chain), (1, 65, u64::MAX));
        assert!(matches!(read(r#"{"player":0,"mark":3}"#).what, What::Mark { mark: 3 }));
        assert!(matches!(read(r#"{"player":0,"dropped":1006}"#).what, What::Dropped { .. }));
        assert!(matches!(
            read(r#"{"player":0,"left":4000,"reason":""}"#).what,
            What::Left { left: 4000, .. }
        ));
        assert!(matches!(read(r#"{"player":0,"joined":"r","session":"s"}"#).what, What::Joined { .. }));
        assert!(matches!(read(r#"{"player":0,"failed":"no"}"#).what, What::Failed { .. }));
    }

    #[test]
    fn a_folder_without_the_package_says_how_to_get_it() {
        let empty = tempfile::tempdir().unwrap();
        let problem = Sdk::find(Some(empty.path())).unwrap_err();
        assert!(problem.contains("npm install") || problem.contains("Node.js"), "{problem}");
        std::fs::write(empty.path().join("package.json"), r#"{"name":"@colyseus/sdk","version":"0.18.4"}"#)
            .unwrap();
        assert_eq!(version(empty.path()).as_deref(), Some("0.18.4"));
    }
}
