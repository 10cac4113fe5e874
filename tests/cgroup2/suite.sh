# What runs in the machine with cgroup v2 only.
# shellcheck shell=bash
set -u
cd "$(dirname "$SUITE")/../.." || exit 1
failed=0
verdict() { # verdict NAME COMMAND...
  local name=$1
  shift
  if output=$("$@" 2>&1); then
    echo "ok    $name"
  else
    failed=1
    echo "FAIL  $name"
    tail -60 <<<"$output" | sed 's/^/      /'
  fi
}

# The programs may lie in a folder that is covered below.
cp "$TESTS" /run/kernel-tests
cp "$IRONCLAD" /run/ironclad
export IRONCLAD=/run/ironclad

# A disk: this kernel's tmpfs cannot map the ids of what a pod with users of its own mounts.
truncate -s 2G /run/disk
mkfs.ext4 -q -F /run/disk
mount -o loop /run/disk /tmp
chmod 1777 /tmp

echo "== $(uname -r); $(grep -c cgroup2 /proc/mounts) hierarchy, $(cat /sys/fs/cgroup/cgroup.controllers)"
for test in a_container_runs_and_its_end_is_known limits_hold_and_can_be_changed a_container_gets_more_once_its_pod_has_more \
  cgroups_can_be_seen_but_not_changed devices_are_those_asked_for a_privileged_container_may_all_the_machine_may \
  half_made_things_are_swept_away a_new_engine_takes_over_what_runs root_of_a_pod_is_nobody_on_the_node; do
  verdict "$test" /run/kernel-tests "$test" --test-threads=1
done

echo "== a cluster"
ONLY=27-node tests/e2e/run || failed=1
ls -d /sys/fs/cgroup/ironclad* 2>/dev/null && failed=1
[ "$failed" != 0 ] || echo "cgroup2: all passed"
