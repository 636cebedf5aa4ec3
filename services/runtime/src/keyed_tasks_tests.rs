use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::*;

type Numbered = KeyedTasks<String, u32>;

fn tasks(keep_ended: usize) -> Numbered {
    KeyedTasks::new(Tasks::default(), "test", keep_ended)
}

fn replace(_: &u32) -> Result<Start, Infallible> {
    Ok(Start::Replace)
}

async fn until_stopped(_: u32, stop: CancellationToken) {
    stop.cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn the_next_task_begins_when_the_last_one_is_gone() {
    let tasks = tasks(0);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (log, mut begun) = tokio::sync::mpsc::unbounded_channel();
    for number in 1..=4 {
        let (running, most, log) = (running.clone(), most.clone(), log.clone());
        let run = move |number, stop: CancellationToken| async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _ = log.send(number);
            stop.cancelled().await;
            sleep(Duration::from_secs(1)).await;
            running.fetch_sub(1, Ordering::SeqCst);
        };
        tasks.start("a".into(), number, replace, run).unwrap();
        tokio::task::yield_now().await;
    }
    tasks.stop("a").await;
    drop(log);
    let mut order = Vec::new();
    while let Some(number) = begun.recv().await {
        order.push(number);
    }
    assert_eq!(order, [1, 2, 3, 4]);
    assert_eq!(most.load(Ordering::SeqCst), 1);
    assert_eq!(running.load(Ordering::SeqCst), 0);
    assert_eq!(tasks.get("a"), None);
}

#[tokio::test(start_paused = true)]
async fn tasks_of_different_ids_do_not_wait_for_each_other() {
    let tasks = tasks(0);
    for key in ["a", "b"] {
        let run = |_, _| sleep(Duration::from_secs(1));
        tasks.start(key.into(), 1, replace, run).unwrap();
    }
    let began = Instant::now();
    sleep(Duration::from_millis(1001)).await;
    assert_eq!((tasks.get("a"), tasks.get("b")), (None, None));
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_start_is_joined_or_refused_by_the_value_that_is_known() {
    let tasks = tasks(1);
    let newer = |number: u32| {
        move |known: &u32| match number.cmp(known) {
            std::cmp::Ordering::Less => Err(*known),
            std::cmp::Ordering::Equal => Ok(Start::Join),
            std::cmp::Ordering::Greater => Ok(Start::Replace),
        }
    };
    let started = tasks.start("a".into(), 2, newer(2), until_stopped);
    assert_eq!(started, Ok(2));
    let again = |_, _| async { panic!("started twice") };
    assert_eq!(tasks.start("a".into(), 2, newer(2), again), Ok(2));
    assert_eq!(tasks.start("a".into(), 1, newer(1), again), Err(2));
    assert_eq!(tasks.get("a"), Some(2), "and it runs on");
    assert_eq!(tasks.start("a".into(), 3, newer(3), until_stopped), Ok(3));
    assert_eq!(tasks.get("a"), Some(3));
}

#[tokio::test(start_paused = true)]
async fn the_values_of_the_last_tasks_that_ended_stay_known() {
    let tasks = tasks(2);
    tasks
        .start("runs".into(), 0, replace, until_stopped)
        .unwrap();
    for (key, number) in [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("d", 5)] {
        tasks
            .start(key.into(), number, replace, |_, _| async {})
            .unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let known = ["runs", "a", "b", "c", "d"].map(|key| tasks.get(key));
    assert_eq!(known, [Some(0), None, None, Some(4), Some(5)]);
    tasks.stop("d").await;
    assert_eq!(tasks.get("d"), None);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_makes_way_for_the_next_one() {
    for keep_ended in [0, 1] {
        let tasks = tasks(keep_ended);
        let run = |_, stop: CancellationToken| async move {
            stop.cancelled().await;
            panic!("a bug");
        };
        tasks.start("a".into(), 1, replace, run).unwrap();
        tokio::task::yield_now().await;
        tasks.start("a".into(), 2, replace, until_stopped).unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(tasks.get("a"), Some(2));
        tasks.stop("a").await;
        tasks
            .start("a".into(), 3, replace, |_, _| async { panic!("at once") })
            .unwrap();
        tasks.stop("a").await;
        assert_eq!(tasks.get("a"), None);
    }
}

#[test]
fn a_task_that_is_dropped_before_it_begins_counts_as_gone() {
    let tasks = tasks(0);
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    let dropped = runtime();
    dropped.block_on(async {
        tasks
            .start("a".into(), 1, replace, |_, _| async { panic!("it ran") })
            .unwrap();
    });
    drop(dropped);
    runtime().block_on(tasks.stop("a"));
    assert_eq!(tasks.get("a"), None);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_stops_every_task_and_waits_for_it() {
    let owner = Tasks::default();
    let tasks = Numbered::new(owner.clone(), "test", 0);
    tasks.start("a".into(), 1, replace, until_stopped).unwrap();
    assert!(owner.stop(Duration::from_secs(1)).await);
    assert_eq!(tasks.get("a"), None);
}
