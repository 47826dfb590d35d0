"""Expressions as people see them: what can be known, or the text as it was written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.expression.conftest import renderer
from tiercel.expression.display import display_engine, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ vars.region }}-{{ vars.env }}", "us-prod"),
        ("{{ secret('MY_KEY') }}", "[secret: MY_KEY]"),
        ("{{ fromJson('{\"a\": 1}').a }}", "1"),
        ("{{ vars.region }}-{{ now() }}", "{{ vars.region }}-{{ now() }}"),
        ("{{ env('HOME') }}", "{{ env('HOME') }}"),
        ("{{ inputs.missing }}", "{{ inputs.missing }}"),
        ("{{ ??? }}", "{{ ??? }}"),
        (
            "{{ vars.env }} {% raw %}{{ vars.region }}{% endraw %}",
            "prod {% raw %}{{ vars.region }}{% endraw %}",
        ),
    ],
)
def test_a_text_is_shown_as_far_as_it_can_be_known(text: str, expected: str) -> None:
    """Nothing is asked of the world, and what is not to be rendered stays marked so."""
    context: dict[str, Any] = {"vars": {"region": "us", "env": "prod"}, "flow": {"namespace": "team"}}

    assert expected == shown(display_engine("2.x"), renderer("2.x").host, text, context)
