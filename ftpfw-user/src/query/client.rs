//! Asking the agent: HTTP over its Unix socket.

use std::{io, path::Path};

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// What the agent answers to `GET path`; `None` when no agent listens on the socket.
///
/// # Errors
///
/// When an agent is there, but cannot be reached or answers nonsense.
pub async fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> anyhow::Result<Option<T>> {
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) if no_agent(&error) => return Ok(None),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot reach the agent at {}", socket.display()));
        }
    };
    let body = request(stream, path)
        .await
        .with_context(|| format!("the agent at {} does not answer", socket.display()))?;
    serde_json::from_slice(&body)
        .map(Some)
        .with_context(|| format!("the agent at {} speaks another version", socket.display()))
}

fn no_agent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

async fn request(stream: UnixStream, path: &str) -> anyhow::Result<Bytes> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header("host", "ftpfw")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    if !status.is_success() {
        bail!("it says {status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(body)
}
