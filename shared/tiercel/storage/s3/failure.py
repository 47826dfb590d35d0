"""
What an answer of an object store means: a file that is not there, a setting that is wrong, or a store that is away.

What only the operator can mend is Rejected. It ends a start; later it is waited for like an outage, because work goes
on as soon as it is mended.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final
from xml.etree.ElementTree import ParseError

import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from tiercel.errors import Conflict, Refused, TiercelError, Unavailable
from tiercel.storage import place
from tiercel.storage.s3.settings import S3Settings


class Rejected(Unavailable):
    """The store answers, but does not let us: a setting, a right or a clock is wrong."""


REJECTIONS: Final[Mapping[str, str]] = {
    "InvalidAccessKeyId": "it does not know the access key; correct 'storage.s3.access-key'.",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key; correct 'storage.s3.secret-key'.",
    "InvalidToken": "it does not accept the session token; correct or remove 'storage.s3.session-token'.",
    "InvalidTokenId": "it does not accept the session token; correct or remove 'storage.s3.session-token'.",
    "ExpiredToken": "the session token is too old; renew 'storage.s3.session-token'.",
    "AccessDenied": "the user of 'storage.s3.access-key' may not do this in the bucket '{bucket}'; if the bucket is "
    "another's, name one of your own in 'storage.s3.bucket', else grant the user its objects.",
    "BucketAlreadyExists": "the bucket '{bucket}' is another's; name one of your own in 'storage.s3.bucket'.",
    "NoSuchBucket": "there is no bucket '{bucket}'; make it, correct 'storage.s3.bucket', or set "
    "'storage.s3.create-bucket' to true.",
    "InvalidBucketName": "'{bucket}' cannot be the name of a bucket; correct 'storage.s3.bucket'.",
    "AuthorizationHeaderMalformed": "the bucket '{bucket}' is in another region; correct 'storage.s3.region'.",
    "IllegalLocationConstraintException": "the bucket '{bucket}' cannot be in this region; correct "
    "'storage.s3.region'.",
    "InvalidRegion": "it has no such region; correct 'storage.s3.region'.",
    "PermanentRedirect": "the bucket '{bucket}' is in another region; correct 'storage.s3.region' and "
    "'storage.s3.endpoint'.",
    "KMSNotConfigured": "it cannot encrypt, because it has no key manager; set one up, or set "
    "'storage.s3.encryption' to none.",
    "NotImplemented": "it does not know what was asked of it; if 'storage.s3.encryption' is not none, it may not be "
    "able to encrypt.",
    "kms:KeyNotFound": "its key manager has no key '{key}'; correct 'storage.s3.kms-key-id'.",
    "KMS.NotFoundException": "its key manager has no key '{key}'; correct 'storage.s3.kms-key-id'.",
}
"""By the store's code: what is wrong and who must change what."""
SKEWED: Final = "RequestTimeTooSkewed"
MISSING: Final = frozenset({"NoSuchKey", "XMinioObjectNotFound"})
PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
"""Answers below 500 that another time may be different."""
RAISED: Final = (urllib3.exceptions.HTTPError, MinioException, OSError, ValueError, ParseError)
"""Everything that the client raises."""


def translated(error: Exception, settings: S3Settings, uri: str | None) -> TiercelError:
    """Return what the error of a request means for who has asked; `uri` names the file that it was about."""
    store = f"The object store at '{settings.endpoint}'"
    match error:
        case S3Error(code=code) if code in MISSING and uri is not None:
            return place.missing(uri)
        case S3Error(code="PreconditionFailed") if uri is not None:
            return Conflict(f"File '{uri}' was replaced while it was read; read it again.")
        case S3Error(code=code) if code == SKEWED:
            return Rejected(f"{store} rejects us: {_clocks(error)}")
        case S3Error(code=code) if code in REJECTIONS:
            reason = REJECTIONS[code or ""].format(bucket=settings.bucket, key=settings.kms_key_id)
            return Rejected(f"{store} rejects us: {reason}")
        case S3Error(code=code, message=message):
            said = f"{code}: {message}"
            return _by_status(error.response.status, said, store, uri)
        case ServerError():
            return _by_status(error.status_code, str(error), store, uri)
        case InvalidResponseError():
            return _not_s3(error, store)
        case urllib3.exceptions.SSLError():
            return Rejected(
                f"{store} cannot be trusted: {error}. Correct 'storage.s3.endpoint' (http or https), or name its "
                "authority in 'storage.s3.tls.ca-file'."
            )
        case ParseError():
            return _no_store(store, "no XML")
        case ValueError() if "XML" in str(error):
            return _no_store(store, str(error))
        case ValueError():
            return Rejected(f"{store} cannot be asked: {error}. Correct the settings 'storage.s3.…'.")
        case _:
            return Unavailable(
                f"Cannot reach the object store at '{settings.endpoint}' ('storage.s3.endpoint'): {_reason(error)}. "
                "Is it running?"
            )


def _by_status(status: int, said: str, store: str, uri: str | None) -> TiercelError:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in PASSING:
        return Unavailable(f"{store} cannot answer now: {said}")
    about = f" '{uri}'" if uri is not None else ""
    return Refused(f"{store} refuses{about}: {said}")


def _not_s3(error: InvalidResponseError, store: str) -> TiercelError:
    status, body = error._code, error._body
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in PASSING:
        return Unavailable(f"{store} cannot answer now: HTTP status {status}.")
    said = f" ({(body or '').strip()[:80]})" if body else ""
    return _no_store(store, f"HTTP status {status}{said}")


def _no_store(store: str, reason: str) -> Rejected:
    return Rejected(
        f"{store} does not answer as an object store does: {reason}. Correct 'storage.s3.endpoint': host, port, and "
        "http or https."
    )


def _clocks(error: S3Error) -> str:
    """Say how far apart the clocks are: a signature holds for a quarter of an hour."""
    ours = datetime.now(UTC)
    advice = "set this machine's clock (or the store's) right, best by NTP."
    try:
        theirs = parsedate_to_datetime(error.response.headers["Date"])
    except (KeyError, TypeError, ValueError):
        return f"our clock ({ours:%Y-%m-%d %H:%M:%S} UTC) differs too much from its own; {advice}"
    gap = abs((ours - theirs).total_seconds())
    return (
        f"our clock says {ours:%Y-%m-%d %H:%M:%S} UTC, its clock {theirs.astimezone(UTC):%Y-%m-%d %H:%M:%S}, which is "
        f"{gap / 60:.0f} minutes apart; {advice}"
    )


def _reason(error: Exception) -> str:
    """Return the last part of the client's message, which is the reason."""
    text = str(error.__cause__ or error)
    return text.rsplit(": ", 1)[-1].rstrip(".") or type(error).__name__
