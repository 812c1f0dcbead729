//! Asking the agent: HTTP over its Unix socket.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, task::JoinHandle, time::timeout};

/// How long an answer may take. An agent that is stopped never gives one.
const PATIENCE: Duration = Duration::from_secs(5);

/// An agent is there, and says nothing.
#[derive(Debug)]
struct Silence(Duration);

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing came within {} s", self.0.as_secs())
    }
}

impl Error for Silence {}

/// A connection to one agent. As long as questions are answered, it is the same agent that answers.
#[derive(Debug)]
pub struct Agent {
    socket: PathBuf,
    sender: SendRequest<Empty<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

/// What the agent answers to `GET path`; `None` when no agent listens on the socket.
///
/// # Errors
///
/// When an agent is there, but cannot be reached or answers nonsense.
pub async fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> anyhow::Result<Option<T>> {
    match Agent::connect(socket).await? {
        Some(mut agent) => agent.get(path).await.map(Some),
        None => Ok(None),
    }
}

/// What was asked of an agent, for who can do without: one that is silent is as good as none.
///
/// # Errors
///
/// Any other error that `answer` is.
pub fn unless_silent<T>(answer: anyhow::Result<Option<T>>) -> anyhow::Result<Option<T>> {
    match answer {
        Err(error) if error.chain().any(<dyn Error>::is::<Silence>) => Ok(None),
        answer => answer,
    }
}

impl Agent {
    /// Connects; `None` when no agent listens on the socket.
    ///
    /// # Errors
    ///
    /// When an agent is there, but cannot be reached.
    pub async fn connect(socket: &Path) -> anyhow::Result<Option<Self>> {
        let stream = match UnixStream::connect(socket).await {
            Ok(stream) => stream,
            Err(error) if no_agent(&error) => return Ok(None),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot reach the agent at {}", socket.display()));
            }
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .with_context(|| format!("cannot reach the agent at {}", socket.display()))?;
        Ok(Some(Self {
            socket: socket.to_owned(),
            sender,
            connection: tokio::spawn(connection),
        }))
    }

    /// What it answers to `GET path`.
    ///
    /// # Errors
    ///
    /// When it answers nonsense, or not at all: see [`has_ended`] and [`unless_silent`].
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<T> {
        self.get_after(path, Duration::ZERO).await
    }

    /// As [`Self::get`], where the agent may take `wait` before it begins to answer.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub async fn get_after<T: DeserializeOwned>(
        &mut self,
        path: &str,
        wait: Duration,
    ) -> anyhow::Result<T> {
        let body = self
            .request(Method::GET, path, PATIENCE + wait)
            .await
            .with_context(|| format!("the agent at {} does not answer", self.socket.display()))?;
        serde_json::from_slice(&body).with_context(|| {
            format!(
                "the agent at {} speaks another version",
                self.socket.display()
            )
        })
    }

    /// Tells it something.
    ///
    /// # Errors
    ///
    /// When it does not answer, or may not hear it from this process.
    pub async fn post(&mut self, path: &str) -> anyhow::Result<()> {
        self.request(Method::POST, path, PATIENCE)
            .await
            .with_context(|| format!("the agent at {} does not hear", self.socket.display()))?;
        Ok(())
    }

    async fn request(
        &mut self,
        method: Method,
        path: &str,
        patience: Duration,
    ) -> anyhow::Result<Bytes> {
        let answer = timeout(patience, self.answer(method, path)).await;
        answer.unwrap_or_else(|_elapsed| Err(Silence(patience).into()))
    }

    async fn answer(&mut self, method: Method, path: &str) -> anyhow::Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "ftpfw")
            .body(Empty::<Bytes>::new())?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("it says {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Whether an answer failed because there was no agent any more to give it.
#[must_use]
pub fn has_ended(error: &anyhow::Error) -> bool {
    error.chain().any(<dyn Error>::is::<hyper::Error>)
}

fn no_agent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}
