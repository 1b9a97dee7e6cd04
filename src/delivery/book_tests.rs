use std::collections::BTreeMap;

use proptest::prelude::*;

use super::book::Book;
use super::*;
use crate::storage::deliveries::{Attempt, Delivery, DeliveryBody, State};

fn event(cursor: u64, lane: &str) -> Delivery {
    let item = Some(uuid::Uuid::from_u128(cursor.into()));
    let body = DeliveryBody { lane: lane.into(), ..DeliveryBody::default() };
    Delivery { cursor, state: State::Pending, item, at: at(cursor.cast_signed()), body }
}

const fn at(ms: i64) -> Timestamp {
    Timestamp(ms)
}

fn attempt() -> Option<Attempt> {
    Some(Attempt { at: at(0), status: Some(500), error: None, duration_ms: 1 })
}

fn start(book: &mut Book, now: i64) -> Option<u64> {
    book.start(at(now)).map(|delivery| delivery.cursor)
}

fn settle(book: &mut Book, cursor: u64) {
    book.settle(cursor, State::Delivered, attempt(), None);
}

#[test]
fn a_failing_call_holds_only_its_own_events() {
    let mut book = Book::default();
    for (cursor, lane) in [(1, "a"), (2, "a"), (3, "b"), (5, "a"), (6, "b")] {
        assert!(book.enter(event(cursor, lane), at(0)));
    }
    assert!(!book.enter(event(3, "b"), at(0)), "it was read before");
    assert_eq!((start(&mut book, 0), start(&mut book, 0), start(&mut book, 0)), (Some(1), Some(3), None));
    assert_eq!(book.failed(1, attempt()), 1);
    book.retry(1, at(100));
    settle(&mut book, 3);
    assert_eq!((start(&mut book, 1), start(&mut book, 1)), (Some(6), None), "2 and 5 are behind 1");
    assert_eq!(book.next_due(), Some(at(100)));
    assert_eq!(start(&mut book, 100), Some(1));
    settle(&mut book, 1);
    assert_eq!((start(&mut book, 100), start(&mut book, 100)), (Some(2), None));
    book.settle(2, State::Failed, attempt(), None);
    assert_eq!((start(&mut book, 100), book.open(), book.under_way()), (Some(5), 2, 2));
    settle(&mut book, 5);
    settle(&mut book, 6);
    assert_eq!((book.open(), book.under_way(), book.next_due(), book.read()), (0, 0, None, 6));
}

#[test]
fn the_cursor_waits_for_what_has_no_row() {
    let mut book = Book::default();
    for cursor in 1..=4 {
        book.enter(event(cursor, &cursor.to_string()), at(0));
    }
    book.read_up_to(9);
    let cursors = |changes: &(u64, Vec<Delivery>)| changes.1.iter().map(|row| row.cursor).collect::<Vec<_>>();
    assert_eq!((start(&mut book, 0), start(&mut book, 0)), (Some(1), Some(2)));
    settle(&mut book, 2);
    let first = book.changes(at(10));
    assert_eq!((first.0, cursors(&first)), (0, vec![2]), "1 is under way");
    book.failed(1, attempt());
    book.retry(1, at(50));
    let second = book.changes(at(20));
    assert_eq!((second.0, cursors(&second)), (2, vec![1]));
    assert_eq!(book.changes(at(30)), (2, vec![]));
    let third = book.changes(at(1000));
    assert_eq!((third.0, cursors(&third)), (9, vec![3, 4]), "they take long");
    assert_eq!(book.changes(at(2000)), (9, vec![]));
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut open = event(3, "a");
    open.body.next_attempt_at = Some(at(500));
    let mut book = Book::restored(4, vec![open, event(4, "b")], [6, 7], at(0));
    assert!(book.enter(event(5, "a"), at(0)));
    assert!(!book.enter(event(6, "c"), at(0)), "it was settled");
    assert!(!book.enter(event(7, "c"), at(0)));
    assert!(book.enter(event(8, "c"), at(0)));
    assert_eq!((start(&mut book, 0), start(&mut book, 0), start(&mut book, 0)), (Some(4), Some(8), None));
    assert_eq!((start(&mut book, 500), start(&mut book, 500)), (Some(3), None), "5 is behind 3");
    assert_eq!(book.changes(at(0)).0, 4, "5 and 8 have no row");
}

#[test]
fn what_is_delivered_again_goes_in_front_of_its_lane() {
    let mut book = Book::restored(9, vec![], [], at(0));
    book.enter(event(10, "a"), at(0));
    book.again(event(4, "a"), at(0));
    assert_eq!((start(&mut book, 0), start(&mut book, 0)), (Some(4), None));
    book.again(event(2, "a"), at(0));
    assert_eq!(start(&mut book, 0), None, "not while another is under way");
    let (cursor, rows) = book.changes(at(0));
    assert_eq!((cursor, rows.len()), (9, 2), "rows at once");
    settle(&mut book, 4);
    assert_eq!(start(&mut book, 0), Some(2));
    book.failed(2, attempt());
    book.retry(2, at(900));
    book.again(event(2, "a"), at(1));
    assert_eq!(start(&mut book, 1), Some(2), "asking makes it due");
    settle(&mut book, 2);
    assert_eq!(book.oldest(), Some(at(10)));
    assert_eq!(start(&mut book, 1), Some(10));
}

