# What goes wrong. Each trouble takes a random number, and ends with the cause gone; what it leaves has to heal by itself.

TROUBLES=(server agent container partition disk)

# The server dies in the midst of things, and is started again.
server() {
  kill -9 "$(cat "$DATA/ironclad.pid")"
  sleep "0.$(($1 % 10))"
  up >/dev/null
}

# A node's agent dies; the server starts it again.
agent() {
  kill -9 "$(cat "$(node_folder "$1")/ironclad.pid")"
}

# The first process of some container dies: any child of a shim.
container() {
  local shims
  mapfile -t shims < <(pgrep -f "__shim.*$DATA" | sort -n)
  pkill -9 -P "${shims[$1 % ${#shims[@]}]}" || true
}

# A node hears nothing and is not heard, for 2 to 11 seconds.
partition() {
  local agent
  agent=$(cat "$(node_folder "$1")/ironclad.pid")
  inside() { nsenter --net="/proc/$agent/ns/net" "$@"; }
  inside nft -f - <<'NFT'
table inet chaos {
  chain in { type filter hook prerouting priority -400; iifname != "lo" drop; }
  chain out { type filter hook output priority -400; oifname != "lo" drop; }
}
NFT
  sleep $((2 + $1 % 10))
  inside nft delete table inet chaos
}

# The store's disk is full for 1 to 4 seconds: what is there can be read, and writes say why they are refused.
disk() {
  dd if=/dev/zero of="$DATA/store/filler" bs=1M count=1000 2>/dev/null || true
  head -c 300000 /dev/urandom | base64 >"$E2E_WORK/large"
  local answer=""
  for n in $(seq 100); do # What the journal has set aside is used up first.
    answer=$(k create configmap "large-$n" --from-file="$E2E_WORK/large" 2>&1) || break
  done
  contains "a write to a full disk" "the disk is full" "$answer"
  sleep "$((1 + $1 % 3)).$(($1 % 10))"
  k get --raw "/api/v1/namespaces/default/configmaps?limit=1" >/dev/null
  rm -f "$DATA/store/filler"
  k delete configmaps --ignore-not-found large-{1..100} >/dev/null
}

node_folder() { # NUMBER: the folder of one of the nodes that have an agent
  local folders=("$DATA"/nodes/*/)
  echo "${folders[$1 % ${#folders[@]}]}"
}
