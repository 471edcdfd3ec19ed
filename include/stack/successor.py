"""Start a program in the place of one that was killed: what that one left running is ended first.

A killed scheduler leaves its workers behind. They wait for ever for work that nobody gives them, and one that has
work would do it a second time beside the new scheduler's. Run as `python -m include.stack.successor <command>`.
"""

import os
import sys
from collections.abc import Sequence

from include.stack.processes import MARKER, PROGRAM, end, left_by_predecessor


def main(command: Sequence[str]) -> None:
    """End what an earlier start of the program has left, then become the command."""
    end(left_by_predecessor(os.environ[MARKER], os.environ[PROGRAM]))
    os.execv(command[0], list(command))


if __name__ == "__main__":
    main(sys.argv[1:])
