//! What each pane can be sorted by. The first is what it is sorted by at the beginning.

use std::cmp::{Ordering, Reverse};

use super::{look::Transfer, state::Dropped};
use crate::query::model::{SessionRow, TupleRow};

/// An order of rows.
pub(super) struct Order<T> {
    /// In the pane's title.
    pub(super) name: &'static str,
    pub(super) compare: fn(&T, &T) -> Ordering,
}

/// The newest first.
pub(super) const SESSIONS: [Order<SessionRow>; 4] = [
    Order {
        name: "age",
        compare: |a, b| a.age_ms.cmp(&b.age_ms),
    },
    Order {
        name: "client",
        compare: |a, b| a.client.cmp(&b.client),
    },
    Order {
        name: "user",
        compare: |a, b| a.user.cmp(&b.user),
    },
    Order {
        name: "transfers",
        compare: |a, b| b.transfers.cmp(&a.transfers),
    },
];

/// Those that last longest first.
pub(super) const TRANSFERS: [Order<Transfer>; 5] = [
    Order {
        name: "age",
        compare: |a, b| b.row.duration_ms.cmp(&a.row.duration_ms),
    },
    Order {
        name: "rate",
        compare: |a, b| b.rate.cmp(&a.rate),
    },
    Order {
        name: "progress",
        compare: |a, b| b.row.percent().cmp(&a.row.percent()),
    },
    Order {
        name: "client",
        compare: |a, b| a.row.client.cmp(&b.row.client),
    },
    Order {
        name: "session",
        compare: |a, b| a.row.session.cmp(&b.row.session),
    },
];

/// Those that expire next first.
pub(super) const TUPLES: [Order<TupleRow>; 3] = [
    Order {
        name: "expiry",
        compare: |a, b| a.expires_in_ms.cmp(&b.expires_in_ms),
    },
    Order {
        name: "client",
        compare: |a, b| a.client.cmp(&b.client),
    },
    Order {
        name: "session",
        compare: |a, b| a.session.cmp(&b.session),
    },
];

/// The most first.
pub(super) const DROPS: [Order<Dropped>; 3] = [
    Order {
        name: "rate",
        compare: |a, b| most(a).cmp(&most(b)),
    },
    Order {
        name: "total",
        compare: |a, b| b.total.cmp(&a.total),
    },
    Order {
        name: "reason",
        compare: |a, b| a.reason.cmp(b.reason),
    },
];

fn most(drop: &Dropped) -> (Reverse<u64>, Reverse<u64>) {
    (Reverse(drop.rate), Reverse(drop.total))
}
