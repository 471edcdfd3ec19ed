"""S3 servers, as the programs of a stack see them."""

from typing import Any

import boto3
from botocore.config import Config

from include.stack.services import Services


def s3_client(services: Services) -> Any:
    """Return a boto3 client of the stack's S3 server that does not retry: callers here ask again by themselves."""
    keys = services.s3_access_key, services.s3_secret_key
    return connect(services.s3_endpoint, services.s3_region, keys, attempts=1)


def connect(endpoint: str, region: str, keys: tuple[str, str], attempts: int) -> Any:
    """Return a boto3 client of any S3 server; ``keys`` are access key id and secret access key."""
    access_key, secret_key = keys
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(retries={"mode": "standard", "total_max_attempts": attempts}, proxies={}),
    )
