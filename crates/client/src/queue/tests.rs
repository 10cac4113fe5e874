use super::*;
use env::WallTime;

fn queue() -> Queue<&'static str> {
    Queue::new(&Env::simulated(WallTime::from_secs(0), 1))
}

#[tokio::test(start_paused = true)]
async fn a_key_is_in_the_queue_once_and_keys_keep_their_order() {
    let queue = queue();
    for key in ["a", "b", "a", "c", "b"] {
        queue.add(key);
    }
    assert_eq!(queue.len(), 3);
    assert_eq!([queue.next().await, queue.next().await, queue.next().await], ["a", "b", "c"]);
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_worked_on_comes_again_only_afterwards() {
    let queue = queue();
    queue.add("a");
    assert_eq!(queue.next().await, "a");
    queue.add("a");
    assert!(queue.is_empty());
    queue.done(&"a");
    assert_eq!(queue.next().await, "a");
    queue.done(&"a");
    assert!(queue.is_empty() && queue.is_idle());
}

#[tokio::test(start_paused = true)]
async fn of_several_delays_the_earliest_counts() {
    let queue = queue();
    queue.add_after("a", Duration::from_secs(10));
    queue.add_after("a", Duration::from_secs(3));
    queue.add_after("a", Duration::from_secs(7));
    queue.add_after("b", Duration::from_secs(5));
    let start = queue.shared.clock.monotonic();
    assert_eq!(queue.next().await, "a");
    assert_eq!(queue.shared.clock.monotonic() - start, Duration::from_secs(3));
    queue.done(&"a");
    assert_eq!(queue.next().await, "b");
    queue.done(&"b");
    assert!(queue.shared.clock.timeout(Duration::from_secs(60), queue.next()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn failures_double_the_wait_up_to_a_limit_and_success_resets_it() {
    let queue = queue();
    let delays: Vec<u128> = (0..4).map(|_| queue.retry("a").as_millis()).collect();
    assert_eq!(delays, [5, 10, 20, 40]);
    for _ in 0..40 {
        assert!(queue.retry("a") <= LONGEST_DELAY);
    }
    queue.forget(&"a");
    assert_eq!(queue.retry("a"), FIRST_DELAY);
}

#[tokio::test(start_paused = true)]
async fn two_workers_share_the_keys() {
    let queue = queue();
    let (first, second) = (queue.clone(), queue.clone());
    let pair = async { tokio::join!(first.next(), second.next()) };
    let adding = async {
        queue.add("a");
        queue.add("b");
    };
    let ((one, two), ()) = tokio::join!(pair, adding);
    assert_eq!(BTreeSet::from([one, two]), BTreeSet::from(["a", "b"]));
}
