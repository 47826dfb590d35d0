"""Templates of the 1.x dialect: read, found in flows, put into their places."""

from __future__ import annotations

import pytest

from tiercel.errors import InvalidFlow
from tiercel.flowspec.template import injected, place_of, read_template, wanted

TEMPLATE = """
id: shared
namespace: company.team
tasks:
  - {id: inside, type: io.kestra.plugin.core.log.Log, message: "{{ parent.outputs.args.name }}"}
"""
CALL = {
    "id": "call",
    "type": "io.kestra.plugin.core.flow.Template",
    "namespace": "company.team",
    "templateId": "shared",
}
FLOW = {
    "id": "f",
    "namespace": "company.team",
    "tasks": [{"id": "p", "type": "io.kestra.plugin.core.flow.Parallel", "tasks": [CALL]}],
}


def test_a_template_is_put_where_a_flow_names_it() -> None:
    """Inside flowables, too; what it holds is asked for no more."""
    template = read_template(TEMPLATE)
    assert [("company.team", "shared")] == list(wanted(FLOW))

    document = injected(FLOW, {("company.team", "shared"): template})

    assert {**CALL, "tasks": template["tasks"]} == document["tasks"][0]["tasks"][0]
    assert [] == list(wanted(document))
    assert FLOW == injected(FLOW, {("company.team", "shared"): None})


@pytest.mark.parametrize(
    "text",
    ["- a list", "id: t\nnamespace: n\n", TEMPLATE + "---\n" + TEMPLATE, TEMPLATE.replace("log.Log", "log.Nothing")],
)
def test_what_is_no_template_is_refused(text: str) -> None:
    """With all that is wrong with it, as for a flow."""
    with pytest.raises(InvalidFlow):
        read_template(text)


def test_a_template_has_a_place_in_the_folder_of_its_namespace() -> None:
    """Where no flow and no file of the namespace lies."""
    assert "kestra:///company/team/_templates/my-own.yaml" == place_of("company.team", "My_own")
