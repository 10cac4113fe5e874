# What has to hold, whatever went wrong.

# Writes on and on; the names of those that were acknowledged are kept.
write_on() {
  local n=0
  while true; do
    n=$((n + 1))
    if k create configmap "written-$n" --from-literal=n="$n" --request-timeout=5s >/dev/null 2>&1; then
      echo "written-$n" >>"$E2E_WORK/acknowledged"
    fi
    # Something always changes, so that a trouble always meets work half done.
    [ $((n % 20)) != 0 ] || k set env deployment/web ROUND="$n" --request-timeout=5s >/dev/null 2>&1 || true
  done
}

# Everything declared is real: all nodes are ready, and all pods that are wanted run.
is_as_declared() {
  [ "$(k get nodes --no-headers | grep -c ' Ready ')" = 3 ] &&
    k rollout status deployment/web --timeout=1s && k rollout status statefulset/db --timeout=1s &&
    k rollout status daemonset/each --timeout=1s && [ "$(page "http://$(service_address)/")" = "here" ]
}
service_address() { k get service web -o jsonpath='{.spec.clusterIP}'; }
converged() { eventually 120 is_as_declared; }

nothing_lost() {
  local lost
  k get configmaps -o name | sed 's|configmap/||' | sort >"$E2E_WORK/there"
  lost=$(sort "$E2E_WORK/acknowledged" | comm -23 - "$E2E_WORK/there")
  equal "acknowledged writes that are lost" "" "$lost"
  echo "   all of $(wc -l <"$E2E_WORK/acknowledged") acknowledged writes are there"
}

# One shim for each pod that runs, and no more.
shims_are_pods() { [ "$(pgrep -fc "__shim.*$DATA" || true)" = "$(k get pods -A --field-selector=status.phase=Running --no-headers | wc -l)" ]; }
nothing_twice() {
  eventually 60 shims_are_pods
  echo "   each of $(pgrep -fc "__shim.*$DATA") pods is there once"
}
