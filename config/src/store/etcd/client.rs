//! The only module that talks to etcd: reads at one revision, one watch, commits. Records are under
//! `prefix/records/kind\0name`, the head, which says what a commit wrote, under `prefix/head`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use fprs_proto::etcd as wire;
use fprs_proto::etcd::kv_client::KvClient;
use fprs_proto::etcd::watch_client::WatchClient;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use super::EtcdError;
use super::address::Etcd;
use crate::clock;
use crate::key::{Key, Revision};
use crate::limits;
use crate::store::head::{self, Commit};
use crate::store::{Batch, Change, CommitError, Contents, Entry, Expectation, StoreError};

/// Calls to one cluster; its members are tried in turn by the channel.
#[derive(Clone, Debug)]
pub(super) struct Client {
    address: Arc<Etcd>,
    channel: Channel,
}

/// A watch, and the way to ask it for a sign of life.
pub(super) struct Watching {
    pub(super) asks: mpsc::Sender<wire::WatchRequest>,
    pub(super) told: Streaming<wire::WatchResponse>,
}

const RECORDS: &str = "records/";
const HEAD: &str = "head";

impl Client {
    pub(super) fn new(address: &Etcd) -> Result<Self, EtcdError> {
        let endpoints = address
            .members
            .iter()
            .map(|member| {
                let endpoint = Endpoint::from_shared(format!("http://{member}"));
                let endpoint = endpoint.map_err(|_| EtcdError::Address(address.to_string()))?;
                Ok(endpoint
                    .connect_timeout(limits::FEED_CONNECT)
                    .tcp_nodelay(true)
                    .http2_keep_alive_interval(limits::FEED_KEEPALIVE)
                    .keep_alive_timeout(limits::FEED_KEEPALIVE)
                    .keep_alive_while_idle(true))
            })
            .collect::<Result<Vec<_>, EtcdError>>()?;
        Ok(Self {
            address: Arc::new(address.clone()),
            channel: Channel::balance_list(endpoints.into_iter()),
        })
    }

    /// The newest commit.
    pub(super) async fn newest(&self) -> Result<Revision, StoreError> {
        let request = wire::RangeRequest {
            key: self.head().into(),
            keys_only: true,
            ..wire::RangeRequest::default()
        };
        let reply = self.range(request).await?;
        Ok(reply.kvs.first().map_or(Revision(0), written))
    }

    /// The cluster's revision now, of all its keys.
    pub(super) async fn now(&self) -> Result<i64, StoreError> {
        let request = wire::RangeRequest {
            key: self.head().into(),
            keys_only: true,
            ..wire::RangeRequest::default()
        };
        Ok(revision(self.range(request).await?.header.as_ref()))
    }

    /// Every record at exactly that revision of the cluster.
    pub(super) async fn read(&self, at: i64) -> Result<Contents, StoreError> {
        let end = self.end();
        let mut from: Bytes = self.begin();
        let mut contents = Contents::default();
        loop {
            let reply = self
                .range(wire::RangeRequest {
                    key: from,
                    range_end: end.clone(),
                    limit: limits::ETCD_PAGE,
                    revision: at,
                    keys_only: false,
                })
                .await?;
            let Some(last) = reply.kvs.last().map(|row| row.key.clone()) else {
                return Ok(contents);
            };
            for row in reply.kvs {
                let revision = written(&row);
                contents.revision = contents.revision.max(revision);
                if let Some(key) = self.key(&row.key) {
                    contents.entries.push(Entry {
                        key,
                        value: row.value,
                        revision,
                    });
                }
            }
            if !reply.more {
                return Ok(contents);
            }
            // The first key after it.
            from = [&last[..], &[0]].concat().into();
        }
    }

