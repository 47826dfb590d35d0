"""The JSON schema: it fits what runs, says what classes say, and is never stricter than the server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.corpus import folders
from tiercel.errors import InvalidFlow, NotFound
from tiercel.flowspec.parse import check_document
from tiercel.flowspec.schema import documentation, generate
from tiercel.flowspec.yaml import read_documents
from tiercel.model.flow import Flow
from tiercel.model.task import Condition, Task, Trigger
from tiercel.plugins.base import TaskRunner
from tiercel.plugins.core.log.log import Log

ROOT = Path(__file__).parents[3]
LOG = "io.kestra.plugin.core.log.Log"
RETURN = "io.kestra.plugin.core.debug.Return"


@cache
def validator(kind: str = "flow") -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(generate.schema_of(kind))


def documents(text: str) -> Iterator[dict[str, Any]]:
    """Yield the flows of a text, read as the server reads them."""
    try:
        found = read_documents(text)
    except InvalidFlow:
        return
    for document in found:
        if isinstance(document.data, dict) and not document.problems:
            yield document.data


def example_flows() -> dict[str, dict[str, Any]]:
    """Return every flow of the documentation, by where it stands."""
    found: dict[str, dict[str, Any]] = {}
    for path in [*ROOT.glob("docs/examples/flows/*.yaml"), *ROOT.glob("demo/flows/*.yaml")]:
        found |= {f"{path.relative_to(ROOT)}": data for data in documents(path.read_text()) if "tasks" in data}
    for path in [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]:
        for number, block in enumerate(re.findall(r"(?ms)^```yaml\n(.*?)^```|((?:^    [^\n]*\n)+)", path.read_text())):
            text = re.sub(r"(?m)^    ", "", block[0] or block[1])
            flows = [data for data in documents(text) if {"id", "namespace", "tasks"} <= data.keys()]
            found |= {f"{path.relative_to(ROOT)}#{number}": data for data in flows}
    return found


EXAMPLES = example_flows()


def why(data: Any, kind: str = "flow") -> str | None:
    """Return why the schema refuses, None when it does not."""
    error = jsonschema.exceptions.best_match(validator(kind).iter_errors(data))
    return None if error is None else f"{list(error.absolute_path)}: {error.message[:300]}"


@pytest.mark.parametrize("kind", generate.KINDS)
def test_a_schema_is_one(kind: str) -> None:
    """What is generated is a JSON schema, and all that it refers to is in it."""
    schema = generate.schema_of(kind)

    jsonschema.Draft7Validator.check_schema(schema)
    referred = set(re.findall(r'"#/definitions/([^"]+)"', json.dumps(schema)))
    assert referred == referred & schema["definitions"].keys()


def test_there_are_examples() -> None:
    """The tests that follow look at flows of guides, of the README and of the demonstration."""
    assert {"docs", "demo", "README.md"} <= {re.split(r"[/#]", name)[0] for name in EXAMPLES}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_flow_fits_and_is_valid(name: str) -> None:
    """A flow of the documentation is accepted by the schema and by the server."""
    assert why(EXAMPLES[name]) is None
    assert [] == [str(problem) for problem in check_document(EXAMPLES[name]).problems]


def all_types() -> list[tuple[str, str]]:
    bases = {"task": Task, "trigger": Trigger, "condition": Condition}
    return [(kind, name) for kind, base in bases.items() for name, _ in generate.author_types(base)]


@pytest.mark.parametrize(("kind", "name"), all_types())
def test_every_type_is_described_and_its_examples_fit(kind: str, name: str) -> None:
    """Each type has a title of its own, and the examples in its documentation are right."""
    schema = generate.schema_of_type(name)

    assert schema["title"]
    assert schema["title"] != "A task that sends a request."
    assert [why(example, kind) for example in schema.get("examples", ())] == [None] * len(schema.get("examples", ()))


def test_task_runners_have_a_schema() -> None:
    """What stands under `taskRunner` is checked as well."""
    assert [name for name, _ in generate.author_types(TaskRunner)]
    shell = {"id": "a", "type": "io.kestra.plugin.scripts.shell.Commands", "commands": ["true"]}

    assert why({**shell, "taskRunner": {"type": "io.kestra.plugin.core.runner.Process"}}, "task") is None
    assert why({**shell, "taskRunner": {"type": "io.kestra.plugin.core.runner.Nothing"}}, "task") is not None


def corpus_flows() -> list[Path]:
    return [
        path
        for folder in folders()
        for path in sorted(folder.path.rglob("*.y*ml"))
        if "flows" in path.parts or "invalid" in path.parts
    ]


def test_what_the_schema_refuses_the_server_refuses() -> None:
    """Over every flow of the corpora, valid or not: the schema is never the stricter one."""
    paths = corpus_flows()
    if not paths:
        pytest.skip("there is no corpus on this machine")

    stricter = {}
    for path in paths:
        text = path.read_text(encoding="utf-8", errors="replace")
        if re.search(r"type:.*\$", text):
            continue  # a class within a class of Java's: no type of ours, but other tests of this process play some
        for data in documents(text):
            reason = why(data)
            if reason is not None and not check_document(data).problems:
                stricter[path.name] = reason

    assert {} == stricter


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.sampled_from(["", " ", "x", "{{ x }}", "5", "true", "PT5S", "STRING", "constant", LOG, "a.b", "PAUSED"]),
    st.just([]),
    st.just({}),
    st.lists(st.sampled_from([None, 1, "x", {}]), max_size=2),
    st.dictionaries(st.sampled_from(["id", "type", "x", "key", "value"]), st.sampled_from([None, 1, "x"]), max_size=3),
)


def places(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every part of plain data."""
    if path:
        yield path
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, part in entries:
        yield from places(part, (*path, key))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_flow_with_a_mistake_is_not_refused_by_the_schema_alone(data: st.DataObject) -> None:
    """Any part of an example is changed, taken away, or gets a neighbour: schema refuses, so server refuses."""
    flow: Any = deepcopy(EXAMPLES[data.draw(st.sampled_from(sorted(EXAMPLES)))])
    for _ in range(data.draw(st.integers(1, 2))):
        *above, last = data.draw(st.sampled_from(list(places(flow))))
        holder = flow
        for step in above:
            holder = holder[step]
        what = data.draw(st.sampled_from(["change", "take", "add"]))
        if what == "take":
            del holder[last]
        elif what == "add" and isinstance(holder, dict):
            holder[
                data.draw(st.sampled_from(["retry", "timeout", "labels", "level", "unknown", "when", "disabled"]))
            ] = data.draw(VALUES)
        else:
            holder[last] = data.draw(VALUES)
        if not flow:
            return

    reason = why(flow)

    assert reason is None or check_document(flow).problems, f"only the schema refuses: {reason}"


