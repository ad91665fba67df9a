//! A replica out of what the disk holds: the newest snapshot that is good, and what follows it.

use consensus::{
    Configuration, Effect, HistoryItem, Now, Params, Record, Recovered, Replica, ReplicaError,
    Sequence, Signer, StateMachine,
};

use super::StartError;
use crate::mesh::store::{Store, StoredSnapshot};

/// Makes the replica. A snapshot that is no good costs a warning, and the one before it is taken.
pub(super) fn recover<M: StateMachine, S: Signer + Clone>(
    now: Now,
    params: &Params,
    signer: &S,
    machine: &M,
    genesis: &Configuration,
    store: &Store,
    records: &[Record],
) -> Result<(Replica<M, S>, Vec<Effect>), StartError> {
    let snapshots = store.snapshots.all();
    let candidates = snapshots.iter().map(|stored| Some(&**stored));
    for candidate in candidates.chain([None]) {
        let after = candidate.map_or(Sequence(0), |stored| stored.body.sequence);
        let snapshot = match candidate.map(read_snapshot).transpose() {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::warn!(%error, "consensus: this snapshot is not used");
                continue;
            }
        };
        let recovered = Recovered {
            genesis: genesis.clone(),
            snapshot,
            history: history_after(store, after)?,
            records: records.to_vec(),
        };
        let mut out = Vec::new();
        let (signer, machine) = (signer.clone(), machine.fresh());
        let made = Replica::recover(now, params.clone(), signer, machine, recovered, &mut out);
        match made {
            Ok(replica) => return Ok((replica, out)),
            Err(error @ ReplicaError::NoMember(_)) => return Err(error.into()),
            Err(error) if candidate.is_none() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(sequence = %after, %error, "consensus: this snapshot is not used");
            }
        }
    }
    unreachable!("the last candidate is the state before the first batch");
}

type Snapshot = (
    consensus::CheckpointCertificate,
    consensus::CheckpointBody,
    Vec<u8>,
);

fn read_snapshot(stored: &StoredSnapshot) -> Result<Snapshot, crate::mesh::store::StoreError> {
    let state = stored.state()?;
    Ok((stored.certificate.clone(), stored.body.clone(), state))
}

fn history_after(store: &Store, after: Sequence) -> Result<Vec<HistoryItem>, StartError> {
    let items = store.history.read_after(after, usize::MAX, usize::MAX)?;
    Ok(items.unwrap_or_default())
}
