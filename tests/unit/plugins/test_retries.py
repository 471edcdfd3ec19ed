"""An outage is worth another try, bad data is not."""

from __future__ import annotations

import errno
import gzip
import shutil
import zipfile

import psycopg2
import pytest
import requests
from airflow.sdk import RetryAction
from botocore.exceptions import EndpointConnectionError
from mlflow.exceptions import MlflowException
from polars.exceptions import ColumnNotFoundError

from include.lifecycle.modelling.model_files import UntrustedModelError
from include.lifecycle.operations.dumps import DumpError
from include.lifecycle.promotion.ledger import LedgerConflictError
from include.lifecycle.storage.lake import CorruptFileError, PartitionNotFoundError
from ml_lifecycle.retries import RETRY_OUTAGES

OUTAGES = (
    ConnectionRefusedError(),
    ConnectionError("pg_dump failed: connection to server"),
    TimeoutError(),
    requests.exceptions.ConnectionError(),
    requests.exceptions.JSONDecodeError("no JSON", "<html>502</html>", 0),
    EndpointConnectionError(endpoint_url="http://127.0.0.1:9000"),
    psycopg2.OperationalError(),
    MlflowException("API request failed"),
    LedgerConflictError("another champion"),
    OSError(errno.EIO, "input/output error"),
    MemoryError(),
    RecursionError(),
)
BAD_DATA = (
    ValueError("no positives"),
    KeyError("churned_on"),
    TypeError("text"),
    ColumnNotFoundError("tenure"),
    PartitionNotFoundError("no manifest"),
    FileNotFoundError("prices/tsla.us.txt"),
    IsADirectoryError("customers.csv"),
    NotADirectoryError("customers"),
    PermissionError("customers.csv"),
    OverflowError("date value out of range"),
    CorruptFileError("other bytes"),
    DumpError("pg_dump is older than the server"),
    UntrustedModelError("os.system"),
    gzip.BadGzipFile("not a gzipped file"),
    zipfile.BadZipFile("not a zip file"),
    shutil.SpecialFileError("a named pipe"),
    OSError(errno.ELOOP, "too many levels of symbolic links"),
)


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_an_outage_is_retried(error: Exception) -> None:
    assert RETRY_OUTAGES.evaluate(error, 1, 3).action is RetryAction.DEFAULT


@pytest.mark.parametrize("error", BAD_DATA, ids=lambda error: type(error).__name__)
def test_bad_data_fails_at_once(error: Exception) -> None:
    assert RETRY_OUTAGES.evaluate(error, 1, 3).action is RetryAction.FAIL
