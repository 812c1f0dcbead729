//! Who answers a question waits until the agent has taken what the programs told before it: what the asker saw
//! happen, the answer knows.

use tokio::sync::{mpsc, oneshot};

/// Questions under way; more wait their turn.
const ROOM: usize = 16;

/// Asks the task that takes events.
#[derive(Clone, Debug)]
pub struct CatchUp(mpsc::Sender<oneshot::Sender<()>>);

/// Is asked.
#[derive(Debug)]
pub struct Asked(mpsc::Receiver<oneshot::Sender<()>>);

/// Both ends.
#[must_use]
pub fn channel() -> (CatchUp, Asked) {
    let (sender, receiver) = mpsc::channel(ROOM);
    (CatchUp(sender), Asked(receiver))
}

impl CatchUp {
    /// Returns once the records that are there now are taken, or nobody takes any more.
    pub async fn wait(&self) {
        let (done, caught_up) = oneshot::channel();
        if self.0.send(done).await.is_ok() {
            let _nobody_takes_any_more = caught_up.await;
        }
    }
}

impl Asked {
    /// The next who waits: to be told when they are taken. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<oneshot::Sender<()>> {
        self.0.recv().await
    }
}
