//! A place where results are left and found again: a folder, or a part of an object store.
//!
//! | it begins with | where it is | credentials, from the environment |
//! | --- | --- | --- |
//! | `s3://BUCKET/…` | S3, and what speaks its protocol | `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, `AWS_REGION`, … |
//! | `gs://BUCKET/…` | Google Cloud Storage | `GOOGLE_SERVICE_ACCOUNT`, … |
//! | `az://CONTAINER/…` | Azure Blob Storage | `AZURE_STORAGE_ACCOUNT_NAME`, … |
//! | `file:///…`, or anything else | a folder of this machine | |
//!
//! All names of the environment: the `ConfigKey` tables of the crate `object_store`. What is put is there as a whole or
//! not at all: a folder gets a temporary file that is renamed, and object stores know nothing else.

use std::path::{Path as FilePath, PathBuf};

use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::{Builder, Runtime};
use url::Url;

/// Schemes of object stores.
const CLOUDS: [&str; 3] = ["s3", "gs", "az"];

/// A folder, or a part of an object store.
#[derive(Debug)]
pub struct Place {
    given: String,
    store: Box<dyn ObjectStore>,
    runtime: Runtime,
}

/// Why something cannot be left or found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user names something that is no place.
    #[error("{0}: {1}")]
    NotAPlace(String, String),
    /// The folder or the object store does not do what it should: where, and what it says.
    #[error("{0}: {1}")]
    Store(String, String),
}

impl Place {
    /// A place to find results in.
    ///
    /// # Errors
    /// [`Error::NotAPlace`]: there is no such folder, no such kind of place, or this build does not know it.
    pub fn open(given: &str) -> Result<Place, Error> {
        Self::at(given, false)
    }

    /// A place to leave results in; a folder is made when it does not exist.
    ///
    /// # Errors
    /// As [`Place::open`], or the folder cannot be made.
    pub fn create(given: &str) -> Result<Place, Error> {
        Self::at(given, true)
    }

    fn at(given: &str, is_made: bool) -> Result<Place, Error> {
        let wrong = |what: String| Error::NotAPlace(given.to_owned(), what);
        let store = match given.split_once("://") {
            Some((scheme, _)) if CLOUDS.contains(&scheme) => cloud(given).map_err(wrong)?,
            Some(("file", _)) => folder(&path_of(given).map_err(wrong)?, is_made).map_err(wrong)?,
            Some(_) => {
                return Err(wrong("expected a folder, or s3://…, gs://…, az://… or file:///…".to_owned()));
            }
            None => folder(FilePath::new(given), is_made).map_err(wrong)?,
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Place {
            given: given.trim_end_matches('/').to_owned(),
            store,
            runtime: runtime.map_err(|error| Error::Store(given.to_owned(), error.to_string()))?,
        })
    }

    /// Leaves an object; one of the same name is replaced.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn put(&self, name: &str, content: Vec<u8>) -> Result<(), Error> {
        let path = Path::parse(name).map_err(|error| self.failed(name, &error))?;
        let put = self.runtime.block_on(self.store.put(&path, content.into()));
        put.map(drop).map_err(|error| self.failed(name, &error))
    }

    /// The content of an object.
    ///
    /// # Errors
    /// [`Error::Store`], also when there is no such object.
    pub fn get(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = Path::parse(name).map_err(|error| self.failed(name, &error))?;
        let got = self.runtime.block_on(async { self.store.get(&path).await?.bytes().await });
        got.map(Vec::from).map_err(|error| self.failed(name, &error))
    }

    /// The names of all objects, at any depth, whose last part is this; sorted.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn find(&self, last: &str) -> Result<Vec<String>, Error> {
        let listed = self.runtime.block_on(self.store.list(None).try_collect::<Vec<_>>());
        let listed = listed.map_err(|error| Error::Store(self.given.clone(), error.to_string()))?;
        let mut found: Vec<String> = listed
            .into_iter()
            .filter(|object| object.location.filename() == Some(last))
            .map(|object| object.location.to_string())
            .collect();
        found.sort();
        Ok(found)
    }

    /// How messages call an object.
    pub fn name_of(&self, name: &str) -> String {
        format!("{}/{name}", self.given)
    }

    fn failed(&self, name: &str, error: &dyn std::error::Error) -> Error {
        Error::Store(self.name_of(name), error.to_string())
    }
}

