# The first Deployment, without any download: applied, rolled out, reached from the machine and from a pod.
k apply -f "$E2E_ROOT/examples/hello.yaml"
k rollout status deployment/hello --timeout=30s
contains "the table" "2/2" "$(k get deployment hello)"
contains "the page by NodePort" "Hello from Ironclad!" "$(page http://127.0.0.1:30080/)"
contains "the page by the node's address" "Hello from Ironclad!" "$(page "http://$NODE_IP:30080/")"
contains "the page by ClusterIP" "You reached hello-" "$(page "http://$(k get svc hello -o jsonpath='{.spec.clusterIP}')/")"

k run client --image=local.test/busybox:1 --restart=Never --command -- sleep 3600
k wait --for=condition=Ready pod/client --timeout=20s
contains "by name from a pod" "You reached hello-" "$(k exec client -- wget -qO- http://hello/)"
contains "by full name from a pod" "You reached hello-" "$(k exec client -- wget -qO- http://hello.default.svc.cluster.local/)"
contains "the API from a pod" "kubernetes.default.svc.cluster.local" "$(k exec client -- nslookup kubernetes.default.svc.cluster.local)"
# Both pods answer.
for _ in $(seq 40); do page http://127.0.0.1:30080/hostname; done | sort -u >"$E2E_WORK/answered"
equal "pods that answered" 2 "$(wc -l <"$E2E_WORK/answered")"
