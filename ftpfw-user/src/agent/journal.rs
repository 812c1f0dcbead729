//! The journal: all that happens is told here, once; it goes to the log and is kept for queries.

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use ftpfw_common::abi::{keys::SessionKey, values::Mode};
use jiff::Timestamp;
use tokio::{sync::watch, time::timeout};
use tracing::{Level, debug, error, info, warn};

use super::{
    event::{Event, Happening},
    lock,
    log_limit::LogLimit,
    narrate,
    transfer_log::TransferLog,
};
use crate::{
    kernel::clock::TimeOfDay,
    query::journal::{Batch, EventRow},
};

/// Events that are kept.
const EVENTS: usize = 10_000;
/// Bytes of users' names and refused lines that are kept: whoever sends long ones makes the journal
/// shorter, not larger.
const TEXT: usize = 4 << 20;
/// Events in one answer at most.
const BATCH: usize = 500;

/// The last 10,000 events, fewer if their text is long.
#[derive(Debug)]
pub struct Journal {
    log: LogLimit,
    transfers: Mutex<TransferLog>,
    kept: Mutex<Kept>,
    /// The number of the newest event; 0 before the first.
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<(Timestamp, Event)>,
    /// The number of the first of `events`, less one.
    dropped: u64,
    text: usize,
    time: TimeOfDay,
}

impl Journal {
    /// An empty one, which logs what `log` admits, and all transfers to `transfers`.
    #[must_use]
    pub fn new(log: LogLimit, transfers: TransferLog) -> Self {
        Self {
            log,
            transfers: Mutex::new(transfers),
            kept: Mutex::default(),
            newest: watch::Sender::default(),
        }
    }

    /// The limit of the log.
    #[must_use]
    pub const fn log_limit(&self) -> &LogLimit {
        &self.log
    }

    /// Logs and keeps what happened at `at`, ns of `CLOCK_MONOTONIC`.
    pub fn tell(&self, at: u64, event: Event) {
        // What the agent tells of itself is never left out.
        if event.is_of_agent() || self.log.admits() {
            log(&event);
        }
        let is_transfer = matches!(event.what, Happening::Transferred(_));
        let (newest, row) = lock(&self.kept).keep(at, event, is_transfer);
        if let Some(row) = row {
            lock(&self.transfers).write(&row);
        }
        self.newest.send_replace(newest);
    }

    /// The file of transfers was, or is to be, replaced.
    pub fn reopen(&self) {
        lock(&self.transfers).reopen();
    }

    /// The oldest events with a number above `after`.
    #[must_use]
    pub fn newer(&self, after: u64) -> Batch {
        lock(&self.kept).newer(after)
    }

    /// Waits for an event with a number above `after`, but not longer than `patience`.
    pub async fn wait(&self, after: u64, patience: Duration) {
        let mut newest = self.newest.subscribe();
        let _impatient = timeout(patience, newest.wait_for(|newest| *newest > after)).await;
    }
}

impl Kept {
    /// Keeps one more; its number and, if that is wanted, its row.
    fn keep(&mut self, at: u64, event: Event, wanted: bool) -> (u64, Option<EventRow>) {
        let time = self.time.of(at);
        let row = wanted.then(|| row(self.newest() + 1, time, &event));
        self.text += event.text_len();
        self.events.push_back((time, event));
        while (self.events.len() > EVENTS || self.text > TEXT)
            && let Some((_, oldest)) = self.events.pop_front()
        {
            self.text -= oldest.text_len();
            self.dropped += 1;
        }
        (self.newest(), row)
    }

    fn newest(&self) -> u64 {
        self.dropped + self.events.len() as u64
    }

