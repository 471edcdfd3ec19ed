"""What a person sees while waiting: a live line per thing on a terminal, a printed line per change elsewhere."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class Display:
    """Lines that say what is being waited for, how far it is and for how long."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._lines: dict[str, TaskID] = {}
        self._printed: dict[str, str] = {}
        self._progress = Progress(
            SpinnerColumn("line", finished_text="*"),
            TextColumn("{task.fields[label]:<16}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, label: str, text: str, done: int = 0, total: int | None = None) -> None:
        """Say how far ``label`` is: ``done`` of ``total`` parts (None: not known), doing ``text``."""
        if label not in self._lines:
            self._lines[label] = self._progress.add_task("", label=label, total=total)
        self._progress.update(self._lines[label], description=escape(text), completed=done, total=total)
        if not self.console.is_terminal and self._printed.get(label) != text:
            self._printed[label] = text
            count = f" {done}/{total}" if total else ""
            self.console.print(f"{label}{count}: {text}", markup=False, highlight=False, soft_wrap=True)
