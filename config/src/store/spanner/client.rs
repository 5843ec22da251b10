//! The only module that talks to Spanner: reads at exact times, reading partitions of the change
//! stream, commits. The client's own resuming is off for streams, since it loses its place there;
//! every call here ends in bounded time except a stream, whose reader watches it.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_spanner::Error;
use google_cloud_spanner::channel_pool::StaticChannelPoolConfig;
use google_cloud_spanner::client::{DatabaseClient, Spanner as Connection, SpannerBuilderExt};
use google_cloud_spanner::key;
use google_cloud_spanner::key::KeySet;
use google_cloud_spanner::model::read_request::LockHint;
use google_cloud_spanner::mutation::Mutation;
use google_cloud_spanner::read::ReadRequest;
use google_cloud_spanner::result::ResultSet;
use google_cloud_spanner::statement::Statement;
use google_cloud_spanner::transaction::{
    BeginTransactionOption, ReadWriteTransaction, Timestamp, TimestampBound,
};
use google_cloud_spanner::types;
use google_cloud_spanner::value::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::address::Spanner;
use super::decode::{self, Record};
use super::partitions::Start;
use crate::clock;
use crate::key::{Key, Revision};
use crate::limits;
use crate::store::head::{self, Commit};
use crate::store::{BoxFuture, Change, CommitError, Contents, Entry, Expectation, StoreError};

/// Connections to one database: one for requests, one for streams, so that neither waits for the
/// other's windows.
#[derive(Clone, Debug)]
pub(super) struct Client {
    address: Spanner,
    requests: DatabaseClient,
    streams: DatabaseClient,
    /// One commit of this process at a time: they would only abort each other at the head's row.
    turn: Arc<Mutex<()>>,
}

/// Why a partition can't be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    /// Try again from where it was.
    #[error("{0}")]
    Broken(String),
    /// Its history is gone, or it never was: read the whole store again.
    #[error("{0}")]
    Gone(String),
}

/// One reading of a partition.
pub(super) struct Reading(ResultSet);

const RECORDS: &str = "Records";
const HEADS: &str = "Heads";
const HEAD_ID: i64 = 0;

impl Client {
    pub(super) async fn connect(address: &Spanner) -> Result<Self, StoreError> {
        let connect = async {
            let requests = database(address).await?;
            let streams = database(address).await?;
            Ok::<_, String>((requests, streams))
        };
        let unavailable =
            |reason| StoreError::Unavailable(format!("{address} can't be reached: {reason}"));
        let (requests, streams) = timeout(limits::REMOTE_ANSWER, connect)
            .await
            .map_err(|_| unavailable("it does not answer".to_owned()))?
            .map_err(unavailable)?;
        Ok(Self {
            address: address.clone(),
            requests,
            streams,
            turn: Arc::default(),
        })
    }

    /// The store's own time now.
    pub(super) async fn now(&self) -> Result<SystemTime, StoreError> {
        self.bounded(Box::pin(async {
            let begin = self
                .requests
                .read_only_transaction()
                .set_begin_transaction_option(BeginTransactionOption::ExplicitBegin);
            let now = begin.build().await?.read_timestamp();
            Ok(now.and_then(system_time))
        }))
        .await?
        .ok_or_else(|| StoreError::Unavailable(format!("{} tells no time", self.address)))
    }

    /// Since when the tables are as they are: nothing from before can be read.
    pub(super) async fn since(&self) -> Result<SystemTime, StoreError> {
        let rows = self.texts("SELECT MAX(applied) FROM Migrations").await?;
        let since = rows.first().and_then(|row| row.first());
        since
            .and_then(|text| decode::time(&Value::from(text.as_str())).ok())
            .ok_or_else(|| {
                StoreError::Corrupt(format!(
                    "{} was never prepared; run `fprs store init`",
                    self.address
                ))
            })
    }

