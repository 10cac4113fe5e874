# Containers that other runtimes made on the same machine, under names that look like ours. Sourced, never run.

NEIGHBOURS=$E2E_WORK/neighbours
# Part of the names of their cgroups, which are the machine's: runs beside this one have neighbours too.
NEIGHBOURS_MARK=${E2E_WORK##*.}

# neighbour RUNTIME WORD...: the runtime with its own root. crun refuses a machine with both versions of cgroups, so it
# is shown only one.
neighbour() {
  local runtime=$1
  shift
  unshare --mount --propagation slave sh -c '
    ! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
    exec "$@"' neighbour "$runtime" --root "$NEIGHBOURS/$runtime" "$@"
}

start_neighbours() {
  local runtime bundle
  mkdir -p "$NEIGHBOURS/rootfs/bin"
  cp "$(command -v busybox)" "$NEIGHBOURS/rootfs/bin/busybox"
  for runtime in runc crun; do
    bundle=$NEIGHBOURS/bundle-$runtime
    mkdir -p "$bundle"
    (cd "$bundle" && "$runtime" spec)
    python3 - "$bundle/config.json" "$NEIGHBOURS/rootfs" "$runtime-$NEIGHBOURS_MARK" <<'P'
import json, sys
path, rootfs, name = sys.argv[1:]
with open(path) as file:
    config = json.load(file)
config["process"].update(terminal=False, args=["/bin/busybox", "sleep", "1000000"])
config["process"].pop("rlimits", None)
config["root"] = {"path": rootfs, "readonly": True}
config["linux"]["cgroupsPath"] = f"/neighbours-{name}/kubepods/pod1/" + "a" * 64
with open(path, "w") as file:
    json.dump(config, file)
P
    neighbour "$runtime" run --detach --bundle "$bundle" "beside-$runtime" </dev/null >/dev/null 2>"$bundle/said" ||
      fail "$runtime: $(cat "$bundle/said")"
    neighbour_state "$runtime" >"$NEIGHBOURS/$runtime.before"
  done
}

# What identifies a neighbour's process: its number and when it began, and its cgroups and mounts.
neighbour_state() {
  local pid
  pid=$(neighbour "$1" state "beside-$1" | python3 -c 'import json, sys; state = json.load(sys.stdin); print(state["status"], state["pid"])')
  echo "$pid"
  pid=${pid#* }
  awk '{ print $22 }' "/proc/$pid/stat"
  cat "/proc/$pid/cgroup" "/proc/$pid/mountinfo"
}

neighbours_are_well() {
  local runtime
  for runtime in runc crun; do
    equal "the container of $runtime" "$(cat "$NEIGHBOURS/$runtime.before")" "$(neighbour_state "$runtime")"
    contains "the container of $runtime" "running" "$(head -1 "$NEIGHBOURS/$runtime.before")"
  done
}

end_neighbours() {
  local runtime
  for runtime in runc crun; do
    neighbour "$runtime" delete --force "beside-$runtime"
    find /sys/fs/cgroup -depth -type d -path "*/neighbours-$runtime-$NEIGHBOURS_MARK*" -exec rmdir {} +
  done
  rm -rf "$NEIGHBOURS"
}
