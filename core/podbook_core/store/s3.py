"""The object store in a bucket of any S3-compatible service, and signed access to it for pods that hold no keys.

The one module that calls boto3. Signatures are always SigV4: boto3 falls back to the old scheme for some endpoints otherwise.
"""

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.session import Session
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError

from podbook_core.store.base import (
    KeyNotFoundError,
    ObjectInfo,
    ObjectTooLargeError,
    OpenObject,
    PreconditionFailedError,
    StoredObject,
    StoreUnavailableError,
    can_have_keys,
    check_key,
)
from podbook_core.store.s3_client import make_client
from podbook_core.store.s3_errors import status_of, translated
from podbook_core.store.s3_settings import S3Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, GetObjectOutputTypeDef

__all__ = ["S3Settings", "S3Store"]

_CHUNK = 256 * 1024
_PAGE = 1000
"""Most keys one list or one deletion may hold (S3 API)."""
_SIGNED_LIMIT = 7 * 24 * 3600
"""Longest validity of a SigV4 signature, in seconds."""
_CONFLICTS = 5


class S3Store:
    """An :class:`~podbook_core.store.base.ObjectStore` in a bucket. Safe to use from many threads.

    The credentials need GetObject, PutObject, DeleteObject and AbortMultipartUpload on the bucket's objects and ListBucket on the
    bucket; without ListBucket S3 answers 403 where an object is missing, which looks like refused credentials.
    """

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._bucket = settings.bucket
        self._session = Session(
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            aws_session_token=settings.session_token,
            region_name=settings.region,
        )
        try:
            self._s3 = make_client(self._session, settings, settings.endpoint)
            same = settings.pod_endpoint in (None, settings.endpoint)
            self._signer = self._s3 if same else make_client(self._session, settings, settings.pod_endpoint)
        except ValueError as error:  # botocore's answer to an endpoint that is not a URL
            raise StoreUnavailableError(f"the store's address is wrong: {error}") from error
        # Those the clients have got: they keep them, too.
        self._credentials = self._session.get_credentials()

    @property
    def temporary_credentials(self) -> bool:
        """Whether this program's credentials end some day, and with them all that they signed. Makes no request."""
        return self.renewed_credentials or (self._credentials is not None and self._credentials.token is not None)

    @property
    def renewed_credentials(self) -> bool:
        """Whether the credentials come from a source of new ones before they end: web identity, container, instance.

        Otherwise they are keys that stay, or a session token that was given once and whose end is unknown. Makes no request.
        """
        return isinstance(self._credentials, RefreshableCredentials)

    def credentials_end(self) -> datetime | None:
        """When the credentials that sign now end, and with them all that they signed, in UTC; None where that is not known.

        Where the present ones are about to end (botocore: in a quarter of an hour), new ones are fetched first, so this may take as
        long as the service that hands them out.

        Raises:
            StoreUnavailableError: they have ended, and no new ones are available.
        """
        credentials = self._credentials
        if not isinstance(credentials, RefreshableCredentials):
            return None
        what = "cannot renew the store's credentials"
        try:
            with self._translated("", what):
                credentials.get_frozen_credentials()
        except (OSError, RuntimeError) as error:
            # A token file that cannot be read; new credentials that have ended already.
            raise StoreUnavailableError(f"{what}: {error}") from error
        # botocore tells it nowhere else; a test notices when the name changes.
        end: datetime | None = getattr(credentials, "_expiry_time", None)
        return None if end is None else end.astimezone(UTC)

    def put(
        self,
        key: str,
        data: bytes | Path,
        *,
        media_type: str = "application/octet-stream",
        if_none_match: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """See :meth:`ObjectStore.put <podbook_core.store.base.ObjectStore.put>`.

        When an answer is lost on its way, the request is sent again; a conditional one is then refused although it was this one that
        wrote. So a refused writer reads what is there, as all writers do that share a key with others.
        """
        check_key(key)
        condition: dict[str, Any] = {}
        if if_none_match:
            condition["IfNoneMatch"] = "*"
        if if_match is not None:
            condition["IfMatch"] = f'"{if_match}"'
        try:
            with self._translated(key, f"cannot write {key}"), _readable(data):
                size = len(data) if isinstance(data, bytes) else data.stat().st_size
                if isinstance(data, Path) and size > self._settings.part_size:
                    etag = self._put_parts(key, data, media_type, condition)
                else:
                    etag = self._put_whole(key, data, media_type, condition)
        except KeyNotFoundError as error:
            # S3's answer to If-Match where nothing is to be matched.
            raise PreconditionFailedError(f"{key} has changed: it is gone") from error
        return ObjectInfo(key, size, etag, media_type)

    def get(self, key: str, *, limit: int, if_match: str | None = None) -> StoredObject:
        """See :meth:`ObjectStore.get <podbook_core.store.base.ObjectStore.get>`."""
        with self.open(key, if_match=if_match) as found:
            # The service says the size first; what it says is not believed either.
            if found.info.size > limit:
                raise ObjectTooLargeError(key, limit)
            data = bytearray()
            for chunk in found.chunks:
                data += chunk
                if len(data) > limit:
                    raise ObjectTooLargeError(key, limit)
            return StoredObject(found.info, bytes(data))

    def tail(self, key: str, *, limit: int) -> bytes:
        """See :meth:`ObjectStore.tail <podbook_core.store.base.ObjectStore.tail>`."""
        check_key(key)
        with self._translated(key, f"cannot read {key}"):
            try:
                answer = self._s3.get_object(Bucket=self._bucket, Key=key, Range=f"bytes=-{limit}")
            except ClientError as error:
                if status_of(error) == 416:  # S3's answer for an object without content
                    return b""
                raise
        tail = b""
        try:
            # A service that knows no ranges sends the whole object; then its end is what remains.
            for chunk in self._chunks(key, answer):
                tail = (tail + chunk)[-limit:]
        finally:
            answer["Body"].close()
        return tail

    @contextmanager
    def open(self, key: str, *, if_match: str | None = None) -> Iterator[OpenObject]:
        """See :meth:`ObjectStore.open <podbook_core.store.base.ObjectStore.open>`."""
        check_key(key)
        condition: dict[str, Any] = {} if if_match is None else {"IfMatch": f'"{if_match}"'}
        with self._translated(key, f"cannot read {key}"):
            answer = self._s3.get_object(Bucket=self._bucket, Key=key, **condition)
        try:
            yield OpenObject(_info(key, answer), self._chunks(key, answer))
        finally:
            answer["Body"].close()

    def head(self, key: str) -> ObjectInfo | None:
        """See :meth:`ObjectStore.head <podbook_core.store.base.ObjectStore.head>`."""
        with suppress(KeyNotFoundError), self._translated(key, f"cannot read {key}"):
            check_key(key)
            return _info(key, self._s3.head_object(Bucket=self._bucket, Key=key))
        return None

    def modified(self, key: str) -> datetime | None:
        """See :meth:`ObjectStore.modified <podbook_core.store.base.ObjectStore.modified>`."""
        with suppress(KeyNotFoundError), self._translated(key, f"cannot read {key}"):
            check_key(key)
            return self._s3.head_object(Bucket=self._bucket, Key=key)["LastModified"].astimezone(UTC)
        return None

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> list[str]:
        """See :meth:`ObjectStore.list <podbook_core.store.base.ObjectStore.list>`."""
        if not can_have_keys(prefix):
            return []
        if start_after and not start_after.startswith(prefix):
            # MinIO refuses a start outside the prefix, although S3 defines it.
            if start_after > prefix:
                return []
            start_after = ""
        found: list[str] = []
        for page in self._pages(prefix, start_after, limit):
            found.extend(page)
        return found

    def describe(self, prefix: str, names: Collection[str]) -> dict[str, ObjectInfo]:
        """See :meth:`ObjectStore.describe <podbook_core.store.base.ObjectStore.describe>`."""
        wanted = {prefix + name for name in names}
        if not wanted or not can_have_keys(prefix):
            return {}
        found: dict[str, ObjectInfo] = {}
        seen = 0
        # Listing tells of a thousand objects at a time. If the folder was filled with others, each of ours is asked for instead.
        bound = 2 * (len(wanted) + _PAGE)
        for page in self._pages(prefix, "", bound):
            seen += len(page)
            found.update({key: info for key, info in page.items() if key in wanted})
            if len(found) == len(wanted):
                return found
        if seen >= bound:
            for key in sorted(wanted - found.keys()):
                if (info := self.head(key)) is not None:
                    found[key] = replace(info, media_type="")
        return found

    def folders(self, prefix: str, *, limit: int) -> Sequence[str]:
        """See :meth:`ObjectStore.folders <podbook_core.store.base.ObjectStore.folders>`."""
        found: list[str] = []
        token: dict[str, Any] = {}
        while can_have_keys(prefix) and len(found) < limit:
            with self._translated("", f"cannot list {prefix}"):
                page = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix, Delimiter="/", MaxKeys=_PAGE, **token)
            found.extend(item["Prefix"][len(prefix) : -1] for item in page.get("CommonPrefixes", []))
            if not page["IsTruncated"]:
                break
            token = {"ContinuationToken": page["NextContinuationToken"]}
        return sorted(found)[:limit]

    def _pages(self, prefix: str, start_after: str, limit: int) -> Iterator[dict[str, ObjectInfo]]:
        """Keys with what a listing tells of them, request by request."""
        while limit > 0:
            start: dict[str, Any] = {"StartAfter": start_after} if start_after else {}
            with self._translated("", f"cannot list {prefix}"):
                page = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=min(_PAGE, limit), **start)
            contents = page.get("Contents", [])
            yield {item["Key"]: ObjectInfo(item["Key"], item["Size"], _etag(item["ETag"]), "") for item in contents}
            if not page["IsTruncated"] or not contents:
                return
            limit -= len(contents)
            start_after = contents[-1]["Key"]

    def delete(self, key: str) -> None:
        """See :meth:`ObjectStore.delete <podbook_core.store.base.ObjectStore.delete>`."""
        with contextlib.suppress(KeyNotFoundError):
            check_key(key)
            with self._translated(key, f"cannot delete {key}"):
                self._s3.delete_object(Bucket=self._bucket, Key=key)

    def delete_prefix(self, prefix: str) -> int:
        """See :meth:`ObjectStore.delete_prefix <podbook_core.store.base.ObjectStore.delete_prefix>`."""
        removed = 0
        while keys := self.list(prefix, limit=_PAGE):
            with self._translated("", f"cannot delete {prefix}"):
                answer = self._s3.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
                )
            for refused in answer.get("Errors", []):
                raise StoreUnavailableError(f"cannot delete {refused.get('Key', prefix)}: {refused.get('Code', 'refused')}")
            removed += len(keys)
        return removed

    def check(self) -> None:
        """See :meth:`ObjectStore.check <podbook_core.store.base.ObjectStore.check>`."""
        with self._translated("", f"cannot list bucket {self._bucket}"):
            self._s3.list_objects_v2(Bucket=self._bucket, MaxKeys=1)

    def ensure_bucket(self) -> None:
        """Create the bucket where it is missing.

        Raises:
            StoreUnavailableError: it is missing and cannot be created, or the service cannot be reached.
        """
        with self._translated("", f"cannot create bucket {self._bucket}"):
            try:
                self._s3.head_bucket(Bucket=self._bucket)
                return
            except ClientError as error:
                if status_of(error) != 404:
                    raise
            # Amazon's first region is the one that must not be named.
            where: dict[str, Any] = {}
            if self._settings.region != "us-east-1":
                where["CreateBucketConfiguration"] = {"LocationConstraint": self._settings.region}
            with contextlib.suppress(self._s3.exceptions.BucketAlreadyOwnedByYou):
                self._s3.create_bucket(Bucket=self._bucket, **where)

    def presign_get(self, key: str, seconds: int) -> str:
        """A URL that reads one object for ``seconds`` (1 to 604800), from where pods are."""
        check_key(key)
        with self._translated(key, f"cannot sign {key}"):
            return self._signer.generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=_validity(seconds)
            )

    def presign_post(self, prefix: str, max_bytes: int, seconds: int) -> tuple[str, dict[str, str]]:
        """URL and form fields that write objects below a prefix for ``seconds`` (1 to 604800), each of at most ``max_bytes``.

        A writer sends the fields, then ``key`` (which must start with the prefix), ``Content-Type`` and, last, ``file``, as
        multipart/form-data (S3 POST policy).
        """
        if not prefix.endswith("/") or len(prefix) < 2:
            raise ValueError("access is signed for a folder: the prefix must end with /")
        check_key(prefix[:-1])
        with self._translated(prefix, f"cannot sign {prefix}"):
            signed = self._signer.generate_presigned_post(
                self._bucket,
                prefix + "${filename}",
                Conditions=[["starts-with", "$Content-Type", ""], ["content-length-range", 0, max_bytes]],
                ExpiresIn=_validity(seconds),
            )
        fields: Mapping[str, str] = signed["fields"]
        return signed["url"], {name: value for name, value in fields.items() if name != "key"}

    def _put_whole(self, key: str, data: bytes | Path, media_type: str, condition: Mapping[str, Any]) -> str:
        for remaining in reversed(range(_CONFLICTS)):
            try:
                with contextlib.ExitStack() as stack:
                    body = data if isinstance(data, bytes) else stack.enter_context(data.open("rb"))
                    answer = self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=media_type, **condition)
                return _etag(answer["ETag"])
            except ClientError as error:
                # 409 ConditionalRequestConflict: another writer is active at this moment; trying again shows who was first.
                if status_of(error) != 409 or not remaining:
                    raise
        raise AssertionError("the last try returns or raises")

    def _put_parts(self, key: str, path: Path, media_type: str, condition: Mapping[str, Any]) -> str:
        upload = self._s3.create_multipart_upload(Bucket=self._bucket, Key=key, ContentType=media_type)["UploadId"]
        try:
            parts: list[CompletedPartTypeDef] = []
            with path.open("rb") as file:
                for number in range(1, math.ceil(path.stat().st_size / self._settings.part_size) + 1):
                    part = self._s3.upload_part(
                        Bucket=self._bucket,
                        Key=key,
                        UploadId=upload,
                        PartNumber=number,
                        Body=file.read(self._settings.part_size),
                    )
                    parts.append({"PartNumber": number, "ETag": part["ETag"]})
            answer = self._s3.complete_multipart_upload(
                Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **condition
            )
        except BaseException:
            # Parts without an end cost money and are invisible.
            with contextlib.suppress(ClientError, BotoCoreError):
                self._s3.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
            raise
        return _etag(answer["ETag"])

    def _chunks(self, key: str, answer: "GetObjectOutputTypeDef") -> Iterator[bytes]:
        with self._translated(key, f"cannot read {key}"):
            yield from answer["Body"].iter_chunks(_CHUNK)

    def _translated(self, key: str, what: str) -> AbstractContextManager[None]:
        place = self._settings.endpoint or f"Amazon S3 in {self._settings.region}"
        return translated(key, what, bucket=self._bucket, place=place)


def _etag(quoted: str) -> str:
    return quoted.strip('"')


def _info(key: str, answer: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        key, int(answer["ContentLength"]), _etag(answer["ETag"]), str(answer.get("ContentType") or "application/octet-stream")
    )


def _validity(seconds: int) -> int:
    if not 1 <= seconds <= _SIGNED_LIMIT:
        raise ValueError(f"access can be signed for 1 to {_SIGNED_LIMIT} seconds, not {seconds}")
    return seconds


@contextmanager
def _readable(data: bytes | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        name = data.name if isinstance(data, Path) else "the content"
        raise StoreUnavailableError(f"cannot read {name}: {error.strerror or error}") from error
