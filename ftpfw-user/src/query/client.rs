//! Asking the agent: HTTP over its Unix socket.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
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
use tokio::{net::UnixStream, task::JoinHandle};

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
    /// When it answers nonsense, or not at all: see [`has_ended`].
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<T> {
        let body = self
            .request(Method::GET, path)
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
        self.request(Method::POST, path)
            .await
            .with_context(|| format!("the agent at {} does not hear", self.socket.display()))?;
        Ok(())
    }

    async fn request(&mut self, method: Method, path: &str) -> anyhow::Result<Bytes> {
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
