//! Shuffle sharding: each flow has a hand of queues of its own, so that two flows hardly ever share all of them.

/// Deals a hand of different cards from a deck; the same hash gives the same hand.
pub fn deal(hash: u64, deck: usize, hand: usize) -> Vec<usize> {
    let hand = hand.min(deck);
    let mut rest = hash;
    let mut dealt: Vec<usize> = Vec::with_capacity(hand);
    for place in 0..hand {
        let left = (deck - place) as u64;
        // Less than `deck`, so it fits.
        let mut card = (rest % left) as usize;
        rest /= left;
        // The card is counted among those that are left: skip those that were dealt.
        let mut taken = dealt.clone();
        taken.sort_unstable();
        for one in taken {
            if one <= card {
                card += 1;
            }
        }
        dealt.push(card);
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_are_of_different_cards_and_cover_the_deck() {
        let mut seen = [false; 64];
        for hash in 0..2_000u64 {
            let hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let hand = deal(hash, 64, 6);
            assert_eq!(hand, deal(hash, 64, 6));
            let mut sorted = hand.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), 6, "{hand:?}");
            for card in hand {
                seen[card] = true;
            }
        }
        assert!(seen.iter().all(|seen| *seen));
        assert_eq!(deal(7, 1, 6), [0]);
        assert_eq!(deal(7, 0, 0), Vec::<usize>::new());
    }
}
