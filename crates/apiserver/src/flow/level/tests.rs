use futures_util::FutureExt;

use super::*;

fn level(limit: u32, queues: usize, queue_length: usize) -> Arc<Level> {
    let level = Arc::new(Level::default());
    let settings = Settings { queues, queue_length, hand: 1, ..Settings::default() };
    level.configure(settings, limit);
    level
}

/// Seats that are awaited, and those that are taken.
fn counts(level: &Level) -> (u32, u32) {
    let state = level.state();
    (state.awaited, state.taken)
}

fn now(start: Start) -> Taken {
    match start {
        Start::Now(taken) => taken,
        other => panic!("it should start now: {other:?}"),
    }
}

fn wait(start: Start) -> Waiting {
    match start {
        Start::Wait(waiting) => waiting,
        other => panic!("it should wait: {other:?}"),
    }
}

#[test]
fn beyond_the_seats_requests_wait_and_beyond_the_queue_they_are_refused() {
    let level = level(2, 1, 1);
    let first = now(level.start(1, 0));
    let _second = now(level.start(1, 0));
    let waiting = wait(level.start(1, 0));
    assert!(matches!(level.start(1, 0), Start::Refused));
    drop(first);
    let third = waiting.turn().now_or_never().flatten();
    assert!(third.is_some(), "a seat became free");
    assert_eq!(level.state().taken, 2);
    drop(third);
    assert_eq!(level.state().taken, 1);
}

#[test]
fn without_queues_nobody_waits() {
    let level = level(1, 0, 0);
    let _first = now(level.start(1, 0));
    assert!(matches!(level.start(1, 0), Start::Refused));
}

#[test]
fn who_gives_up_leaves_no_trace() {
    let level = level(1, 1, 5);
    let first = now(level.start(1, 0));
    let gone = wait(level.start(1, 0));
    let stays = wait(level.start(1, 0));
    drop(gone);
    assert_eq!(counts(&level), (1, 1));
    drop(first);
    // Its turn came, but it leaves before it looks.
    drop(stays);
    assert_eq!(counts(&level), (0, 0));
}

#[test]
fn what_is_wider_than_the_level_runs_alone() {
    let level = level(2, 1, 5);
    let first = now(level.start(1, 0));
    let wide = wait(level.start(10, 0));
    let behind = wait(level.start(1, 0));
    drop(first);
    let wide = wide.turn().now_or_never().flatten().expect("it is alone");
    assert!(level.state().taken == 10);
    drop(wide);
    assert!(behind.turn().now_or_never().flatten().is_some());
}

#[test]
fn a_flow_with_many_requests_does_not_delay_one_with_few() {
    let level = level(1, 64, 100);
    let (busy, quiet) = (0, 1);
    let running = now(level.start(1, busy));
    let mut crowd: VecDeque<Waiting> = (0..50).map(|_| wait(level.start(1, busy))).collect();
    let late = wait(level.start(1, quiet));
    drop(running);
    // The first of the crowd may be before it, not more.
    let first = crowd.pop_front().unwrap().turn().now_or_never().flatten();
    drop(first);
    assert!(late.turn().now_or_never().flatten().is_some(), "the quiet flow is served second at the latest");
}

#[test]
fn lent_seats_come_and_go() {
    let level = level(1, 1, 5);
    let _first = now(level.start(1, 0));
    let waiting = wait(level.start(1, 0));
    level.limit_to(2);
    assert!(waiting.turn().now_or_never().flatten().is_some());
    assert_eq!(level.limits(), (1, 2));
    let wanted = level.wanted(10);
    assert_eq!((wanted.least, wanted.most), (1.0, 10.0));
    assert!(wanted.target >= 2.0, "{wanted:?}");
}

#[test]
fn when_queues_go_those_who_wait_are_not_forgotten() {
    let level = level(1, 4, 5);
    let first = now(level.start(1, 3));
    let waiting: Vec<Waiting> = (0..4).map(|flow| wait(level.start(1, flow))).collect();
    let fewer = Settings { queues: 1, queue_length: 5, hand: 1, ..Settings::default() };
    level.configure(fewer, 1);
    drop(first);
    let mut served = 0;
    for waiting in waiting {
        served += usize::from(waiting.turn().now_or_never().flatten().is_some());
    }
    assert_eq!((served, counts(&level)), (4, (0, 0)));
}
