# `down` takes everything away but the data; `up` brings it back; `down --purge` takes the data too.
k create configmap kept --from-literal=a=b
"$IRONCLAD" down --data-dir "$DATA"
contains "status after down" "not running" "$("$IRONCLAD" status --data-dir "$DATA" 2>&1 || true)"
[ -z "$(pgrep -f "$DATA" || true)" ] || fail "processes are left: $(pgrep -af "$DATA")"
[ -d "$DATA/store" ] || fail "the data is gone"
up
k get configmap kept
eventually 30 k rollout status deployment/hello --timeout=1s
"$IRONCLAD" down --purge --data-dir "$DATA"
[ ! -e "$DATA" ] || fail "the data is still there"
