# A Deployment rolls: scale, another image, history, undo.
k scale deployment/hello --replicas=4
k rollout status deployment/hello --timeout=30s
equal "pods after scaling" 4 "$(k get pods -l app=hello --field-selector=status.phase=Running -o name | wc -l)"
k set image deployment/hello hello=ironclad.local/hello:v2
k rollout status deployment/hello --timeout=60s
# Pods that are on their way out do not count.
images() { k get pods -l app=hello -o jsonpath='{range .items[*]}{.metadata.deletionTimestamp}{"|"}{.spec.containers[0].image}{"\n"}{end}' | sed -n 's/^|//p' | sort -u; }
equal "the image of all" "ironclad.local/hello:v2" "$(images)"
equal "revisions" 2 "$(k rollout history deployment/hello | grep -c '^[0-9]')"
k rollout undo deployment/hello
k rollout status deployment/hello --timeout=60s
equal "the image after undo" "ironclad.local/hello" "$(k get deployment hello -o jsonpath='{.spec.template.spec.containers[0].image}')"
contains "the page after undo" "Hello" "$(page http://127.0.0.1:30080/)"
k scale deployment/hello --replicas=2
k rollout status deployment/hello --timeout=30s
