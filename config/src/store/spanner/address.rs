//! PURE. Where a store on Spanner is: `spanner://projects/P/instances/I/databases/D`, and for an
//! emulator `?endpoint=http://host:port&admin=http://host:port`.

use std::fmt;
use std::str::FromStr;

use super::SpannerError;

/// A database on Spanner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanner {
    /// `projects/P/instances/I/databases/D`.
    pub(super) database: String,
    /// Where gRPC is served; `None`: Google's, or what `SPANNER_EMULATOR_HOST` says.
    pub(super) endpoint: Option<String>,
    /// Where the admin API (REST) is served; `None`: Google's.
    pub(super) admin: Option<String>,
}

/// How an address begins.
const SCHEME: &str = "spanner://";

impl FromStr for Spanner {
    type Err = SpannerError;

    fn from_str(address: &str) -> Result<Self, SpannerError> {
        let malformed = || SpannerError::Address(address.to_owned());
        let rest = address.strip_prefix(SCHEME).ok_or_else(malformed)?;
        let (database, query) = match rest.split_once('?') {
            Some((database, query)) => (database, Some(query)),
            None => (rest, None),
        };
        let parts: Vec<&str> = database.split('/').collect();
        let [
            "projects",
            project,
            "instances",
            instance,
            "databases",
            name,
        ] = parts.as_slice()
        else {
            return Err(malformed());
        };
        if [project, instance, name].iter().any(|part| part.is_empty()) {
            return Err(malformed());
        }
        let mut spanner = Self {
            database: database.to_owned(),
            endpoint: None,
            admin: None,
        };
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            match pair.split_once('=') {
                Some(("endpoint", endpoint)) => spanner.endpoint = Some(endpoint.to_owned()),
                Some(("admin", admin)) => spanner.admin = Some(admin.to_owned()),
                _ => return Err(malformed()),
            }
        }
        Ok(spanner)
    }
}

impl fmt::Display for Spanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.database)
    }
}

impl Spanner {
    /// `projects/P/instances/I`.
    pub(super) fn instance(&self) -> &str {
        self.database
            .split_once("/databases/")
            .map_or("", |(instance, _)| instance)
    }

    /// `D`.
    pub(super) fn name(&self) -> &str {
        self.database
            .rsplit_once('/')
            .map_or("", |(_, database)| database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_whole_or_not_at_all() {
        let spanner: Spanner = "spanner://projects/p/instances/i/databases/d"
            .parse()
            .unwrap();
        assert_eq!(spanner.database, "projects/p/instances/i/databases/d");
        assert_eq!(
            (spanner.instance(), spanner.name()),
            ("projects/p/instances/i", "d")
        );
        assert_eq!(spanner.endpoint, None);
        for bad in [
            "projects/p/instances/i/databases/d",
            "spanner://projects/p/instances/i",
            "spanner://projects//instances/i/databases/d",
            "spanner://projects/p/instances/i/databases/d/x",
            "spanner://projects/p/instances/i/databases/d?colour=red",
        ] {
            assert!(bad.parse::<Spanner>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_emulator_is_named_by_its_endpoints() {
        let address =
            "spanner://projects/p/instances/i/databases/d?endpoint=http://e:1&admin=http://e:2";
        let spanner: Spanner = address.parse().unwrap();
        assert_eq!(spanner.endpoint.as_deref(), Some("http://e:1"));
        assert_eq!(spanner.admin.as_deref(), Some("http://e:2"));
        assert_eq!(
            spanner.to_string(),
            "spanner://projects/p/instances/i/databases/d"
        );
    }
}
