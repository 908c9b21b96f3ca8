#!/usr/bin/env python3
"""Derives fields.txt from checkouts of Kubernetes' Go modules: facts only (names, numbers, types,
markers), no texts.

usage: derive.py TAG DIRECTORY > fields.txt
DIRECTORY holds the git repositories api, apimachinery, apiextensions-apiserver and kube-aggregator
as kubernetes+<name>/repo; TAG is one that all have, such as v0.36.0.
"""

import re
import subprocess
import sys

TAG, ROOT = sys.argv[1:]
API = [
    "admissionregistration/v1", "apps/v1", "authentication/v1", "authorization/v1",
    "autoscaling/v1", "autoscaling/v2", "batch/v1", "certificates/v1", "coordination/v1",
    "core/v1", "discovery/v1", "events/v1", "flowcontrol/v1", "networking/v1", "node/v1",
    "policy/v1", "rbac/v1", "resource/v1", "scheduling/v1", "storage/v1",
]
# Go import path -> (repository, folder, short name of the package)
PACKAGES = {f"k8s.io/api/{p}": ("api", p, p.replace("/", ".")) for p in API}
PACKAGES |= {
    "k8s.io/apimachinery/pkg/apis/meta/v1": ("apimachinery", "pkg/apis/meta/v1", "meta.v1"),
    "k8s.io/apimachinery/pkg/api/resource": (None, None, "quantity"),
    "k8s.io/apimachinery/pkg/runtime": (None, None, "runtime"),
    "k8s.io/apimachinery/pkg/types": (None, None, "types"),
    "k8s.io/apimachinery/pkg/util/intstr": (None, None, "intstr"),
    "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1": (
        "apiextensions-apiserver", "pkg/apis/apiextensions/v1", "apiextensions.v1"),
    "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1": (
        "kube-aggregator", "pkg/apis/apiregistration/v1", "apiregistration.v1"),
}
# Types with an encoding of their own.
LEAVES = {
    "meta.v1.Time": "time", "meta.v1.MicroTime": "microtime", "meta.v1.Duration": "duration",
    "meta.v1.FieldsV1": "fields", "quantity.Quantity": "quantity", "intstr.IntOrString": "intorstring",
    "runtime.RawExtension": "raw", "runtime.Object": "raw", "apiextensions.v1.JSON": "json",
    "apiextensions.v1.JSONSchemaPropsOrArray": "json", "apiextensions.v1.JSONSchemaPropsOrBool": "json",
    "apiextensions.v1.JSONSchemaPropsOrStringArray": "json",
    "types.UID": "types.UID=string", "types.NodeName": "types.NodeName=string",
    "types.NamespacedName": "string",
}
SCALARS = {"string": "string", "bool": "bool", "int": "int64", "int32": "int32", "int64": "int64",
           "uint8": "int32", "uint32": "int64", "uint64": "int64", "byte": "byte",
           "float64": "double", "float32": "double"}
SKIPPED = {"meta.v1.TypeMeta", "meta.v1.InternalEvent", "meta.v1.Table", "meta.v1.TableRow",
           "meta.v1.TableColumnDefinition", "meta.v1.TableRowCondition", "meta.v1.TableOptions",
           "meta.v1.List", "meta.v1.RootPaths", "meta.v1.ApplyOptions", "meta.v1.Timestamp"}

structs, aliases, enums, constants, atomic = {}, {}, {}, {}, set()