    /// The newest revision, at that time or now.
    pub(super) async fn head(&self, at: Option<SystemTime>) -> Result<Revision, StoreError> {
        let request = ReadRequest::builder(HEADS, ["revision"]).with_keys(KeySet::all());
        let revision = self
            .bounded(Box::pin(async {
                let mut rows = self.at(at).execute_read(request.build()).await?;
                match rows.next().await.transpose()? {
                    Some(row) => row.get::<i64>("revision").map(Some),
                    None => Ok(None),
                }
            }))
            .await?;
        let revision = revision.ok_or_else(|| {
            StoreError::Corrupt(format!(
                "{} has no head; prepare it with `fprs store init`",
                self.address
            ))
        })?;
        revision_of(revision)
    }

    /// Every record at exactly that time.
    pub(super) async fn read(&self, at: SystemTime) -> Result<Contents, StoreError> {
        let revision = self.head(Some(at)).await?;
        let columns = ["kind", "name", "value", "revision"];
        let request = ReadRequest::builder(RECORDS, columns).with_keys(KeySet::all());
        let read = Box::pin(async {
            let mut rows = self.at(Some(at)).execute_read(request.build()).await?;
            let mut entries = Vec::new();
            while let Some(mut row) = rows.next().await.transpose()? {
                entries.push((
                    row.take::<String>(0)?,
                    row.take::<String>(1)?,
                    row.take::<Bytes>(2)?,
                    row.take::<i64>(3)?,
                ));
            }
            Ok::<_, Error>(entries)
        });
        let rows = timeout(limits::ANSWER, read)
            .await
            .map_err(|_| self.silent())?
            .map_err(|error| self.failed(&error))?;
        let entries = rows
            .into_iter()
            .map(|(kind, name, value, revision)| {
                Ok(Entry {
                    key: Key {
                        kind: kind.into(),
                        name: name.into(),
                    },
                    value,
                    revision: revision_of(revision)?,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Contents { revision, entries })
    }

    /// Reads a partition. Returns once it told something, which may take as long as a heartbeat.
    pub(super) async fn stream(&self, start: &Start) -> Result<Reading, StreamError> {
        let token = (!start.token.is_root()).then(|| start.token.0.to_string());
        let heartbeat = i64::try_from(limits::SPANNER_HEARTBEAT.as_millis()).unwrap_or(i64::MAX);
        let statement = Statement::builder(
            "SELECT ChangeRecord FROM READ_Changes(start_timestamp => @start, \
             end_timestamp => NULL, partition_token => @token, heartbeat_milliseconds => @beat)",
        )
        .add_typed_param("start", start.at, types::timestamp())
        .add_typed_param("token", token, types::string())
        .add_typed_param("beat", heartbeat, types::int64())
        // The client would resume with a token, and fail on the second set of metadata.
        .with_retry_policy(NeverRetry)
        .build();
        let reading = self.streams.single_use().build();
        let rows = reading.execute_query(statement).await;
        rows.map(Reading).map_err(|error| broken(&error))
    }

    /// Writes and numbers a commit, if every expectation holds.
    pub(super) async fn commit(
        &self,
        writes: Arc<[Change]>,
        expectations: Vec<Expectation>,
    ) -> Result<Revision, CommitError> {
        let _turn = self.turn.lock().await;
        let expectations: Arc<[Expectation]> = expectations.into();
        let run = self
            .requests
            .read_write_transaction()
            .with_transaction_timeout(limits::REMOTE_ANSWER)
            .build()
            // Tried again when it is aborted: each try owns what it needs.
            .run(move |transaction| {
                decide(transaction, Arc::clone(&writes), Arc::clone(&expectations))
            });
        let outcome = timeout(limits::REMOTE_ANSWER, Box::pin(run))
            .await
            .map_err(|_| {
                let reason = "no answer to a commit; read again to see whether it happened";
                StoreError::Unavailable(format!("{}: {reason}", self.address))
            })?
            .map_err(|error| self.failed(&error))?;
        match outcome.result {
            Outcome::Written(revision) => Ok(revision),
            Outcome::Conflict(keys) => Err(CommitError::Conflict(keys)),
            Outcome::NoHead => Err(StoreError::Corrupt(format!(
                "{} has no head; prepare it with `fprs store init`",
                self.address
            ))
            .into()),
        }
    }

    /// The numbers of the first column of a query.
    pub(super) async fn texts(&self, sql: &str) -> Result<Vec<Vec<String>>, StoreError> {
        self.bounded(Box::pin(async {
            let reading = self.requests.single_use().build();
            let mut rows = reading
                .execute_query(Statement::builder(sql).build())
                .await?;
            let mut texts = Vec::new();
            while let Some(row) = rows.next().await.transpose()? {
                let texts_of_row = row.raw_values().iter().map(|value| {
                    let text = value.as_str();
                    text.unwrap_or_default().to_owned()
                });
                texts.push(texts_of_row.collect());
            }
            Ok(texts)
        }))
        .await
    }

    /// Writes that no revision is made of.
    pub(super) async fn write(&self, mutations: Vec<Mutation>) -> Result<(), StoreError> {
        self.bounded(Box::pin(async {
            let write = self.requests.write_only_transaction().build();
            write.write(mutations).await.map(|_| ())
        }))
        .await
    }

    fn at(
        &self,
        at: Option<SystemTime>,
    ) -> google_cloud_spanner::transaction::SingleUseReadOnlyTransaction {
        let reading = self.requests.single_use();
        let bound = at.and_then(|at| TimestampBound::try_read_timestamp(at).ok());
        reading
            .set_timestamp_bound(bound.unwrap_or_else(TimestampBound::strong))
            .build()
    }

    async fn bounded<T>(&self, call: BoxFuture<'_, Result<T, Error>>) -> Result<T, StoreError> {
        match timeout(limits::REMOTE_ANSWER, call).await {
            Ok(outcome) => outcome.map_err(|error| self.failed(&error)),
            Err(_) => Err(self.silent()),
        }
    }

    fn silent(&self) -> StoreError {
        StoreError::Unavailable(format!("{} does not answer", self.address))
    }

    fn failed(&self, error: &Error) -> StoreError {
        let reason = format!("{} can't be used: {}", self.address, reason(error));
        match code(error) {
            Some(Code::NotFound | Code::InvalidArgument) => StoreError::Corrupt(format!(
                "{reason}; if it is new, prepare it with `fprs store init`"
            )),
            _ => StoreError::Unavailable(reason),
        }
    }
}

impl Reading {
    /// What it tells next; `None` at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Record>>, StreamError> {
        let Some(row) = self.0.next().await else {
            return Ok(None);
        };
        let row = row.map_err(|error| broken(&error))?;
        let value = row.raw_values().first();
        let value = value.ok_or_else(|| StreamError::Gone("a row without a column".to_owned()))?;
        decode::records(value).map(Some).map_err(StreamError::Gone)
    }
}

enum Outcome {
    Written(Revision),
    Conflict(Vec<Key>),
    NoHead,
}

async fn decide(
    transaction: ReadWriteTransaction,
    writes: Arc<[Change]>,
    expectations: Arc<[Expectation]>,
) -> Result<Outcome, Error> {
    // Everybody who commits writes the head: who waits for it first is better than who aborts later.
    let request = ReadRequest::builder(HEADS, ["revision"])
        .with_keys(KeySet::all())
        .set_lock_hint(LockHint::Exclusive);
    let mut rows = transaction.execute_read(request.build()).await?;
    let Some(row) = rows.next().await.transpose()? else {
        return Ok(Outcome::NoHead);
    };
    let head: i64 = row.get("revision")?;
    if !expectations.is_empty() {
        let conflicts = conflicts(&transaction, &expectations).await?;
        if !conflicts.is_empty() {
            return Ok(Outcome::Conflict(conflicts));
        }
    }
    if writes.is_empty() {
        return Ok(Outcome::Written(Revision(head.unsigned_abs())));
    }
    let next = head.saturating_add(1);
    let revision = Revision(next.unsigned_abs());
    let commits = head::encode(&[Commit::of(revision, clock::unix_us(), &writes)]);
    let head = Mutation::new_insert_or_update_builder(HEADS)
        .set("id")
        .to(HEAD_ID)
        .set("revision")
        .to(next)
        .set("commits")
        .to(commits)
        .build();
    let records = writes.iter().map(|change| mutation(change, next));
    transaction.buffer(records.chain([head]))?;
    Ok(Outcome::Written(revision))
}

async fn conflicts(
    transaction: &ReadWriteTransaction,
    expectations: &[Expectation],
) -> Result<Vec<Key>, Error> {
    let keys = expectations
        .iter()
        .fold(KeySet::builder(), |keys, expected| {
            keys.add_key(key!(&*expected.key.kind, &*expected.key.name))
        })
        .build();
    let request = ReadRequest::builder(RECORDS, ["kind", "name", "revision"]).with_keys(keys);
    let mut rows = transaction.execute_read(request.build()).await?;
    let mut written = std::collections::BTreeMap::new();
    while let Some(row) = rows.next().await.transpose()? {
        let key = Key {
            kind: row.get::<String>(0)?.into(),
            name: row.get::<String>(1)?.into(),
        };
        written.insert(key, Revision(row.get::<i64>(2)?.unsigned_abs()));
    }
    let conflicts = expectations
        .iter()
        .filter(|expected| written.get(&expected.key).copied() != expected.revision);
    Ok(conflicts.map(|expected| expected.key.clone()).collect())
}

fn mutation(change: &Change, revision: i64) -> Mutation {
    match &change.value {
        Some(value) => Mutation::new_insert_or_update_builder(RECORDS)
            .set("kind")
            .to(&*change.key.kind)
            .set("name")
            .to(&*change.key.name)
            .set("value")
            .to(value.clone())
            .set("revision")
            .to(revision)
            .build(),
        None => {
            let key = key!(&*change.key.kind, &*change.key.name);
            Mutation::delete(RECORDS, KeySet::builder().add_key(key).build())
        }
    }
}

async fn database(address: &Spanner) -> Result<DatabaseClient, String> {
    connection(address)
        .await?
        .database_client(&address.database)
        .build()
        .await
        .map_err(|error| match code(&error) {
            Some(Code::NotFound) => format!(
                "{}; if it is new, prepare it with `fprs store init`",
                reason(&error)
            ),
            _ => reason(&error),
        })
}

/// One connection, used for one thing.
pub(super) async fn connection(address: &Spanner) -> Result<Connection, String> {
    let mut builder = Connection::builder().with_channel_pool(StaticChannelPoolConfig::new(1));
    if let Some(endpoint) = &address.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().await.map_err(|error| error.to_string())
}

fn broken(error: &Error) -> StreamError {
    let reason = reason(error);
    match code(error) {
        Some(Code::OutOfRange | Code::InvalidArgument | Code::NotFound) => {
            StreamError::Gone(reason)
        }
        _ => StreamError::Broken(reason),
    }
}

fn code(error: &Error) -> Option<Code> {
    error.status().map(|status| status.code)
}

/// Without the machinery around it.
pub(super) fn reason(error: &Error) -> String {
    match error.status() {
        Some(status) => format!("{}: {}", status.code, status.message),
        None => {
            let mut innermost: &dyn std::error::Error = error;
            while let Some(source) = innermost.source() {
                innermost = source;
            }
            innermost.to_string()
        }
    }
}

fn revision_of(number: i64) -> Result<Revision, StoreError> {
    u64::try_from(number)
        .map(Revision)
        .map_err(|_| StoreError::Corrupt(format!("revision {number} is negative")))
}

fn system_time(timestamp: Timestamp) -> Option<SystemTime> {
    let seconds = u64::try_from(timestamp.seconds()).ok()?;
    let nanos = u32::try_from(timestamp.nanos()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::new(seconds, nanos))
}
