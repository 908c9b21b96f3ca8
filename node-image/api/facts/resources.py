#!/usr/bin/env python3
"""Derives resources.txt from Kubernetes' published OpenAPI v2 document: which resources are served by
default, where their objects live, and what can be done with them. Facts only, no texts.

usage: resources.py swagger.json > resources.txt
"""

import json
import sys

VERBS = {"list": "list", "post": "create", "put": "update", "patch": "patch",
         "delete": "delete", "deletecollection": "deletecollection", "get": "get"}
METHODS = {"get": "get", "post": "create", "put": "update", "patch": "patch", "delete": "delete"}

document = json.load(open(sys.argv[1]))
rows = {}
for path, operations in document["paths"].items():
    parts = path.strip("/").split("/")
    base = 2 if parts[0] == "api" else 3
    watch = len(parts) > base and parts[base] == "watch"
    rest = parts[base + watch:]
    # Versions before v1 are off unless they are asked for.
    if len(rest) == 0 or "alpha" in parts[base - 1] or "beta" in parts[base - 1]:
        continue
    namespaced = rest[:2] == ["namespaces", "{namespace}"] and len(rest) > 2 \
        and rest[2] not in ("finalize", "status")
    if namespaced:
        rest = rest[2:]
    name = "/".join(part for part in rest if not part.startswith("{"))
    for method, operation in operations.items():
        action = isinstance(operation, dict) and operation.get("x-kubernetes-action")
        if not action or "x-kubernetes-group-version-kind" not in operation:
            continue
        if action == "connect" and method not in METHODS:
            continue
        kind = operation["x-kubernetes-group-version-kind"]["kind"]
        if action == "connect":
            kind = "-"
        row = rows.setdefault(("/".join(parts[:base]), name), [kind, False, set()])
        row[1] |= namespaced
        if action == "connect":
            # Paths behind a proxy are no methods of their own.
            row[2].add(METHODS[method])
        elif watch:
            row[2].add("watch")
        elif action in VERBS:
            row[2].add(VERBS[action])

print("# Derived by facts/resources.py from the OpenAPI v2 document of v1.36.0: group and version,")
print("# resource, kind of its body (- where there is none), where it lives, verbs.")
for (version, name), (kind, namespaced, verbs) in sorted(rows.items()):
    version = version.removeprefix("apis/").removeprefix("api/")
    print(version, name, kind, "namespaced" if namespaced else "cluster", ",".join(sorted(verbs)))
