//! Ctrl-C and SIGTERM, for commands that have something to take back.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, ExitCode};
use crate::ui::Ui;

/// Signals that follow the first one this closely are the same wish: some programs send two.
const BOUNCE: Duration = Duration::from_millis(500);

/// Tells when the user wants the command to end. A second signal ends the process at once.
#[derive(Clone, Debug)]
pub struct Interrupt {
    token: CancellationToken,
}

impl Interrupt {
    /// Takes over the signals from now on.
    pub fn listen() -> Interrupt {
        let token = CancellationToken::new();
        let interrupt = Interrupt { token: token.clone() };
        tokio::spawn(async move {
            signal().await;
            token.cancel();
            sleep(BOUNCE).await;
            signal().await;
            Ui::new(false).warning("interrupted again: what was made so far may be there still");
            Ui::new(false).hint("remove it: kd cluster delete NAME");
            std::process::exit(ExitCode::Interrupted as i32);
        });
        interrupt
    }

    /// Resolves with an error once the user interrupts.
    pub async fn interrupted(&self) -> Error {
        self.token.cancelled().await;
        interrupted()
    }

    /// An error if the user has interrupted already.
    pub fn check(&self) -> Result<(), Error> {
        if self.token.is_cancelled() { Err(interrupted()) } else { Ok(()) }
    }
}

fn interrupted() -> Error {
    Error::new(ExitCode::Interrupted, "interrupted")
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}
