//! Differences, and that many of them one after the other end where one whole build ends.

use std::net::SocketAddr;

use super::*;
use crate::proxy::ruleset::{Balance, Masquerade};

fn frontend(port: u16) -> Frontend {
    Frontend { address: Some("10.96.0.1".parse().unwrap()), v6: false, protocol: 6, port }
}

fn to(backends: &[&str]) -> Target {
    let backends: Vec<SocketAddr> = backends.iter().map(|text| text.parse().unwrap()).collect();
    let masquerade = Masquerade::Outsiders;
    Target::Balance(Balance { backends, local: None, masquerade, affinity: None, sources: None })
}

fn wish(entries: &[(u16, Target)]) -> Option<(Frontends, Vec<IpAddr>)> {
    let frontends = entries.iter().map(|(port, target)| (frontend(*port), target.clone())).collect();
    Some((frontends, vec!["10.96.0.1".parse().unwrap()]))
}

#[test]
fn a_difference_names_what_changed_and_nothing_else() {
    let mut wanted = Wanted::default();
    let (web, dns) = (Key::new("ns", "web"), Key::new("ns", "dns"));
    let one = to(&["10.1.0.1:80"]);
    let first = wanted.set(&web, wish(&[(80, one.clone()), (81, Target::Reject)]));
    assert_eq!(first.frontends.len(), 2);
    assert_eq!(first.new_addresses.len(), 1);
    assert!(wanted.set(&web, wish(&[(80, one.clone()), (81, Target::Reject)])).is_empty());
    assert!(wanted.set(&dns, wish(&[])).is_empty(), "an address both have is no news");

    let second = wanted.set(&web, wish(&[(80, to(&["10.1.0.2:80"])), (81, Target::Reject)]));
    assert_eq!(second.frontends.keys().map(|frontend| frontend.port).collect::<Vec<_>>(), [80]);
    assert_eq!(second.frontends[&frontend(80)].old, Some(one));
    let gone = wanted.set(&web, None);
    assert_eq!(gone.frontends.len(), 2);
    assert!(gone.lost_addresses.is_empty(), "the other still has it");
    assert_eq!(wanted.set(&dns, None).lost_addresses.len(), 1);
    assert!(wanted.everything(None).is_empty());
}

#[test]
fn a_frontend_two_services_want_is_the_firsts_until_it_goes() {
    let mut wanted = Wanted::default();
    let (first, second) = (Key::new("ns", "a"), Key::new("ns", "b"));
    let (ours, theirs) = (to(&["10.1.0.1:80"]), to(&["10.1.0.2:80"]));
    wanted.set(&second, wish(&[(80, theirs.clone())]));
    let taken = wanted.set(&first, wish(&[(80, ours.clone())]));
    assert_eq!(
        taken.frontends[&frontend(80)],
        Changed { old: Some(theirs.clone()), new: Some(ours.clone()) }
    );
    assert!(wanted.set(&second, wish(&[(80, to(&["10.1.0.3:80"]))])).is_empty());
    let back = wanted.set(&first, None);
    assert_eq!(back.frontends[&frontend(80)].new, Some(to(&["10.1.0.3:80"])));
}

#[test]
fn two_differences_in_one_keep_the_first_old_and_the_last_new() {
    let mut wanted = Wanted::default();
    let web = Key::new("ns", "web");
    let mut both = wanted.set(&web, wish(&[(80, Target::Reject)]));
    both.append(wanted.set(&web, wish(&[(80, Target::Drop)])));
    assert_eq!(both.frontends[&frontend(80)], Changed { old: None, new: Some(Target::Drop) });
}

#[test]
fn chains_live_as_long_as_somebody_leads_to_them() {
    let mut wanted = Wanted::default();
    let mut installed = Installed::default();
    let keys: Vec<Key> = (0..4).map(|number| Key::new("ns", &format!("svc{number}"))).collect();
    let local = |target: Target| match target {
        Target::Balance(balance) => {
            let local = Some(balance.backends[..1].to_vec());
            Target::Balance(Balance { local, masquerade: Masquerade::Always, ..balance })
        }
        other => other,
    };
    let two = to(&["10.1.0.1:80", "10.1.0.2:80"]);
    for (number, key) in keys.iter().enumerate() {
        let difference = wanted.set(key, wish(&[(number as u16 + 1, local(two.clone()))]));
        installed.update("t", &difference);
    }
    // The chain itself, and what pods, the node and outsiders get.
    assert_eq!(installed.picks.len(), 4);
    let whole = {
        let mut whole = Installed::default();
        whole.rebuild("t", &Blocks::default(), &wanted);
        whole
    };
    assert_eq!(whole.picks, installed.picks);
    for key in &keys {
        let difference = wanted.set(key, None);
        installed.update("t", &difference);
    }
    assert!(installed.picks.is_empty());
}
