//! Signals, and what the service manager wants to hear.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::control::Control;

/// Says that we are ready, then waits for SIGTERM or SIGINT; reloads on SIGHUP; feeds the watchdog
/// while the front thread makes its rounds.
pub(crate) async fn run(control: &Control) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hang_up = signal(SignalKind::hangup())?;
    let watchdog = sd_notify::watchdog_enabled();
    // Half of what is allowed, as systemd advises.
    let period = watchdog.map_or(Duration::from_secs(3600), |allowed| allowed / 2);
    let mut ticks = tokio::time::interval(period.max(Duration::from_millis(10)));
    notify(&[NotifyState::Ready]);
    tracing::info!("ready");
    // A task of its own: reading many zones takes longer than a watchdog or a stop may wait.
    let reloading = tokio::spawn(reload_on(hang_up, control.clone()));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = ticks.tick() => {
                if watchdog.is_some() && control.is_healthy() {
                    notify(&[NotifyState::Watchdog]);
                }
            }
        }
    }
    reloading.abort();
    notify(&[NotifyState::Stopping]);
    tracing::info!("stopping");
    Ok(())
}

/// Reloads at each signal. Those that come during a reload are one signal after it.
async fn reload_on(mut hang_up: Signal, control: Control) {
    while hang_up.recv().await.is_some() {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "no time for the service manager"),
        }
        if let Err(failure) = control.reload().await {
            tracing::error!(%failure, "reload");
        }
        notify(&[NotifyState::Ready]);
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "cannot reach the service manager");
    }
}
