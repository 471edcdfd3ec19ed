"""The proxy of the profile `https`, run with its own configuration in front of services that repeat requests."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import free_port

PROJECT = Path(__file__).parents[3]
CONFIGURATION, COMPOSE = PROJECT / "deploy" / "nginx" / "nginx.conf", PROJECT / "docker-compose.yaml"
SERVICES = {"airflow": "api-server:8080", "mlflow": "mlflow:5000", "grafana": "grafana:3000"}


class Echo(BaseHTTPRequestHandler):
    """Answers with its server's name, and the headers and the size of what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        size = len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        told: dict[str, Any] = {"service": self.server.name, "size": size}  # type: ignore[attr-defined]
        body = json.dumps(told | {"headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@dataclass(frozen=True)
class Proxy:
    """The running proxy: its two ports, and the certificate it shows."""

    https: int
    http: int
    certificate: Path

    def ask(self, name: str, method: str = "GET", **content: Any) -> httpx.Response:
        host = f"{name}.example.com"
        headers = {"Host": host, **content.pop("headers", {})}
        with httpx.Client(verify=ssl.create_default_context(cafile=str(self.certificate))) as client:
            url, sni = f"https://127.0.0.1:{self.https}/", {"sni_hostname": host}
            return client.request(method, url, headers=headers, extensions=sni, **content)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    folder = tmp_path_factory.mktemp("nginx")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=example.com",
    ]
    names = ["-addext", "subjectAltName=DNS:*.example.com"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    running = Proxy(free_port(), free_port(), folder / "fullchain.pem")
    text = CONFIGURATION.read_text()
    echoes = {name: _echo(name) for name in SERVICES}
    replaced = {
        "/tmp/": f"{folder}/",
        "listen 8443": f"listen 127.0.0.1:{running.https}",
        "listen 8080": f"listen 127.0.0.1:{running.http}",
        "/etc/nginx/tls": str(folder),
        "/var/www/acme": str(folder),
        **{SERVICES[name]: f"127.0.0.1:{echo.server_port}" for name, echo in echoes.items()},
    }
    for there, here in replaced.items():
        assert there in text
        text = text.replace(there, here)
    user = pwd.getpwuid(os.geteuid()).pw_name  # started by root, it would become another
    (folder / "written.conf").write_text(f"user {user};\n{text}")
    process = subprocess.Popen(_command(folder, running.https))
    _wait_for(running.https, process)
    yield running
    process.terminate()
    process.wait()
    for echo in echoes.values():
        echo.shutdown()


def _command(folder: Path, port: int) -> list[str]:
    """How docker-compose.yaml starts the proxy, but for its files, where the port `port` is published."""
    shell, option, script = yaml.safe_load(COMPOSE.read_text())["services"]["proxy"]["command"]
    replaced = {
        "${ML_HTTPS_PORT:-443}": str(port),
        "/tmp/": f"{folder}/",
        "/etc/nginx/ml/nginx.conf": str(folder / "written.conf"),
    }
    for there, here in replaced.items():
        assert there in script
        script = script.replace(there, here)
    return [shell, option, script]


def _echo(name: str) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.name = name  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        assert process.poll() is None, "nginx refuses its configuration: see above."
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("nginx did not start within 10 seconds.")


@pytest.mark.parametrize("name", SERVICES)
def test_each_name_leads_to_its_service_and_browsers_keep_to_https(proxy: Proxy, name: str) -> None:
    answer = proxy.ask(name)

    assert answer.json()["service"] == name
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_services_are_told_of_https_and_not_what_the_client_claims(proxy: Proxy) -> None:
    claims = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Port": "6",
        "Forwarded": "for=6.6.6.6",
    }

    told = proxy.ask("airflow", headers=claims).json()["headers"]

    assert {name: told.get(name) for name in claims} == {
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "airflow.example.com",
        "X-Forwarded-Prefix": None,
        "X-Forwarded-Port": None,
        "Forwarded": None,
    }
    assert told["Host"] == "airflow.example.com"


def test_other_names_have_no_pages(proxy: Proxy) -> None:
    assert proxy.ask("prometheus").status_code == 421
    assert proxy.ask("evil-airflow").status_code == 421


def test_a_model_of_any_size_reaches_mlflow(proxy: Proxy) -> None:
    answer = proxy.ask("mlflow", "PUT", content=b"x" * 30_000_000)

    assert answer.json()["size"] == 30_000_000
    assert proxy.ask("airflow", "PUT", content=b"x" * 30_000_000).status_code == 413


def test_web_sockets_are_passed_on(proxy: Proxy) -> None:
    wish = {"Upgrade": "websocket", "Connection": "Upgrade"}

    told = proxy.ask("grafana", headers=wish).json()["headers"]

    assert (told["Upgrade"], told["Connection"]) == ("websocket", "upgrade")


def test_without_https_there_are_only_a_redirect_the_health_and_proofs_of_the_domain(proxy: Proxy) -> None:
    # given
    proof = proxy.certificate.parent / ".well-known" / "acme-challenge" / "token"
    proof.parent.mkdir(parents=True, exist_ok=True)
    proof.write_text("proof")
    address = f"http://127.0.0.1:{proxy.http}"

    # when
    page = httpx.get(f"{address}/dags?q=1", headers={"Host": "airflow.example.com"})

    # then
    secure = f"https://airflow.example.com:{proxy.https}/dags?q=1"
    assert (page.status_code, page.headers["Location"]) == (308, secure)
    assert httpx.get(f"{address}/health").status_code == 200
    assert httpx.get(f"{address}/.well-known/acme-challenge/token").text == "proof"


def test_old_versions_of_tls_are_refused(proxy: Proxy) -> None:
    context = ssl.create_default_context(cafile=str(proxy.certificate))
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    connection = http.client.HTTPSConnection("127.0.0.1", proxy.https, context=context)

    with pytest.raises(ssl.SSLError):
        connection.request("GET", "/")
