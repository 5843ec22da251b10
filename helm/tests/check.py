"""Checks the chart by Helm's own engine: check.py golden|schema|kubernetes|lint|grace|policies.

Each file in cases/ is a combination of values that must be accepted, golden/ has what it comes to.
With GOLDEN=write the golden files are written anew: look at the difference.
"""

import functools
import os
import pathlib
import sys

import helm_python as helm
import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).parent
CHART = HERE.parent / "fprs"
CASES = sorted((HERE / "cases").glob("*.yaml"))

# The oldest that the chart allows, the newest that has schemas, and some between.
KUBERNETES = ["1.27", "1.30", "1.33", "1.37"]

# What is root on its machine, and nothing else is.
ROOT = {"egress-gateway", "egress-agent"}

# Not of Kubernetes itself.
FOREIGN = {"ServiceMonitor"}

# What is changed in the smallest case, and the field that the refusal must name.
WRONG = [
    ({"zone": None}, "zone"),
    ({"zone": ""}, "/zone"),
    ({"zone": "West.example"}, "/zone"),
    ({"zone": "west.example."}, "/zone"),
    ({"image": {"repository": ""}}, "/image/repository"),
    ({"image": {"digest": "latest"}}, "/image/digest"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ({"adminToken": {"existingSecret": ""}}, "/adminToken/existingSecret"),
    ({"store": {"kind": "postgres"}}, "/store/kind"),
    ({"store": {"kind": "spanner"}}, "/store/spanner/project"),
    ({"store": {"kind": "etcd"}}, "/store/etcd/endpoints"),
    ({"store": {"kind": "etcd", "etcd": {"endpoints": ["http://etcd:2379"]}}}, "/store/etcd/endpoints/0"),
    ({"control": {"replicas": 2}}, "/control/replicas"),
    ({"control": {"replicas": 0}}, "/control/replicas"),
    ({"control": {"persistence": {"size": "10"}}}, "/control/persistence/size"),
    ({"proxy": {"replica": 3}}, "replica"),
    ({"proxy": {"cores": "two"}}, "/proxy/cores"),
    ({"proxy": {"memory": "2G"}}, "/proxy/memory"),
    ({"proxy": {"bufferLimit": "1GB"}}, "/proxy/bufferLimit"),
    ({"proxy": {"drainTimeoutSeconds": "60s"}}, "/proxy/drainTimeoutSeconds"),
    ({"proxy": {"deadlines": ["lunch=1h"]}}, "/proxy/deadlines/0"),
    ({"proxy": {"accessLog": "-"}}, "/proxy/accessLog"),
    ({"proxy": {"trustedEdges": ["anybody"]}}, "/proxy/trustedEdges/0"),
    ({"proxy": {"autoscaling": {"targetCPU": 101}}}, "/proxy/autoscaling/targetCPU"),
    ({"proxy": {"podDisruptionBudget": {"maxUnavailable": 0}}}, "/proxy/podDisruptionBudget/maxUnavailable"),
    ({"edge": {"custom": [{"domains": ["shop.example.com"]}]}}, "certificateSecret"),
    ({"edge": {"custom": [{"domains": ["Shop"], "certificateSecret": "a"}]}}, "/edge/custom/0/domains/0"),
    ({"edge": {"proxyProtocol": True, "http3": True}}, "/edge/http3"),
    ({"edge": {"accessLog": "/tmp/log"}}, "/edge/accessLog"),
    ({"workers": {"port": 65536}}, "/workers/port"),
    ({"egress": {"gateways": {"enabled": True}}}, "/egress/image/repository"),
    ({"egress": {"agents": {"enabled": True}}}, "/egress/image/repository"),
    ({"egress": {"agents": {"enabled": True}, "image": {"repository": "a"}}}, "/egress/agents/nodeSelector"),
    ({"egress": {"agents": {"directory": "etc"}}}, "/egress/agents/directory"),
    ({"egress": {"gateways": {"replicas": 2}}}, "replicas"),
    ({"egress": {"gateways": {"plane": {"control": ["control"]}}}}, "/egress/gateways/plane/control/0"),
    ({"egress": {"gateways": {"plane": {"tokenFile": "/etc/token"}}}}, "/egress/gateways/plane/tokenFile"),
    ({"egress": {"agents": {"plane": {"control": ["control:9401"]}}}}, "/egress/agents/plane/pools"),
    ({"egress": {"agents": {"plane": {"pools": ["Payments"]}}}}, "/egress/agents/plane/pools/0"),
    ({"egress": {"reconciler": {"enabled": True}}}, "/egress/reconciler/settingsSecret"),
    ({"egress": {"reconciler": {"enabled": True, "settingsSecret": "a"}}}, "/egress/reconciler/gatewayCidrs"),
    ({"egress": {"reconciler": {"gatewayPort": 0}}}, "/egress/reconciler/gatewayPort"),
    ({"workers": {"cidrs": ["10.8.0.0"]}}, "/workers/cidrs/0"),
    ({"pods": {"namespace": "Replicas"}}, "/pods/namespace"),
    ({"pods": {"tokenSecret": ""}}, "/pods/tokenSecret"),
    ({"tracing": {"endpoint": "collector:4317"}}, "/tracing/endpoint"),
    ({"tracing": {"endpoint": "grpc://collector:4317"}}, "/tracing/endpoint"),
    ({"tracing": {"endpoint": "https://Collector"}}, "/tracing/endpoint"),
    ({"tracing": {"endpoint": "http://collector:4317", "caSecret": "ca"}}, "/tracing/endpoint"),
    ({"tracing": {"endpoint": "http://collector", "headersSecret": "a"}}, "/tracing/endpoint"),
    ({"tracing": {"sample": 5}}, "/tracing/sample"),
    ({"tracing": {"sample": "all"}}, "/tracing/sample"),
    ({"tracing": {"endpoint": "https://c", "caSecret": "CA"}}, "/tracing/caSecret"),
    ({"tracing": {"endpoint": "https://c", "headersSecret": "a/b"}}, "/tracing/headersSecret"),
    ({"tracing": {"caKey": ""}}, "/tracing/caKey"),
    ({"tracing": {"headersKey": "a/b"}}, "/tracing/headersKey"),
    ({"tracing": {"token": "t"}}, "token"),
    ({"network": {"family": "ipv4"}}, "/network/family"),
    ({"monitoring": {"serviceMonitor": {"interval": "often"}}}, "/monitoring/serviceMonitor/interval"),
    ({"logFormat": "xml"}, "/logFormat"),
    ({"prixy": {}}, "prixy"),
]


def values(case):
    return helm.values_from_yaml(case.read_text())


@functools.cache
def rendered(case):
    """What Helm makes of the case, as one text."""
    with helm.Chart.load(CHART) as chart:
        given = values(case)
        chart.validate_schema(given)
        files = chart.render(given, name="prod", namespace="routing")
    parts = []
    for path, text in sorted(files.items()):
        lines = [line.rstrip() for line in text.strip().splitlines()]
        if lines:
            start = [] if lines[0] == "---" else ["---"]
            notes = path.endswith("NOTES.txt")
            lines = [f"# {line}".rstrip() for line in lines] if notes else lines
            parts += [*start, f"# Source: {path}", *lines]
    return "\n".join(parts) + "\n"


def objects(case):
    return [found for found in yaml.safe_load_all(rendered(case)) if found]


def golden():
    """Every case renders to its golden file, and every golden file has its case."""
    wrong = []
    for case in CASES:
        file = HERE / "golden" / case.name
        if os.environ.get("GOLDEN") == "write":
            file.write_text(rendered(case))
        elif not file.exists() or file.read_text() != rendered(case):
            wrong.append(f"{case.name} renders to something else than {file}; GOLDEN=write takes it")
    strays = {file.name for file in (HERE / "golden").glob("*.yaml")} - {case.name for case in CASES}
    return wrong + [f"golden/{name} has no case" for name in strays]


def merged(base, change):
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return {key: value for key, value in result.items() if value is not None}


def schema():
    """Each wrong value is refused, by both ways in, with the name of its field."""
    wrong = []
    smallest = values(HERE / "cases" / "smallest.yaml")
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(smallest)
        for change, field in WRONG:
            for refuse in (chart.validate_schema, chart.render):
                try:
                    refuse(merged(smallest, change))
                    wrong.append(f"{change} is taken")
                except helm.HelmError as error:
                    if field not in str(error):
                        wrong.append(f"{change} is refused without naming {field}: {error}")
    return wrong


def kubernetes():
    """Every object is one, in each version."""
    utils = kubernetes_validate.utils
    utils.schema_contents = functools.cache(utils.schema_contents)
    wrong = []
    for case in CASES:
        for found in objects(case):
            if found["kind"] in FOREIGN:
                continue
            for version in KUBERNETES:
                try:
                    kubernetes_validate.validate(found, version, strict=True)
                except Exception as error:
                    name = f"{found['kind']} {found['metadata']['name']}"
                    wrong.append(f"{case.name}: {name} in {version}: {error}")
    return wrong


def lint():
    """Helm has nothing to say about it."""
    wrong = []
    for case in CASES:
        report = helm.lint(CHART, values(case), strict=True, namespace="routing")
        told = [message for message in report["messages"] if message["severity"] > 1]
        wrong += [f"{case.name}: {told}"] if told or report["errors"] else []
    return wrong


def grace():
    """Pods are given longer than their drain takes, and nothing runs as root or writes to its image."""
    wrong = []
    for case in CASES:
        for found in objects(case):
            template = found.get("spec", {}).get("template", found)
            pod = template.get("spec", {})
            for container in pod.get("containers", []) + pod.get("initContainers", []):
                name = f"{case.name}: {container['name']}"
                confined = container["securityContext"]
                if found["metadata"]["labels"]["app.kubernetes.io/component"] in ROOT:
                    if not confined["readOnlyRootFilesystem"] or pod["automountServiceAccountToken"]:
                        wrong.append(f"{name} writes to its image or may ask Kubernetes")
                    continue
                if pod.get("hostNetwork") or confined.get("privileged"):
                    wrong.append(f"{name} is on its machine")
                if not confined["readOnlyRootFilesystem"] or confined["capabilities"]["drop"] != ["ALL"]:
                    wrong.append(f"{name} is not confined")
                makes_pods = any(argument.startswith("--kubernetes=") for argument in container.get("args", []))
                asks = pod["automountServiceAccountToken"]
                if not pod["securityContext"]["runAsNonRoot"] or asks != makes_pods:
                    wrong.append(f"{name} may be root, or asks Kubernetes without need")
                drain = sum(
                    int(argument.split("=")[1].rstrip("s"))
                    for argument in container.get("args", [])
                    if argument.startswith("--drain-")
                )
                hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [""])
                drain += int((hook[-1].split() or ["0"])[-1])
                if drain and pod["terminationGracePeriodSeconds"] < drain + 5:
                    wrong.append(f"{name} is killed before it has drained")
    return wrong


