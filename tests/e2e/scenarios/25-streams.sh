# Streams of the stock kubectl, over WebSocket and over SPDY: commands, terminals' input, copies, forwarded ports.
"$IRONCLAD" image import --data-dir "$DATA" "$(busybox_archive)" >/dev/null
k run streams --image=local.test/busybox:1 --image-pull-policy=Never --restart=Never --command -- \
  sh -c 'mkdir -p /www; echo "a page" >/www/index.html; exec httpd -f -p 8080 -h /www'
k wait pod/streams --for=condition=Ready --timeout=60s
head -c 300000 /dev/urandom >"$E2E_WORK/blob"
for websockets in true false; do
  export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=$websockets KUBECTL_PORT_FORWARD_WEBSOCKETS=$websockets
  equal "a command ($websockets)" "one two" "$(k exec streams -- echo one two)"
  equal "its input ($websockets)" "hello" "$(echo hello | k exec -i streams -- cat)"
  code=0
  said=$(k exec streams -- sh -c 'echo complaint >&2; exit 7' 2>&1) || code=$?
  equal "its code ($websockets)" 7 "$code"
  contains "its complaint ($websockets)" complaint "$said"
  k cp "$E2E_WORK/blob" streams:/tmp/blob
  k cp streams:/tmp/blob "$E2E_WORK/back"
  cmp "$E2E_WORK/blob" "$E2E_WORK/back" || fail "a copy is not the same ($websockets)"
  rm -f "$E2E_WORK/back"
  "$KUBECTL" port-forward pod/streams 18080:8080 >"$E2E_WORK/forward" 2>&1 &
  forward=$!
  eventually 20 grep -q "Forwarding from 127.0.0.1:18080" "$E2E_WORK/forward"
  for _ in 1 2 3; do equal "a page ($websockets)" "a page" "$(page http://127.0.0.1:18080/)"; done
  kill "$forward"
  wait "$forward" || true
done
unset KUBECTL_REMOTE_COMMAND_WEBSOCKETS KUBECTL_PORT_FORWARD_WEBSOCKETS
k delete pod streams --now
