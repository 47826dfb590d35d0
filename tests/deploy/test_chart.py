"""The Helm chart: rendered by Helm, held against Kubernetes' schemas and against what the processes understand."""

from __future__ import annotations

import subprocess
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from backing.tools import KUBERNETES_VERSION, Program
from tests.deploy import words
from tiercel.cli.main import SERVICES
from tiercel.runtime.settings import ServerSettings

CHART: Final = words.DEPLOY / "kubernetes"
POSTGRES: Final = "secret.postgres-url=postgresql://u:p@db/tiercel"
VERSIONS: Final = (KUBERNETES_VERSION, kubernetes_validate.latest_version())
CASES: Final = {
    "defaults": (POSTGRES,),
    "kafka": (
        POSTGRES, "queue.type=kafka", "kafka.bootstrapServers=k1:9092", "worker.autoscaling.kind=keda",
        "observability.rules=true", "observability.podMonitor=true", "observability.dashboard=true",
    ),
    "local": (
        "existingSecret=mine", "storage.type=local", "worker.autoscaling.kind=metrics",
        "webserver.ingress.enabled=true", "webserver.ingress.tlsSecret=t",
        "worker.nodeSelector.disk=fast", "settings.worker.slots=32",
    ),
}  # fmt: skip
"""Values that reach every branch of the templates."""
FOREIGN: Final = frozenset({"ScaledObject", "PodMonitor", "PrometheusRule"})
"""Kinds of other projects, whose schemas Kubernetes does not have."""


