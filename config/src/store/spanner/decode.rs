//! PURE. Change records as Spanner sends them (`ARRAY<STRUCT<…>>`, each struct a list in the order
//! of its fields; keys and values as JSON) into what they mean.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use google_cloud_spanner::types;
use google_cloud_spanner::value::{FromValue, Value};
use serde::Deserialize;

use super::partitions::{Child, Token};
use super::transactions::{DataChange, RowChange};
use crate::key::Key;

/// What a partition tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Data(DataChange),
    /// Everything up to that time was told.
    Heartbeat(SystemTime),
    /// From that time on, these go on in its place.
    Children(SystemTime, Vec<Child>),
}

/// Tables of the stream.
const RECORDS: &str = "Records";
const HEADS: &str = "Heads";

/// Fields of a data change record, by place.
mod data {
    pub(super) const COMMIT: usize = 0;
    pub(super) const SEQUENCE: usize = 1;
    pub(super) const TRANSACTION: usize = 2;
    pub(super) const TABLE: usize = 4;
    pub(super) const MODS: usize = 6;
    pub(super) const MOD_TYPE: usize = 7;
    pub(super) const RECORDS: usize = 9;
}

#[derive(Deserialize)]
struct RecordKeys {
    kind: String,
    name: String,
}

#[derive(Deserialize)]
struct RecordValues {
    value: String,
}

#[derive(Deserialize)]
struct HeadValues {
    commits: String,
}

/// The records of one row of the query's result.
///
/// # Errors
/// Says what is not as documented.
pub(super) fn records(row: &Value) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    for change in list(row, "ChangeRecord")? {
        for data in list(field(change, 0)?, "data_change_record")? {
            records.push(Record::Data(data_change(data)?));
        }
        for heartbeat in list(field(change, 1)?, "heartbeat_record")? {
            records.push(Record::Heartbeat(time(field(heartbeat, 0)?)?));
        }
        for children in list(field(change, 2)?, "child_partitions_record")? {
            let from = time(field(children, 0)?)?;
            let children = list(field(children, 2)?, "child_partitions")?;
            let children = children.map(child).collect::<Result<_, _>>()?;
            records.push(Record::Children(from, children));
        }
    }
    Ok(records)
}

fn data_change(record: &Value) -> Result<DataChange, String> {
    let table = text(field(record, data::TABLE)?)?;
    let deleted = text(field(record, data::MOD_TYPE)?)? == "DELETE";
    let rows = list(field(record, data::MODS)?, "mods")?
        .map(|change| row(table, deleted, change))
        .collect::<Result<Vec<_>, _>>()?;
    let records = text(field(record, data::RECORDS)?)?;
    Ok(DataChange {
        commit: time(field(record, data::COMMIT)?)?,
        transaction: text(field(record, data::TRANSACTION)?)?.into(),
        sequence: text(field(record, data::SEQUENCE)?)?.into(),
        records: records
            .parse()
            .map_err(|_| format!("`{records}` is no number of records"))?,
        rows,
    })
}

/// One of `mods`: keys, new values.
fn row(table: &str, deleted: bool, change: &Value) -> Result<RowChange, String> {
    let keys = text(field(change, 0)?)?;
    let json = |error: serde_json::Error| format!("a row of {table} is not as expected: {error}");
    match table {
        RECORDS => {
            let RecordKeys { kind, name } = serde_json::from_str(keys).map_err(json)?;
            let key = Key {
                kind: Arc::from(kind),
                name: Arc::from(name),
            };
            if deleted {
                return Ok(RowChange::Delete(key));
            }
            let values = text(field(change, 1)?)?;
            let RecordValues { value } = serde_json::from_str(values).map_err(json)?;
            Ok(RowChange::Put(key, base64(value)?))
        }
        HEADS if deleted => Err("the head's row was deleted".to_owned()),
        HEADS => {
            let values = text(field(change, 1)?)?;
            let HeadValues { commits } = serde_json::from_str(values).map_err(json)?;
            Ok(RowChange::Head(base64(commits)?))
        }
        other => Err(format!("the stream watches the table `{other}` too")),
    }
}

fn child(child: &Value) -> Result<Child, String> {
    Ok(Child {
        token: text(field(child, 0)?)?.into(),
        parents: list(field(child, 1)?, "parent_partition_tokens")?
            .map(|parent| text(parent).map(Token::from))
            .collect::<Result<_, _>>()?,
    })
}

fn field(record: &Value, place: usize) -> Result<&Value, String> {
    record
        .as_list()
        .and_then(|fields| fields.get(place))
        .ok_or_else(|| format!("a record has no field {place}"))
}

fn list<'a>(value: &'a Value, name: &str) -> Result<impl Iterator<Item = &'a Value>, String> {
    let list = value.as_list();
    let list = list.ok_or_else(|| format!("`{name}` is no list"))?;
    Ok(list.iter())
}

fn text(value: &Value) -> Result<&str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("{value:?} is no text"))
}

pub(super) fn time(value: &Value) -> Result<SystemTime, String> {
    SystemTime::from_value(value, &types::timestamp()).map_err(|error| error.to_string())
}

fn base64(text: String) -> Result<Bytes, String> {
    let bytes = Vec::<u8>::from_value(&Value::from(text), &types::bytes());
    bytes.map(Bytes::from).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat(at: &str) -> Value {
        let none = || Value::from(Vec::<Value>::new());
        let heartbeat = Value::from(vec![Value::from(at.to_owned())]);
        let change = Value::from(vec![none(), Value::from(vec![heartbeat]), none()]);
        Value::from(vec![change])
    }

    #[test]
    fn a_heartbeat_carries_its_time() {
        let told = records(&heartbeat("1970-01-01T00:00:01.5Z")).unwrap();
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1500);
        assert_eq!(told, [Record::Heartbeat(at)]);
    }

    #[test]
    fn what_is_not_as_documented_is_named() {
        assert!(records(&heartbeat("yesterday")).is_err());
        assert_eq!(
            records(&Value::from("text".to_owned())).unwrap_err(),
            "`ChangeRecord` is no list"
        );
        let read = |keys: &str| {
            let change = Value::from(vec![Value::from(keys.to_owned()), Value::null()]);
            row(RECORDS, true, &change)
        };
        assert!(read("{}").unwrap_err().contains("missing field `kind`"));
        assert!(read(r#"{"kind":"k","name":"n"}"#).is_ok());
    }
}
