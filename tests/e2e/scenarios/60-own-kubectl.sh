# The built-in kubectl says what the stock one says, but for managed fields, which older ones show.
without_managers() {
  awk '/^  managedFields:$/ { yaml = 1; next } yaml && /^  [^ -]/ { yaml = 0 }
    /^        "managedFields": \[$/ { json = 1; next } json { if (/^        \],?$/) json = 0; next } !yaml'
}
for words in "get pods" "get pods -o wide" "get deploy,svc" "get nodes" "get pods -A -o name" "get svc hello -o yaml" \
  "get svc hello -o json" "get deploy hello -o jsonpath={.spec.replicas}" "rollout history deployment/hello" \
  "get pods --show-labels" "get configmap acknowledged -o yaml"; do
  # Ages move on between two calls.
  # shellcheck disable=SC2086
  theirs=$(k $words | without_managers | sed -E 's/\b([0-9]+[smhd])+\b/AGE/g; s/ +/ /g')
  # shellcheck disable=SC2086
  ours=$(ik $words | sed -E 's/\b([0-9]+[smhd])+\b/AGE/g; s/ +/ /g')
  [ "$theirs" = "$ours" ] || { diff <(echo "$theirs") <(echo "$ours") || true; fail "kubectl $words"; }
done
contains "apply again" "unchanged" "$(ik apply -f "$E2E_ROOT/examples/hello.yaml")"
ik create configmap mine --from-literal=x=1
ik wait --for=condition=Ready pod/client --timeout=10s
equal "exec" "hi" "$(ik exec client -- echo hi)"
contains "logs" "serving" "$(ik logs deploy/hello)"
ik scale deploy/hello --replicas=3
ik rollout status deploy/hello --timeout=30s
ik delete configmap mine
contains "what is gone" "NotFound" "$(ik get configmap mine 2>&1 || true)"
contains "describe" "Successfully assigned" "$(ik describe pod client)"
