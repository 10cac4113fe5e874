# What pods see of their volumes: modes, groups, parts of volumes, and what changes while they run.
"$IRONCLAD" image import --data-dir "$DATA" "$(busybox_archive)" >/dev/null
k create namespace volumes
k -n volumes create configmap settings --from-literal=a=one --from-literal=b=two
k -n volumes create secret generic keys --from-literal=k=secret
k -n volumes apply -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: looks, labels: {mark: first}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {runAsUser: 1000, fsGroup: 1001}
  volumes:
  - {name: memory, emptyDir: {medium: Memory}}
  - {name: disk, emptyDir: {}}
  - {name: keys, secret: {secretName: keys, defaultMode: 0440}}
  - {name: settings, configMap: {name: settings}}
  - {name: later, configMap: {name: later, optional: true}}
  - {name: image, image: {reference: 'local.test/busybox:1', pullPolicy: Never}}
  - name: myself
    projected:
      sources:
      - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
      - serviceAccountToken: {path: token, audience: somebody}
  containers:
  - name: app
    image: local.test/busybox:1
    imagePullPolicy: Never
    command: [sleep, '10000']
    env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    volumeMounts:
    - {name: memory, mountPath: /memory}
    - {name: disk, mountPath: /disk}
    - {name: disk, mountPath: /part, subPathExpr: 'logs/$(POD)'}
    - {name: keys, mountPath: /keys}
    - {name: settings, mountPath: /settings}
    - {name: settings, mountPath: /etc/passwd, subPath: a}
    - {name: later, mountPath: /later}
    - {name: image, mountPath: /image}
    - {name: myself, mountPath: /myself}
Y
k -n volumes wait pod/looks --for=condition=Ready --timeout=60s
see() { k -n volumes exec looks -- sh -c "$1" 2>&1; }
contains "a file system in memory" "tmpfs /memory tmpfs rw" "$(see 'grep /memory /proc/mounts')"
equal "who may write" "drwxrwsrwx 1001" "$(see 'stat -c "%A %g" /disk')"
equal "a secret's mode" "440 1001" "$(see 'stat -Lc "%a %g" /keys/k')"
equal "a token's mode" "640 1000" "$(see 'stat -Lc "%a %u" /myself/token')"
equal "a part of a volume" "logs/looks/x" "$(see 'touch /part/x; cd /disk; find . -type f | cut -c3-')"
equal "one file of a volume" "one" "$(see 'cat /etc/passwd')"
contains "what the node writes" "Read-only file system" "$(see 'touch /settings/x')"
contains "an image's content" "root:x:0:0" "$(see 'cat /image/etc/passwd')"
contains "an image cannot be written" "Read-only file system" "$(see 'touch /image/x')"
k -n volumes label pod looks mark=second --overwrite
k -n volumes create configmap later --from-literal=late=came
k -n volumes patch configmap settings -p '{"data":{"a":"changed"}}'
eventually 30 bash -c "source '$E2E_ROOT/tests/e2e/lib.sh'; [ \"\$(k -n volumes exec looks -- cat /myself/labels)\" = 'mark=\"second\"' ]"
eventually 30 bash -c "source '$E2E_ROOT/tests/e2e/lib.sh'; [ \"\$(k -n volumes exec looks -- cat /later/late)\" = came ]"
eventually 30 bash -c "source '$E2E_ROOT/tests/e2e/lib.sh'; [ \"\$(k -n volumes exec looks -- cat /settings/a)\" = changed ]"
equal "a file that was mounted by itself stays" "one" "$(see 'cat /etc/passwd')"
k delete namespace volumes
