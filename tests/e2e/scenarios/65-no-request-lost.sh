# A stream of requests and long downloads through a Service go on while Ironclad is killed and started again (KILLS,
# 10 if not said), and while the Deployment behind it rolls: with a readiness probe and a moment before the end, as the
# README advises, not one is lost.
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
        command:
        - sh
        - -c
        - |
          mkdir -p /w/cgi-bin
          echo here > /w/index.html
          cat > /w/cgi-bin/slow <<'END'
          #!/bin/sh
          printf 'Content-Type: text/plain\r\n\r\n'
          for second in \$(seq \$QUERY_STRING); do echo \$second; sleep 1; done
          END
          chmod +x /w/cgi-bin/slow
          exec httpd -f -p 8080 -h /w
        readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
        lifecycle: {preStop: {sleep: {seconds: 15}}}
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
download() { curl --silent --show-error --fail "http://$address/cgi-bin/slow?$1"; } # SECONDS: as long as it takes
download 30 >"$E2E_WORK/over-kills" 2>&1 &
downloading=$!
for _ in $(seq "${KILLS:-10}"); do
  kill -9 "$(cat "$DATA/ironclad.pid")"
  up
done
wait "$downloading" || true
equal "a download while Ironclad was killed" "$(seq 30)" "$(cat "$E2E_WORK/over-kills")"
# What ends before its pod's moment is over comes to its end.
download 10 >"$E2E_WORK/over-rollout" 2>&1 &
downloading=$!
k rollout restart deployment/stream
k rollout status deployment/stream --timeout=90s
wait "$downloading" || true
equal "a download while the Deployment rolled" "$(seq 10)" "$(cat "$E2E_WORK/over-rollout")"
touch "$E2E_WORK/enough"
wait
equal "lost requests of $(wc -l <"$asked") ($(sort "$lost.why" 2>/dev/null | uniq -c | head -3))" 0 "$(wc -l <"$lost")"
[ "$(wc -l <"$asked")" -gt 10 ] || fail "only $(wc -l <"$asked") requests were made"
k delete deployment/stream service/stream
