import os
from dataclasses import replace
from pathlib import Path

import pytest
from supervisor.options import ProcessConfig, ServerOptions

from include.lifecycle.operations.dumps import PROGRAMS_FOLDER
from include.stack import successor
from include.stack.configuration import (
    SOCKET_PATH_LIMIT,
    configuration,
    refuse_unwritable_paths,
    socket_path,
)
from include.stack.errors import StackError
from include.stack.postgres import binary
from include.stack.processes import PROGRAM
from include.stack.programs import programs
from include.stack.settings import StackSettings


def as_supervisor_reads_it(settings: StackSettings) -> dict[str, ProcessConfig]:
    for folder in (settings.log_dir, settings.run_dir):
        folder.mkdir(parents=True, exist_ok=True)
    file = settings.run_dir / "supervisor.conf"
    file.write_text(configuration(settings, programs(settings)))
    options = ServerOptions()
    options.realize(["-c", str(file)])
    return {group.name: group.process_configs[0] for group in options.process_group_configs}


def test_every_program_is_restarted_on_a_crash_and_ended_with_its_whole_group(settings: StackSettings) -> None:
    read = as_supervisor_reads_it(settings)

    assert set(read) == {
        "postgres",
        "s3",
        "mlflow",
        "api-server",
        "scheduler",
        "dag-processor",
        "triggerer",
    }
    for program in read.values():
        assert program.autorestart.__name__ == "RestartUnconditionally"
        assert program.stopasgroup
        assert program.killasgroup
        assert program.stdout_logfile_maxbytes > 0


def test_every_airflow_program_first_ends_what_an_earlier_start_of_it_left(settings: StackSettings) -> None:
    started = [program for program in programs(settings) if program.service == "airflow"]

    assert {tuple(program.command[1:3]) for program in started} == {("-m", successor.__name__)}
    assert [program.environment[PROGRAM] for program in started] == [program.name for program in started]


def test_environment_and_command_survive_a_path_with_blanks_percent_signs_and_quotes(tmp_path: Path) -> None:
    # given
    state_dir = tmp_path / "it's 100 %(here)s; really"
    state_dir.mkdir()
    settings = StackSettings(state_dir=state_dir)

    # when
    read = as_supervisor_reads_it(settings)

    # then
    own = {PROGRAM: "scheduler", PROGRAMS_FOLDER: str(binary("pg_dump").parent)}
    assert read["scheduler"].environment == settings.airflow_environment() | own
    assert f"'{state_dir}/postgres'" in read["postgres"].command.replace("'\"'\"'", "'")


@pytest.mark.parametrize("name", ['a "quoted" folder', "a ; b", "a # b", "a:b"])
def test_path_that_the_configuration_cannot_hold_is_refused(name: str, settings: StackSettings) -> None:
    with pytest.raises(StackError, match="move the folder"):
        refuse_unwritable_paths(replace(settings, state_dir=settings.state_dir / name))


@pytest.mark.parametrize("length", [20, 80, 95, 200])
def test_socket_path_fits_whatever_the_length_of_the_state_folder(length: int) -> None:
    settings = StackSettings(state_dir=Path("/") / ("d" * length))

    path = socket_path(settings)

    # The supervisor first listens under the same name with its process id appended.
    assert len(os.fsencode(f"{path}.1234567")) <= SOCKET_PATH_LIMIT


def test_two_long_state_folders_get_sockets_of_their_own() -> None:
    one, other = (StackSettings(state_dir=Path("/") / (letter * 150)) for letter in "ab")

    assert socket_path(one) != socket_path(other)
