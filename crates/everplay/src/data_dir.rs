//! The directory of everything that survives a restart: one server at a time, one process id for ever.
//!
//! ```text
//! DIR/journal.sqlite   journals, snapshots, directory of rooms, ownership; with its log beside it
//! DIR/lock             locked as long as a server runs; the system lets go of it when the process ends, however
//! DIR/pid              that server's process, for the message to whoever comes second
//! DIR/process-id       first segment of the rooms' URLs, drawn at the first start
//! ```

use crate::Error;
use everplay_live::{OpenError, SqliteLiveStore, SqliteOptions};
use everplay_types::ProcessId;
use std::error::Error as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Makes the directory when it is missing, takes it, and reads or draws its process id.
pub(crate) fn open(path: &Path) -> Result<(SqliteLiveStore, ProcessId), Error> {
    fs::create_dir_all(path).map_err(|error| refused(path, "it cannot be made", &error))?;
    let store = SqliteLiveStore::open(SqliteOptions::new(path)).map_err(|error| explain(path, error))?;
    fs::write(path.join("pid"), std::process::id().to_string())
        .map_err(|error| refused(path, "it cannot be written to", &error))?;
    let id = process_id(path)?;
    Ok((store, id))
}

/// Takes a directory that a server has used before.
pub(crate) fn open_existing(path: &Path) -> Result<SqliteLiveStore, Error> {
    if !path.join(everplay_live::FILE_NAME).is_file() {
        let problem = "no server has kept rooms here".to_owned();
        return Err(Error::DataDir { path: path.to_owned(), problem });
    }
    SqliteLiveStore::open(SqliteOptions::new(path)).map_err(|error| explain(path, error))
}

fn process_id(path: &Path) -> Result<ProcessId, Error> {
    let file = path.join("process-id");
    match fs::read_to_string(&file) {
        Ok(text) => ProcessId::new(text.trim()).map_err(|error| Error::DataDir {
            path: file,
            problem: format!("its text is no process id: {error}; remove the file to have a new one drawn"),
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let id = draw_process_id();
            write_whole(path, "process-id", id.as_str())
                .map_err(|error| refused(path, "it cannot be written to", &error))?;
            Ok(id)
        }
        Err(error) => Err(refused(&file, "it cannot be read", &error)),
    }
}

/// Nine characters of the alphabet the SDKs' URLs allow, as the official server draws them: 54 bits.
pub(crate) fn draw_process_id() -> ProcessId {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    let bits: u64 = rand::random();
    let text: String = (0..9).map(|at| char::from(ALPHABET[(bits >> (6 * at)) as usize & 63])).collect();
    ProcessId::new(text).expect("nine characters of the alphabet of ids")
}

/// Written whole or not at all, whatever happens in between.
fn write_whole(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let draft = directory.join(format!("{name}.draft"));
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, directory.join(name))?;
    File::open(directory)?.sync_all()
}

fn explain(path: &Path, error: OpenError) -> Error {
    match error {
        OpenError::InUse { .. } => {
            let pid = fs::read_to_string(path.join("pid")).unwrap_or_default();
            let who = if pid.is_empty() { String::new() } else { format!(" (process {pid})") };
            Error::DataDir { path: path.to_owned(), problem: format!("another server uses it{who}") }
        }
        OpenError::Io { path, source } => refused(&path, "it cannot be used", &source),
        error => {
            let mut problem = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                problem.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            Error::DataDir { path: path.to_owned(), problem }
        }
    }
}

fn refused(path: &Path, what: &str, error: &io::Error) -> Error {
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => "; give this user write access, or choose another with --data-dir",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "; make space and start again: nothing was lost"
        }
        ErrorKind::ReadOnlyFilesystem => "; choose another with --data-dir",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "; something else has this name",
        _ => "",
    };
    Error::DataDir { path: path.to_owned(), problem: format!("{what}: {error}{hint}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_id_is_drawn_once() {
        let temp = tempfile::tempdir().unwrap();
        let (store, first) = open(temp.path()).unwrap();
        drop(store);
        let (_, second) = open(temp.path()).unwrap();
        assert_eq!(first, second);
        assert_eq!(first.len(), 9);
    }

    #[test]
    fn a_second_server_is_told_who_uses_the_directory() {
        let temp = tempfile::tempdir().unwrap();
        let held = open(temp.path()).unwrap();
        let refused = open(temp.path()).unwrap_err().to_string();
        assert!(
            refused.ends_with(&format!("another server uses it (process {})", std::process::id())),
            "{refused}"
        );
        drop(held);
        open(temp.path()).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = open(&file).unwrap_err().to_string();
        assert!(refused.contains("something else has this name"), "{refused}");
        let refused = open(&file.join("below")).unwrap_err().to_string();
        assert!(refused.contains(&*file.to_string_lossy()), "{refused}");
    }

    #[test]
    fn a_directory_without_rooms_is_not_made_into_one() {
        let temp = tempfile::tempdir().unwrap();
        let refused = open_existing(temp.path()).unwrap_err().to_string();
        assert!(refused.ends_with("no server has kept rooms here"), "{refused}");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}
