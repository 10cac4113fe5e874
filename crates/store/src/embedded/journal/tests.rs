//! Records as they are written, and as they are read after everything that can happen to a file.

use super::*;
use crate::embedded::medium::Disk;

const EPOCH: u64 = 7;

/// A row of a revision; a deletion if the value is as long as `None`.
fn row(revision: u64, value: Option<usize>) -> Row {
    Row {
        id: RowId::new(revision, 0),
        key: Bytes::from(format!("/registry/{revision}")),
        value: value.map(|length| Bytes::from(vec![b'v'; length])),
        created: value.map_or(0, |_| revision),
        expires: 11,
        written: 12,
        before: (revision > 3).then(|| RowId::new(revision - 1, 5)),
    }
}

fn records(turn: u64, groups: &[Vec<Row>]) -> Vec<u8> {
    let mut content = Vec::new();
    for group in groups {
        let mut record = Vec::new();
        encode(group, turn, EPOCH, &mut record);
        assert_eq!(record.len(), record_bytes(group));
        content.extend(record);
    }
    content
}

fn decoded(content: Vec<u8>) -> Result<Option<(u64, Vec<Row>)>, String> {
    decode(&Bytes::from(content), EPOCH)
}

fn groups() -> Vec<Vec<Row>> {
    vec![
        vec![row(1, Some(1024)), row(2, None)],
        vec![row(3, Some(0))],
        vec![row(4, Some(100)), row(5, Some(5000))],
    ]
}

#[test]
fn what_was_written_is_read() {
    let expected: Vec<Row> = groups().into_iter().flatten().collect();
    assert_eq!(decoded(records(9, &groups())), Ok(Some((9, expected))));
    assert_eq!(decoded(Vec::new()), Ok(None));
    assert_eq!(decoded(vec![0; 5000]), Ok(None));
}

#[test]
fn a_file_that_ends_anywhere_has_the_records_before() {
    let content = records(0, &groups());
    let ends: Vec<usize> = (1..=3).map(|count| records(0, &groups()[..count]).len()).collect();
    for length in 0..=content.len() {
        let (turn, rows) = decoded(content[..length].to_vec()).expect("no damage").unwrap_or((0, Vec::new()));
        // The zeros at the end of a record are not needed.
        let whole = ends.iter().filter(|end| **end < length + SECTOR).count();
        let at_least = ends.iter().filter(|end| **end <= length).count();
        let counts = [at_least, whole].map(|count| groups()[..count].iter().map(Vec::len).sum::<usize>());
        assert!(turn == 0 && (counts[0]..=counts[1]).contains(&rows.len()), "{length}: {}", rows.len());
    }
}

#[test]
fn any_changed_bit_of_the_last_record_makes_it_nothing() {
    let content = records(0, &groups()[..2]);
    let start = records(0, &groups()[..1]).len();
    let length = HEADER_BYTES + row_bytes(&groups()[1][0]);
    for bit in start * 8..(start + length) * 8 {
        let mut changed = content.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decoded(changed), Ok(Some((0, groups()[0].clone()))), "bit {bit}");
    }
}

#[test]
fn damage_before_a_whole_record_is_not_taken_for_the_end() {
    let mut content = records(0, &groups());
    let second = records(0, &groups()[..1]).len();
    let third = records(0, &groups()[..2]).len();
    content[second + HEADER_BYTES] ^= 1;
    assert_eq!(decoded(content), Err(format!("the record at {second} is damaged; one at {third} is not")));
}

#[test]
fn what_an_earlier_turn_or_another_store_left_is_not_read() {
    let mut content = records(2, &groups());
    let newer = records(4, &groups()[1..2]);
    content[..newer.len()].copy_from_slice(&newer);
    assert_eq!(decoded(content.clone()), Ok(Some((4, groups()[1].clone()))));
    assert_eq!(decode(&Bytes::from(content), EPOCH + 1), Ok(None));
}

#[test]
fn both_files_are_read_in_the_order_of_their_turns() {
    let directory = std::env::temp_dir().join(format!("store-journal-{}", std::process::id()));
    std::fs::create_dir(&directory).expect("a directory");
    let database = directory.join("store.db");
    let mut journal = Journal::begin(&database, EPOCH, &Disk).expect("a journal");
    assert_eq!(read(&database, EPOCH), Ok(Vec::new()));
    // Seven such groups fit in a file.
    let (mut written, mut turns) = (Vec::new(), 0);
    for group in 0..23 {
        let rows = [row(2 * group + 1, Some(1 << 20)), row(2 * group + 2, None)];
        if journal.room(&rows) == Room::Next {
            journal.turn();
            turns += 1;
        }
        assert_eq!(journal.room(&rows), Room::Here);
        journal.write(&rows).and_then(|()| journal.sync()).expect("there is room");
        written.extend(rows);
    }
    assert_eq!(turns, 3);
    let found = read(&database, EPOCH).expect("no damage");
    assert!(found == written[2 * 14..], "the last file and the one before: {}", found.len());
    let huge = [row(1, Some(FILE_BYTES as usize))];
    assert_eq!(journal.room(&huge), Room::Nowhere);
    std::fs::remove_dir_all(&directory).expect("ours");
}
