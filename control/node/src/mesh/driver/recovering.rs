//! A replica out of what the disk holds: the newest snapshot that is good, and what follows it.

use consensus::{
    Configuration, Effect, HistoryItem, Now, Params, Record, Recovered, Replica, ReplicaError,
    Sequence, Signer, StateMachine,
};

use super::StartError;
use crate::mesh::store::{Store, StoreError, StoredSnapshot};

/// Makes the replica. A snapshot that is no good costs a warning, and the one before it is taken. If
/// one is whole and none is of use, this version is not for this disk, and nothing is changed: to
/// begin without any would give up what other versions can read.
pub(super) fn recover<M: StateMachine, S: Signer + Clone>(
    now: Now,
    params: &Params,
    signer: &S,
    machine: &M,
    genesis: &Configuration,
    store: &Store,
    records: &[Record],
) -> Result<(Replica<M, S>, Vec<Effect>), StartError> {
    let attempt = |snapshot, after| {
        let recovered = Recovered {
            genesis: genesis.clone(),
            snapshot,
            history: history_after(store, after)?,
            records: records.to_vec(),
        };
        let mut out = Vec::new();
        let (signer, machine) = (signer.clone(), machine.fresh());
        let replica = Replica::recover(now, params.clone(), signer, machine, recovered, &mut out)?;
        Ok((replica, out))
    };
    let mut useless = Vec::new();
    for stored in store.snapshots.all() {
        let sequence = stored.body.sequence;
        let error = match read_snapshot(&stored) {
            Ok(snapshot) => match attempt(Some(snapshot), sequence) {
                Ok(made) => {
                    discard(store, &useless)?;
                    return Ok(made);
                }
                Err(StartError::Replica(error @ ReplicaError::Snapshot(_))) => {
                    stored.unreadable(error.to_string())
                }
                Err(error) => return Err(error),
            },
            Err(error) => error,
        };
        useless.push((sequence, error));
    }
    let is_whole = |(_, error): &(_, _)| matches!(error, StoreError::Unreadable { .. });
    if let Some(place) = useless.iter().position(is_whole) {
        return Err(useless.swap_remove(place).1.into());
    }
    discard(store, &useless)?;
    attempt(None, Sequence(0))
}

fn discard(store: &Store, useless: &[(Sequence, StoreError)]) -> Result<(), StoreError> {
    useless.iter().try_for_each(|(sequence, error)| {
        tracing::warn!(%sequence, %error, "consensus: this snapshot is set aside");
        store.snapshots.discard(*sequence)
    })
}

type Snapshot = (
    consensus::CheckpointCertificate,
    consensus::CheckpointBody,
    Vec<u8>,
);

fn read_snapshot(stored: &StoredSnapshot) -> Result<Snapshot, StoreError> {
    let state = stored.state()?;
    Ok((stored.certificate.clone(), stored.body.clone(), state))
}

fn history_after(store: &Store, after: Sequence) -> Result<Vec<HistoryItem>, StartError> {
    let items = store.history.read_after(after, usize::MAX, usize::MAX)?;
    Ok(items.unwrap_or_default())
}
