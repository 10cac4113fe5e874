# `kill -9` of the cluster: containers and Services go on; the next `up` adopts them.
ids() { k get pods -l app=hello -o jsonpath='{range .items[*]}{.metadata.name}={.status.containerStatuses[0].containerID},{.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort; }
before=$(ids)
k create configmap acknowledged --from-literal=a=b
kill -9 "$(cat "$DATA/ironclad.pid")"
for _ in $(seq 10); do contains "the page while nobody is there" "Hello" "$(page http://127.0.0.1:30080/)"; done
up
equal "containers" "$before" "$(ids)"
equal "data" b "$(k get configmap acknowledged -o jsonpath='{.data.a}')"
sleep 2
equal "containers a little later" "$before" "$(ids)"
contains "the page" "Hello" "$(page http://127.0.0.1:30080/)"
equal "exec after adoption" ok "$(k exec client -- echo ok)"
