"""The archive on S3. The only file that imports the S3 client."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from s3_sink.ports import PAGE, ArchiveUnavailableError, BucketMissingError, ObjectExistsError, ObjectRef

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# What the connector's objects have: the name says that they are gzipped, so no reader unpacks them twice.
_CONTENT_TYPE = "application/octet-stream"


def s3_client(endpoint_url: str | None, region: str, timeout_s: float, connections: int) -> "S3Client":
    """A client that asks once: the sink repeats on its own terms. Credentials are the SDK's own chain's."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=region,
        config=Config(
            connect_timeout=timeout_s,
            read_timeout=timeout_s,
            retries={"total_max_attempts": 1},
            max_pool_connections=connections,
            s3={"addressing_style": "path" if endpoint_url else "auto"},
        ),
    )


class S3Archive:
    """One bucket; see ``ports.Archive``."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def list(self, prefix: str, start_after: str | None = None) -> Iterator[ObjectRef]:
        """See ``ports.Archive``."""
        token: str | None = None
        while True:
            try:
                if token is None:
                    page = self._client.list_objects_v2(
                        Bucket=self._bucket, Prefix=prefix, MaxKeys=PAGE, StartAfter=start_after or ""
                    )
                else:
                    page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, ContinuationToken=token)
            except (ClientError, BotoCoreError) as error:
                raise self._failure(error) from error
            for found in page.get("Contents", []):
                yield ObjectRef(found["Key"], found["ETag"])
            token = page.get("NextContinuationToken")
            if token is None:
                return

    def metadata(self, key: str) -> Mapping[str, str] | None:
        """See ``ports.Archive``."""
        try:
            return self._client.head_object(Bucket=self._bucket, Key=key)["Metadata"]
        except ClientError as error:
            if _status(error) == 404:  # of the object or of the bucket: a HEAD's answer has no body that says which
                return None
            raise self._failure(error) from error
        except BotoCoreError as error:
            raise self._failure(error) from error

    def put(self, key: str, body: bytes, metadata: Mapping[str, str]) -> str:
        """See ``ports.Archive``."""
        try:
            answer = self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ContentType=_CONTENT_TYPE,
                Metadata=metadata,
                IfNoneMatch="*",
            )
        except ClientError as error:
            if _status(error) == 412:
                msg = f"{key} exists"
                raise ObjectExistsError(msg) from error
            raise self._failure(error) from error
        except BotoCoreError as error:
            raise self._failure(error) from error
        return answer["ETag"]

    def _failure(self, error: ClientError | BotoCoreError) -> ArchiveUnavailableError:
        # Denied access is among what may pass: a policy can be put right under the running sink, which is not
        # ready until then.
        if isinstance(error, ClientError) and error.response["Error"].get("Code") == "NoSuchBucket":
            return BucketMissingError(f"there is no bucket {self._bucket}")
        return ArchiveUnavailableError(f"bucket {self._bucket}: {error}")


def _status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]
