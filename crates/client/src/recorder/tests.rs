use env::WallTime;

use super::*;

fn note(pod: &str, message: &str) -> Note {
    let about = About::named(resources::PODS, &Key::new("shop", pod), "u1");
    Note::normal(&about, "Created", message)
}

fn core() -> Correlator {
    Correlator::new(Source { component: "kubelet", host: "node-1".to_owned(), action: "" })
}

#[test]
fn the_same_event_counts() {
    let mut correlator = core();
    let first = correlator.observe(&note("web", "made"), WallTime::from_secs(100)).unwrap();
    assert_eq!((first.create["count"].as_i64(), first.patch), (Some(1), None));
    assert_eq!(first.create["source"]["host"], "node-1");
    let second = correlator.observe(&note("web", "made"), WallTime::from_secs(160)).unwrap();
    assert_eq!(second.key, first.key);
    let patch = second.patch.unwrap();
    assert_eq!(
        (patch["count"].as_i64(), patch["lastTimestamp"].as_str()),
        (Some(2), Some("1970-01-01T00:02:40Z"))
    );
    assert_eq!(second.create["firstTimestamp"], "1970-01-01T00:01:40Z");
}

#[test]
fn the_tenth_different_message_is_combined_with_those_that_follow() {
    let mut correlator = core();
    let sent: Vec<Sending> = (0..12)
        .map(|number| correlator.observe(&note("web", &format!("made {number}")), WallTime(number)).unwrap())
        .collect();
    assert!(sent[..9].iter().all(|sending| sending.patch.is_none()));
    assert_eq!(sent[9].create["message"], "(combined from similar events): made 9");
    assert!(sent[9].patch.is_none());
    assert_eq!(sent[11].key, sent[9].key);
    assert_eq!(sent[11].patch.as_ref().unwrap()["count"], 3);
    let later = WallTime::from_secs(2_000);
    assert_eq!(correlator.observe(&note("web", "fresh"), later).unwrap().create["message"], "fresh");
}

#[test]
fn two_events_of_the_same_moment_have_different_names() {
    let mut correlator = core();
    let mut name = |message: &str| correlator.observe(&note("web", message), WallTime(7)).unwrap().key;
    assert_ne!(name("one"), name("two"));
}

#[test]
fn one_object_cannot_flood() {
    let mut correlator = core();
    let now = WallTime::from_secs(5);
    let sent = (0..40).filter(|_| correlator.observe(&note("web", "made"), now).is_some()).count();
    assert_eq!(sent, 25);
    assert!(correlator.observe(&note("other", "made"), now).is_some());
    assert!(correlator.observe(&note("web", "made"), WallTime::from_secs(305)).is_some());
    assert!(correlator.observe(&note("web", "made"), WallTime::from_secs(305)).is_none());
}

#[test]
fn a_series_is_written_at_its_second_event_and_then_every_half_hour() {
    let mut correlator =
        Correlator::new(Source { component: "default-scheduler", host: String::new(), action: "Scheduling" });
    let observe = |correlator: &mut Correlator, secs| {
        correlator.observe(&note("web", "no room"), WallTime::from_secs(secs))
    };
    let first = observe(&mut correlator, 0).unwrap();
    assert_eq!(first.create["apiVersion"], "v1");
    let second = observe(&mut correlator, 10).unwrap();
    assert_eq!(second.patch.unwrap()["series"]["count"], 2);
    let written = (1..=7).filter(|number| observe(&mut correlator, 10 + number * 300).is_some()).count();
    assert_eq!(written, 1, "only the one half an hour later");
    let fresh = observe(&mut correlator, 10_000).unwrap();
    assert!(fresh.patch.is_none() && fresh.key != first.key);
}

#[test]
fn things_of_the_cluster_have_their_events_in_default() {
    let about = About::named(resources::NODES, &Key::new("", "node-1"), "u");
    let sending = core().observe(&Note::warning(&about, "Gone", "it is gone"), WallTime(0x1f)).unwrap();
    assert_eq!(sending.key, Key::new("default", "node-1.1f"));
    assert_eq!(sending.create["type"], "Warning");
    assert_eq!(sending.create["involvedObject"].get("namespace"), None);
}

#[test]
fn a_hundred_go_at_once_and_then_one_each_five_milliseconds() {
    let mut pace = Pace::default();
    let start = Duration::from_secs(100);
    assert!((0..AT_ONCE).all(|_| pace.wait(start).is_zero()));
    assert_eq!(pace.wait(start), EACH);
    assert_eq!(pace.wait(start + EACH), EACH);
    let later = start + Duration::from_secs(60);
    assert!((0..AT_ONCE).all(|_| pace.wait(later).is_zero()), "who was quiet may say a hundred again");
    assert_eq!(pace.wait(later), EACH);
}
