"""How services are put together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercel import assembly
from tiercel.cli.main import SERVICES
from tiercel.runtime import settings, wiring


def test_every_service_has_a_card_in_the_wiring() -> None:
    """Nobody is wired by accident."""
    assert set(SERVICES) == set(wiring.CARDS)


def test_a_worker_is_given_nothing_but_queue_storage_secrets_and_the_api() -> None:
    """What it has not got, it cannot touch."""
    assert frozenset({"api"}) == wiring.CARDS["worker"]


def test_variables_with_the_prefix_become_envs() -> None:
    """Without the prefix, in lower case."""
    found = assembly.environment_variables("ENV_", {"ENV_CITY": "Graz", "HOME": "/root"})

    assert {"city": "Graz"} == found


@pytest.mark.parametrize("name", SERVICES)
def test_settings_of_the_installation_reach_the_service(name: str, tmp_path: Path) -> None:
    """Each field that a service shares with the installation is filled by it."""
    read = settings.load(
        environment={"TIERCEL_ENCRYPTION_SECRET_KEY": "a2V5", "TIERCEL_DATA": str(tmp_path)},
        sections={name: assembly.settings_class(name)},
    )

    given = assembly.common_fields(name, read)

    assert "a2V5" == given.get("encryption_key", "a2V5")
    assert set(given) <= set(assembly.settings_class(name).__struct_fields__)
