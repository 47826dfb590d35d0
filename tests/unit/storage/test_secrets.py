"""Secrets of the environment."""

from __future__ import annotations

import pytest

from tiercel.errors import NotFound, OperatorError
from tiercel.secrets.environment import EnvironmentSecrets


def test_a_secret_is_found_whatever_the_case_of_its_name() -> None:
    """`SECRET_MY_KEY` is `my_key`, and line breaks in its base64 do not matter."""
    secrets = EnvironmentSecrets({"SECRET_MY_KEY": "aGVs\nbG8=", "OTHER": "x"})

    assert "hello" == secrets.get("main", "any", "my_key")
    assert ["MY_KEY"] == secrets.names("main", "any")
    with pytest.raises(NotFound, match="Cannot find secret for key 'OTHER'"):
        secrets.get("main", "any", "OTHER")


def test_a_value_that_is_not_base64_is_the_operators_to_mend() -> None:
    """The message names the variable."""
    with pytest.raises(OperatorError, match="SECRET_BAD"):
        EnvironmentSecrets({"SECRET_BAD": "***"}).get("main", "any", "bad")
