#!/usr/bin/env python3
"""What programs do with Python's kubernetes library: typed and dynamic objects, patches, watches, failures."""
import time

from kubernetes import client, config, dynamic, watch

NAMESPACE = "python-client"
DEADLINE = 120


def eventually(what, is_so):
    """Waits until something is so."""
    end = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < end, f"{what} does not come true"
        time.sleep(0.1)


def typed(core):
    """Objects by their classes, from making them to removing them."""
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="typed", labels={"app": "a"}), data={"x": "1"})
    made = core.create_namespaced_config_map(NAMESPACE, body)
    assert made.metadata.uid and made.data == {"x": "1"}
    patched = core.patch_namespaced_config_map("typed", NAMESPACE, {"data": {"y": "2"}})
    assert patched.data == {"x": "1", "y": "2"}
    made.data = {"x": "3"}
    try:
        core.replace_namespaced_config_map("typed", NAMESPACE, made)
        raise AssertionError("an old object replaced a newer one")
    except client.ApiException as conflict:
        assert conflict.status == 409, conflict
    listed = core.list_namespaced_config_map(NAMESPACE, label_selector="app=a").items
    assert [found.metadata.name for found in listed] == ["typed"]
    try:
        core.read_namespaced_config_map("nothing", NAMESPACE)
        raise AssertionError("what is not there was read")
    except client.ApiException as missing:
        assert missing.status == 404 and "not found" in missing.body, missing


def watched(core):
    """Changes, in the order in which they were made, from a list's revision on."""
    revision = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    for name in ("one", "two"):
        core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": name}})
    core.delete_namespaced_config_map("one", NAMESPACE)
    seen = []
    follower = watch.Watch()
    events = follower.stream(core.list_namespaced_config_map, NAMESPACE, resource_version=revision, timeout_seconds=DEADLINE)
    for event in events:
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 3:
            follower.stop()
    assert seen == [("ADDED", "one"), ("ADDED", "two"), ("DELETED", "one")], seen


def custom(api):
    """A kind that is defined here, by the dynamic client, which discovers it."""
    extensions = client.ApiextensionsV1Api(api)
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "gears", "singular": "gear", "kind": "Gear", "listKind": "GearList"}
    extensions.create_custom_resource_definition({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gears.python.example.com"},
        "spec": {"group": "python.example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    })

    def is_established():
        status = extensions.read_custom_resource_definition("gears.python.example.com").status
        return any(own.type == "Established" and own.status == "True" for own in status.conditions or [])

    eventually("the definition is established", is_established)
    gears = dynamic.DynamicClient(api).resources.get(api_version="python.example.com/v1", kind="Gear")
    gear = {"apiVersion": "python.example.com/v1", "kind": "Gear", "metadata": {"name": "big"}, "spec": {"size": 3}}
    assert gears.create(body=gear, namespace=NAMESPACE).spec.size == 3
    gear["spec"]["size"] = 4
    patched = gears.patch(body=gear, namespace=NAMESPACE, content_type="application/merge-patch+json")
    assert patched.spec.size == 4
    assert [found.metadata.name for found in gears.get(namespace=NAMESPACE).items] == ["big"]
    extensions.delete_custom_resource_definition("gears.python.example.com")


def main():
    config.load_kube_config()
    api = client.ApiClient()
    core = client.CoreV1Api(api)
    core.create_namespace({"metadata": {"name": NAMESPACE}})
    assert client.VersionApi(api).get_code().git_version.startswith("v1.36")
    typed(core)
    watched(core)
    custom(api)
    core.delete_namespace(NAMESPACE)
    print("ok")


if __name__ == "__main__":
    main()
