"""What the operator decides about an object store: `storage.s3.…`."""

from __future__ import annotations

from typing import Literal

import msgspec


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Whom we trust, and who we are, on encrypted connections."""

    verify: bool = True
    ca_file: str | None = None
    """Certificates of authorities, PEM; default: those that Mozilla trusts."""
    certificate_file: str | None = None
    """Our own certificate, where the store asks for one."""
    key_file: str | None = None


class S3Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Internal storage in a bucket."""

    endpoint: str = "https://s3.amazonaws.com"
    """`http://host:port` of MinIO or another store."""
    bucket: str | None = None
    prefix: str = ""
    """Before every key, so that several installations can share a bucket."""
    region: str | None = None
    """Default: asked of the store."""
    access_key: str | None = None
    """Without one: `AWS_ACCESS_KEY_ID` and the other usual places, on AWS also the machine's role."""
    secret_key: str | None = None
    session_token: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    """`host/bucket/key`, or `bucket.host/key`; auto: virtual on AWS."""
    create_bucket: bool = True
    """Whether a bucket that is not there is made at start."""
    encryption: Literal["none", "s3", "kms"] = "none"
    """Encryption by the store: with its own keys, or with a key of its key manager."""
    kms_key_id: str | None = None
    tls: TlsSettings = TlsSettings()
    part_size_mb: int = 8
    """Large files travel in parts of this size; a file of unknown size can have 10,000 of them."""
    parts_in_flight: int = 4
    """Parts of one file at the same time: this many, and one more, are in memory."""
    connections_max: int = 16
    """Requests of one process at the same time."""

    @property
    def part_size(self) -> int:
        return self.part_size_mb << 20