def run(helm: Program, *values: str, command: str = "template") -> subprocess.CompletedProcess[str]:
    options = [word for value in values for word in ("--set", value)]
    words_of = ["template", "trial"] if command == "template" else ["lint", "--strict"]
    return subprocess.run(
        [helm.path, *words_of, CHART, "--kube-version", KUBERNETES_VERSION, *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def rendered(helm: Program) -> dict[str, list[dict[str, Any]]]:
    """Return the manifests of each case."""
    found = {}
    for name, values in CASES.items():
        done = run(helm, *values)
        assert 0 == done.returncode, done.stderr
        found[name] = [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]
    return found


def of_kind(manifests: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def deployments(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the deployment of each service."""
    return {name.removeprefix("trial-tiercel-"): each for name, each in of_kind(manifests, "Deployment").items()}


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize("case", CASES)
def test_helm_finds_nothing_to_criticise(helm: Program, case: str) -> None:
    """`helm lint --strict`."""
    done = run(helm, *CASES[case], command="lint")

    assert 0 == done.returncode, done.stdout


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_every_manifest_is_what_kubernetes_knows(
    rendered: dict[str, list[dict[str, Any]]], case: str, version: str
) -> None:
    """Strictly: a field that does not exist is refused."""
    for manifest in rendered[case]:
        if manifest["kind"] not in FOREIGN:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_a_field_that_does_not_exist_is_found(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """Else the test above would prove nothing."""
    wrong = {**rendered["defaults"][0], "spek": {}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[1], strict=True)


@pytest.mark.parametrize("case", CASES)
def test_each_service_is_a_deployment_with_a_command_that_exists(
    rendered: dict[str, list[dict[str, Any]]], case: str
) -> None:
    """Five, each with a budget for disruptions that covers its pods."""
    found = deployments(rendered[case])
    budgets = of_kind(rendered[case], "PodDisruptionBudget")

    assert set(SERVICES) == set(found)
    for name, deployment in found.items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        selector = deployment["spec"]["selector"]["matchLabels"]
        assert name == words.service_of(container(deployment)["args"])
        assert selector.items() <= labels.items()
        assert selector == budgets[f"trial-tiercel-{name}"]["spec"]["selector"]["matchLabels"]
        for before in deployment["spec"]["template"]["spec"].get("initContainers", ()):
            assert ["migrate"] == before["args"]


DATABASE = "postgresql://user:password@postgres/tiercel"


@pytest.mark.parametrize("case", CASES)
def test_settings_are_settings(rendered: dict[str, list[dict[str, Any]]], case: str) -> None:
    """The file of the ConfigMap, and each variable that takes a value from the secret."""
    text = of_kind(rendered[case], "ConfigMap")["trial-tiercel"]["data"]["settings.yaml"]
    chosen = yaml.safe_load(text)
    for deployment in deployments(rendered[case]).values():
        names = {each["name"] for each in container(deployment)["env"]} - {"TIERCEL_CONFIG"}
        variables = {name: DATABASE if name.endswith("_URL") else "value" for name in names}

        settings = words.settings_of(variables, text)

        assert (chosen["queue"]["type"], chosen["storage"]["type"]) == (settings.queue.type, settings.storage.type)
        grace_s = settings.server.termination_grace.total_seconds()
        assert grace_s < deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("case", CASES)
def test_ports_are_those_that_processes_listen_on(rendered: dict[str, list[dict[str, Any]]], case: str) -> None:
    """Of the API and of the management, and what is annotated for Prometheus."""
    defaults = ServerSettings()
    for name, deployment in deployments(rendered[case]).items():
        ports = {port["name"]: port["containerPort"] for port in container(deployment)["ports"]}
        annotations = deployment["spec"]["template"]["metadata"]["annotations"]

        own = {"http": defaults.port} if name == "webserver" else {}
        assert {"management": defaults.management_port, **own} == ports
        assert str(defaults.management_port) == annotations["prometheus.io/port"]


@pytest.mark.parametrize("case", CASES)
def test_pods_may_do_little(rendered: dict[str, list[dict[str, Any]]], case: str) -> None:
    """Not root, nothing to write but two volumes, no capability, no token, no variables of other services."""
    for deployment in deployments(rendered[case]).values():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert (False, False) == (pod["automountServiceAccountToken"], pod["enableServiceLinks"])
        for each in (*pod["containers"], *pod.get("initContainers", ())):
            assert each["securityContext"]["readOnlyRootFilesystem"]
            assert ["ALL"] == each["securityContext"]["capabilities"]["drop"]


def test_on_kafka_a_worker_has_no_database(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """Neither an address nor a migration."""
    pod = deployments(rendered["kafka"])["worker"]["spec"]["template"]["spec"]

    names = {each["name"] for each in pod["containers"][0]["env"]}
    assert set() == {name for name in names if "POSTGRES" in name or "REPOSITORY" in name}
    assert "initContainers" not in pod


def test_passwords_are_in_the_secret_and_nowhere_else(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """A ConfigMap is read by many."""
    holders = [each["kind"] for each in rendered["defaults"] if "postgresql://" in yaml.safe_dump(each)]

    assert ["Secret"] == holders
    assert {} == of_kind(rendered["local"], "Secret")


@pytest.mark.parametrize(("case", "kind"), [("kafka", "ScaledObject"), ("local", "HorizontalPodAutoscaler")])
def test_workers_are_scaled_by_what_waits(rendered: dict[str, list[dict[str, Any]]], case: str, kind: str) -> None:
    """On metrics that exist; a number of replicas in the deployment would fight with it."""
    scaling = of_kind(rendered[case], kind)["trial-tiercel-worker"]["spec"]

    assert "trial-tiercel-worker" == scaling["scaleTargetRef"]["name"]
    assert "replicas" not in deployments(rendered[case])["worker"]["spec"]
    used = words.metrics_in([yaml.safe_dump(scaling)])
    assert "tiercel_queue_messages" in used
    assert set() == used - words.exported()


def test_alerts_and_dashboard_travel_with_the_chart(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """The same as for compose."""
    rules = of_kind(rendered["kafka"], "PrometheusRule")["trial-tiercel"]["spec"]
    drawn = of_kind(rendered["kafka"], "ConfigMap")["trial-tiercel-dashboard"]["data"]["tiercel.json"]

    assert yaml.safe_load((words.DEPLOY / "observability" / "alerts.yaml").read_text()) == rules
    assert (words.DEPLOY / "observability" / "grafana" / "tiercel.json").read_text().strip() == drawn.strip()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((), "where is PostgreSQL?"),
        ((POSTGRES, "queue.type=kafka"), "kafka.bootstrapServers is needed"),
        ((POSTGRES, "queue.type=rabbit"), "queue"),
        ((POSTGRES, "wroker.replicas=3"), "wroker"),
        ((POSTGRES, "worker.autoscaling.kind=magic"), "autoscaling"),
    ],
)
def test_values_that_are_wrong_are_refused(helm: Program, values: tuple[str, ...], sentence: str) -> None:
    """With a sentence that names what is wrong."""
    done = run(helm, *values)

    assert 0 != done.returncode
    assert sentence in done.stderr
