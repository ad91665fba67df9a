//! [`Puts`]: objects on their way to a store, some at a time.

use std::sync::Arc;

use object_store::path::Path;
use tokio::task::JoinSet;

use super::CopyError;
use super::place::Place;
use crate::served::Served;

/// Requests of one shard at the same time.
const REQUESTS_MAX: usize = 16;

/// Dropped, it lets go of what has not arrived.
pub(super) struct Puts {
    place: Arc<Place>,
    running: JoinSet<Result<u64, CopyError>>,
    /// Bytes that have arrived.
    arrived: u64,
}

impl Puts {
    pub(super) fn new(place: &Arc<Place>) -> Self {
        Self {
            place: Arc::clone(place),
            running: JoinSet::new(),
            arrived: 0,
        }
    }

    /// Sends one more. An error may be that of another.
    pub(super) async fn add(
        &mut self,
        path: Path,
        bytes: Vec<u8>,
        served: Served,
    ) -> Result<(), CopyError> {
        while self.running.len() >= REQUESTS_MAX {
            self.take_one().await?;
        }
        let admitted = self.place.admit(bytes.len()).await;
        let place = Arc::clone(&self.place);
        self.running.spawn(async move {
            let length = bytes.len() as u64;
            place.put(&path, bytes, served, admitted).await?;
            Ok(length)
        });
        Ok(())
    }

    /// Waits until all are there, and says how many bytes that was.
    pub(super) async fn finish(mut self) -> Result<u64, CopyError> {
        while !self.running.is_empty() {
            self.take_one().await?;
        }
        Ok(self.arrived)
    }

    async fn take_one(&mut self) -> Result<(), CopyError> {
        match self.running.join_next().await {
            Some(Ok(put)) => self.arrived += put?,
            // A panic is a mistake of ours, and nobody aborts them.
            Some(Err(ended)) => std::panic::resume_unwind(ended.into_panic()),
            None => {}
        }
        Ok(())
    }
}
