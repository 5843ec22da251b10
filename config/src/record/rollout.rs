//! PURE. Another version of a record for some cells first: staged, then promoted or taken back.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use fprs_proto::record as wire;

use super::Record;
use super::check::{self, Invalid};
use crate::key::{Key, Kind, Revision};
use crate::limits;
use crate::store::Change;

/// Another version of a record, or its end, in some cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// `kind/name` of the record.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub record: Arc<str>,
    /// What it is in those cells; `None`: deleted.
    pub staged: Option<Box<Record>>,
    /// The cells.
    pub cells: Vec<String>,
    /// Of all cells, besides, in hundredths of a percent.
    pub basis_points: u32,
    /// The record's when it was staged; `None`: there was none.
    pub base: Option<Revision>,
    /// What is promoted or taken back together.
    pub set: String,
}

impl Rollout {
    /// Whether records of that kind can be staged. The others are moved on by processes that have to
    /// agree on them.
    pub const fn stages(kind: Kind) -> bool {
        match kind {
            Kind::Domain
            | Kind::Issuer
            | Kind::Mirror
            | Kind::Server
            | Kind::Tenant
            | Kind::Token => true,
            Kind::EgressPool | Kind::Lease | Kind::Replica | Kind::Rollout | Kind::Worker => false,
        }
    }

    /// The key of the rollout of that record.
    pub fn key_of(record: &Key) -> Key {
        Key::new(Kind::Rollout, &record.to_string())
    }

    /// The record's key.
    pub fn target(&self) -> Key {
        Key::new(self.kind, &self.record)
    }

    /// The write that puts what is staged in the record's place.
    pub fn promotion(&self) -> Change {
        match &self.staged {
            Some(record) => record.change(),
            None => Change::delete(self.target()),
        }
    }

    /// Whether it is for that cell. A share keeps the cells it has when it grows, and takes the same ones
    /// for all records of a set.
    pub fn is_for(&self, cell: Option<&str>) -> bool {
        let Some(cell) = cell else {
            return false;
        };
        if self.cells.iter().any(|named| named == cell) {
            return true;
        }
        let place = digest(&SHA256, format!("{}\0{cell}", self.set).as_bytes());
        let place = place.as_ref().first_chunk::<8>();
        let place = place.map_or(0, |bytes| u64::from_be_bytes(*bytes));
        place % u64::from(limits::BASIS_POINTS) < u64::from(self.basis_points)
    }

    pub(super) fn check(&self) -> Result<(), Invalid> {
        if !Self::stages(self.kind) {
            return Err(Invalid::new(
                "kind",
                format!("is `{}`, which can't be staged", self.kind.name()),
            ));
        }
        if let Some(staged) = &self.staged {
            staged.check()?;
            if (staged.kind(), staged.name()) != (self.kind, &*self.record) {
                return Err(Invalid::new("value", "is of another record"));
            }
        }
        check::text("record", &self.record, limits::HOST_BYTES)?;
        if self.record.is_empty() {
            return Err(Invalid::new("record", "must not be empty"));
        }
        if self.cells.len() > limits::ROLLOUT_CELLS {
            let many = format!("names {} cells", self.cells.len());
            let most = limits::ROLLOUT_CELLS;
            return Err(Invalid::new(
                "cells",
                format!("{many}; the limit is {most}"),
            ));
        }
        for cell in &self.cells {
            check::label("cells", cell)?;
        }
        if self.basis_points > limits::BASIS_POINTS {
            return Err(Invalid::new("basis_points", "is more than all cells"));
        }
        if self.cells.is_empty() && self.basis_points == 0 {
            return Err(Invalid::new(
                "cells",
                "is empty, and so is the share of them",
            ));
        }
        check::text("set", &self.set, limits::ROLLOUT_SET_BYTES)
    }

    pub(super) fn try_from_wire(wire: wire::Rollout) -> Result<Self, String> {
        let kind = Kind::from_name(&wire.kind)
            .ok_or_else(|| format!("`kind` is `{}`, which this build doesn't know", wire.kind))?;
        if !Self::stages(kind) {
            return Err(format!("`kind` is `{}`, which can't be staged", wire.kind));
        }
        let target = Key::new(kind, &wire.record);
        let staged = wire.value.map(Bytes::from);
        let staged = staged.map(|value| Record::decode(&target, &value));
        let rollout = Self {
            name: target.to_string(),
            kind,
            record: target.name,
            staged: staged.transpose()?.map(Box::new),
            cells: wire.cells,
            basis_points: wire.basis_points,
            base: (wire.base_revision > 0).then_some(Revision(wire.base_revision)),
            set: wire.set,
        };
        rollout.check()?;
        Ok(rollout)
    }

    pub(super) fn to_wire(&self) -> wire::Rollout {
        let value = self.promotion().value;
        wire::Rollout {
            kind: self.kind.name().to_owned(),
            record: self.record.to_string(),
            value: value.map(Into::into),
            cells: self.cells.clone(),
            basis_points: self.basis_points,
            base_revision: self.base.map_or(0, |base| base.0),
            set: self.set.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rollout;

    #[test]
    fn a_share_of_cells_grows_by_cells_and_reaches_all() {
        let mut staged = rollout("server/a", &[]);
        let cells: Vec<_> = (0..1_000).map(|number| format!("cell-{number}")).collect();
        let mut before = Vec::new();
        for points in [100, 1_000, 5_000, 10_000] {
            staged.basis_points = points;
            let now: Vec<_> = cells
                .iter()
                .filter(|cell| staged.is_for(Some(cell)))
                .collect();
            assert!(before.iter().all(|cell| now.contains(cell)), "{points}");
            let wanted = usize::try_from(points).unwrap() / 10;
            assert!(now.len().abs_diff(wanted) < 60, "{} of {wanted}", now.len());
            before = now;
        }
        assert_eq!(before.len(), cells.len());
        assert!(
            !staged.is_for(None),
            "without a cell it is what is promoted"
        );
    }

    #[test]
    fn a_rollout_is_refused_by_the_field_that_is_wrong() {
        let wrong = |edit: fn(&mut Rollout)| {
            let mut staged = rollout("server/a", &["eu"]);
            edit(&mut staged);
            staged.check().unwrap_err().field
        };
        assert_eq!(wrong(|it| it.cells.clear()), "cells");
        assert_eq!(wrong(|it| it.cells.push("no cell".into())), "cells");
        assert_eq!(wrong(|it| it.basis_points = 10_001), "basis_points");
        assert_eq!(wrong(|it| it.kind = Kind::Replica), "kind");
        assert_eq!(wrong(|it| it.record = "b".into()), "value");
    }
}
