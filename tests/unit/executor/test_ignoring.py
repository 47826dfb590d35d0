"""What an operator has executors leave alone, as it is written in the settings."""

from __future__ import annotations

import pytest

from tiercel.errors import InvalidSettings
from tiercel.executor.settings import ExecutorSettings
from tiercel.executor.surroundings import surroundings_of


def test_a_place_without_a_tenant_is_one_of_the_main_tenant() -> None:
    """Both forms of Kestra's lists mean the same there."""
    around = surroundings_of(
        ExecutorSettings(ignored_flows=("team|f", "other|team|g"), ignored_namespaces=("team", "other|team"))
    )

    assert {"main|team|f", "other|team|g"} == around.ignored.flows
    assert {"main|team", "other|team"} == around.ignored.namespaces


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"ignored_flows": ("f",)},
            "'executor.ignored-flows' takes 'namespace|flow' or 'tenant|namespace|flow', but one of it is 'f'.",
        ),
        (
            {"ignored_namespaces": ("a|b|c",)},
            "'executor.ignored-namespaces' takes 'namespace' or 'tenant|namespace', but one of it is 'a|b|c'.",
        ),
        (
            {"ignored_flows": ("|team|f",)},
            "'executor.ignored-flows' takes 'namespace|flow' or 'tenant|namespace|flow', but one of it is '|team|f'.",
        ),
    ],
)
def test_a_place_of_another_form_is_refused(settings: dict[str, tuple[str, ...]], sentence: str) -> None:
    """What would ignore nothing is not passed over."""
    with pytest.raises(InvalidSettings) as caught:
        surroundings_of(ExecutorSettings(**settings))

    assert sentence == str(caught.value)
