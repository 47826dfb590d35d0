"""
Pages that are drawn from code: `docs/dataflow.md` from the table of topics, `docs/state-machine.md` from the table of
states, `docs/metrics.md` from the modules `metrics.py`, `docs/service-settings.md` from the modules `settings.py`,
Grafana's dashboard from `dashboard.py`. `make docs` writes them, a test compares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.architecture.dashboard import dashboard
from tests.architecture.metrics import metrics
from tests.architecture.service_settings import service_settings
from tests.architecture.tree import ROOT, SERVICES
from tiercel.messages.topics import TOPICS, Route, Topic
from tiercel.model.state import EXECUTION_TRANSITIONS, TASK_RUN_TRANSITIONS, TERMINATED, State

NOTE: Final = "<!-- Drawn by `make docs` from {source}; do not edit. -->\n"
ROUTES: Final = {
    Route.DISPATCH: "one free consumer gets it",
    Route.KEYED: "all messages of a key reach one owner, in order per producer",
    Route.BROADCAST: "every running subscriber gets it",
}


def dataflow() -> str:
    """Draw who sends what to whom."""
    lines = [
        "# The data flow",
        "",
        NOTE.format(source="shared/tiercel/messages/topics.py"),
        "```mermaid",
        "flowchart LR",
    ]
    lines += [f"    {service}([{service}])" for service in SERVICES]
    for topic in TOPICS:
        lines.append(f"    {topic.name}[/{topic.name}/]")
        lines += [f"    {producer} --> {topic.name}" for producer in topic.producers]
        lines += [f"    {topic.name} --> {consumer}" for consumer in topic.consumers]
    lines += ["```", "", "| topic | route | key | from | to | messages |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [_row(topic) for topic in TOPICS]
    lines += ["", "Routes:", ""]
    lines += [f"* {route.name}: {promise}." for route, promise in ROUTES.items()]
    return "\n".join(lines) + "\n"


def _row(topic: Topic[object]) -> str:
    messages = ", ".join(sorted(f"`{member.__name__}`" for member in _members(topic.message)))
    sides = f"{', '.join(topic.producers)} | {', '.join(topic.consumers)}"
    return f"| {topic.name} | {topic.route.name} | {topic.key or '–'} | {sides} | {messages} |"


def _members(message: object) -> tuple[type, ...]:
    members: tuple[type, ...] = getattr(message, "__args__", (message,))
    return members


def state_machine() -> str:
    """Draw the states of executions and of task runs."""
    lines = ["# The states", "", NOTE.format(source="shared/tiercel/model/state.py")]
    lines += [
        "A change that is not drawn here is refused and changes nothing. Bold states are terminal: what leads out of"
    ]
    lines += ["them is something that a person asks for (restart, change of state) or a retry.", ""]
    lines += _transitions("Executions", EXECUTION_TRANSITIONS) + _transitions("Task runs", TASK_RUN_TRANSITIONS)
    return "\n".join(lines).rstrip() + "\n"


def _transitions(title: str, table: Mapping[State, frozenset[State]]) -> list[str]:
    order = list(State)
    rows = [
        f"| {_bold(state)} | {', '.join(_bold(following) for following in sorted(table[state], key=order.index))} |"
        for state in order
        if state in table
    ]
    drawn = [
        f"    {state} --> {following}"
        for state in order
        if state in table and state not in TERMINATED
        for following in sorted(table[state], key=order.index)
    ]
    body = ["```mermaid", "stateDiagram-v2", "    [*] --> CREATED", *drawn, "```", ""]
    return [f"## {title}", "", "| from | to |", "| --- | --- |", *rows, "", *body]


def _bold(state: State) -> str:
    return f"**{state}**" if state in TERMINATED else str(state)


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "deploy/observability/grafana/tiercel.json": dashboard,
    "docs/dataflow.md": dataflow,
    "docs/metrics.md": metrics,
    "docs/service-settings.md": service_settings,
    "docs/state-machine.md": state_machine,
}

if __name__ == "__main__":
    for name, draw in PAGES.items():
        (ROOT / name).write_text(draw())
