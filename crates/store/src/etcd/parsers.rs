//! What a member of etcd sends, taken apart without a connection: a door for those who try it with whatever comes to
//! mind.

use bytes::Bytes;

use super::message::{self, Decided, Found, Leased, Told};
use super::wire::{Frames, Malformed};

/// Takes a stream of answers apart and reads each as every kind of answer there is; tells how many there were and which
/// kinds the last one could be.
pub fn answers(stream: &[u8], piece: usize) -> Result<(usize, [bool; 5]), String> {
    let told = |malformed: Malformed| format!("{malformed:?}");
    let mut frames = Frames::default();
    let (mut count, mut fits) = (0, [false; 5]);
    for bytes in stream.chunks(piece.max(1)) {
        frames.push(bytes);
        while let Some(answer) = frames.next().map_err(told)? {
            count += 1;
            fits = kinds(&answer);
        }
    }
    Ok((count, fits))
}

fn kinds(answer: &Bytes) -> [bool; 5] {
    [
        Found::read(answer.clone()).is_ok(),
        Decided::read(answer.clone()).is_ok(),
        Told::read(answer.clone()).is_ok(),
        Leased::read(answer.clone()).is_ok(),
        message::version(answer.clone()).is_ok(),
    ]
}
