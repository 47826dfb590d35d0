"""The demonstration shows what it says."""

from __future__ import annotations

import pytest

from backing import choice
from backing.minio import S3Address
from demo.__main__ import main


def test_the_demonstration_is_right_in_every_number() -> None:
    """It compares outputs, files, attempts and logs with a calculation of its own."""
    assert 0 == main()


def test_the_demonstration_on_kafka_and_minio_is_right_too(kafka: str, s3: S3Address) -> None:
    """By settings alone: the same flows, the same numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(choice.KAFKA_VARIABLE, kafka)
        patch.setenv(choice.S3_VARIABLE, s3.url)

        assert 0 == main(["kafka", "minio"])
