//! What a kubelet finds that takes over from one that was killed.

use cri::ContainerState;

use super::{one, phase};
use crate::tests::World;

#[tokio::test(start_paused = true)]
async fn a_container_that_was_made_but_never_started_counts_for_nothing() {
    let mut world = World::start("unstarted").await;
    world.runtime.set_failing("stuck", true);
    world.create("web", one(&["stuck"], "Never"));
    let made = |world: &World| world.runtime.containers();
    while !made(&world).iter().any(|container| container.state == ContainerState::Created) {
        world.pass(1).await;
    }
    world.runtime.set_failing("stuck", false);
    world.restart().await;
    let pod = world.until("web", phase("Running")).await;
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!((&status["restartCount"], &status["lastState"]["terminated"]), (&0.into(), &().into()));
    assert_eq!(made(&world).len(), 1, "the one that never ran is gone");
}

#[tokio::test(start_paused = true)]
async fn what_pods_left_on_the_disk_goes_when_they_are_not_known_any_more() {
    let mut world = World::start("left").await;
    world.create("web", one(&["run"], "Always"));
    world.until("web", phase("Running")).await;
    let (pods, logs) = (world.root.0.join("kubelet/pods"), world.root.0.join("logs"));
    for path in
        [pods.join("uid-1/volumes"), logs.join("other_both_uid-1/app"), logs.join("other_logs_uid-2/app")]
    {
        std::fs::create_dir_all(path).unwrap();
    }
    std::fs::write(logs.join("other_logs_uid-2/app/0.log"), "said").unwrap();
    world.restart().await;
    let count = |directory: &std::path::Path| std::fs::read_dir(directory).unwrap().count();
    for _ in 0..600 {
        if (count(&pods), count(&logs)) == (1, 1) {
            break;
        }
        world.pass(1).await;
    }
    assert_eq!((count(&pods), count(&logs)), (1, 1), "only what the pod has that is there");
    assert_eq!(world.pod("web")["status"]["phase"], "Running");
}
