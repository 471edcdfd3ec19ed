import os
import re
import socket

import pytest

from include.stack import preflight
from include.stack.errors import StackError
from include.stack.settings import StackSettings


def test_taken_port_is_named_with_its_service_its_holder_and_a_free_port(settings: StackSettings) -> None:
    # given
    with socket.create_server(("127.0.0.1", settings.ports.mlflow)):
        # when
        with pytest.raises(StackError) as refused:
            preflight.check_ports(settings, ["s3", "mlflow"])

        # then
        sentence = str(refused.value)
        assert f"Port {settings.ports.mlflow}, meant for MLflow, is taken" in sentence
        assert f"(process {os.getpid()})" in sentence
        suggested = re.search(r"make run ML_MLFLOW_PORT=(\d+)$", sentence)
        assert suggested
        with socket.create_server(("127.0.0.1", int(suggested[1]))):
            pass


def test_port_held_on_all_addresses_counts_as_taken(settings: StackSettings) -> None:
    with socket.create_server(("0.0.0.0", settings.ports.s3)), pytest.raises(StackError):
        preflight.check_ports(settings, ["s3"])


def test_ports_of_services_that_are_not_wanted_do_not_matter(settings: StackSettings) -> None:
    with socket.create_server(("127.0.0.1", settings.ports.airflow)):
        preflight.check_ports(settings, ["postgres", "s3", "mlflow"])


def test_nearly_full_disk_is_refused_with_the_space_that_is_left(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "FREE_BYTES_NEEDED", 2**80)

    with pytest.raises(StackError, match=r"Only \d+\.\d GB are free for .*ML_STATE_DIR"):
        preflight.check_disk(settings)


def test_state_folder_of_another_user_is_refused(settings: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)

    with pytest.raises(StackError, match=r"belongs to user .* and you are user 4242"):
        preflight.check_owner(settings)
