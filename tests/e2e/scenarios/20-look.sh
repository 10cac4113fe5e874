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