# Who connects to whom: docs/architecture.md. Operators are those of networkPolicy.operatorNamespaces.
TALKS = {
    ("edge", "proxy", "data"),
    ("proxy", "control", "admin"),
    ("proxy", "autoscaler", "admin"),
    ("autoscaler", "control", "admin"),
    ("control", "proxy", "admin"),
    ("control", "autoscaler", "admin"),
    ("test", "control", "admin"),
    ("operators", "control", "admin"),
    ("operators", "proxy", "admin"),
    ("operators", "autoscaler", "admin"),
}
LISTENS = {"edge": ["probe"], "proxy": ["data", "admin"], "control": ["admin"], "autoscaler": ["admin"]}


def admits(rules, side, of, port):
    """Whether one of the rules lets pods of that component through; ipBlocks are of other things."""

    def is_of(peer):
        if "namespaceSelector" in peer:
            return "podSelector" not in peer and peer["namespaceSelector"]["matchLabels"] == of
        labels = peer.get("podSelector", {}).get("matchLabels", {})
        return labels.get("app.kubernetes.io/component") == of

    def lets(rule):
        ports = [given["port"] for given in rule.get("ports", [])]
        return (not ports or port in ports) and (side not in rule or any(map(is_of, rule[side])))

    return any(map(lets, rules or []))


