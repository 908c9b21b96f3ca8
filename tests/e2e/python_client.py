"""What programs do with the official Python client, against the cluster of the kubeconfig: objects of
all kinds of API, watches, pods' logs, exec and port-forward, Jobs, custom resources, apply.

usage: python_client.py CONTEXT NAMESPACE"""

import socket
import sys
import threading

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward, stream

CONTEXT, NAMESPACE = sys.argv[1:]
IMAGES = {"busybox": "kd-test/busybox:1", "nginx": "kd-test/nginx:1"}


def refused(code, call, *arguments, **more):
    try:
        call(*arguments, **more)
    except ApiException as error:
        assert error.status == code, error
        return error
    raise AssertionError(f"{call.__name__} should be refused with {code}")


def pod(name, image, command=None):
    container = client.V1Container(name="c", image=IMAGES[image], command=command)
    spec = client.V1PodSpec(
        containers=[container], restart_policy="Never", termination_grace_period_seconds=1
    )
    return client.V1Pod(metadata=client.V1ObjectMeta(name=name, labels={"app": name}), spec=spec)


def until(core, name, holds):
    """Follows a pod until it is as wanted."""
    watcher = watch.Watch()
    selector = f"metadata.name={name}"
    for event in watcher.stream(
        core.list_namespaced_pod, NAMESPACE, field_selector=selector, timeout_seconds=60
    ):
        if holds(event["object"]):
            watcher.stop()
            return event["object"]
    raise AssertionError(f"pod {name} never came so far")


def ready(found):
    conditions = found.status.conditions or []
    return any(c.type == "Ready" and c.status == "True" for c in conditions)


def objects(core):
    made = core.create_namespaced_config_map(
        NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="m"), data={"a": "1"})
    )
    assert made.metadata.uid and made.data == {"a": "1"}, made
    refused(409, core.create_namespaced_config_map, NAMESPACE, made_anew(made))
    patched = core.patch_namespaced_config_map("m", NAMESPACE, {"data": {"b": "2"}})
    assert patched.data == {"a": "1", "b": "2"}, patched
    patched.data = {"c": "3"}
    replaced = core.replace_namespaced_config_map("m", NAMESPACE, patched)
    assert replaced.data == {"c": "3"}, replaced
    refused(409, core.replace_namespaced_config_map, "m", NAMESPACE, made)
    for index in range(5):
        name = f"m{index}"
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"many": "yes"}))
        core.create_namespaced_config_map(NAMESPACE, body)
    first = core.list_namespaced_config_map(NAMESPACE, limit=2, label_selector="many=yes")
    rest = core.list_namespaced_config_map(
        NAMESPACE, label_selector="many=yes", _continue=first.metadata._continue
    )
    assert [m.metadata.name for m in first.items + rest.items] == [f"m{i}" for i in range(5)]
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="many=yes")
    assert not core.list_namespaced_config_map(NAMESPACE, label_selector="many=yes").items
    error = refused(404, core.read_namespaced_config_map, "nothing", NAMESPACE)
    assert 'configmaps \\"nothing\\" not found' in error.body, error.body


def made_anew(made):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=made.metadata.name))


def watches(core):
    revision = core.list_namespaced_secret(NAMESPACE).metadata.resource_version
    told = []

    def follow():
        watcher = watch.Watch()
        for event in watcher.stream(
            core.list_namespaced_secret, NAMESPACE, resource_version=revision, timeout_seconds=30
        ):
            told.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                watcher.stop()

    follower = threading.Thread(target=follow)
    follower.start()
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"k": "v"})
    core.create_namespaced_secret(NAMESPACE, secret)
    core.patch_namespaced_secret("s", NAMESPACE, {"metadata": {"labels": {"a": "b"}}})
    core.delete_namespaced_secret("s", NAMESPACE)
    follower.join()
    assert told == [("ADDED", "s"), ("MODIFIED", "s"), ("DELETED", "s")], told
    old = watch.Watch().stream(core.list_namespaced_secret, NAMESPACE, resource_version="1")
    try:
        next(old)
    except ApiException as error:
        assert error.status == 410, error


