"""Mutation testing of the modules in `targets.toml`: `python -m tests.mutation [part of a path …] [--workers N]`.

Fails where fewer than 90 % of the mutants are killed, or one survives that `survivors.toml` gives no reason for.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.mutation.mutants import names
from tests.mutation.runner import ROOT, Target, fates, import_libraries

HERE = Path(__file__).parent
LEAST_SHARE = 0.9


def targets(parts: Sequence[str]) -> list[Target]:
    """The targets whose path has one of the parts; all without parts."""
    listed = tomllib.loads((HERE / "targets.toml").read_text())
    found = [Target(module, tuple(tests)) for module, tests in listed.items()]
    return [target for target in found if not parts or any(part in target.module for part in parts)]


def reasons(module: str) -> Mapping[str, str]:
    """Why a module's mutants may survive, by their names."""
    listed = tomllib.loads((HERE / "survivors.toml").read_text())
    return {each["mutant"]: each["reason"] for each in listed.get("survivor", ()) if each["module"] == module}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("parts", nargs="*", help="only modules whose path has one of these in it")
    parser.add_argument("--workers", type=int, default=2, help="mutants tried side by side")
    arguments = parser.parse_args()
    console = Console(width=160)
    table = Table("module", "mutants", "killed", "too slow", "survived", "share", title="Mutants")
    count: Counter[str] = Counter()
    unexplained = 0
    import_libraries()
    for target in targets(arguments.parts):
        known = reasons(target.module)
        all_mutants = len(names(ROOT / target.module))
        outcome = dict.fromkeys(("killed", "too slow", "survived"), 0)
        for mutant, fate in track(
            fates(target, arguments.workers), target.module, total=all_mutants, disable=not console.is_terminal
        ):
            outcome[fate] += 1
            if fate == "survived":
                unexplained += mutant.name not in known
                reason = known.get(mutant.name, "NO REASON IS GIVEN")
                console.print(f"{target.module}  {mutant.name}\n    {reason}", markup=False, highlight=False)
        count.update(outcome)
        table.add_row(target.module, str(all_mutants), *map(str, outcome.values()), _share(outcome))
        console.print(f"{target.module}: {outcome['survived']} of {all_mutants} survived", highlight=False)
    table.add_row("all", str(count.total()), *map(str, count.values()), _share(count))
    console.print(table)
    console.print(f"{unexplained} survivors without a reason in {HERE.relative_to(ROOT) / 'survivors.toml'}.")
    sys.exit(unexplained > 0 or count["survived"] > (1 - LEAST_SHARE) * count.total())


def _share(outcome: Mapping[str, int]) -> str:
    return f"{1 - outcome['survived'] / max(sum(outcome.values()), 1):.1%}"


if __name__ == "__main__":
    main()
