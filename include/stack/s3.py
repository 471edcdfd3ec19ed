"""The S3 server of a stack, as its programs see it."""

from typing import Any

import boto3
from botocore.config import Config

from include.stack.services import Services


def s3_client(services: Services) -> Any:
    """Return a boto3 client of the stack's S3 server that does not retry: callers here ask again by themselves."""
    return boto3.client(
        "s3",
        endpoint_url=services.s3_endpoint,
        aws_access_key_id=services.s3_access_key,
        aws_secret_access_key=services.s3_secret_key,
        region_name=services.s3_region,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )
