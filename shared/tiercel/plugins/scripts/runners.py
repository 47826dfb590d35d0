"""
Where commands run: the task runners, as authors write them, and the older way to say the same.

`taskRunner` names one by its type. Flows of the older dialect have `runner: DOCKER` and `docker:` in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

from tiercel.model.property import DYNAMIC, INTERNAL, NOT_EMPTY, Aliases, Node, constant
from tiercel.model.size import size_problem
from tiercel.model.task import Objection
from tiercel.plugins.base import TaskRunner
from tiercel.plugins.registry import register

PROCESS: Final = "io.kestra.plugin.core.runner.Process"
DOCKER: Final = "io.kestra.plugin.scripts.runner.docker.Docker"


@register(
    PROCESS,
    "io.kestra.core.models.tasks.runners.types.ProcessTaskRunner",
    "io.kestra.plugin.core.runner.ProcessTaskRunner",
)
class ProcessRunner(TaskRunner, frozen=True, kw_only=True):
    """Run the commands as a process of the worker, on its machine."""


BINDING: Final = "'{text}' does not bind a port; write 'outside:inside', for example '8080:80'."
UNLIMITED: Final = "-1"
"""What `memorySwap` says for no limit."""
_CAMEL: Final = {
    "memory_swap": "memorySwap",
    "memory_reservation": "memoryReservation",
    "kernel_memory": "kernelMemory",
}


class PullPolicy(StrEnum):
    """When an image is fetched: if it is not there, always, or never."""

    IF_NOT_PRESENT = "IF_NOT_PRESENT"
    ALWAYS = "ALWAYS"
    NEVER = "NEVER"


class FileHandling(StrEnum):
    """How files get into a container and out of it: copied, or by mounting the worker's folder."""

    VOLUME = "VOLUME"
    MOUNT = "MOUNT"


class Credentials(Node, frozen=True, kw_only=True):
    """Who fetches an image from a private registry."""

    registry: Annotated[str | None, DYNAMIC] = None
    """The registry; without it, the one in the image's name."""
    username: Annotated[str | None, DYNAMIC] = None
    """The user's name."""
    password: Annotated[str | None, DYNAMIC] = None
    """The user's password."""
    registry_token: Annotated[str | None, DYNAMIC] = None
    """A token of the registry, in the place of a user."""
    identity_token: Annotated[str | None, DYNAMIC] = None
    """A token that stands for a user."""
    auth: Annotated[str | None, DYNAMIC] = None
    """`user:password` in base64, in the place of both."""


class DeviceRequest(Node, frozen=True, kw_only=True):
    """Devices that a driver gives to the container, for example GPUs."""

    driver: Annotated[str | None, DYNAMIC] = None
    count: Annotated[int | str | None, DYNAMIC] = None
    device_ids: Annotated[list[str] | str | None, DYNAMIC] = None
    capabilities: Annotated[list[list[str]] | str | None, DYNAMIC] = None
    options: Annotated[dict[str, str] | str | None, DYNAMIC] = None


class Cpu(Node, frozen=True, kw_only=True):
    """How much of the processors the container may use."""

    cpus: Annotated[float | int | str | None, DYNAMIC] = None
    """Processors, for example 1.5."""


class Memory(Node, frozen=True, kw_only=True):
    """How much memory the container may use; sizes such as `512MB`."""

    memory: Annotated[str | None, DYNAMIC] = None
    """The most; beyond it the container is killed."""
    memory_swap: Annotated[str | None, DYNAMIC] = None
    """Memory and swap together."""
    memory_swappiness: Annotated[str | int | None, DYNAMIC] = None
    """0 to 100: how readily memory is swapped."""
    memory_reservation: Annotated[str | None, DYNAMIC] = None
    """What it is brought down to when memory is scarce."""
    kernel_memory: Annotated[str | None, DYNAMIC] = None
    """The most for the kernel's own memory; newer engines ignore it."""
    oom_kill_disable: Annotated[bool | str | None, DYNAMIC] = None
    """True when the container waits for memory instead of being killed."""

    def objections(self) -> Iterator[Objection]:
        """Yield sizes that are none."""
        for name in ("memory", "memory_swap", "memory_reservation", "kernel_memory"):
            text = constant(getattr(self, name))
            problem = size_problem(text) if text is not None else None
            if problem is not None and (name, text) != ("memory_swap", UNLIMITED):
                yield Objection((_CAMEL.get(name, name),), problem)


@register(
    DOCKER,
    "io.kestra.plugin.scripts.runner.docker.DockerTaskRunner",
    "io.kestra.plugin.scripts.runner.podman.Podman",
)
class DockerRunner(TaskRunner, frozen=True, kw_only=True):
    """
    Run the commands in a container of Docker, Podman, or another engine that speaks Docker's API.

    The task's folder is there under the same path, and what is left in it comes back.

    Example:
        type: io.kestra.plugin.scripts.runner.docker.Docker
        pullPolicy: ALWAYS
        cpu:
          cpus: 1.5
        memory:
          memory: 512MB
    """

    host: Annotated[str | None, DYNAMIC, Aliases("dockerHost", deprecated=True)] = None
    """The engine's address, for example `unix:///var/run/docker.sock`; without it, the one that is found."""
    config: Annotated[dict[str, Any] | str | None, DYNAMIC, Aliases("dockerConfig", deprecated=True)] = None
    """A client's configuration file, as a text or a map: credentials of registries."""
    credentials: Credentials | None = None
    """Who fetches the image."""
    image: Annotated[str | None, DYNAMIC] = None
    """The image; `containerImage` of the task says the same."""
    user: Annotated[str | None, DYNAMIC] = None
    """The user in the container."""
    entry_point: Annotated[list[str] | str | None, DYNAMIC] = None
    """The entry point; without it, that of the image."""
    extra_hosts: Annotated[list[str] | str | None, DYNAMIC] = None
    """Names with their addresses, `name:address`."""
    network_mode: Annotated[str | None, DYNAMIC] = None
    """The network: `bridge`, `host`, `none`, …"""
    port_bindings: Annotated[list[str] | str | None, DYNAMIC] = None
    """Ports that are open to the machine, `8080:80`."""
    labels: Annotated[dict[str, Any] | str | None, DYNAMIC] = None
    """Labels of the container, beside those that tell whose it is."""
    volumes: Annotated[list[str] | str | None, DYNAMIC] = None
    """Folders of the machine, `/here:/there[:ro]`; the operator must allow them."""
    pull_policy: Annotated[str | PullPolicy, DYNAMIC] = PullPolicy.IF_NOT_PRESENT
    """When the image is fetched."""
    device_requests: tuple[DeviceRequest, ...] = ()
    """Devices such as GPUs."""
    cpu: Cpu | None = None
    """How much of the processors it may use."""
    memory: Memory | None = None
    """How much memory it may use."""
    shm_size: Annotated[str | None, DYNAMIC] = None
    """The size of `/dev/shm`, for example `64MB`."""
    privileged: Annotated[bool | str | None, DYNAMIC] = None
    """True for all rights on the machine; the operator must allow it."""
    file_handling_strategy: Annotated[str | FileHandling, DYNAMIC] = FileHandling.VOLUME
    """How files get into the container and out of it."""
    delete: Annotated[bool | str, DYNAMIC] = True
    """Whether the container is removed at its end."""
    wait: Annotated[bool | str, DYNAMIC] = True
    """Whether the task waits for the container's end."""
    resume: Annotated[bool | str, DYNAMIC] = True
    """Read and of no consequence here: a container ends with its worker, and the task runs again."""
    kill_grace_period: timedelta = timedelta(0)
    """How long a container that is to end may take before it is killed."""

    def objections(self) -> Iterator[Objection]:
        for objection in self.memory.objections() if self.memory is not None else ():
            yield objection.below("memory")
        cpus = self.cpu.cpus if self.cpu is not None else None
        number = float(cpus) if isinstance(cpus, int | float) else _number(constant(cpus))
        if number is not None and number < 0:
            yield Objection(("cpu", "cpus"), f"must not be negative, but is {cpus}")
        ports = self.port_bindings if isinstance(self.port_bindings, list) else [self.port_bindings]
        for index, port in enumerate(constant(port) for port in ports):
            if port is not None and not port.lstrip().startswith("[") and bound_port(port) is None:
                yield Objection(("portBindings", index), BINDING.format(text=port))
        shared = constant(self.shm_size)
        problem = size_problem(shared) if shared is not None else None
        if problem is not None:
            yield Objection(("shmSize",), problem)


def bound_port(text: str) -> tuple[str, dict[str, str]] | None:
    """Read `[address:]outside:inside[/protocol]` into the engine's words; None when it is written in another way."""
    *address, inside = text.split(":")
    number, _, protocol = inside.partition("/")
    if not number.isdigit() or not address or not address[-1].isdigit():
        return None
    outside = {"HostPort": address[-1]}
    if len(address) > 1:
        outside["HostIp"] = ":".join(address[:-1])
    return f"{number}/{protocol or 'tcp'}", outside


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


class DockerOptions(DockerRunner, frozen=True, kw_only=True):
    """The older way to describe a container, beside `runner: DOCKER`."""

    type: Annotated[str, INTERNAL] = DOCKER
    image: Annotated[str, DYNAMIC, NOT_EMPTY]
    """The image."""


class OlderRunner(StrEnum):
    """What `runner` of the older dialect may say."""

    PROCESS = "PROCESS"
    DOCKER = "DOCKER"


def chosen(
    task_runner: TaskRunner | None, runner: str | None, docker: DockerOptions | None, image: str | None
) -> TaskRunner | None:
    """
    Return the runner that a task asks for, None when it asks for none.

    One without a runner but with an image wants a container; it is Docker's there where Kestra runs the same flow.
    """
    if task_runner is not None:
        return task_runner
    if docker is not None and runner != OlderRunner.PROCESS:
        return docker
    if runner == OlderRunner.PROCESS:
        return ProcessRunner(type=PROCESS)
    return DockerRunner(type=DOCKER) if runner is not None or image is not None else None