    /// Watches everything from that revision of the cluster on.
    pub(super) async fn watch(&self, from: Revision) -> Result<Watching, StoreError> {
        let (asks, requests) = mpsc::channel(1);
        let create = wire::WatchCreateRequest {
            key: self.begin(),
            range_end: self.end(),
            start_revision: i64::try_from(from.0).unwrap_or(i64::MAX),
        };
        let request = wire::watch_request::RequestUnion::CreateRequest(create);
        let request = wire::WatchRequest {
            request_union: Some(request),
        };
        asks.send(request).await.map_err(|_| self.silent())?;
        let mut client = WatchClient::new(self.channel.clone())
            .max_decoding_message_size(limits::ETCD_MESSAGE_BYTES);
        let call = client.watch(ReceiverStream::new(requests));
        let told = timeout(limits::REMOTE_ANSWER, call)
            .await
            .map_err(|_| self.silent())?
            .map_err(|status| self.failed(&status))?;
        Ok(Watching {
            asks,
            told: told.into_inner(),
        })
    }

    /// What happened at each revision, as it was committed.
    ///
    /// # Errors
    /// Says what is not fprs's.
    pub(super) fn batches(&self, events: Vec<wire::Event>) -> Result<Vec<Batch>, String> {
        let mut commits: BTreeMap<Revision, (Option<Bytes>, Vec<Change>)> = BTreeMap::new();
        for event in events {
            let deleted = event.r#type() == wire::event::EventType::Delete;
            let row = event.kv.ok_or_else(|| "an event has no key".to_owned())?;
            let (head, changes) = commits.entry(written(&row)).or_default();
            match self.key(&row.key) {
                Some(key) => changes.push(Change {
                    key,
                    value: (!deleted).then_some(row.value),
                }),
                None => *head = Some(row.value),
            }
        }
        commits
            .into_iter()
            .map(|(revision, (head, changes))| {
                match head {
                    Some(head) => as_committed(revision, head, changes),
                    // Somebody else's: in the order of etcd.
                    None => Ok(Batch::new(revision, changes)),
                }
            })
            .collect()
    }

    /// Writes a commit, if every expectation holds.
    pub(super) async fn commit(
        &self,
        writes: &[Change],
        expectations: &[Expectation],
    ) -> Result<Revision, CommitError> {
        if writes.is_empty() && expectations.is_empty() {
            return Ok(self.newest().await?);
        }
        let compare = expectations.iter().map(|expected| {
            let revision = expected.revision.map_or(0, |revision| revision.0);
            let revision = i64::try_from(revision).unwrap_or(i64::MAX);
            wire::Compare {
                result: wire::compare::CompareResult::Equal.into(),
                target: wire::compare::CompareTarget::Mod.into(),
                key: self.row(&expected.key),
                target_union: Some(wire::compare::TargetUnion::ModRevision(revision)),
            }
        });
        let request = wire::TxnRequest {
            compare: compare.collect(),
            success: self.success(writes),
            failure: expectations
                .iter()
                .map(|expected| range(self.row(&expected.key)))
                .collect(),
        };
        let mut client = self.kv();
        let reply = timeout(limits::REMOTE_ANSWER, client.txn(request))
            .await
            .map_err(|_| {
                let reason = "no answer to a commit; read again to see whether it happened";
                StoreError::Unavailable(format!("{}: {reason}", self.address))
            })?
            .map_err(|status| match status.code() {
                Code::InvalidArgument => CommitError::Refused(format!(
                    "{} refuses it: {}; fprs needs an etcd with --max-request-bytes 33554432 and \
                     --max-txn-ops 20480",
                    self.address,
                    status.message()
                )),
                _ => self.failed(&status).into(),
            })?
            .into_inner();
        if !reply.succeeded {
            return Err(CommitError::Conflict(conflicts(
                expectations,
                &reply.responses,
            )));
        }
        if writes.is_empty() {
            let head = reply.responses.iter().find_map(first);
            return Ok(head.map_or(Revision(0), written));
        }
        let revision = revision(reply.header.as_ref());
        Ok(Revision(revision.unsigned_abs()))
    }

    fn success(&self, writes: &[Change]) -> Vec<wire::RequestOp> {
        use wire::request_op::Request;
        if writes.is_empty() {
            return vec![range(self.head().into())];
        }
        // The revision is etcd's, and not known yet.
        let head = head::encode(&[Commit::of(Revision(0), clock::unix_us(), writes)]);
        let head = Request::RequestPut(wire::PutRequest {
            key: self.head().into(),
            value: head,
        });
        let records = writes.iter().map(|change| {
            let key = self.row(&change.key);
            match &change.value {
                Some(value) => Request::RequestPut(wire::PutRequest {
                    key,
                    value: value.clone(),
                }),
                None => Request::RequestDeleteRange(wire::DeleteRangeRequest { key }),
            }
        });
        let requests = records.chain([head]);
        let op = |request| wire::RequestOp {
            request: Some(request),
        };
        requests.map(op).collect()
    }

