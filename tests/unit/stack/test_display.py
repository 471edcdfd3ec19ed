import io
import re

from rich.console import Console
from rich.text import Text

from include.stack.display import Display


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
