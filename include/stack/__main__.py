"""``python -m include.stack run|start|stop|status|logs|restore``: what the Makefile calls."""

import argparse
import os
import sys
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from include.lifecycle.operations.dumps import PROGRAMS_FOLDER
from include.stack import control, health, main_job, postgres, restore, summary, supervision
from include.stack.errors import StackError
from include.stack.settings import StackSettings

INTERRUPTED = 130


def run(settings: StackSettings, console: Console) -> int:
    """Start the stack, run the main job where there is something to do, and say what came out."""
    request = main_job.Request.from_environment(os.environ)
    control.start(settings, console)
    main_job.run(settings, console, lambda: health.refuse_given_up(settings), request)
    summary.show(settings, console, request.dataset)
    summary.show_addresses(settings, console)
    return 0


def start(settings: StackSettings, console: Console) -> int:
    """Start the stack and say where it is."""
    control.start(settings, console)
    summary.show_addresses(settings, console)
    return 0


def stop(settings: StackSettings, console: Console) -> int:
    """End the stack."""
    with console.status("Stopping"):
        control.stop(settings)
    console.print("Stopped. The data is kept; `make run` continues from here.")
    return 0


def status(settings: StackSettings, console: Console) -> int:
    """Show what runs; 1 if something of a running stack does not, as a stack that was stopped is no fault."""
    states = supervision.states(settings)
    if not states:
        console.print("The stack is not running: `make run` starts it.")
        return 0
    table = Table("program", "state", "process", "up for", box=None)
    for state in states:
        up = timedelta(seconds=state["now"] - state["start"]) if state["pid"] else ""
        table.add_row(state["name"], state["statename"].lower(), str(state["pid"] or ""), str(up))
    console.print(table)
    summary.show_addresses(settings, console)
    return 0 if all(state["statename"] == "RUNNING" for state in states) else 1


def logs(settings: StackSettings, console: Console) -> int:
    """Show the end of every program's log and follow them."""
    files = sorted(str(path) for path in settings.log_dir.glob("*.log"))
    if not files:
        console.print("There are no logs yet: `make run` starts the stack.")
        return 0
    console.file.flush()
    os.execvp("tail", ["tail", "-n", "20", "-F", *files])


def restore_backup(settings: StackSettings, console: Console) -> int:
    """Bring a backup back into the stack, which must not be running."""
    request = restore.Request.from_environment(os.environ)
    if supervision.states(settings):
        raise StackError("The stack is running: end it with `make stop` first.")
    os.environ[PROGRAMS_FOLDER] = str(postgres.binary("pg_restore").parent)
    try:
        control.start(settings, console, supervision.STORAGE)
        restore.run(settings, request, console)
    finally:
        control.stop(settings)
    if request.name != "list":
        console.print("Restored. `make start` starts the stack; docs/runbooks/restore.md: what to look at then.")
    return 0


COMMANDS = {"run": run, "start": start, "stop": stop, "status": status, "logs": logs, "restore": restore_backup}


def main() -> int:
    """Run the command that the arguments name and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m include.stack", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    command = COMMANDS[parser.parse_args().command]
    console = Console()
    try:
        return command(StackSettings.from_environment(), console)
    except StackError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except OSError as error:
        where = error.filename or "a file of the stack"
        sentence = (
            f"{where} cannot be used: {error.strerror or error}. Set ML_STATE_DIR to a folder you can write in."
        )
        Console(stderr=True).print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted. What was started keeps running: `make run` resumes, `make stop` ends it.")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
