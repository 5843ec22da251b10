//! The uploading thread. A file is put in one request, or in parts where it is large; one that can't be
//! put is tried again after a while, and those behind it then, too.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Location;
use object_store::{ClientConfigKey, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::sync::{mpsc, oneshot};

use super::super::Spool;
use super::super::files::closed;
use super::Bucket;

/// How often the directory is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Until the first try after one that failed, and at the most.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);
/// What one request carries, and this process holds, of a file. S3 takes no parts below 5 MiB.
const PART: usize = 8 * 1024 * 1024;
/// For one request and its repeats.
const REQUEST: &str = "60s";
const CONNECT: &str = "5s";
/// Repeats of one request, before the file is left for later.
const REPEATS: usize = 2;
const REPEATING: Duration = Duration::from_secs(30);
/// Nobody has written to such a file for so long: its process was killed. It can be read up to its last
/// second.
const LEFT: Duration = Duration::from_secs(10 * 60);

/// What ends the thread, or asks for one last try.
type Ends = mpsc::Receiver<oneshot::Sender<()>>;

/// Starts it.
pub(super) fn start(
    bucket: Bucket,
    dir: PathBuf,
    spool: Arc<Spool>,
    ends: Ends,
) -> Result<(), String> {
    let store = open(&bucket).map_err(|error| format!("{bucket}: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let uploads = Uploads {
        store,
        bucket,
        dir,
        spool,
    };
    let thread = std::thread::Builder::new().name("upload".to_owned());
    let started = thread.spawn(move || runtime.block_on(uploads.run(ends)));
    started.map(drop).map_err(|error| error.to_string())
}

/// Credentials, region and endpoint are those of the environment.
fn open(bucket: &Bucket) -> object_store::Result<Arc<dyn ObjectStore>> {
    let client = AmazonS3ConfigKey::Client;
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(&bucket.name)
        .with_config(client(ClientConfigKey::Timeout), REQUEST)
        .with_config(client(ClientConfigKey::ConnectTimeout), CONNECT)
        .with_retry(RetryConfig {
            max_retries: REPEATS,
            retry_timeout: REPEATING,
            ..RetryConfig::default()
        });
    Ok(Arc::new(store.build()?))
}

struct Uploads {
    store: Arc<dyn ObjectStore>,
    bucket: Bucket,
    dir: PathBuf,
    spool: Arc<Spool>,
}

impl Uploads {
    async fn run(self, mut ends: Ends) {
        let mut again = AGAIN;
        loop {
            let wait = match self.upload_all().await {
                Ok(()) => {
                    again = AGAIN;
                    LOOK
                }
                Err(Stopped(error)) => {
                    tracing::warn!(bucket = %self.bucket, %error, "a capture could not be uploaded");
                    let wait = again.mul_f64(0.5 + fastrand::f64() / 2.0);
                    again = (2 * again).min(AGAIN_AT_MOST);
                    wait
                }
            };
            match tokio::time::timeout(wait, ends.recv()).await {
                // Time to look again.
                Err(_) => {}
                Ok(Some(waiting)) => {
                    self.upload_all().await.ok();
                    waiting.send(()).ok();
                }
                Ok(None) => return,
            }
        }
    }

    /// Uploads what there is, or all before the first file that the store doesn't take.
    async fn upload_all(&self) -> Result<(), Stopped> {
        let files = waiting(&self.dir).unwrap_or_default();
        self.spool.wait(files.len());
        for (done, (mirror, path)) in files.iter().enumerate() {
            let uploaded = self.upload(mirror, path).await;
            match &uploaded {
                // It was too old or one too many, in this moment.
                Err(Failed::File(error)) if error.kind() == io::ErrorKind::NotFound => continue,
                // The next one may be readable.
                Err(Failed::File(error)) => {
                    tracing::warn!(path = %path.display(), %error, "a capture can't be read");
                }
                Ok(()) | Err(Failed::Store(_)) => {}
            }
            self.spool.tried(uploaded.is_ok());
            if let Err(Failed::Store(error)) = uploaded {
                return Err(Stopped(error));
            }
            self.spool.wait(files.len() - done - 1);
        }
        Ok(())
    }

    async fn upload(&self, mirror: &str, path: &Path) -> Result<(), Failed> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let parts = self
            .bucket
            .prefix
            .split('/')
            .filter(|part| !part.is_empty());
        let location: Location = parts.chain([mirror, &name]).collect();
        let mut file = File::open(path)?;
        let first = part(&mut file)?;
        if first.len() < PART {
            self.store.put(&location, first.into()).await?;
        } else {
            self.upload_parts(&location, first, &mut file).await?;
        }
        Ok(fs::remove_file(path)?)
    }

    async fn upload_parts(
        &self,
        location: &Location,
        first: Vec<u8>,
        file: &mut File,
    ) -> Result<(), Failed> {
        let mut upload = self.store.put_multipart(location).await?;
        let put = async {
            let mut next = first;
            while !next.is_empty() {
                upload.put_part(next.into()).await?;
                next = part(file)?;
            }
            upload.complete().await?;
            Ok(())
        };
        let put: Result<(), Failed> = put.await;
        if put.is_err() {
            // Parts that no object has would be kept, and paid for.
            upload.abort().await.ok();
        }
        put
    }
}

/// The store takes nothing now.
struct Stopped(object_store::Error);

enum Failed {
    File(io::Error),
    Store(object_store::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<object_store::Error> for Failed {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error)
    }
}

/// The next so many bytes; fewer at the end.
fn part(file: &mut File) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    file.take(PART as u64).read_to_end(&mut part)?;
    Ok(part)
}

/// Closed files of all mirrors, with their mirrors, the oldest first.
fn waiting(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut waiting = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        close_left(&entry.path())?;
        let mirror = entry.file_name().to_string_lossy().into_owned();
        let files = closed(&entry.path())?.into_iter();
        waiting.extend(files.map(|(path, _)| (mirror.clone(), path)));
    }
    waiting.sort_unstable_by(|a, b| a.1.file_name().cmp(&b.1.file_name()));
    Ok(waiting)
}

/// Closes what killed processes left behind.
fn close_left(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "part") {
            continue;
        }
        let modified = fs::metadata(&path).and_then(|data| data.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        if age.is_some_and(|age| age > LEFT) {
            fs::rename(&path, path.with_extension(""))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_a_killed_process_left_is_uploaded_and_what_is_being_written_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = dir.path().join("m");
        fs::create_dir(&mirror).unwrap();
        let old = SystemTime::now() - LEFT - Duration::from_secs(1);
        for (name, modified) in [
            ("2.jsonl.zst", SystemTime::now()),
            ("1.jsonl.zst.part", old),
            ("3.jsonl.zst.part", SystemTime::now()),
        ] {
            let file = File::create(mirror.join(name)).unwrap();
            file.set_modified(modified).unwrap();
        }
        let found: Vec<_> = waiting(dir.path()).unwrap();
        let names = found.iter().map(|(mirror, path)| {
            assert_eq!(mirror, "m");
            path.file_name().unwrap().to_str().unwrap()
        });
        assert_eq!(names.collect::<Vec<_>>(), ["1.jsonl.zst", "2.jsonl.zst"]);
    }
}