/// The path of a `file:` URL, where blanks are `%20`.
fn path_of(url: &str) -> Result<PathBuf, String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    url.to_file_path().map_err(|()| "expected three strokes and a path: file:///…".to_owned())
}

fn folder(path: &FilePath, is_made: bool) -> Result<Box<dyn ObjectStore>, String> {
    if is_made {
        std::fs::create_dir_all(path).map_err(|error| format!("cannot be made: {error}"))?;
    } else if !path.is_dir() {
        return Err("there is no such folder".to_owned());
    }
    let store = LocalFileSystem::new_with_prefix(path).map_err(|error| error.to_string())?;
    Ok(Box::new(store))
}

#[cfg(not(feature = "object-store-cloud"))]
fn cloud(_given: &str) -> Result<Box<dyn ObjectStore>, String> {
    Err("this build knows folders only; for object stores, build it with \
         `cargo build --release --features object-store-cloud`"
        .to_owned())
}

#[cfg(feature = "object-store-cloud")]
fn cloud(given: &str) -> Result<Box<dyn ObjectStore>, String> {
    /// What the environment says about object stores. Other names may mean anything: an option is called `region`, too.
    const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
    let url = Url::parse(given).map_err(|error| error.to_string())?;
    let options = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| PREFIXES.iter().any(|prefix| name.starts_with(prefix)));
    let (store, prefix) = object_store::parse_url_opts(&url, options).map_err(|error| error.to_string())?;
    Ok(Box::new(object_store::prefix::PrefixStore::new(store, prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_in_a_folder_is_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let given = folder.path().join("new/one").display().to_string();
        let place = Place::create(&given).expect("a folder can be made");
        for (name, content) in
            [("b/hunt.json", "1"), ("a/deep/hunt.json", "2"), ("a/deep/hunt.json.old", "3")]
        {
            place.put(name, content.into()).expect("writable");
        }
        place.put("b/hunt.json", b"4".to_vec()).expect("replaceable");
        for given in [given.clone(), format!("file://{given}")] {
            let place = Place::open(&given).expect("it is there");
            assert_eq!(place.find("hunt.json").expect("readable"), ["a/deep/hunt.json", "b/hunt.json"]);
            assert_eq!(place.get("b/hunt.json").expect("readable"), b"4");
        }
    }

    #[test]
    fn what_is_no_place_is_explained() {
        let folder = tempfile::tempdir().expect("a folder");
        let nowhere = folder.path().join("nowhere").display().to_string();
        for (given, hint) in [
            (nowhere.as_str(), "no such folder"),
            ("ftp://there", "expected a folder, or s3://"),
            ("file://there", "expected three strokes"),
        ] {
            let error = Place::open(given).expect_err(given);
            assert!(matches!(error, Error::NotAPlace(..)), "{error}");
            assert!(error.to_string().contains(hint), "{error}");
        }
        let place = Place::create(&folder.path().display().to_string()).expect("it exists");
        assert!(matches!(place.get("nothing"), Err(Error::Store(..))));
        std::fs::write(folder.path().join("file"), "").expect("writable");
        assert!(Place::create(&folder.path().join("file").display().to_string()).is_err());
    }

    #[cfg(not(feature = "object-store-cloud"))]
    #[test]
    fn object_stores_need_another_build() {
        let error = Place::create("s3://bucket/hunts").expect_err("not known");
        assert!(error.to_string().contains("--features object-store-cloud"), "{error}");
    }
}
