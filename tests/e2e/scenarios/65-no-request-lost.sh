# A stream of requests through a Service goes on while Ironclad is killed and started again, and while the Deployment
# behind it rolls: with a readiness probe and a moment before the end, as any Kubernetes wants it, not one is lost.
k apply -f - <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: stream}
spec:
  replicas: 2
  selector: {matchLabels: {app: stream}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata: {labels: {app: stream}}
    spec:
      containers:
      - name: web
        image: local.test/busybox:1
        imagePullPolicy: Never
        command: ["sh", "-c", "mkdir /w && echo here > /w/index.html && exec httpd -f -p 8080 -h /w"]
        readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
        lifecycle: {preStop: {sleep: {seconds: 3}}}
---
apiVersion: v1
kind: Service
metadata: {name: stream}
spec: {selector: {app: stream}, ports: [{port: 80, targetPort: 8080}]}
YAML
k rollout status deployment/stream --timeout=60s
address=$(k get service stream -o jsonpath='{.spec.clusterIP}')
eventually 10 page "http://$address/"

asked=$E2E_WORK/asked lost=$E2E_WORK/lost
: >"$asked"
: >"$lost"
(
  while [ ! -e "$E2E_WORK/enough" ]; do
    if page "http://$address/" >/dev/null 2>>"$lost.why"; then echo x >>"$asked"; else echo x >>"$lost"; fi
  done
) &
for _ in 1 2 3; do
  kill -9 "$(cat "$DATA/ironclad.pid")"
  up
done
k rollout restart deployment/stream
k rollout status deployment/stream --timeout=90s
touch "$E2E_WORK/enough"
wait
equal "lost requests of $(wc -l <"$asked") ($(sort "$lost.why" 2>/dev/null | uniq -c | head -3))" 0 "$(wc -l <"$lost")"
[ "$(wc -l <"$asked")" -gt 10 ] || fail "only $(wc -l <"$asked") requests were made"
k delete deployment/stream service/stream
