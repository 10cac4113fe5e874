# `up` makes a cluster and answers when it is ready; doing it again is harmless.
up
contains "status" "ready" "$("$IRONCLAD" status --data-dir "$DATA")"
contains "a second up" "runs already" "$(up)"
equal "the kubeconfig's mode" 600 "$(stat -c %a "$KUBECONFIG")"
eventually 10 k wait --for=condition=Ready node/e2e --timeout=5s
contains "nodes" "e2e" "$(k get nodes)"
"$IRONCLAD" image import --data-dir "$DATA" "$(busybox_archive)"
