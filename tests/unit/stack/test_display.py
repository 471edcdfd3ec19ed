import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from include.stack import __main__ as commands
from include.stack import health
from include.stack.display import Display
from include.stack.settings import StackSettings


def test_without_a_terminal_each_change_is_printed_once() -> None:
    # given
    out = io.StringIO()

    # when
    with Display(Console(file=out, width=80)) as display:
        display.show("training", "train", 1, 4)
        display.show("training", "train", 1, 4)
        display.show("training", "push [1]", 2, 4)

    # then
    assert out.getvalue().splitlines() == ["training 1/4: train", "training 2/4: push [1]"]


def test_on_a_terminal_the_line_shows_what_is_done_of_how_much() -> None:
    out = io.StringIO()

    with Display(Console(file=out, width=120, force_terminal=True)) as display:
        display.show("training", "push [1]", 2, 4)

    shown = Text.from_ansi(out.getvalue()).plain
    assert re.search(r"training .* 2/4 .* push \[1\]", shown)


def test_what_ran_all_along_is_not_said_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    storage: Any = [SimpleNamespace(name=name) for name in ("postgres", "s3")]
    monkeypatch.setattr(health, "is_healthy", lambda *_: True)
    monkeypatch.setattr(health, "refuse_given_up", lambda _: None)

    with Display(Console(file=out, width=80)) as display:
        health.wait_until_healthy(StackSettings(), storage, {"s3"}, display)

    assert out.getvalue().splitlines() == ["s3 0/1: starting", "postgres 1/1: already running", "s3 1/1: ready"]


@pytest.mark.parametrize(("command", "sentence"), [("status", "is not running"), ("logs", "no logs yet")])
def test_a_stack_that_is_not_running_is_an_answer_and_no_error(
    command: str, sentence: str, tmp_path: Path
) -> None:
    out = io.StringIO()

    code = commands.COMMANDS[command](StackSettings(state_dir=tmp_path), Console(file=out, width=80))

    assert sentence in out.getvalue()
    assert code == 0
