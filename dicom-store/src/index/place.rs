//! Where the index of an archive is, as its settings say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::postgres::Renewed as RenewedSchema;
use super::sqlite::connection::{self, Renewed as RenewedFile};
use super::{Index, PostgresIndex, SqliteIndex, known_acts};
use crate::config::{Config, IndexUrl};
use crate::register::Registered;
use crate::{Error, ErrorKind, Result};

const INDEX_FILE: &str = "index.sqlite";

#[derive(Debug)]
pub(crate) enum IndexPlace {
    Sqlite(PathBuf),
    Postgres {
        url: IndexUrl,
        /// The one that stands in a file.
        password: Option<String>,
        /// Another than the one of the URL.
        schema: Option<String>,
    },
}

impl IndexPlace {
    /// # Errors
    /// `Invalid` when the URL is of another kind; what the system says of a file with the password.
    pub(crate) fn of(config: &Config) -> Result<Self> {
        let url = config.index.expose();
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = match path {
                "" => config.data.join(INDEX_FILE),
                path => Path::new(path.trim_start_matches("//")).to_owned(),
            };
            return Ok(Self::Sqlite(path));
        }
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            let what = format!(
                "index URL is neither sqlite:///path/to/file nor postgres://host/database: {}",
                config.index
            );
            return Err(Error::invalid(what));
        }
        let password = config.index_password_file.as_deref().map(password).transpose()?;
        Ok(Self::Postgres { url: config.index.clone(), password, schema: None })
    }

    /// Whether there can be an index there. Nothing is made, and nobody is asked.
    ///
    /// # Errors
    /// As [`IndexPlace::of`], and `Invalid` when the URL of a database is none.
    pub(crate) fn check(config: &Config) -> Result<()> {
        match Self::of(config)? {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres { url, .. } => PostgresIndex::check(url.expose()).map_err(|cause| {
                Error::invalid(format!("index URL cannot be read: {url}")).with_source(cause)
            }),
        }
    }

    /// # Errors
    /// What the back end says.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Index>> {
        Ok(match self {
            Self::Sqlite(file) => Arc::new(SqliteIndex::open(file).await?),
            Self::Postgres { url, password, schema } => {
                let (url, password) = (url.expose(), password.as_deref());
                Arc::new(PostgresIndex::open_in(schema.as_deref(), url, password).await?)
            }
        })
    }

    /// One line of the register, as it stands now; a server may be at work.
    ///
    /// # Errors
    /// What the back end says.
    pub(crate) async fn registered_as(&self, kind: &str, name: &str) -> Result<Option<Registered>> {
        match self {
            Self::Sqlite(file) => connection::registered_as(file, kind, name),
            Self::Postgres { .. } => {
                let index = self.open().await?;
                let row = index.registered_as(kind, name).await;
                index.close().await;
                row
            }
        }
    }

    /// An index with what no pack has and this one knows: the register, the jobs and the audit. This one stays as it is until
    /// the other is [put in its place](Anew::take_its_place).
    ///
    /// # Errors
    /// What the back end says; `Conflict` while a node is at work on it.
    pub(crate) async fn anew(&self) -> Result<Anew> {
        Ok(match self {
            Self::Sqlite(file) => {
                let new = connection::renewed(file)?;
                let place = Self::Sqlite(new.file.clone());
                Anew { place, beside: Beside::File { new, before: file.clone() } }
            }
            Self::Postgres { url, password, .. } => {
                let new = RenewedSchema::begin(url.expose(), password.as_deref()).await?;
                let schema = Some(new.schema().to_owned());
                let place = Self::Postgres { url: url.clone(), password: password.clone(), schema };
                Anew { place, beside: Beside::Schema(Box::new(new)) }
            }
        })
    }

    /// Whether there is an index that stays when it is opened, as far as can be told without changing it.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn is_kept_when_opened(&self) -> Result<bool> {
        match self {
            Self::Sqlite(file) => connection::is_kept_when_opened(file),
            Self::Postgres { .. } => Ok(true),
        }
    }

    /// The acts that it knows of an archive: their numbers and kinds.
    ///
    /// # Errors
    /// What the back end says.
    pub(crate) async fn acts_of(&self, archive: &str) -> Result<BTreeMap<u64, String>> {
        if let Self::Sqlite(file) = self {
            return connection::acts_of(file, archive);
        }
        let index = self.open().await?;
        let acts = match index.belongs_to(archive).await {
            Ok(()) => known_acts(&*index).await,
            Err(error) if error.kind == ErrorKind::Conflict => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        };
        index.close().await;
        acts
    }
}

/// An index that is made anew.
#[derive(Debug)]
pub(crate) struct Anew {
    /// Where it is filled.
    pub(crate) place: IndexPlace,
    beside: Beside,
}

/// Beside what it is made.
#[derive(Debug)]
enum Beside {
    /// The file that it takes the place of when it is filled.
    File {
        new: RenewedFile,
        before: PathBuf,
    },
    Schema(Box<RenewedSchema>),
}

impl Anew {
    /// To be called when it is filled, and closed.
    ///
    /// # Errors
    /// What the back end or the system says; the one before is there then, or this one is.
    pub(crate) async fn take_its_place(self) -> Result<()> {
        match self.beside {
            Beside::File { new, before } => connection::put_in_place(&new, &before),
            Beside::Schema(new) => new.take_its_place().await,
        }
    }

    /// It could not be filled: the one before stays.
    pub(crate) async fn discard(self) {
        match self.beside {
            // What cannot be removed now is removed when one is made again.
            Beside::File { new, .. } => drop(connection::discard(&new)),
            Beside::Schema(new) => new.discard().await,
        }
    }
}

fn password(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file).map_err(|cause| {
        let error = Error::from(cause);
        Error::new(error.kind, format!("password file {}: {}", file.display(), error.what))
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_another_kind_is_named_without_its_password() {
        let config = Config { index: "mysql://root:secret@db/x".into(), ..Config::default() };
        let error = IndexPlace::of(&config).unwrap_err();
        assert!(error.what.ends_with("mysql://root:***@db/x"), "{}", error.what);
    }

    #[test]
    fn a_password_is_the_text_of_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "s3cret \n").unwrap();
        let index_password_file = Some(file.path().to_owned());
        let config = Config { index: "postgres://db/x".into(), index_password_file, ..Config::default() };
        assert!(
            matches!(IndexPlace::of(&config).unwrap(), IndexPlace::Postgres { password: Some(password), .. } if password == "s3cret ")
        );
    }
}
