"""``python -m include.stack.compose up|down|restore``: the stack of docker-compose.yaml, for `make up` etc.

It needs Docker with Compose (2, or 1.29), and of Python's packages `rich` alone.
"""

import argparse
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console

from include.stack.display import Display
from include.stack.errors import StackError
from include.stack.server import SECRETS_FILE, write_secrets

PROJECT_DIR = Path(__file__).resolve().parents[2]
START_SECONDS = 900
POLL_SECONDS = 2.0
LOG_LINES = 20
STEPS = ("storage", "settings")
PAGES = {"AIRFLOW": 8080, "MLFLOW": 5000, "GRAFANA": 3000}
HTTPS = "https"
LOOPBACK = "127.0.0.1"
STORAGE = ("postgres", "redis", "s3")
RELEASES = "v*"  # tags whose images are published (.github/workflows/image.yml)


@dataclass(frozen=True)
class Deployment:
    """One project of Docker Compose, set up by variables of the environment (see docker-compose.yaml)."""

    environment: Mapping[str, str]
    options: Sequence[str] = ()

    @cached_property
    def command(self) -> list[str]:
        """The start of each command line: Compose 2 where it is installed, else 1.29.

        Raises
        ------
        StackError
            If there is neither, or Docker does not answer.
        """
        asked = [["docker", "info"], ["docker", "compose", "version"], ["docker-compose", "version"]]
        answers = [_succeeds(command) for command in asked]
        if not answers[0]:
            raise StackError("Docker does not answer `docker info`: install it, start it, and join its group.")
        if not any(answers[1:]):
            raise StackError("Docker Compose is missing: install its plugin (Debian: docker-compose).")
        return [*(["docker", "compose"] if answers[1] else ["docker-compose"]), *self.options]

    @property
    def secrets_dir(self) -> Path:
        """Folder with the generated secrets."""
        return Path(self.environment.get("ML_STATE_DIR") or PROJECT_DIR / ".state").resolve() / "server"

    @property
    def profiles(self) -> set[str]:
        """The parts that are not always there: monitoring, https."""
        return set(self.environment.get("ML_PROFILE", "").split(",")) - {""}

    def address(self, service: str) -> str:
        """Return the address of a service's pages (of ``PAGES``) for browsers."""
        if given := self.environment.get(f"ML_{service}_URL"):
            return given
        if HTTPS in self.profiles:
            port = self.environment.get("ML_HTTPS_PORT") or "443"
            name = f"{service.lower()}.{self.environment.get('ML_DOMAIN')}"
            return f"https://{name}" + (f":{port}" if port != "443" else "")
        return f"http://localhost:{self.environment.get(f'ML_{service}_PORT') or PAGES[service]}"

    @cached_property
    def variables(self) -> dict[str, str]:
        """The environment of Compose."""
        return {
            "COMPOSE_DOCKER_CLI_BUILD": "0",
            "COMPOSE_PROFILES": self.environment.get("ML_PROFILE", ""),
            "ML_CODE_VERSION": _git("rev-parse", "--short", "HEAD") or "unknown",
            # The stack's own proxy has another address at each start, and other machines reach it alone.
            **({"ML_TRUSTED_PROXIES": "*", "ML_COOKIE_SECURE": "true"} if HTTPS in self.profiles else {}),
            **self.environment,
            **({"ML_IMAGE": self.released_image} if self.released_image else {}),
            "ML_STATE_DIR": str(self.secrets_dir.parent),
            **{f"ML_{service}_URL": self.address(service) for service in PAGES},
            "ML_MLFLOW_HOST": urlsplit(self.address("MLFLOW")).netloc,
        }

    @cached_property
    def released_image(self) -> str | None:
        """The published image of the release that is checked out; None where it is none, or ML_IMAGE chooses."""
        if not self.wants_release or _git("status", "--porcelain", "--untracked-files=no"):
            return None
        release = _release()
        return f"{self.environment['ML_REGISTRY_IMAGE']}:{release}" if release else None

    @property
    def wants_release(self) -> bool:
        """Whether releases have published images, and no other image is chosen."""
        return bool(self.environment.get("ML_REGISTRY_IMAGE")) and not self.environment.get("ML_IMAGE")

    def run(self, *arguments: str) -> None:
        """Run a command of Compose whose output the person sees.

        Raises
        ------
        StackError
            If it fails.
        """
        done = subprocess.run([*self.command, *arguments], cwd=PROJECT_DIR, env=self.variables, check=False)
        if done.returncode:
            raise StackError(f"`{' '.join([*self.command, *arguments])}` failed: see above.")

    def ask(self, *arguments: str) -> str:
        """Return what a command of Compose prints.

        Raises
        ------
        StackError
            If it fails.
        """
        line = [*self.command, *arguments]
        done = subprocess.run(
            line, cwd=PROJECT_DIR, env=self.variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise StackError(f"`{' '.join(line)}` failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def states(self) -> dict[str, str]:
        """Return the worst state of each service's containers, as the names of ``STATES`` say."""
        containers = self.ask("ps", "--all", "--quiet").split()
        if not containers:
            return {}
        done = subprocess.run(["docker", "inspect", *containers], capture_output=True, text=True, check=False)
        found: dict[str, str] = {}
        for container in json.loads(done.stdout or "[]"):
            labels = container["Config"]["Labels"]
            if labels["com.docker.compose.oneoff"] == "True":  # of `run`, not of `up`
                continue
            service = labels["com.docker.compose.service"]
            found[service] = max(found.get(service, READY), _state(container["State"]), key=STATES.index)
        return found


READY, STARTING, BROKEN = STATES = ("ready", "starting", "broken")


def up(deployment: Deployment, console: Console) -> None:
    """Generate what is missing, build, start, wait until every service is healthy, and say where to look.

    Raises
    ------
    StackError
        If something is in the way; the sentence says what to do.
    """
    write_secrets(deployment.secrets_dir)
    if HTTPS in deployment.profiles:
        _check_https(deployment)
    _prepare_image(deployment, console)
    own_s3 = ["--scale", "s3=0"] if deployment.environment.get("ML_S3_ENDPOINT") else []
    workers = deployment.environment.get("ML_WORKERS")
    scale = [*own_s3, *(["--scale", f"worker={workers}"] if workers else [])]
    log = deployment.secrets_dir / "up.log"
    with log.open("w") as output, Display(console) as display:
        starting = subprocess.Popen(
            [*deployment.command, "up", "--detach", "--no-build", *scale],
            cwd=PROJECT_DIR,
            env=deployment.variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_ready(deployment, starting, display, log)
        finally:
            starting.terminate()
    show_addresses(deployment, console)
    if deployment.environment.get("DEMO") == "1":
        deployment.run("run", "--rm", *([] if console.is_terminal else ["-T"]), "main-job")


def down(deployment: Deployment, console: Console) -> None:
    """Stop the stack; a worker finishes its tasks first. The data stay in its volumes."""
    every = Deployment({**deployment.environment, "COMPOSE_PROFILES": f"demo,monitoring,{HTTPS}"})
    # Compose 1.29 stops all containers in the same moment, also those that a worker needs to come to its end.
    every.run("stop", "worker")
    every.run("down", "--remove-orphans")
    console.print("Stopped. The data is kept in volumes; `make up` continues from here.")


def restore(deployment: Deployment, console: Console) -> None:
    """Restore a backup into a stack that does not run.

    Raises
    ------
    StackError
        If it runs, its secrets are missing, or the backup cannot be brought back.
    """
    secrets = deployment.secrets_dir / SECRETS_FILE
    if not secrets.exists():
        raise StackError(f"{secrets} is missing: put back the one of the stack that was backed up.")
    if running := sorted(set(deployment.states()) - set(STORAGE)):
        raise StackError(f"The stack runs ({', '.join(running)}): end it with `make down` first.")
    write_secrets(deployment.secrets_dir)
    _prepare_image(deployment, console)
    own_s3 = [] if deployment.environment.get("ML_S3_ENDPOINT") else ["s3"]
    deployment.run("up", "--detach", "--no-build", "postgres", *own_s3)
    deployment.run("run", "--rm", "--no-deps", *([] if console.is_terminal else ["-T"]), "restore")
    if deployment.environment.get("FROM") != "list":
        console.print("`make up` starts the stack; docs/runbooks/restore.md says what to look at then.")


def show_addresses(deployment: Deployment, console: Console) -> None:
    """Print the addresses of the pages and where the passwords are."""
    secrets = deployment.secrets_dir / SECRETS_FILE
    console.print("\n[bold]Where to look[/bold]")
    for line in (
        f"Airflow   {deployment.address('AIRFLOW')}",
        f"MLflow    {deployment.address('MLFLOW')}",
        *([f"Grafana   {deployment.address('GRAFANA')}"] if "monitoring" in deployment.profiles else []),
        f"login     admin; the passwords are airflow_password, mlflow_password, ... in {secrets}",
        f"logs      {' '.join(deployment.command)} logs -f",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _check_https(deployment: Deployment) -> None:
    if not deployment.environment.get("ML_DOMAIN"):
        raise StackError("HTTPS needs ML_DOMAIN=<domain>: the pages are airflow.<domain> and mlflow.<domain>.")
    if deployment.environment.get("ML_BIND", LOOPBACK) != LOOPBACK:
        raise StackError("With HTTPS leave ML_BIND out: it would publish the same pages without.")
    folder = deployment.secrets_dir / "tls"
    for each in (folder, deployment.secrets_dir / "acme"):
        each.mkdir(mode=0o755, exist_ok=True)
    for file in (folder / "fullchain.pem", folder / "privkey.pem"):
        if not file.exists():
            raise StackError(
                f"HTTPS needs a certificate and its key: {file} is missing. "
                "docs/deploying.md says where to get them."
            )
        if not file.stat().st_mode & stat.S_IROTH:
            raise StackError(
                f"The proxy's user cannot read {file}: `chmod 644` it; "
                f"nobody else can enter {deployment.secrets_dir}."
            )


def _prepare_image(deployment: Deployment, console: Console) -> None:
    if deployment.wants_release:
        _check_git()
    if image := deployment.released_image:
        if not _succeeds(["docker", "image", "inspect", image]):  # the registry may be out of reach
            deployment.run("pull", "storage")
    elif deployment.environment.get("ML_PULL") == "1":
        deployment.run("pull", "storage")
    else:
        console.print("Building the image", highlight=False)
        deployment.run("build", "storage")


def _check_git() -> None:
    answer = _run_git("rev-parse", "HEAD")
    if answer.returncode:
        raise StackError(
            "Which release is checked out is unknown, and so is its image of ML_REGISTRY_IMAGE. Correct what git "
            f"complains of, or name the image by ML_IMAGE and set ML_PULL=1:\n\n{answer.stderr.strip()}"
        )


def _wait_until_ready(
    deployment: Deployment, starting: "subprocess.Popen[bytes]", display: Display, log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        ended = starting.poll()
        states = deployment.states()
        for service, state in sorted(states.items()):
            display.show(service, state, int(state == READY), 1)
        broken = [service for service in STEPS if states.get(service) == BROKEN]
        if broken or ended:
            tail = deployment.ask("logs", f"--tail={LOG_LINES}", *broken) if broken else log.read_text()
            raise StackError(f"{' and '.join(broken) or 'The stack'} did not start:\n\n{tail[-4000:]}")
        if ended == 0 and set(states.values()) == {READY}:
            return
        if time.monotonic() > deadline:
            waiting = ", ".join(service for service, state in states.items() if state != READY)
            raise StackError(
                f"{waiting or 'The stack'} was not ready after {START_SECONDS} seconds: "
                f"`{' '.join(deployment.command)} logs {waiting.replace(',', '')}` says why."
            )
        time.sleep(POLL_SECONDS)


def _state(state: Mapping[str, Any]) -> str:
    if state["Status"] == "exited":
        return BROKEN if state["ExitCode"] else READY
    healthy = state["Status"] == "running" and state.get("Health", {}).get("Status", "healthy") == "healthy"
    is_step = "Health" not in state  # a step is ready when it has ended
    return READY if healthy and not is_step else STARTING


def _succeeds(command: Sequence[str]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _release() -> str:
    """The release that is checked out; of several on one commit, the one that `deploy/rollout` has noted."""
    noted = _git("config", "ml.release")
    if noted in _git("tag", "--points-at", "HEAD", "--list", RELEASES).split():
        return noted
    return _git("describe", "--tags", "--exact-match", f"--match={RELEASES}")


def _git(*arguments: str) -> str:
    """What git says of the project; nothing where it fails."""
    return _run_git(*arguments).stdout.strip()


def _run_git(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = ["git", "-C", str(PROJECT_DIR), *arguments]
    try:
        return subprocess.run(line, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(line, 127, "", "git is not installed.")


COMMANDS = {"up": up, "down": down, "restore": restore}


def main() -> int:
    """Run the command that the arguments name and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m include.stack.compose", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    try:
        COMMANDS[parser.parse_args().command](Deployment(os.environ), Console())
    except StackError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. What was started keeps running: `make up` resumes, `make down` ends it.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
