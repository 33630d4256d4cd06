//! Reads the files of discovered targets, each for a limited time, because a file system may hang.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::loaded_files::LoadedFiles;
use crate::config::{Required, Unreadable};
use crate::files::reads::{Hanging, Reads};
use crate::locks::lock;

/// Reads of files that discovered targets need. Clones share the reads that have not ended.
#[derive(Clone, Debug, Default)]
pub(super) struct DiscoveredFiles {
    reads: Reads,
    unfinished: Arc<Mutex<HashSet<Required>>>,
}

/// The result of reading files; an error is a sentence.
pub(super) type ReadFiles = Vec<(Required, Result<(), String>)>;

impl DiscoveredFiles {
    /// Reads files into `files`, one after another. Waits in vain for at most one of them: the others then fail as well,
    /// until the next call. A file whose earlier read has not ended fails at once.
    pub(super) async fn read(&self, required: impl IntoIterator<Item = Required>, files: &LoadedFiles) -> ReadFiles {
        let mut has_hung = false;
        let mut results = Vec::new();
        for required in required {
            let read = match self.begin(&required) {
                Some(unfinished) if !has_hung => {
                    let (files, wanted) = (files.clone(), required.clone());
                    let read = self.reads.run(move || {
                        let read = files.read(&wanted);
                        drop(unfinished);
                        read
                    });
                    let read = read.await;
                    has_hung = read.is_err();
                    read
                }
                Some(_) | None => Err(Hanging),
            };
            let result = match read {
                Ok(read) => read.map_err(Unreadable::into_message),
                Err(hanging) => Err(format!("{} {hanging}", name(&required))),
            };
            results.push((required, result));
        }
        results
    }

    /// Registers a read; `None` if an earlier one of the same file has not ended.
    fn begin(&self, required: &Required) -> Option<Unfinished> {
        let is_new = lock(&self.unfinished).insert(required.clone());
        is_new.then(|| Unfinished { required: required.clone(), all: self.unfinished.clone() })
    }
}

/// A read that has not ended.
struct Unfinished {
    required: Required,
    all: Arc<Mutex<HashSet<Required>>>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.required);
    }
}

fn name(required: &Required) -> String {
    match required {
        Required::Header(file) => format!("the file {}", file.path().display()),
        Required::Tls(_) => "a file that TLS needs".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::target::HeaderFile;

    fn header(path: &Path) -> Required {
        Required::Header(Arc::new(HeaderFile::new(path.to_owned())))
    }

    #[tokio::test]
    async fn each_file_has_its_result() {
        let folder = tempfile::tempdir().unwrap();
        let (token, none) = (folder.path().join("token"), folder.path().join("none"));
        fs::write(&token, "one").unwrap();
        let (reads, files) = (DiscoveredFiles::default(), LoadedFiles::default());
        let read = reads.read([header(&none), header(&token)], &files).await;
        let results: Vec<_> = read.iter().map(|(_, result)| result.clone()).collect();
        assert!(results[0].as_ref().is_err_and(|error| error.contains("none")), "{results:?}");
        assert_eq!(results[1], Ok(()));
        assert!(lock(&reads.unfinished).is_empty());
    }

    /// A file whose read has not ended is not waited for, and the others are read.
    #[tokio::test]
    async fn an_unfinished_read_delays_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (token, hangs) = (folder.path().join("token"), folder.path().join("hangs"));
        fs::write(&token, "one").unwrap();
        let (reads, files) = (DiscoveredFiles::default(), LoadedFiles::default());
        let hanging = header(&hangs);
        let unfinished = reads.begin(&hanging).unwrap();
        let read = reads.read([hanging.clone(), header(&token)], &files).await;
        let expected = format!("the file {} was not read within 10 s; the file system may hang", hangs.display());
        assert_eq!(read[0].1, Err(expected));
        assert_eq!(read[1].1, Ok(()));
        drop(unfinished);
        assert!(reads.begin(&hanging).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn only_one_file_is_waited_for() {
        let (reads, files) = (DiscoveredFiles::default(), LoadedFiles::default());
        let mut context = Context::from_waker(Waker::noop());
        let mut releases = Vec::new();
        // Earlier reads keep all threads for reads.
        for _ in 0..2 {
            let (release, hung) = mpsc::channel::<()>();
            releases.push(release);
            assert!(pin!(reads.reads.run(move || hung.recv())).poll(&mut context).is_pending());
        }
        let required = ["/a", "/b", "/c"].map(|path| header(Path::new(path)));
        let mut read = pin!(reads.read(required, &files));
        assert!(read.as_mut().poll(&mut context).is_pending());
        advance(Duration::from_secs(10)).await;
        let Poll::Ready(results) = read.poll(&mut context) else { panic!("waits for another file") };
        assert!(results.iter().all(|(_, result)| result.is_err()), "{results:?}");
        assert!(lock(&reads.unfinished).is_empty(), "none of them was begun");
        drop(releases);
    }
}
