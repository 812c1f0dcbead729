//! Answers on the Unix socket: HTTP and JSON.

mod metrics;
mod notice;

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

pub use metrics::MetricsSocket;
use notice::Peer;
pub use notice::{Deed, Notice};

use super::Shared;
use crate::{
    kernel::clock,
    query::{self, journal::Batch, model::AgentRow, read},
};

/// Who may ask: the owner and the group. Answers name users and clients.
const MODE: u32 = 0o660;
/// The longest that a question for events may wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// The socket, bound. Its file goes when this does.
#[derive(Debug)]
pub struct Socket {
    listener: Option<UnixListener>,
    path: PathBuf,
}

impl Socket {
    /// Binds to `path`; a file left over by an agent that died is replaced. To be called inside the
    /// runtime.
    ///
    /// # Errors
    ///
    /// When an agent answers there, something that is no socket lies there, or the file system
    /// refuses.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        remove_left_over(path)?;
        let listener = UnixListener::bind(path)
            .with_context(|| format!("cannot listen on the socket {}", path.display()))?;
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
        Ok(Self {
            listener: Some(listener),
            path: path.to_owned(),
        })
    }

    /// Answers until cancelled.
    pub(super) async fn serve(&mut self, shared: Arc<Shared>) -> io::Result<()> {
        let Some(listener) = self.listener.take() else {
            return Ok(());
        };
        let router = Router::new()
            .route("/agent", get(agent))
            .route("/status", get(status))
            .route("/stats", get(stats))
            .route("/tuples", get(tuples))
            .route("/sessions", get(sessions))
            .route("/transfers", get(transfers))
            .route("/events", get(events))
            .route("/metrics", get(metrics::metrics))
            .route("/manual", post(notice::manual))
            .with_state(shared);
        let service = router.into_make_service_with_connect_info::<Peer>();
        axum::serve(listener, service).await
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _already_gone = fs::remove_file(&self.path);
    }
}

fn remove_left_over(path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context(format!("cannot look at {}", path.display())),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            bail!(
                "{} is there and is no socket: choose another --socket",
                path.display()
            )
        }
        Ok(_) => {}
    }
    if UnixStream::connect(path).is_ok() {
        bail!(
            "another process answers on {}: choose another --socket",
            path.display()
        );
    }
    fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))
}

/// Removes the file that an agent which died left at `path`; leaves anything else alone.
pub fn forget(path: &Path) {
    if path.exists() && remove_left_over(path).is_err() {
        tracing::debug!("{} is none of a dead agent's", path.display());
    }
}

async fn agent(State(shared): State<Arc<Shared>>) -> Json<AgentRow> {
    Json(shared.row())
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    answer(query::summary(
        &shared.maps,
        &shared.pins,
        Some(shared.row()),
    ))
}

async fn stats(State(shared): State<Arc<Shared>>) -> Response {
    answer(read::stats(&shared.maps, &shared.pins, None))
}

async fn tuples(State(shared): State<Arc<Shared>>) -> Response {
    answer(read::tuples(&shared.maps).and_then(Iterator::collect::<anyhow::Result<Vec<_>>>))
}

async fn sessions(State(shared): State<Arc<Shared>>) -> Response {
    shared.catch_up.wait().await;
    answer(Ok(super::lock(&shared.follower).rows(clock::now())))
}

async fn transfers(State(shared): State<Arc<Shared>>) -> Response {
    shared.catch_up.wait().await;
    let running = super::lock(&shared.follower).running();
    answer(query::transfers::transfers(&shared.maps, &running).await)
}

/// Which events, and how long to wait for the first if there is none.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Newer {
    /// Only those with a higher number.
    after: u64,
    wait_ms: u64,
}

async fn events(
    State(shared): State<Arc<Shared>>,
    Query(Newer { after, wait_ms }): Query<Newer>,
) -> Json<Batch> {
    shared.catch_up.wait().await;
    let patience = Duration::from_millis(wait_ms).min(PATIENCE);
    shared.journal.wait(after, patience).await;
    Json(shared.journal.newer(after))
}

fn answer<T: Serialize>(result: anyhow::Result<T>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}