    async fn range(&self, request: wire::RangeRequest) -> Result<wire::RangeResponse, StoreError> {
        match timeout(limits::REMOTE_ANSWER, self.kv().range(request)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(self.failed(&status)),
            Err(_) => Err(self.silent()),
        }
    }

    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
            .max_decoding_message_size(limits::ETCD_MESSAGE_BYTES)
            .max_encoding_message_size(limits::ETCD_MESSAGE_BYTES)
    }

    fn begin(&self) -> Bytes {
        format!("{}/", self.address.prefix).into()
    }

    /// After every key of ours: a slash is followed by a zero.
    fn end(&self) -> Bytes {
        format!("{}0", self.address.prefix).into()
    }

    fn head(&self) -> String {
        format!("{}/{HEAD}", self.address.prefix)
    }

    fn row(&self, key: &Key) -> Bytes {
        let Key { kind, name } = key;
        format!("{}/{RECORDS}{kind}\0{name}", self.address.prefix).into()
    }

    /// The record of a row; `None`: it is the head, or nothing of ours.
    fn key(&self, row: &[u8]) -> Option<Key> {
        let row = std::str::from_utf8(row).ok()?;
        let row = row.strip_prefix(&self.address.prefix)?.strip_prefix('/')?;
        let (kind, name) = row.strip_prefix(RECORDS)?.split_once('\0')?;
        Some(Key {
            kind: kind.into(),
            name: name.into(),
        })
    }

    fn silent(&self) -> StoreError {
        StoreError::Unavailable(format!("{} does not answer", self.address))
    }

    pub(super) fn failed(&self, status: &Status) -> StoreError {
        let reason = status.message();
        StoreError::Unavailable(format!("{} can't be used: {reason}", self.address))
    }
}

/// Changes in the order of the commit, with the deletes that deleted nothing.
fn as_committed(revision: Revision, head: Bytes, changes: Vec<Change>) -> Result<Batch, String> {
    let mut rows: BTreeMap<Key, Option<Bytes>> = changes
        .into_iter()
        .map(|change| (change.key, change.value))
        .collect();
    let commits = head::decode(head)?;
    let stamps = commits.iter().map(|commit| commit.committed_unix_us);
    let committed_unix_us = stamps.max().unwrap_or_default();
    let changes = commits
        .into_iter()
        .flat_map(|commit| commit.writes)
        .map(|(key, deleted)| match rows.remove(&key) {
            Some(value) => Ok(Change { key, value }),
            None if deleted => Ok(Change::delete(key)),
            None => Err(format!("{key} is missing in what its commit tells")),
        })
        .collect::<Result<_, _>>()?;
    Ok(Batch {
        revision,
        committed_unix_us,
        changes,
    })
}

fn conflicts(expectations: &[Expectation], responses: &[wire::ResponseOp]) -> Vec<Key> {
    let is = responses
        .iter()
        .map(|response| first(response).map(written));
    expectations
        .iter()
        .zip(is)
        .filter(|(expected, is)| expected.revision != *is)
        .map(|(expected, _)| expected.key.clone())
        .collect()
}

fn range(key: Bytes) -> wire::RequestOp {
    let range = wire::RangeRequest {
        key,
        keys_only: true,
        ..wire::RangeRequest::default()
    };
    wire::RequestOp {
        request: Some(wire::request_op::Request::RequestRange(range)),
    }
}

fn first(response: &wire::ResponseOp) -> Option<&wire::KeyValue> {
    match &response.response {
        Some(wire::response_op::Response::ResponseRange(range)) => range.kvs.first(),
        None => None,
    }
}

const fn written(row: &wire::KeyValue) -> Revision {
    Revision(row.mod_revision.unsigned_abs())
}

fn revision(header: Option<&wire::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}
