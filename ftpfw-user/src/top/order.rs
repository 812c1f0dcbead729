//! What each pane can be sorted by. The first is what it is sorted by at the beginning.

use std::cmp::{Ordering, Reverse};

use super::state::Dropped;
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

const BY_CLIENT: Order<TupleRow> = Order {
    name: "client",
    compare: |a, b| a.client.cmp(&b.client),
};

const BY_SESSION: Order<TupleRow> = Order {
    name: "session",
    compare: |a, b| a.session.cmp(&b.session),
};

/// Those that last longest first.
pub(super) const TRANSFERS: [Order<TupleRow>; 3] = [
    Order {
        name: "age",
        compare: |a, b| b.age_ms.cmp(&a.age_ms),
    },
    BY_CLIENT,
    BY_SESSION,
];

/// Those that expire next first.
pub(super) const TUPLES: [Order<TupleRow>; 3] = [
    Order {
        name: "expiry",
        compare: |a, b| a.expires_in_ms.cmp(&b.expires_in_ms),
    },
    BY_CLIENT,
    BY_SESSION,
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