def policies():
    """Whoever must reach another one may, by both their policies, and nobody else may."""
    wrong = []
    for case in CASES:
        found = {}
        for policy in objects(case):
            labels = policy.get("spec", {}).get("podSelector", {}).get("matchLabels", {})
            if policy["kind"] == "NetworkPolicy" and labels.get("app.kubernetes.io/component") in LISTENS:
                found[labels["app.kubernetes.io/component"]] = policy["spec"]
        operators = values(case).get("networkPolicy", {}).get("operatorNamespaces")
        for to, policy in found.items():
            for port in LISTENS[to]:
                for of in [*found, "test", *(["operators"] if operators else [])]:
                    enters = admits(policy["ingress"], "from", operators if of == "operators" else of, port)
                    leaves = of not in found or admits(found[of]["egress"], "to", to, port)
                    if (enters and leaves) != ((of, to, port) in TALKS):
                        may = "may" if enters and leaves else f"may not (enters: {enters}, leaves: {leaves})"
                        wrong.append(f"{case.name}: {of} {may} reach {to} at {port}")
    return wrong


if __name__ == "__main__":
    faults = {check.__name__: check for check in (golden, schema, kubernetes, lint, grace, policies)}[sys.argv[1]]()
    print("\n".join(faults))
    sys.exit(1 if faults else 0)