def git(repository, *arguments):
    command = ["git", "-C", f"{ROOT}/kubernetes+{repository}/repo", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def parse_package(repository, folder, short):
    names = git(repository, "ls-tree", "--name-only", TAG, f"{folder}/").split()
    for name in names:
        base = name.rsplit("/", 1)[1]
        if base.endswith(".go") and not base.endswith("_test.go") and not base.startswith(("zz_", "generated")):
            parse_file(git(repository, "show", f"{TAG}:{name}"), short)


def parse_file(text, short):
    imports = {}
    for alias, path in re.findall(r'^\s*(?:import\s+)?(\w+)?\s*"(k8s\.io/[^"]+)"', text, re.M):
        if path in PACKAGES:
            imports[alias or path.rsplit("/", 1)[1]] = PACKAGES[path][2]
    scope = (short, imports)
    markers, struct = [], None
    for line in text.split("\n"):
        stripped = line.strip()
        if stripped.startswith("//"):
            if m := re.match(r"//\s*\+(\S.*)", stripped):
                markers.append(m[1])
            continue
        if struct is None:
            if m := re.match(r"type (\w+) struct\s*\{(\})?", line):
                structs[f"{short}.{m[1]}"] = fields = []
                if "structType=atomic" in markers or "mapType=atomic" in markers:
                    atomic.add(f"{short}.{m[1]}")
                struct = None if m[2] else fields
            elif m := re.match(r"(?:type )?\s*(\w+)\s+(string|\[\]\w[\w.]*|map\[[\w.]+\][\w.*]+|[\w.]+\.[A-Z]\w+)$", line):
                if line.startswith("type"):
                    aliases[f"{short}.{m[1]}"] = (m[2], scope)
                    if "enum" in markers:
                        enums[f"{short}.{m[1]}"] = []
            if m := re.match(r'\s*(?:const )?(\w+)\s+(\w+)?\s*=\s*(?:(\w+)\()?"([^"]*)"\)?', line):
                if kind := m[2] or m[3]:
                    constants.setdefault(f"{short}.{kind}", []).append(m[4])
                constants[f"{short}#{m[1]}"] = m[4]
        elif line.startswith("}"):
            struct = None
        elif m := re.match(r"(?:(\w+)\s+)?(\S+)\s+`(.*)`", stripped):
            struct.append((m[2], dict(re.findall(r'(\w+):"([^"]*)"', m[3])), markers, scope))
        if stripped:
            markers = []


def resolve(go, scope):
    """The type as it is written in the table."""
    if go.startswith("*"):
        return "*" + resolve(go[1:], scope)
    if go == "[]byte":
        return "bytes"
    if go.startswith("[]"):
        return "[]" + resolve(go[2:], scope)
    if m := re.match(r"map\[[^\]]+\](.*)", go):
        return "{}" + resolve(m[1], scope)
    if go in SCALARS:
        return SCALARS[go]
    short, imports = scope
    package, _, name = go.rpartition(".")
    full = f"{imports[package]}.{name}" if package else f"{short}.{name}"
    if full in LEAVES:
        return LEAVES[full]
    if full in structs:
        return full
    if full == "meta.v1.Verbs" or full in aliases:
        target, scope = aliases[full]
        inner = resolve(target, scope)
        return inner if inner in structs else f"{full}={inner.rpartition('=')[2]}"
    raise SystemExit(f"unknown type {go} ({full})")


def flags(go, tags, markers, scope):
    words = []
    json = tags["json"].split(",")
    given = dict(m.partition("=")[::2] for m in markers)
    omitted = "omitempty" in json or "omitzero" in json
    optional = omitted or "optional" in given or "k8s:optional" in given
    words += [word for word in ("omitempty", "omitzero") if word in json]
    if "required" in given or not optional:
        words.append("required")
    if kind := given.get("listType"):
        keys = [m.partition("=")[2] for m in markers if m.startswith("listMapKey=")]
        words.append(f"list={kind}" + (f":{','.join(keys)}" if keys else ""))
    for marker in ("mapType", "structType"):
        if kind := given.get(marker):
            words.append(f"map={kind}")
    if "patchStrategy" in tags or "patchMergeKey" in tags:
        key = tags.get("patchMergeKey")
        words.append(f"patch={tags.get('patchStrategy', '')}" + (f":{key}" if key else ""))
    if "default" in given:
        value = given["default"]
        if m := re.match(r"ref\((?:.*\.)?(\w+)\)", value):
            value = '"' + constants[f"{scope[0]}#{m[1]}"] + '"'
        words.append(f"default={value}")
    return words


def number(tags):
    return tags["protobuf"].split(",")[1] if "protobuf" in tags else "-"


def lines_of(name):
    for go, tags, markers, scope in structs[name]:
        if "json" not in tags:
            continue
        json = tags["json"].split(",")[0]
        if json == "-":
            continue
        if json == "":
            inner = resolve(go, scope) if not go.endswith("TypeMeta") else "meta.v1.TypeMeta"
            yield f"+ {number(tags)} {inner}"
        else:
            yield " ".join([json, number(tags), resolve(go, scope), *flags(go, tags, markers, scope)])


def main():
    for repository, folder, short in PACKAGES.values():
        if repository:
            parse_package(repository, folder, short)
    print(f"# Derived by facts/derive.py from {TAG} of Kubernetes' Go modules. A type, then its fields:")
    print("# name, protobuf number, type ([] list, {} map, * pointer, the Go name of an alias before `=`),")
    print("# flags. `+` is an inlined struct with its protobuf number.")
    for name in sorted(structs):
        if name in SKIPPED or name in LEAVES:
            continue
        body = list(lines_of(name))
        print(f"@type {name}" + (" atomic" if name in atomic else ""))
        for line in body:
            print(line)
    for name in sorted(enums):
        print("@enum", name, "|".join(sorted(v for v in constants.get(name, []) if v)))


main()