#[test]
fn everything_that_waits_can_be_brought_forward() {
    let mut book = Book::default();
    book.enter(event(1, "a"), at(0));
    book.enter(event(2, "a"), at(0));
    book.enter(event(3, "b"), at(0));
    for _ in 0..2 {
        let cursor = start(&mut book, 0).expect("it is due");
        assert_eq!(book.failed(cursor, attempt()), 1);
        book.retry(cursor, at(10_000));
    }
    assert!(!book.has_due(1, at(5)));
    book.forward(true, at(5));
    assert!(book.has_due(2, at(5)) && !book.has_due(3, at(5)));
    assert_eq!(start(&mut book, 5), Some(1));
    assert_eq!(book.failed(1, attempt()), 1, "the schedule begins anew");
}

/// What is done to a book.
#[derive(Debug, Clone)]
enum Act {
    Enter(u8),
    Start,
    /// Of those under way, and how it ends.
    End(u8, u8),
    Crash,
    Again(u8),
    Forward,
    Write,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..5_u8).prop_map(Act::Enter),
        4 => Just(Act::Start),
        6 => (any::<u8>(), any::<u8>()).prop_map(|(which, how)| Act::End(which, how)),
        1 => Just(Act::Crash),
        1 => any::<u8>().prop_map(Act::Again),
        1 => Just(Act::Forward),
        3 => Just(Act::Write),
    ];
    prop::collection::vec(act, 0..300)
}

proptest! {
    /// Whatever happens, also the loss of the process between any two writes: each event is settled in the end, and the
    /// first time that an event is taken every earlier one of its lane has been settled.
    #[test]
    fn nothing_is_lost_and_lanes_are_in_order(acts in acts()) {
        let mut book = Book::default();
        let mut log: Vec<Delivery> = Vec::new();
        let (mut disk_cursor, mut disk) = (0, BTreeMap::<u64, Delivery>::new());
        let mut under_way: Vec<u64> = Vec::new();
        let mut settled = std::collections::BTreeSet::new();
        let mut now = 0;
        let write = |book: &mut Book, disk_cursor: &mut u64, disk: &mut BTreeMap<u64, Delivery>, now| {
            let (cursor, rows) = book.changes(at(now));
            *disk_cursor = cursor;
            disk.extend(rows.into_iter().map(|row| (row.cursor, row)));
        };
        let check = |book: &mut Book, under_way: &mut Vec<u64>, settled: &std::collections::BTreeSet<u64>, log: &[Delivery], now| -> Result<bool, TestCaseError> {
            let Some(delivery) = book.start(at(now)) else { return Ok(false) };
            let (cursor, lane) = (delivery.cursor, delivery.body.lane.clone());
            let again = delivery.body.again;
            for other in under_way.iter() {
                prop_assert_ne!(&log[*other as usize - 1].body.lane, &lane, "two of a lane");
            }
            if !again && !settled.contains(&cursor) {
                for earlier in log.iter().filter(|e| e.cursor < cursor && e.body.lane == lane) {
                    prop_assert!(settled.contains(&earlier.cursor), "{} before {}", cursor, earlier.cursor);
                }
            }
            under_way.push(cursor);
            Ok(true)
        };
        for act in acts {
            now += 300;
            match act {
                Act::Enter(lane) => {
                    let next = event(log.len() as u64 + 1, &lane.to_string());
                    log.push(next.clone());
                    book.enter(next, at(now));
                }
                Act::Start => { check(&mut book, &mut under_way, &settled, &log, now)?; }
                Act::End(which, how) if !under_way.is_empty() => {
                    let cursor = under_way.remove(usize::from(which) % under_way.len());
                    match how % 4 {
                        0 => {
                            book.failed(cursor, attempt());
                            book.retry(cursor, at(now + i64::from(how) * 10));
                        }
                        1 => { settled.insert(cursor); book.settle(cursor, State::Failed, attempt(), None); }
                        _ => { settled.insert(cursor); settle(&mut book, cursor); }
                    }
                }
                Act::End(..) => {}
                Act::Again(which) => {
                    let done: Vec<u64> = settled.iter().copied().filter(|c| disk.contains_key(c) && !under_way.contains(c)).collect();
                    if let Some(cursor) = done.get(usize::from(which) % done.len().max(1)) {
                        book.again(log[*cursor as usize - 1].clone(), at(now));
                    }
                }
                Act::Forward => book.forward(which_way(now), at(now)),
                Act::Write => write(&mut book, &mut disk_cursor, &mut disk, now),
                Act::Crash => {
                    under_way.clear();
                    let open = disk.values().filter(|row| row.state == State::Pending).cloned().collect();
                    let beyond = disk.values().filter(|row| row.state != State::Pending && row.cursor > disk_cursor);
                    book = Book::restored(disk_cursor, open, beyond.map(|row| row.cursor).collect::<Vec<_>>(), at(now));
                    for event in &log[disk_cursor as usize..] {
                        book.enter(event.clone(), at(now));
                    }
                }
            }
        }
        // From here on everything is taken.
        now += 100_000;
        loop {
            while check(&mut book, &mut under_way, &settled, &log, now)? {}
            if under_way.is_empty() { break; }
            for cursor in under_way.drain(..) {
                settled.insert(cursor);
                settle(&mut book, cursor);
            }
        }
        prop_assert_eq!(settled.len(), log.len(), "an event was lost");
        prop_assert_eq!((book.open(), book.under_way(), book.next_due()), (0, 0, None));
        write(&mut book, &mut disk_cursor, &mut disk, now);
        prop_assert_eq!(disk_cursor, log.len() as u64);
    }
}

fn which_way(now: i64) -> bool {
    now % 2 == 0
}
