# `kill -9` at random moments of a rollout, again and again (KILLS, 6 if not said): nothing that was acknowledged is
# lost, no container that has nothing to do with the rollout is touched, nothing is there twice.
kills=${KILLS:-6}
bystander() { k get pod client -o jsonpath='{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}'; }
before=$(bystander)
acknowledged=()
for round in $(seq "$kills"); do
  k set env deployment/hello ROUND="$round" >/dev/null
  # Writers go on until the server is gone; what was answered must be there afterwards.
  (
    for n in $(seq 200); do
      k create configmap "written-$round-$n" --from-literal=n="$n" >/dev/null 2>&1 || exit 0
      echo "written-$round-$n" >>"$E2E_WORK/acknowledged"
    done
  ) &
  writer=$!
  sleep "0.$((RANDOM % 9))$((RANDOM % 9))"
  kill -9 "$(cat "$DATA/ironclad.pid")"
  wait "$writer" || true
  up >/dev/null
done
k get configmaps -o name | sed 's|configmap/||' | sort >"$E2E_WORK/there"
lost=$(sort "$E2E_WORK/acknowledged" 2>/dev/null | comm -23 - "$E2E_WORK/there")
equal "acknowledged writes that are lost" "" "$lost"
equal "a container with nothing to do with it" "$before" "$(bystander)"
k rollout status deployment/hello --timeout=90s
settled() { [ "$(k get pods -l app=hello --no-headers | wc -l)" = "$(k get deployment hello -o jsonpath='{.spec.replicas}')" ]; }
eventually 60 settled
# One shim for each pod, and no more.
shims() { [ "$(pgrep -fc "__shim.*$DATA" || true)" = "$(k get pods -A --field-selector=status.phase=Running --no-headers | wc -l)" ]; }
eventually 20 shims
restarts=$(k get pods -l app=hello -o jsonpath='{range .items[*]}{.status.containerStatuses[0].restartCount}{end}' | tr -d 0)
equal "restarts" "" "$restarts"
k delete configmaps --all >/dev/null
k create configmap acknowledged --from-literal=a=b
