# Pods come and go while the cluster is killed at random (PODS and KILLS, 40 and 6 if not said): every container runs
# once, every exit code is known, and at the end nothing of them is left. Containers that others made beside ours do
# not notice.
pods=${PODS:-40}
kills=${KILLS:-6}
"$IRONCLAD" image import --data-dir "$DATA" "$(busybox_archive)" >/dev/null
export LEDGER=$E2E_WORK/ledger
mkdir -p "$LEDGER"
source "$E2E_ROOT/tests/e2e/neighbours.sh"

agent() { cat "$DATA/ironclad.pid"; }
instance() { grep -o 'ironclad-[0-9a-f]*' "/proc/$(pgrep -f "__shim $DATA" | head -1)/cgroup" | head -1; }
groups() { find /sys/fs/cgroup -type d -path "*/$name*" | sort; }
# Everything that pods hold of a machine, as text. Where shims and their containers are is in the cgroups. Runs beside
# this one have namespaces too, which come and go.
held() {
  awk -v data="$DATA" 'index($5, data) || ($0 ~ / - nsfs / && $5 !~ /ic-e2e-/) { print "mount " $5 }' /proc/self/mountinfo | sort
  groups | sed 's/^/cgroup /'
  groups | while read -r group; do cat "$group/cgroup.procs"; done 2>/dev/null | sort -un | sed 's/^/process /'
  ps -eo stat=,comm= | awk '$1 ~ /^Z/ && $2 ~ /^(ironclad|pause)/ { print "zombie " $2 }'
  ip -o link | awk -F': ' '{ print "link " $2 }' | sort
  ip route | sort | sed 's/^/route /'
  nft -j list ruleset | python3 -c 'import json, sys
for thing in json.load(sys.stdin)["nftables"]:
    for element in thing.get("set", thing.get("map", {})).get("elem", []): print("element", json.dumps(element))' | sort
  losetup --list --noheadings --output BACK-FILE | grep "$E2E_WORK" || true
  find "$DATA"/runtime/{s,c,trash} "$DATA/kubelet/pods" -mindepth 1 -maxdepth 1 | sort
  find "$DATA" /var/log/pods -path '*churn_*' 2>/dev/null | sort || true
}
bystanders() { k get pods -l app=hello -o jsonpath='{range .items[*]}{.status.containerStatuses[0].containerID},{.status.containerStatuses[0].restartCount} {end}'; }
churn() { # churn NAMESPACE PODS KILLS
  mkdir -p "$LEDGER/$1"
  k create namespace "$1" >/dev/null
  eventually 30 k -n "$1" get serviceaccount default
  PYTHONDONTWRITEBYTECODE=1 python3 "$E2E_ROOT/tests/e2e/churn.py" --namespace "$1" --pods "$2" --kills "$3" --seed "${SEED:-1}" \
    --data "$DATA" --ledger "$LEDGER/$1" -- "$IRONCLAD" up --data-dir "$DATA" --kubeconfig "$KUBECONFIG" --node-name e2e --node-ip "$NODE_IP" \
    >"$E2E_WORK/churn.out" 2>&1 || fail "$(tail -60 "$E2E_WORK/churn.out")"
  tail -1 "$E2E_WORK/churn.out" >>"${CHURN_LOG:-/dev/null}"
  k delete namespace "$1" >/dev/null
}
all_is_as_before() { held >"$E2E_WORK/held.after" && diff "$E2E_WORK/held.before" "$E2E_WORK/held.after"; }

k rollout status deployment/hello --timeout=60s
name=$(instance)
running=$(bystanders)
trap 'end_neighbours' EXIT
start_neighbours
held >"$E2E_WORK/held.before"
churn churn "$pods" "$kills"
eventually 60 all_is_as_before
equal "pods that had nothing to do with it" "$running" "$(bystanders)"
neighbours_are_well

# Without kills, so that one process does it all: it holds no more descriptors after than before.
open_files() { find "/proc/$(agent)/fd" -type l -printf '%l\n' | sed 's/:\[.*//' | sort; }
descriptors() { open_files | wc -l; }
churn warm 20 0
eventually 60 all_is_as_before
sleep 2 # Connections of before may take a moment to end.
before=$(descriptors)
open_files >"$E2E_WORK/open.before"
churn quiet "$pods" 0
no_more_descriptors() { [ "$(descriptors)" -le "$before" ] || { open_files | diff "$E2E_WORK/open.before" - || false; }; }
eventually 60 no_more_descriptors
eventually 60 all_is_as_before
