# Real resolvers ask for the cluster's names as pods do, with a pod's own resolv.conf: glibc's and musl's, busybox's, and
# dig with all that is unusual.
k apply -f - <<YAML
apiVersion: v1
kind: Service
metadata: {name: named}
spec: {selector: {app: nobody}, ports: [{name: web, port: 80}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: many}
spec: {clusterIP: None, ports: [{name: web, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {type: ExternalName, externalName: named.default.svc.cluster.local}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: many-1, labels: {kubernetes.io/service-name: many}}
addressType: IPv4
ports: [{name: web, port: 80}]
endpoints:
$(for number in $(seq 90); do echo "- {addresses: [198.51.100.$number], hostname: host-$number}"; done)
YAML
"$IRONCLAD" image import --data-dir "$DATA" "$(busybox_archive)"
k run resolving --image=local.test/busybox:1 --image-pull-policy=Never --command -- sleep 3600
k wait --for=condition=Ready pod/resolving --timeout=60s
address=$(k get service named -o jsonpath='{.spec.clusterIP}')
k exec resolving -- cat /etc/resolv.conf >"$E2E_WORK/resolv.conf"
contains "a pod's resolv.conf" "ndots:5" "$(cat "$E2E_WORK/resolv.conf")"
server=$(awk '/^nameserver/ {print $2; exit}' "$E2E_WORK/resolv.conf")
all=$(seq -f '198.51.100.%g' 90 | sort)

# as_pod COMMAND...: with the pod's resolv.conf in place of the machine's, and no hosts but those.
as_pod() {
  unshare --mount sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' "$E2E_WORK/resolv.conf" "$@"
}
# library PROGRAM: what any C library has to find.
library() {
  equal "$1: a short name" "$address" "$(as_pod "$1" any named | sort -u)"
  equal "$1: with its namespace" "$address" "$(as_pod "$1" any named.default | sort -u)"
  equal "$1: of another namespace" 10.96.0.1 "$(as_pod "$1" 4 kubernetes.default.svc | sort -u)"
  equal "$1: whole, with the dot" "$address" "$(as_pod "$1" any named.default.svc.cluster.local. | sort -u)"
  equal "$1: another name for it" "$address" "$(as_pod "$1" any elsewhere | sort -u)"
  equal "$1: a family it does not have" none "$(as_pod "$1" 6 named)"
  equal "$1: nobody" none "$(as_pod "$1" any nobody.default.svc.cluster.local.)"
  equal "$1: an endpoint" 198.51.100.7 "$(as_pod "$1" 4 host-7.many | sort -u)"
}
named() { [ "$(as_pod getent ahostsv4 named.default.svc.cluster.local | awk '{print $1}' | sort -u)" = "$address" ]; }
eventually 20 named
gcc -o "$E2E_WORK/glibc" "$E2E_ROOT/tests/resolvers/lookup.c"
library "$E2E_WORK/glibc"
equal "more than fits into a packet" "$all" "$(as_pod "$E2E_WORK/glibc" 4 many | sort -u)"
if command -v musl-gcc >/dev/null; then
  musl-gcc -static -o "$E2E_WORK/musl" "$E2E_ROOT/tests/resolvers/lookup.c"
  library "$E2E_WORK/musl"
  # Before 1.2.4 it never asked by TCP: it takes what is in the packet, which has to be something, and right.
  some=$(as_pod "$E2E_WORK/musl" 4 many | sort -u)
  [ "$(wc -l <<<"$some")" -gt 10 ] || fail "of many, musl finds only: $some"
  equal "what musl finds and is not there" "" "$(comm -13 <(echo "$all") <(echo "$some"))"
else
  echo "left out: no musl is installed"
fi
contains "busybox" "$address" "$(k exec resolving -- nslookup named.default.svc.cluster.local)"

if command -v dig >/dev/null; then
  d() { dig "@$server" +time=5 +tries=2 "$@" 2>&1; }
  name=named.default.svc.cluster.local
  says() { contains "dig ${*:2}" "$1" "$(d "${@:2}")"; }
  says "ANSWER: 1" $name A
  says "$address" $name A +short +tcp
  says "$address" NaMeD.dEfAuLt.SvC.cLuStEr.LoCaL A +short
  says "NaMeD.dEfAuLt.SvC.cLuStEr.LoCaL." NaMeD.dEfAuLt.SvC.cLuStEr.LoCaL A
  says "flags: qr aa rd" $name A
  says "status: NOERROR" $name AAAA
  says "ANSWER: 0, AUTHORITY: 1" $name AAAA
  says "status: NXDOMAIN" nobody.default.svc.cluster.local
  says "SOA" nobody.default.svc.cluster.local
  says "status: NOERROR" default.svc.cluster.local
  says "status: NOERROR" $name TYPE65
  says "status: BADVERS" $name A +edns=1 +noednsnegotiation
  says "udp: 1232" $name A +bufsize=4096
  says "status: NOERROR" $name A +noedns
  says "status: NOERROR" $name A +cookie=0123456789abcdef +nsid +subnet=192.0.2.0/24 +ednsopt=65001:abcd
  says "flags: do;" $name A +dnssec
  says "status: NOTIMP" $name A +opcode=status
  says "status: REFUSED" version.bind TXT CH
  says "status: NOERROR" $name ANY
  says "$name" -x "$address" +short
  says "53 $name" _dns._udp.$name SRV +short
  says "status: NXDOMAIN" _web._udp.$name SRV
  says "1.1.0" dns-version.cluster.local TXT +short
  says "flags: qr aa tc rd" many.default.svc.cluster.local +ignore
  says "ANSWER: 90" many.default.svc.cluster.local
  says "ANSWER: 90" many.default.svc.cluster.local +tcp
  says "flags: qr aa tc rd" _web._tcp.many.default.svc.cluster.local SRV +ignore +bufsize=512
  equal "two on one connection" 2 "$(d +tcp +keepopen $name A elsewhere.default.svc.cluster.local A +short | grep -cx "$address")"
else
  echo "left out: no dig is installed"
fi
k delete pod/resolving --now
k delete service/named service/many service/elsewhere endpointslice/many-1
