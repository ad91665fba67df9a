//! What must wait for the disk, and what need not.

use super::*;
use crate::mesh::driver::driving::Order;
use crate::mesh::driver::writer::{Release, Step};
use consensus::RequestId;

/// A disk on which nothing becomes durable before it is allowed to.
#[derive(Debug)]
struct GatedDisk {
    allowed: Receiver<()>,
    asked: Sender<()>,
}

impl Disk for GatedDisk {
    fn sync(&self, file: &std::fs::File) -> std::io::Result<()> {
        let _ = self.asked.send(());
        let _ = self.allowed.recv();
        RealDisk.sync(file)
    }
}

#[test]
fn nothing_is_sent_served_or_answered_before_it_is_durable() {
    let cluster = Cluster::new(1, 100);
    let (allow, allowed) = bounded(1_000);
    let (asked, asks) = bounded(1_000);
    allow.send(()).unwrap(); // The empty log.
    let setup = cluster.setup(0, Arc::new(GatedDisk { allowed, asked }));
    let service = setup.hooks.clone();
    let driver = super::start(setup).unwrap();
    asks.recv().unwrap();
    let command = 5_u64.to_be_bytes().to_vec();
    let mut reply = driver.handle().start_submit(command).unwrap();
    // A quorum of one is there as soon as the request is; only the disk is waited for.
    asks.recv().unwrap();
    wait_until(|| driver.handle().standing().summary.executed == Sequence(1));
    assert!(!service.has(5));
    assert!(reply.try_recv().is_err());
    let handle = driver.handle();
    let look = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let look = handle.inspect::<Numbers, _>(|machine| machine.added.contains(&5));
        runtime.unwrap().block_on(look)
    });
    std::thread::sleep(Duration::from_millis(50));
    assert!(!look.is_finished());
    drop(allow);
    assert!(reply.blocking_recv().unwrap().is_ok());
    assert!(service.has(5));
    assert_eq!(look.join().unwrap(), Ok(true));
    driver.stop();
}

fn order(what: &str) -> Step {
    let mut order = Order::default();
    let mut publication: Option<Publication> = Some(Box::new(|| {}));
    for letter in what.chars() {
        match letter {
            'r' => {
                order.records.push(order.releases.len());
                order.releases.push(Release::Executed(Instant::now()));
            }
            'x' => {
                order.publish(&mut publication);
                order.executed_last = order.releases.len();
                order.releases.push(Release::Executed(Instant::now()));
            }
            _ => order.releases.push(Release::Executed(Instant::now())),
        }
    }
    order.into_step()
}

#[test]
fn effects_in_front_of_the_first_record_need_not_wait() {
    assert_eq!(order("ss").hold_from, 2);
    assert_eq!(order("ssrs").hold_from, 2);
    assert_eq!(order("rs").hold_from, 0);
    // The publication stands in front of what was executed.
    assert_eq!(order("sx").hold_from, 3);
    assert_eq!(order("sxr").hold_from, 3);
    assert_eq!(order("srx").hold_from, 1);
}

#[test]
fn publication_waits_for_records_between_the_batches_that_it_shows() {
    assert_eq!(order("sxrx").hold_from, 1);
    assert_eq!(order("sxxr").hold_from, 4);
}

fn wish(number: u8) -> (Wish, oneshot::Receiver<Result<Reply, SubmitError>>) {
    let (sender, receiver) = oneshot::channel();
    let wish = Wish {
        command: vec![number; 8],
        sender,
        since: Instant::now(),
    };
    (wish, receiver)
}

#[test]
fn lane_has_one_request_and_what_gathers_goes_together() {
    let mut front = Front::new(1, Duration::from_secs(1));
    let mut receivers = Vec::new();
    for number in 0..4 {
        let (wish, receiver) = wish(number);
        front.push(wish);
        receivers.push(receiver);
        if let Some(next) = front.next_request() {
            assert_eq!((number, next.wishes.len()), (0, 1));
            front.start(next.lane, 10, next.wishes, Instant::now());
        }
    }
    assert_eq!((front.busy_count(), front.waiting_count()), (1, 3));
    let id = |timestamp| RequestId {
        client: NodeId(1),
        lane: 0,
        timestamp,
    };
    assert!(front.finish(id(9)).is_none(), "another request of the lane");
    assert_eq!(front.finish(id(10)).unwrap().clients.len(), 1);
    assert!(front.finish(id(10)).is_none(), "it is executed once");
    assert_eq!(front.next_request().unwrap().wishes.len(), 3);
}

#[test]
fn wish_that_waits_too_long_is_told_so_and_its_lane_is_free() {
    let mut front = Front::new(1, Duration::from_secs(1));
    let (first, mut on_its_way) = wish(1);
    let (second, mut waiting) = wish(2);
    front.push(first);
    let next = front.next_request().unwrap();
    let begun = Instant::now();
    front.start(next.lane, 10, next.wishes, begun);
    front.push(second);
    front.expire(begun);
    assert!(on_its_way.try_recv().is_err());
    assert!(front.deadline().unwrap() <= begun + Duration::from_secs(1));
    front.expire(begun + Duration::from_secs(5));
    let late = Err(SubmitError::Timeout(Duration::from_secs(1)));
    assert_eq!(on_its_way.try_recv().unwrap(), late);
    assert_eq!(waiting.try_recv().unwrap(), late);
    assert_eq!((front.busy_count(), front.waiting_count()), (0, 0));
    assert_eq!(front.deadline(), None);
}

#[test]
fn wish_that_is_too_long_is_refused_and_the_longest_fits_alone() {
    let mut front = Front::new(2, Duration::from_secs(1));
    let sized = |bytes| {
        let (mut wish, receiver) = wish(1);
        wish.command = vec![0; bytes];
        (wish, receiver)
    };
    let (too_long, mut receiver) = sized(WISH_BYTES_MAX + 1);
    front.push(too_long);
    let bytes = WISH_BYTES_MAX + 1;
    assert_eq!(
        receiver.try_recv().unwrap(),
        Err(SubmitError::Oversized { bytes })
    );
    let (longest, _receiver) = sized(WISH_BYTES_MAX);
    let (short, _other) = sized(1);
    front.push(longest);
    front.push(short);
    for lane in 0..2 {
        let next = front.next_request().unwrap();
        assert_eq!((next.lane, next.wishes.len()), (lane, 1));
        front.start(lane, 1, next.wishes, Instant::now());
    }
}
