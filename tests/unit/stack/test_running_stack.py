"""PostgreSQL, the S3 server and MLflow under their supervisor, in a state folder with a long and awkward name."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version

import httpx
import psutil
import psycopg2
import pytest
import sqlalchemy
from alembic import command
from botocore.exceptions import ClientError
from mlflow.store.db.utils import _get_alembic_config, _verify_schema
from mlflow.store.tracking.dbmodels.initial_models import Base
from rich.console import Console

from include.stack import control, health, postgres, supervision
from include.stack.configuration import socket_path
from include.stack.errors import StackError
from include.stack.processes import leftovers
from include.stack.s3 import s3_client
from include.stack.settings import Ports, StackSettings

SERVICES = ("postgres", "s3", "mlflow")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[], Ports]) -> Iterator[StackSettings]:
    state_dir = tmp_path_factory.mktemp("stack") / "a folder, 100 % full" / ("long" * 20)
    with control.running(StackSettings(state_dir=state_dir, ports=free_ports()), SERVICES) as settings:
        yield settings


def start(settings: StackSettings, *services: str) -> None:
    control.start(settings, Console(quiet=True), services)


def process_of(settings: StackSettings, program: str) -> int:
    return next(int(state["pid"]) for state in supervision.states(settings) if state["name"] == program)


def eventually(condition: Callable[[], bool], seconds: float = 90) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False


def test_everything_listens_on_the_loopback_address_only(stack: StackSettings) -> None:
    # given
    ours = {process.pid for process in leftovers(stack)}

    # when
    listening = {
        tuple(connection.laddr)
        for connection in psutil.net_connections("inet")
        if connection.pid in ours and connection.status == psutil.CONN_LISTEN
    }

    # then
    ports = stack.ports
    assert listening == {("127.0.0.1", port) for port in (ports.postgres, ports.s3, ports.mlflow)}


def test_state_lies_in_one_folder_and_passwords_and_data_are_their_owners_alone(stack: StackSettings) -> None:
    # when
    modes = {path.name: path.stat().st_mode & 0o777 for path in stack.state_dir.iterdir()}

    # then
    assert modes == {
        "airflow": 0o700,
        "log": 0o700,
        "ports.json": 0o644,
        "postgres": 0o700,
        "run": 0o700,
        "s3": 0o700,
        "secrets.json": 0o600,
    }
    assert stack.airflow_password_file.stat().st_mode & 0o777 == 0o600
    assert (stack.run_dir / "supervisor.conf").stat().st_mode & 0o777 == 0o600


def test_password_shows_in_no_command_line(stack: StackSettings) -> None:
    commands = " ".join(" ".join(process.cmdline()) for process in leftovers(stack))

    assert "mlflow" in commands
    for secret in (stack.secrets.postgres_password, stack.s3_secret_key):
        assert secret not in commands


@pytest.mark.parametrize(
    ("database", "waits_for_the_disk"),
    [("airflow", "off"), ("mlflow", "on"), ("company", "on"), ("warehouse", "on")],
)
def test_database_takes_the_role_with_its_password(
    stack: StackSettings, database: str, waits_for_the_disk: str
) -> None:
    with psycopg2.connect(stack.postgres_dsn(database)) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT current_user, current_database(), current_setting('fsync'), "
            "current_setting('synchronous_commit')"
        )
        assert cursor.fetchone() == ("ml", database, "on", waits_for_the_disk)


def test_database_refuses_another_password(stack: StackSettings) -> None:
    wrong = stack.postgres_dsn("company").replace(stack.secrets.postgres_password, "guessed")

    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong)


def test_object_is_a_file_and_a_file_is_an_object(stack: StackSettings) -> None:
    # given
    s3, folder = s3_client(stack), stack.s3_dir / "ml-lake"

    # when
    s3.put_object(Bucket="ml-lake", Key="from/s3.txt", Body=b"one")
    (folder / "from" / "hand.txt").write_text("two")

    # then
    assert (folder / "from" / "s3.txt").read_bytes() == b"one"
    assert eventually(
        lambda: (
            [o["Key"] for o in s3.list_objects_v2(Bucket="ml-lake")["Contents"]]
            == ["from/hand.txt", "from/s3.txt"]
        ),
        seconds=5,
    )


def test_s3_server_refuses_another_secret(stack: StackSettings) -> None:
    stranger = s3_client(stack)
    stranger._request_signer._credentials.secret_key = "0" * 40

    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        stranger.list_buckets()


def test_mlflow_keeps_an_artifact_in_its_bucket(stack: StackSettings) -> None:
    url = f"{stack.mlflow_url}/api/2.0/mlflow-artifacts/artifacts/note.txt"

    assert httpx.put(url, content=b"kept", trust_env=False).is_success

    assert (stack.s3_dir / "mlflow" / "note.txt").read_bytes() == b"kept"


def test_second_start_is_quick_and_leaves_every_process_alone(stack: StackSettings) -> None:
    # given
    before = {state["name"]: state["pid"] for state in supervision.states(stack)}

    # when
    began = time.monotonic()
    start(stack, *SERVICES)

    # then
    assert time.monotonic() - began < 10
    assert {state["name"]: state["pid"] for state in supervision.states(stack)} == before


def test_killed_program_comes_back_by_itself(stack: StackSettings) -> None:
    # given
    killed = process_of(stack, "mlflow")

    # when
    os.killpg(killed, signal.SIGKILL)

    # then
    assert eventually(lambda: process_of(stack, "mlflow") not in (0, killed))
    assert eventually(lambda: health.is_healthy(stack, "mlflow"))


def test_start_after_the_supervisor_was_killed_ends_what_it_left_and_keeps_the_data(stack: StackSettings) -> None:
    # given
    with psycopg2.connect(stack.postgres_dsn("company")) as session, session.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    supervisor = int((stack.run_dir / "supervisor.pid").read_text())
    orphans = leftovers(stack)

    # when
    os.kill(supervisor, signal.SIGKILL)
    start(stack, "postgres")

    # then
    assert not [process for process in orphans if process.is_running()]
    with psycopg2.connect(stack.postgres_dsn("company")) as session, session.cursor() as cursor:
        cursor.execute("SELECT answer FROM kept")
        assert cursor.fetchone() == (42,)


def test_tables_of_an_older_mlflow_are_migrated_before_its_server_starts(stack: StackSettings) -> None:
    # given
    url = stack.sqlalchemy_url("mlflow")
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as session:
        session.execute(sqlalchemy.text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    Base.metadata.create_all(engine)
    command.upgrade(_get_alembic_config(url), "head-1")
    noted = postgres.note(stack, "mlflow")
    postgres.set_note(stack, "mlflow", "MLflow 3.0.0")

    # when
    start(stack, *SERVICES)

    # then
    _verify_schema(engine)
    assert postgres.note(stack, "mlflow") == noted == f"MLflow {version('mlflow')}"
    engine.dispose()


def test_stop_leaves_no_process_and_frees_the_ports(stack: StackSettings) -> None:
    control.stop(stack)

    assert leftovers(stack) == []
    assert not socket_path(stack).exists()
    for port in (stack.ports.postgres, stack.ports.s3, stack.ports.mlflow):
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_lock_of_a_crashed_machine_does_not_keep_the_database_from_starting(stack: StackSettings) -> None:
    # given: the process id in it belongs to somebody else by now
    control.stop(stack)
    (stack.postgres_dir / "postmaster.pid").write_text(f"{os.getpid()}\n{stack.postgres_dir}\n")

    # when
    start(stack, "postgres")

    # then
    assert health.is_healthy(stack, "postgres")


def test_program_that_cannot_start_is_named_with_the_end_of_its_log(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setattr("include.stack.programs.executable", lambda name: "/bin/false")

    # when
    with pytest.raises(StackError) as refused, control.running(settings, ["s3"]):
        pass

    # then
    assert "s3 ended by itself again and again" in str(refused.value)
    assert str(settings.log_dir / "s3.log") in str(refused.value)
    assert leftovers(settings) == []


def test_two_starts_at_once_do_not_get_in_each_others_way(settings: StackSettings) -> None:
    control._make_folders(settings)

    with control._only_one_start(settings), pytest.raises(StackError, match="Another start"):
        start(settings, "s3")


def test_lost_password_file_is_told(settings: StackSettings) -> None:
    # given
    with control.running(settings, ["postgres"]):
        pass
    settings.secrets_file.unlink()

    # when
    without_memory = replace(settings)
    with (
        pytest.raises(StackError, match=r"refuses the password .* restore that file"),
        control.running(without_memory, ["postgres"]),
    ):
        pass
