//! The log's file: a row per change that is still part of the state or of the history, in order.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, params};

use super::Durability;
use crate::record::revision_of;
use crate::{Entry, Error, Event, Revision, Seal, Snapshot};

/// The version of the tables below.
const FORMAT: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS log (row INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB);
    CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, revision INTEGER NOT NULL);
";

/// The open log.
pub(super) struct Log {
    connection: Connection,
    seal: Option<Arc<dyn Seal>>,
}

/// A row whose value is to be sealed anew.
struct Stale {
    row: i64,
    key: String,
    value: Bytes,
}

/// What a log held when it was opened.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) snapshot: Snapshot,
    pub(super) history: Vec<Event>,
    pub(super) compacted: Revision,
}

impl Log {
    pub(super) fn open(
        path: &Path,
        durability: Durability,
        seal: Option<Arc<dyn Seal>>,
    ) -> Result<(Log, Contents), Error> {
        let open = failed("open");
        let connection = Connection::open(path).map_err(&open)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(&open)?;
        let synchronous = match durability {
            Durability::Process => "NORMAL",
            Durability::Full => "FULL",
        };
        connection.pragma_update(None, "synchronous", synchronous).map_err(&open)?;
        connection.pragma_update(None, "journal_size_limit", 16 << 20).map_err(&open)?;
        if seal.is_some() {
            // What was in clear must not be left in free pages.
            connection.pragma_update(None, "secure_delete", "ON").map_err(&open)?;
        }
        make_tables(&connection, path)?;
        let (contents, stale) = read(&connection, seal.as_deref())?;
        let mut log = Log { connection, seal };
        log.renew(stale)?;
        Ok((log, contents))
    }

    /// Seals values anew.
    fn renew(&mut self, stale: Vec<Stale>) -> Result<(), Error> {
        if stale.is_empty() {
            return Ok(());
        }
        let seal = |Stale { row, key, value }: Stale| Ok((row, self.sealed(&key, &value)?));
        let sealed = stale.into_iter().map(seal).collect::<Result<Vec<_>, Error>>()?;
        let renew = failed("renew");
        let transaction = self.connection.transaction().map_err(&renew)?;
        for (row, value) in sealed {
            let update = "UPDATE log SET value = ?2 WHERE row = ?1";
            transaction.execute(update, params![row, &value[..]]).map_err(&renew)?;
        }
        transaction.commit().map_err(&renew)?;
        // Nor in the log's own log.
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        self.connection.query_row(checkpoint, [], |_| Ok(())).map_err(&renew)
    }

    fn sealed(&self, key: &str, value: &Bytes) -> Result<Bytes, Error> {
        let Some(seal) = &self.seal else { return Ok(value.clone()) };
        let sealed = seal.seal(key, value);
        sealed.map_err(|reason| Error::Sealed { operation: "seal", key: key.to_owned(), reason })
    }

    /// Adds changes and takes away what only forgotten ones needed, all or nothing.
    pub(super) fn write(
        &mut self,
        events: &[Event],
        forgotten: &[Arc<Event>],
        compacted: Revision,
    ) -> Result<(), Error> {
        let value = |event: &Event| {
            let current = event.current.as_ref();
            current.map(|entry| self.sealed(&event.key, &entry.value)).transpose()
        };
        let values = events.iter().map(value).collect::<Result<Vec<_>, Error>>()?;
        self.write_inner(events, &values, forgotten, compacted).map_err(failed("write"))
    }

    fn write_inner(
        &mut self,
        events: &[Event],
        values: &[Option<Bytes>],
        forgotten: &[Arc<Event>],
        compacted: Revision,
    ) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3)")?;
            for (event, value) in events.iter().zip(values) {
                let value = value.as_ref().map(|value| &value[..]);
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

fn read(connection: &Connection, seal: Option<&dyn Seal>) -> Result<(Contents, Vec<Stale>), Error> {
    let read = failed("read");
    let compacted = read_compacted(connection).map_err(&read)?;
    let mut contents = Contents { compacted, ..Contents::default() };
    let mut stale = Vec::new();
    let query = "SELECT row, key, value FROM log ORDER BY row";
    let mut log = connection.prepare(query).map_err(&read)?;
    let mut rows = log.query([]).map_err(&read)?;
    while let Some(line) = rows.next().map_err(&read)? {
        let row: i64 = line.get(0).map_err(&read)?;
        let key: String = line.get(1).map_err(&read)?;
        let stored: Option<Vec<u8>> = line.get(2).map_err(&read)?;
        let stored = stored.map(|value| Bytes::from(value.into_boxed_slice()));
        let value = match (seal, stored) {
            (Some(seal), Some(stored)) => {
                let (value, is_stale) = seal.open(&key, stored).map_err(|reason| {
                    Error::Sealed { operation: "open", key: key.clone(), reason }
                })?;
                if is_stale {
                    stale.push(Stale { row, key: key.clone(), value: value.clone() });
                }
                Some(value)
            }
            (_, stored) => stored,
        };
        contents.add(row as u64, key, value);
    }
    // The newest row may be a deletion that the history has forgotten.
    contents.snapshot.revision = contents.snapshot.revision.max(contents.compacted);
    Ok((contents, stale))
}

fn read_compacted(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut marks = connection.prepare("SELECT revision FROM mark WHERE name = 'compacted'")?;
    let mut rows = marks.query([])?;
    Ok(rows.next()?.map(|row| row.get::<_, i64>(0)).transpose()?.unwrap_or(0) as Revision)
}

impl Contents {
    fn add(&mut self, row: u64, key: String, value: Option<Bytes>) {
        let revision = revision_of(row);
        let previous = self.snapshot.get(&key).cloned();
        let key = previous.as_ref().map_or_else(|| key.into(), |entry| entry.key.clone());
        let current = value.map(|value| Entry { key: key.clone(), value, revision, row });
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