def test_documentation_comes_from_the_classes() -> None:
    """Titles, what properties mean, defaults and examples are those of the class; older names are marked."""
    schema = generate.schema_of_type(LOG)

    assert "Log a message, or several." == schema["title"]
    assert {"enum": [LOG, "io.kestra.core.tasks.log.Log", "io.kestra.core.tasks.debugs.Log"]} == schema["properties"][
        "type"
    ]
    assert "The line, or several." == schema["properties"]["message"]["description"]
    assert "INFO" == schema["properties"]["level"]["default"]
    assert schema["properties"]["allowFailure"]["description"]
    assert schema["examples"][0]["type"] == LOG
    assert schema["required"] == ["id", "message"] or set(schema["required"]) == {"id", "type", "message"}
    each = generate.schema_of_type("io.kestra.plugin.core.flow.EachSequential")
    assert each["deprecated"] is True
    assert "2.0 no longer" in each["description"]
    delay = generate.schema_of_type("io.kestra.plugin.core.flow.Pause")["properties"]["delay"]
    assert (delay["deprecated"], delay["description"]) == (True, "An older name of 'pauseDuration'.")


def test_every_property_of_a_flow_and_of_all_tasks_is_explained() -> None:
    """Whoever hovers over a property that every flow has learns what it means."""
    silent = {
        f"{cls.__name__}.{name}"
        for cls in (Flow, Task, Trigger)
        for name in cls.__struct_fields__
        if name not in documentation.of_properties(cls)
    }

    assert silent <= {
        f"{cls.__name__}.{name}"
        for cls in (Flow, Task, Trigger)
        for name in ("tenant_id", "policy_refs", "worker_group", "deleted", "dialect", "source", "document", "assets")
    }


def test_a_class_made_at_run_time_is_documented_by_its_annotations() -> None:
    """What a plugin's author says with `Meta(description=…)` counts; a class without a text has none."""
    assert "The level of the lines." == documentation.of_properties(Log)["level"]


def test_an_unknown_kind_or_type_is_named() -> None:
    """The answer says what there is."""
    with pytest.raises(NotFound, match=r"no schema of 'flou'; there are schemas of flow, task"):
        generate.schema_of("flou")
    with pytest.raises(NotFound, match=r"did you mean 'io\.kestra\.plugin\.core\.log\.Log'"):
        generate.schema_of_type("io.kestra.plugin.core.log.Lug")
