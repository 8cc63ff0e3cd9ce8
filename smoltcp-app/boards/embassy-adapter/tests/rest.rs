//! Wake flags, and sleeping until one is set.

use core::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    time::Duration,
};
use std::{thread, time::Instant as Stopwatch};

use embassy_time as _; // the clock
use greet_core::Instant;
use greet_embassy::{Rest, WakeFlag, now};

/// A wait that no passing test reaches.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);

#[test]
fn a_flag_is_set_at_first_and_taken_once_for_each_wake() {
    static WAKE_FLAG: WakeFlag = WakeFlag::new();
    assert!(WAKE_FLAG.take());
    assert!(!WAKE_FLAG.take());
    let waker = WAKE_FLAG.waker();
    let other = waker.clone();
    waker.wake_by_ref();
    other.wake();
    assert!(WAKE_FLAG.is_set());
    assert!(WAKE_FLAG.take());
    assert!(!WAKE_FLAG.is_set());
    waker.wake();
    assert!(WAKE_FLAG.take());
}

#[test]
fn wakers_of_the_same_flag_are_equal() {
    static ONE: WakeFlag = WakeFlag::new();
    static OTHER: WakeFlag = WakeFlag::new();
    assert!(ONE.waker().will_wake(&ONE.waker().clone()));
    assert!(!ONE.waker().will_wake(&OTHER.waker()));
}

#[test]
fn a_flag_set_before_the_sleep_ends_it_at_once() {
    static WAKE_FLAG: WakeFlag = WakeFlag::new();
    let mut rest = Rest::new(&WAKE_FLAG);
    let begin = Stopwatch::now();
    rest.wait(now() + LONG); // a new flag is set
    WAKE_FLAG.set();
    rest.wait(now() + LONG);
    assert!(begin.elapsed() < LONG);
}

#[test]
fn a_ring_ends_the_sleep() {
    static WAKE_FLAG: WakeFlag = WakeFlag::new();
    let mut rest = Rest::new(&WAKE_FLAG);
    rest.wait(Instant::ZERO);
    let begin = Stopwatch::now();
    let waker = WAKE_FLAG.waker();
    let ringer = thread::spawn(move || {
        thread::sleep(SHORT);
        waker.wake();
    });
    rest.wait(now() + LONG);
    assert!((SHORT..LONG).contains(&begin.elapsed()));
    ringer.join().unwrap();
}

#[test]
fn the_sleep_ends_at_its_deadline() {
    static WAKE_FLAG: WakeFlag = WakeFlag::new();
    let mut rest = Rest::new(&WAKE_FLAG);
    rest.wait(Instant::ZERO);
    let (begin, until) = (Stopwatch::now(), now() + SHORT);
    while now() < until {
        rest.wait(until);
    }
    // The two clocks round differently, by less than a microsecond.
    assert!((SHORT - Duration::from_micros(1)..LONG).contains(&begin.elapsed()));
    rest.wait(now()); // a deadline in the past: it returns at once
}

#[test]
fn a_task_is_polled_when_its_own_flag_is_set_without_waking_the_loop() {
    static DEVICE: WakeFlag = WakeFlag::new();
    static TASK: WakeFlag = WakeFlag::new();
    static STEPS: AtomicUsize = AtomicUsize::new(0);
    assert!(DEVICE.take());
    // Woken by another thread for each of its steps; the last of them is a frame for the device.
    let task = pin!(poll_fn(|context| {
        let step = STEPS.fetch_add(1, Ordering::Relaxed) + 1;
        if step == 5 {
            DEVICE.set();
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        thread::spawn(move || {
            thread::sleep(SHORT / 5);
            waker.wake();
        });
        Poll::Pending
    }));
    let mut rest = Rest::with_task(&DEVICE, &TASK, task);
    let begin = Stopwatch::now();
    rest.wait(now() + LONG);
    assert_eq!(STEPS.load(Ordering::Relaxed), 5, "and only one wait");
    assert!(begin.elapsed() < LONG);
    // The task is finished, and is not polled again.
    TASK.set();
    rest.wait(now() + SHORT);
    assert_eq!(STEPS.load(Ordering::Relaxed), 5);
}

#[test]
fn a_task_is_polled_even_if_the_loop_never_sleeps() {
    static DEVICE: WakeFlag = WakeFlag::new();
    static TASK: WakeFlag = WakeFlag::new();
    static POLLS: AtomicUsize = AtomicUsize::new(0);
    let task = pin!(poll_fn(|context| -> Poll<()> {
        POLLS.fetch_add(1, Ordering::Relaxed);
        context.waker().wake_by_ref();
        Poll::Pending
    }));
    let mut rest = Rest::with_task(&DEVICE, &TASK, task);
    for polls in 1..10 {
        rest.wait(Instant::ZERO);
        assert_eq!(POLLS.load(Ordering::Relaxed), polls);
    }
}
