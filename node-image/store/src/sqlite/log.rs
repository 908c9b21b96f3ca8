//! The log's file: a row per change that is still part of the state or of the history, in order.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, params};

use super::Durability;
use crate::record::revision_of;
use crate::{Entry, Error, Event, Revision, Snapshot};

/// The version of the tables below.
const FORMAT: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS log (row INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB);
    CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, revision INTEGER NOT NULL);
";

/// The open log.
pub(super) struct Log {
    connection: Connection,
}

/// What a log held when it was opened.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) snapshot: Snapshot,
    pub(super) history: Vec<Event>,
    pub(super) compacted: Revision,
}

impl Log {
    pub(super) fn open(path: &Path, durability: Durability) -> Result<(Log, Contents), Error> {
        let open = failed("open");
        let connection = Connection::open(path).map_err(&open)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(&open)?;
        let synchronous = match durability {
            Durability::Process => "NORMAL",
            Durability::Full => "FULL",
        };
        connection.pragma_update(None, "synchronous", synchronous).map_err(&open)?;
        connection.pragma_update(None, "journal_size_limit", 16 << 20).map_err(&open)?;
        make_tables(&connection, path)?;
        let contents = read(&connection).map_err(failed("read"))?;
        Ok((Log { connection }, contents))
    }

    /// Adds changes and takes away what only forgotten ones needed, all or nothing.
    pub(super) fn write(
        &mut self,
        events: &[Event],
        forgotten: &[Arc<Event>],
        compacted: Revision,
    ) -> Result<(), Error> {
        self.write_inner(events, forgotten, compacted).map_err(failed("write"))
    }

    fn write_inner(
        &mut self,
        events: &[Event],
        forgotten: &[Arc<Event>],
        compacted: Revision,
    ) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3)")?;
            for event in events {
                let value = event.current.as_ref().map(|entry| &entry.value[..]);
                insert.execute(params![event.row as i64, &*event.key, value])?;
            }
            let mut delete = transaction.prepare_cached("DELETE FROM log WHERE row = ?1")?;
            for event in forgotten {
                if let Some(previous) = &event.previous {
                    delete.execute([previous.row as i64])?;
                }
                if event.current.is_none() {
                    delete.execute([event.row as i64])?;
                }
            }
            if !forgotten.is_empty() {
                set_compacted(&transaction, compacted)?;
            }
        }
        transaction.commit()
    }

    /// Records that the history begins later, when no change fell out of it.
    pub(super) fn mark_compacted(&mut self, compacted: Revision) -> Result<(), Error> {
        set_compacted(&self.connection, compacted).map_err(failed("write"))
    }
}

fn set_compacted(connection: &Connection, revision: Revision) -> rusqlite::Result<()> {
    let mut update =
        connection.prepare_cached("INSERT OR REPLACE INTO mark VALUES ('compacted', ?1)")?;
    update.execute([revision as i64]).map(drop)
}

fn make_tables(connection: &Connection, path: &Path) -> Result<(), Error> {
    let open = failed("open");
    let format: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(&open)?;
    if format > FORMAT {
        return Err(Error::Format { path: path.to_owned(), format, supported: FORMAT });
    }
    connection.execute_batch(TABLES).map_err(&open)?;
    connection.pragma_update(None, "user_version", FORMAT).map_err(&open)
}

fn read(connection: &Connection) -> rusqlite::Result<Contents> {
    let mut contents = Contents::default();
    let mut marks = connection.prepare("SELECT revision FROM mark WHERE name = 'compacted'")?;
    if let Some(row) = marks.query([])?.next()? {
        contents.compacted = row.get::<_, i64>(0)? as Revision;
    }
    let mut log = connection.prepare("SELECT row, key, value FROM log ORDER BY row")?;
    let mut rows = log.query([])?;
    while let Some(line) = rows.next()? {
        let row = line.get::<_, i64>(0)? as u64;
        let value: Option<Vec<u8>> = line.get(2)?;
        contents.add(row, line.get(1)?, value);
    }
    // The newest row may be a deletion that the history has forgotten.
    contents.snapshot.revision = contents.snapshot.revision.max(contents.compacted);
    Ok(contents)
}

impl Contents {
    fn add(&mut self, row: u64, key: String, value: Option<Vec<u8>>) {
        let revision = revision_of(row);
        let previous = self.snapshot.get(&key).cloned();
        let key = previous.as_ref().map_or_else(|| key.into(), |entry| entry.key.clone());
        let current = value.map(|value| {
            let value = Bytes::from(value.into_boxed_slice());
            Entry { key: key.clone(), value, revision, row }
        });
        let event = Event { key, revision, current, previous, row };
        self.snapshot.apply(&event);
        if revision > self.compacted {
            self.history.push(event);
        }
    }
}

/// Copies the log at `from`, as the last commit left it, to a new file.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let backup = failed("back up");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(from, flags).map_err(&backup)?;
    let target = to.to_string_lossy();
    connection.execute("VACUUM INTO ?1", [&*target]).map_err(&backup)?;
    Ok(())
}

/// Writes a snapshot as a new log.
pub(crate) fn write_copy(path: &Path, snapshot: &Snapshot) -> Result<(), Error> {
    let backup = failed("back up");
    if path.exists() {
        let exists = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Error::Io { operation: "make the copy", source: Arc::new(exists) });
    }
    let mut connection = Connection::open(path).map_err(&backup)?;
    make_tables(&connection, path)?;
    let transaction = connection.transaction().map_err(&backup)?;
    for entry in snapshot.list("") {
        let row = params![entry.row as i64, &*entry.key, &entry.value[..]];
        transaction.execute("INSERT INTO log VALUES (?1, ?2, ?3)", row).map_err(&backup)?;
    }
    set_compacted(&transaction, snapshot.revision).map_err(&backup)?;
    transaction.commit().map_err(&backup)
}

fn failed(operation: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |source| Error::Log { operation, source: Arc::new(source) }
}
