//! Tests of the way of updates.

use resolver::zone::{NameBuffer, TsigAlgorithm, TsigKey, TsigKeys, TsigSession};
use tokio::sync::mpsc;

use super::*;
use crate::front;

/// Answers when the test says so.
#[derive(Debug, Default)]
struct Slow(Mutex<Vec<oneshot::Sender<u16>>>);

impl UpdateSink for Slow {
    fn submit(&self, _: ClientUpdate) -> oneshot::Receiver<u16> {
        let (answer, receiver) = oneshot::channel();
        self.0.lock().unwrap().push(answer);
        receiver
    }
}

fn submission(id: u8, via: Via) -> Submission {
    let key = TsigKey::new(b"\x01k\0", TsigAlgorithm::HmacSha256, "c2VjcmV0").unwrap();
    let mut message = vec![0, id, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let response = [&message[..2], &[0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    TsigSession::sign(&key, &mut message, 1);
    let keys: TsigKeys = [key].into_iter().collect();
    Submission {
        update: ClientUpdate {
            update: Update::new(NameBuffer::from_wire(b"\0").unwrap()),
            key_name: b"\x01k\0".as_slice().into(),
            client: [127, 0, 0, 1].into(),
        },
        response,
        signer: keys.check(&message, 1).unwrap().unwrap(),
        via,
    }
}

/// The sink, the way to it, and what counts.
fn ways() -> (Arc<Slow>, Updates, Arc<Counters>) {
    let (sink, counters): (Arc<Slow>, Arc<Counters>) = (Arc::default(), Arc::default());
    let (front, _) = front::inbox(&counters).unwrap();
    let own: Arc<dyn UpdateSink> = sink.clone();
    (
        sink,
        Updates::new(Some(own), Handle::current(), front),
        counters,
    )
}

#[tokio::test(flavor = "current_thread")]
async fn a_datagram_that_is_sent_again_is_ordered_once_and_another_time_when_the_first_is_answered()
{
    let (sink, updates, counters) = ways();
    let (answers, mut answered) = mpsc::channel(9);
    let submit = |id, via| {
        let answers = answers.clone();
        updates.submit(submission(id, via), move |message| {
            answers.try_send(message).unwrap();
        });
    };
    for (id, via) in [(1, Via::Udp), (1, Via::Udp), (2, Via::Udp), (1, Via::Tcp)] {
        submit(id, via);
    }
    assert_eq!(counters.updates_repeated.get(), 1);
    for (answer, code) in sink.0.lock().unwrap().drain(..).zip([0, 8, 5]) {
        answer.send(code).unwrap();
    }
    for (id, code) in [(1, 0), (2, 8), (1, 5)] {
        let message = answered.recv().await.unwrap();
        assert_eq!((message[1], message[3]), (id, code));
        assert_eq!(message[11], 1, "signed");
    }
    submit(1, Via::Udp);
    assert_eq!(sink.0.lock().unwrap().len(), 1);
    // A sink that gives up.
    sink.0.lock().unwrap().clear();
    assert_eq!(answered.recv().await.unwrap()[3], 2);
    let outcomes = [
        &counters.updates_done,
        &counters.updates_refused,
        &counters.updates_failed,
    ];
    assert_eq!(outcomes.map(crate::counters::Counter::get), [1, 2, 1]);
}

#[tokio::test(flavor = "current_thread")]
async fn what_exceeds_the_bound_fails_at_once() {
    let (sink, updates, _) = ways();
    let (answers, mut answered) = mpsc::channel(1);
    for _ in 0..UPDATES_OUTSTANDING_MAX {
        updates.submit(submission(1, Via::Tcp), |_| ());
    }
    updates.submit(submission(2, Via::Udp), move |message| {
        answers.try_send(message).unwrap();
    });
    let message = answered.recv().await.unwrap();
    assert_eq!((message[1], message[3]), (2, 2));
    assert_eq!(sink.0.lock().unwrap().len(), UPDATES_OUTSTANDING_MAX);
}
