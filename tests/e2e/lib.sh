# What scenarios share. Sourced, never run.

DATA=$E2E_WORK/data
NODE_IP=192.0.2.77

up() { "$IRONCLAD" up --data-dir "$DATA" --kubeconfig "$KUBECONFIG" --node-name e2e --node-ip "$NODE_IP" "$@"; }
k() { "$KUBECTL" "$@"; }
ik() { "$IRONCLAD" kubectl "$@"; }

fail() {
  echo "failed: $*" >&2
  exit 1
}

# equal WHAT WANTED GOT
equal() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; }

# contains WHAT PART TEXT
contains() { case "$3" in *"$2"*) ;; *) fail "$1: '$2' is not in: $3" ;; esac; }

# eventually SECONDS COMMAND...: until the command succeeds.
eventually() {
  local deadline=$(($(date +%s) + $1))
  shift
  until "$@" >"$E2E_WORK/eventually.out" 2>&1; do
    [ "$(date +%s)" -lt "$deadline" ] || fail "'$*' does not come true; it said: $(tail -5 "$E2E_WORK/eventually.out")"
    sleep 0.1
  done
}

page() { curl --silent --show-error --fail --max-time 3 "$@"; }

# An interface that looks like one that leads somewhere.
make_uplink() {
  ip link set lo up
  ip link add uplink0 type veth peer name uplink1
  ip addr add "$NODE_IP/24" dev uplink0
  ip link set uplink0 up
  ip link set uplink1 up
  ip route add default via 192.0.2.1 dev uplink0
}

# Everything that a cluster makes on a machine, as text.
what_is_there() {
  echo "links: $(ip -o link | awk -F': ' '{print $2}' | sort | tr '\n' ' ')"
  echo "addresses: $(ip -o addr show dev lo | awk '{print $4}' | sort | tr '\n' ' ')"
  echo "routes: $(ip route | sort | tr '\n' ' ')"
  echo "nftables: $(nft list tables | sort | tr '\n' ' ')"
  echo "mounts: $(grep -c "$E2E_WORK" /proc/self/mountinfo || true)"
  echo "cgroups: $(find /sys/fs/cgroup -maxdepth 2 -name "ironclad-??????" | sort | tr '\n' ' ')"
  echo "processes: $(pgrep -f "$E2E_WORK" | grep -v "^$$\$" | wc -l)"
}

# The archive of an image that holds the static busybox, in the form of `docker save`.
busybox_archive() {
  local archive=$E2E_WORK/busybox.tar
  [ -e "$archive" ] || python3 "$E2E_ROOT/tests/images/busybox.py" "$archive" local.test/busybox:1
  echo "$archive"
}
