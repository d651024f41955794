//! SIGTERM and SIGINT: the first one asks for a stop, the second one ends the process.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Code, Fatal};
use crate::text;

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on neither ends the process by itself; needed where it is the first of a container,
    /// which has no default actions.
    pub(super) fn take() -> Result<Signals, Fatal> {
        let take = |kind| {
            signal(kind).map_err(|error| Fatal::failed(format!("cannot take signals: {error}")))
        };
        Ok(Signals {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one and says which it was.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// The next one ends the process, whatever it is waiting for.
    pub(super) fn end_at_the_next(mut self) {
        tokio::spawn(async move {
            let name = self.next().await;
            text::error(&format!(
                "ended at once by a second {name}; the next start checks the logs"
            ));
            std::process::exit(Code::Failed as i32);
        });
    }
}
