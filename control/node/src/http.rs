//! `/metrics` and `/health` over HTTP, for a bounded number of clients that do not dawdle.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use ctlog::http::Bounded;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::control::Control;

/// OpenMetrics, which Prometheus reads.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Connections at the same time; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 64;
/// For a whole request, from the opening of the connection or the answer before.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves until `stop` changes.
pub(crate) async fn serve(
    listener: TcpListener,
    control: Control,
    mut stop: watch::Receiver<bool>,
) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .with_state(control);
    let stopped = async move {
        let _ = stop.changed().await;
    };
    let served = axum::serve(Bounded::new(listener, CONNECTIONS_MAX, PATIENCE), router)
        .with_graceful_shutdown(stopped)
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "metrics are no longer served");
    }
}

async fn metrics(State(control): State<Control>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_TYPE)], control.metrics().await)
}

/// 200 while the front thread makes its rounds, 503 otherwise.
async fn health(State(control): State<Control>) -> impl IntoResponse {
    use axum::http::StatusCode;
    if control.is_healthy() {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the front thread is silent\n",
        )
    }
}
