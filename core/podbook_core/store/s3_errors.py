"""boto3's errors as the store's. The messages name the place, never a credential."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from podbook_core.store.base import KeyNotFoundError, PreconditionFailedError, StoreUnavailableError

__all__ = ["status_of", "translated"]


def status_of(error: ClientError) -> int:
    """The HTTP status the service answered with; 0 where it did not answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextmanager
def translated(key: str, what: str, *, bucket: str, place: str) -> Iterator[None]:
    """Around calls of boto3: raises the store's errors in place of its own.

    Args:
        key: the object the call is about; empty where it is about none.
        what: what cannot be done, for messages.
        bucket: the bucket's name.
        place: where the service is, for messages.

    Raises:
        KeyNotFoundError: 404 about an object.
        PreconditionFailedError: 412.
        StoreUnavailableError: everything else.
    """
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = status_of(error)
        if code == "NoSuchBucket":
            raise StoreUnavailableError(f"{what}: bucket not found: {bucket}") from error
        if status == 404 and key:
            raise KeyNotFoundError(key) from error
        if status == 412:
            raise PreconditionFailedError(f"{key} exists or has changed") from error
        if status in (401, 403):
            raise StoreUnavailableError(f"{what}: the store refuses the credentials ({code})") from error
        raise StoreUnavailableError(f"{what}: the store answers {status} {code}") from error
    except (HTTPClientError, NoConnectionError) as error:
        raise StoreUnavailableError(f"{what}: {place} cannot be reached ({type(error).__name__})") from error
    except BotoCoreError as error:
        raise StoreUnavailableError(f"{what}: {error}") from error