    fn newer(&self, after: u64) -> Batch {
        let skip = usize::try_from(after.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        let newer = self.events.iter().zip(self.dropped + 1..).skip(skip);
        Batch {
            newest: self.newest(),
            events: newer
                .take(BATCH)
                .map(|((time, event), number)| row(number, *time, event))
                .collect(),
        }
    }
}

fn log(event: &Event) {
    let text = || narrate::sentence(event);
    match event.what.level() {
        Level::ERROR => error!("{}", text()),
        Level::WARN => warn!("{}", text()),
        Level::INFO => info!("{}", text()),
        _ => debug!("{}", text()),
    }
}

fn row(number: u64, time: Timestamp, event: &Event) -> EventRow {
    let key = event.key.as_ref();
    // Without the client's port it is no connection, only a tuple.
    let connection = key.filter(|key| key.client_port != 0);
    let mut row = EventRow {
        number,
        time,
        event: event.what.name().to_owned(),
        session: (event.session != 0).then_some(event.session),
        client: key.map(|key| key.client.into()),
        client_port: connection.map(|key| key.client_port),
        server: key.map(|key| key.server.into()),
        server_port: connection.map(|key| key.server_port),
        port: None,
        mode: None,
        by: None,
        reason: None,
        user: None,
        line: None,
        transfer: None,
        text: narrate::sentence(event),
    };
    match &event.what {
        Happening::Armed { mode, port, by } => {
            negotiated(&mut row, *mode, Some(*port));
            row.by = by.map(|by| by.name().to_owned());
        }
        Happening::Withdrawn { mode, port, cause } => {
            negotiated(&mut row, *mode, Some(*port));
            row.reason = Some(cause.name().to_owned());
        }
        Happening::Claimed { mode } | Happening::Finished { mode } => {
            negotiated(&mut row, *mode, key.map(|key| negotiated_port(key, *mode)));
        }
        Happening::Refused { refusal, line } => {
            row.reason = Some(refusal.name().to_owned());
            row.line.clone_from(line);
        }
        Happening::LoggedIn { user } => row.user.clone_from(user),
        Happening::Transferred(transfer) => {
            let port = key.map(|key| negotiated_port(key, transfer.mode));
            negotiated(&mut row, transfer.mode, port);
            row.user.clone_from(&transfer.user);
            row.transfer = Some(transfer.row());
        }
        _ => {}
    }
    row
}

fn negotiated(row: &mut EventRow, mode: Mode, port: Option<u16>) {
    row.mode = Some(mode.name().to_owned());
    row.port = port;
}

fn negotiated_port(connection: &SessionKey, mode: Mode) -> u16 {
    match mode {
        Mode::Active => connection.client_port,
        _ => connection.server_port,
    }
}

#[cfg(test)]
mod tests {
    use ftpfw_common::reason::Refusal;

    use super::*;
    use crate::kernel::clock;

    fn refused(line: &str) -> Event {
        let (refusal, line) = (Refusal::Bounce, Some(line.to_owned()));
        Event {
            session: 3,
            key: None,
            what: Happening::Refused { refusal, line },
        }
    }

    fn filled(number: usize, line: &str) -> Kept {
        let mut kept = Kept::default();
        for _ in 0..number {
            kept.keep(clock::now(), refused(line), false);
        }
        kept
    }

    #[test]
    fn events_are_numbered_from_one_and_told_after_what_was_read() {
        let kept = filled(3, "PORT 1,2,3,4,0,25");
        let all = kept.newer(0);
        let numbers: Vec<_> = all.events.iter().map(|row| row.number).collect();
        assert_eq!((numbers, all.newest), (vec![1, 2, 3], 3));
        let last = &kept.newer(2).events[..];
        assert_eq!((last.len(), last[0].number), (1, 3));
        assert_eq!(last[0].reason.as_deref(), Some("bounce"));
        assert_eq!(last[0].line.as_deref(), Some("PORT 1,2,3,4,0,25"));
        assert_eq!(last[0].session, Some(3));
        for after in [3, 4, u64::MAX] {
            assert!(kept.newer(after).events.is_empty(), "after {after}");
        }
    }

    #[test]
    fn only_the_newest_are_kept_and_keep_their_numbers() {
        let kept = filled(EVENTS + 7, "");
        assert_eq!(kept.events.len(), EVENTS);
        let oldest = kept.newer(0);
        assert_eq!((oldest.events.len(), oldest.events[0].number), (BATCH, 8));
        assert_eq!(kept.newer(10_006).events[0].number, 10_007);
    }

    #[test]
    fn long_lines_make_the_journal_shorter_not_larger() {
        let line = "a".repeat(TEXT / 10);
        let kept = filled(25, &line);
        assert_eq!(kept.events.len(), 10);
        assert_eq!(kept.newer(0).events[0].number, 16);
        assert!(kept.text <= TEXT);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_next_event() {
        let journal = Journal::new(LogLimit::new(1000), TransferLog::none());
        let soon = Duration::from_millis(1);
        journal.wait(0, soon).await;
        assert_eq!(journal.newer(0).newest, 0, "nothing happened");
        let waiting = journal.wait(0, Duration::from_secs(3600));
        let telling = async { journal.tell(clock::now(), refused("PORT")) };
        tokio::join!(waiting, telling);
        assert_eq!(journal.newer(0).newest, 1);
        // What happened before is not waited for.
        journal.wait(0, Duration::from_secs(3600)).await;
    }
}