def pods(core):
    core.create_namespaced_pod(NAMESPACE, pod("sh", "busybox", ["sh", "-c", "echo started; sleep 600"]))
    until(core, "sh", ready)
    log = core.read_namespaced_pod_log("sh", NAMESPACE, follow=True, _preload_content=False)
    assert log.readline() == b"started\n"
    log.close()
    assert said_by(core, "sh") == b"started\n"
    run = core.connect_get_namespaced_pod_exec
    command = ["sh", "-c", "echo out; echo err >&2"]
    said = stream(run, "sh", NAMESPACE, command=command, stderr=True, stdout=True)
    assert sorted(said.split()) == ["err", "out"], said
    session = stream(
        run, "sh", NAMESPACE, command=["sh"], stdin=True, stdout=True, stderr=True, _preload_content=False
    )
    session.write_stdin("echo $((40 + 2)); exit 3\n")
    session.run_forever(timeout=30)
    assert session.read_stdout().strip() == "42" and session.returncode == 3, session.returncode
    core.delete_namespaced_pod("sh", NAMESPACE)


def said_by(core, name):
    """A pod's log; as text the client would write it as Python writes bytes."""
    return core.read_namespaced_pod_log(name, NAMESPACE, _preload_content=False).data


def forwards(core):
    core.create_namespaced_pod(NAMESPACE, pod("web", "nginx"))
    until(core, "web", ready)
    forward = portforward(core.connect_get_namespaced_pod_portforward, "web", NAMESPACE, ports="80")
    connection = forward.socket(80)
    connection.settimeout(30)
    connection.sendall(b"GET / HTTP/1.0\r\nHost: web\r\n\r\n")
    answer = b""
    while piece := connection.recv(4096):
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200"), answer
    proxied = core.connect_get_namespaced_pod_proxy("web:80", NAMESPACE)
    assert "<" in proxied, proxied
    core.delete_namespaced_pod("web", NAMESPACE)


def jobs(batch, core):
    container = client.V1Container(name="c", image=IMAGES["busybox"], command=["echo", "worked"])
    template = client.V1PodTemplateSpec(
        spec=client.V1PodSpec(containers=[container], restart_policy="Never")
    )
    body = client.V1Job(
        metadata=client.V1ObjectMeta(name="work"), spec=client.V1JobSpec(template=template, completions=2)
    )
    batch.create_namespaced_job(NAMESPACE, body)
    watcher = watch.Watch()
    for event in watcher.stream(batch.list_namespaced_job, NAMESPACE, timeout_seconds=90):
        if event["object"].status.succeeded == 2:
            watcher.stop()
    assert batch.read_namespaced_job_status("work", NAMESPACE).status.succeeded == 2
    for one in core.list_namespaced_pod(NAMESPACE, label_selector="job-name=work").items:
        assert said_by(core, one.metadata.name) == b"worked\n"
    batch.delete_namespaced_job("work", NAMESPACE, propagation_policy="Background")


def rollouts(apps):
    container = client.V1Container(name="c", image=IMAGES["nginx"])
    labels = {"app": "rollout"}
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(
        replicas=1, selector=client.V1LabelSelector(match_labels=labels), template=template
    )
    body = client.V1Deployment(metadata=client.V1ObjectMeta(name="rollout"), spec=spec)
    apps.create_namespaced_deployment(NAMESPACE, body)
    apps.patch_namespaced_deployment_scale("rollout", NAMESPACE, {"spec": {"replicas": 2}})
    watcher = watch.Watch()
    for event in watcher.stream(apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=60):
        if event["object"].status.available_replicas == 2:
            watcher.stop()
    assert apps.read_namespaced_deployment_scale("rollout", NAMESPACE).status.replicas == 2
    apps.delete_namespaced_deployment("rollout", NAMESPACE)


