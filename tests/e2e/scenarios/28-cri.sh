# The runtime over CRI: a node's says what the API says of its pods; one alone serves whoever asks, and keeps what it was
# told when it is killed.
cri() { PYTHONDONTWRITEBYTECODE=1 python3 "$E2E_ROOT/tests/e2e/cri.py" "$@"; }
pod=$(k get pods -l app=hello -o jsonpath='{.items[0].metadata.name}')
container=$(k get pod "$pod" -o jsonpath='{.status.containerStatuses[0].containerID}')
equal "who may ask" 600 "$(stat -c %a "$DATA/cri.sock")"
cri "$DATA/cri.sock" look "$pod" "${container#ironclad://}"

alone=$E2E_WORK/alone
runtime() {
  rm -f "$alone/cri.sock"
  "$IRONCLAD" runtime --data-dir "$alone" --node-ip "$NODE_IP" --pod-cidr 10.250.7.0/24 >>"$E2E_WORK/alone.out" 2>&1 &
  process=$!
}
trap 'kill "$process" 2>/dev/null || true; "$IRONCLAD" down --purge --data-dir "$alone" >/dev/null 2>&1 || true' EXIT
listens() { "$IRONCLAD" image import --data-dir "$alone" "$(busybox_archive)"; }
runtime
eventually 60 listens
made=$(cri "$alone/cri.sock" make "$E2E_WORK/alone-logs" local.test/busybox:1)
read -r sandbox container <<<"$made"
said() { grep -q "$1" "$E2E_WORK/alone-logs/app.log"; }
eventually 30 said 'search cri.local'
eventually 30 said 'F one$'
cri "$alone/cri.sock" use "$sandbox" "$container"
kill -9 "$process"
runtime
eventually 60 listens
cri "$alone/cri.sock" use "$sandbox" "$container"
cri "$alone/cri.sock" end "$sandbox" "$container"
said 'F bye$'
kill "$process"
wait "$process" || fail "it did not end well: $(cat "$E2E_WORK/alone.out")"
"$IRONCLAD" down --purge --data-dir "$alone"
trap - EXIT
[ ! -e "$alone" ] || fail "something of it is left"
