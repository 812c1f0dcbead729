//! `GET /metrics`, on the Unix socket and, if it is asked for, over TCP: there, nothing else.

use std::{future, io, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::super::Shared;
use crate::metrics;

/// Where metrics are answered over TCP, if anywhere.
#[derive(Debug)]
pub struct MetricsSocket(Option<TcpListener>);

impl MetricsSocket {
    /// Listens on `address`, if there is one.
    ///
    /// # Errors
    ///
    /// When somebody else listens there, the address is not this host's, or the port is below 1024: for
    /// such a one the privilege is given up before.
    pub async fn bind(address: Option<SocketAddr>) -> anyhow::Result<Self> {
        let Some(address) = address else {
            return Ok(Self(None));
        };
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| {
            format!("cannot listen on {address} for metrics: choose another --metrics")
        })?;
        Ok(Self(Some(listener)))
    }

    /// Answers until cancelled.
    pub(in crate::agent) async fn serve(&mut self, shared: Arc<Shared>) -> io::Result<()> {
        let Some(listener) = self.0.take() else {
            return future::pending().await;
        };
        let router = Router::new()
            .route("/metrics", get(metrics))
            .with_state(shared);
        axum::serve(listener, router).await
    }
}

pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    match metrics::text(&shared.maps, &shared.pins, shared.row()) {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}
