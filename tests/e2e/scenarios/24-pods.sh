# What upstream's conformance tests look at on a node, with pods of our own, side by side (pods/run.py).
"$IRONCLAD" image import --data-dir "$DATA" "$(busybox_archive)" >/dev/null
python3 "$E2E_ROOT/tests/images/busybox.py" "$E2E_WORK/defaults.tar" local.test/defaults:1 \
  --entrypoint echo --entrypoint image --command says --command so
"$IRONCLAD" image import --data-dir "$DATA" "$E2E_WORK/defaults.tar" >/dev/null
PYTHONDONTWRITEBYTECODE=1 python3 "$E2E_ROOT/tests/e2e/pods/run.py" "$KUBECTL" ${PODS_ONLY:-}
