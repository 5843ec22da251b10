//! PURE. The TOML text of a manifest: where a mistake is, and what was probably meant.

use toml::Spanned;
use toml::de::DeTable;

use super::Manifest;
use super::raw::{KEYS, Raw};
use crate::limits;

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct ManifestError {
    /// Where, from 1; `None` if nothing in the text is to blame, e.g. a missing key.
    pub line: Option<usize>,
    /// What is wrong, naming the key.
    pub message: String,
}

pub(super) fn parse(text: &str) -> Result<Manifest, ManifestError> {
    if text.len() > limits::MANIFEST_BYTES {
        return Err(ManifestError {
            line: None,
            message: format!(
                "a manifest has at most {} bytes; this has {}",
                limits::MANIFEST_BYTES,
                text.len()
            ),
        });
    }
    let table = DeTable::parse(text).map_err(|error| syntax(text, &error))?;
    if let Some(key) = table
        .get_ref()
        .keys()
        .find(|key| !KEYS.contains(&&**key.get_ref()))
    {
        return Err(ManifestError {
            line: Some(line(text, key.span().start)),
            message: unknown(key.get_ref()),
        });
    }
    let raw: Raw = toml::from_str(text).map_err(|error| syntax(text, &error))?;
    Manifest::try_from(raw).map_err(|invalid| ManifestError {
        line: line_of(text, &table, invalid.field),
        message: invalid.to_string(),
    })
}

fn unknown(key: &str) -> String {
    let nearest = KEYS
        .into_iter()
        .min_by_key(|known| strsim::damerau_levenshtein(known, key));
    match nearest {
        Some(known) => format!("unknown key `{key}`; the nearest valid key is `{known}`"),
        None => format!("unknown key `{key}`"),
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> ManifestError {
    ManifestError {
        line: error.span().map(|span| line(text, span.start)),
        message: error.message().to_owned(),
    }
}

fn line_of(text: &str, table: &Spanned<DeTable<'_>>, field: &str) -> Option<usize> {
    let (key, _) = table.get_ref().get_key_value(field)?;
    Some(line(text, key.span().start))
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
