# Looking: logs, exec with its exit code, a terminal, describe, events.
pod=$(k get pods -l app=hello -o jsonpath='{.items[0].metadata.name}')
contains "logs" "serving on port 8080" "$(k logs "$pod")"
contains "the last line" "/" "$(k logs "$pod" --tail=1)"
equal "output of exec" "a b" "$(k exec client -- echo "a b")"
code=0
k exec client -- sh -c 'exit 42' 2>/dev/null || code=$?
equal "exit code of exec" 42 "$code"
equal "input of exec" "typed" "$(echo typed | k exec -i client -- cat)"
contains "a terminal" "/dev/pts/" "$(script -qec "$KUBECTL exec -it client -- tty" /dev/null </dev/null)"
contains "a shell in the demo image" "hello-" "$(k exec "$pod" -- sh -c 'hostname')"
described=$(k describe pod "$pod")
contains "describe" "Started" "$described"
contains "describe" "Successfully assigned" "$described"
contains "a command that is not there" "executable file not found" "$(k exec client -- nothing-like-this 2>&1 || true)"
# Of answers that nobody keeps there are no tables.
k proxy --port=18001 >/dev/null 2>&1 &
proxy=$!
trap 'kill "$proxy"' EXIT
review='{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}}'
reviewed() { # reviewed ACCEPT: the status of the answer
  curl --silent --output /dev/null --write-out '%{http_code}' --header "Accept: $1" --header "Content-Type: application/json" --data "$review" \
    http://127.0.0.1:18001/apis/authorization.k8s.io/v1/selfsubjectaccessreviews
}
eventually 10 curl --silent --output /dev/null http://127.0.0.1:18001/version
equal "a review as JSON" 201 "$(reviewed application/json)"
equal "a review as a table" 406 "$(reviewed 'application/json;as=Table;v=v1;g=meta.k8s.io')"