def dynamically(api):
    anything = dynamic.DynamicClient(api)
    services = anything.resources.get(api_version="v1", kind="Service")
    port = {"port": 80, "targetPort": 8080}
    body = {"metadata": {"name": "svc"}, "spec": {"selector": {"app": "x"}, "ports": [port]}}
    made = services.create(body=body, namespace=NAMESPACE)
    assert made.spec.clusterIP and made.spec.ports[0].protocol == "TCP", made
    applied = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "applied", "namespace": NAMESPACE},
        "data": {"a": "1"},
    }
    maps = anything.resources.get(api_version="v1", kind="ConfigMap")
    maps.server_side_apply(body=applied, name="applied", namespace=NAMESPACE, field_manager="one")
    applied["data"]["a"] = "2"
    refused(
        409, maps.server_side_apply, body=applied, name="applied", namespace=NAMESPACE, field_manager="two"
    )
    custom(api, anything)


def custom(api, anything):
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "snakes.python.kd.example"},
        "spec": {
            "group": "python.kd.example",
            "scope": "Namespaced",
            "names": {"plural": "snakes", "kind": "Snake"},
            "versions": [version],
        },
    }
    extensions = client.ApiextensionsV1Api(api)
    extensions.create_custom_resource_definition(body)
    watcher = watch.Watch()
    for event in watcher.stream(extensions.list_custom_resource_definition, timeout_seconds=30):
        found = event["object"]
        conditions = (found.status and found.status.conditions) or []
        if found.spec.group == "python.kd.example" and any(
            c.type == "Established" and c.status == "True" for c in conditions
        ):
            watcher.stop()
    anything.resources.invalidate_cache()
    snakes = anything.resources.get(api_version="python.kd.example/v1", kind="Snake")
    kaa = {"metadata": {"name": "kaa"}, "length": 9}
    # A custom object has to say what it is.
    refused(400, snakes.create, body=kaa, namespace=NAMESPACE)
    kaa.update({"apiVersion": "python.kd.example/v1", "kind": "Snake"})
    snakes.create(body=kaa, namespace=NAMESPACE)
    objects_api = client.CustomObjectsApi(api)
    place = ("python.kd.example", "v1", NAMESPACE, "snakes")
    assert objects_api.get_namespaced_custom_object(*place, "kaa")["length"] == 9
    objects_api.patch_namespaced_custom_object(*place, "kaa", {"length": 10})
    assert [s.length for s in snakes.get(namespace=NAMESPACE).items] == [10]
    extensions.delete_custom_resource_definition("snakes.python.kd.example")


def identities(api):
    version = client.VersionApi(api).get_code()
    assert (version.major, version.minor) == ("1", "36"), version
    attributes = client.V1ResourceAttributes(verb="get", resource="pods", namespace=NAMESPACE)
    review = client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
    )
    assert client.AuthorizationV1Api(api).create_self_subject_access_review(review).status.allowed
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[]))
    token = client.CoreV1Api(api).create_namespaced_service_account_token("default", NAMESPACE, request)
    # Nothing of the administrator's, whose certificate would count first.
    limited = client.Configuration()
    limited.host, limited.ssl_ca_cert = api.configuration.host, api.configuration.ssl_ca_cert
    limited.api_key = {"authorization": f"Bearer {token.status.token}"}
    core = client.CoreV1Api(client.ApiClient(limited))
    refused(403, core.list_namespaced_secret, NAMESPACE)


def main():
    socket.setdefaulttimeout(60)
    config.load_kube_config(context=CONTEXT)
    api = client.ApiClient()
    core, apps, batch = client.CoreV1Api(api), client.AppsV1Api(api), client.BatchV1Api(api)
    steps = [
        (objects, core),
        (watches, core),
        (pods, core),
        (forwards, core),
        (jobs, batch, core),
        (rollouts, apps),
        (dynamically, api),
        (identities, api),
    ]
    for step, *arguments in steps:
        step(*arguments)
        print(f"{step.__name__}: good", flush=True)


main()
