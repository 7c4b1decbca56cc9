"""How the pages are served: ports, links, the child that writes replies, and the end."""

import asyncio
import json
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from concordant.collect.served_page import read_page
from concordant.collect.serving import (
    address_of,
    announced,
    consent_text,
    draw_secret,
    is_loopback,
    links,
    listen,
    own_secret,
    require_accounts,
    running_server,
)
from concordant.errors import UserError
from concordant.programme_config import OidcConfig, StaffConfig
from concordant.store.database import Database
from concordant.store.people import worker_by_token, workers
from concordant.store.sign_ins import claim_account
from concordant.store.staff import members, owner
from concordant.store.staff_links import Purpose, open_link, sign_in_by_link
from concordant.store.staff_sessions import Terms
from served import Served, free_port
from visitors import fresh_store


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


def test_port_zero_takes_a_free_one() -> None:
    with listen("127.0.0.1", 0) as first, listen("127.0.0.1", 0) as second:
        assert address_of(first) != address_of(second)
        assert address_of(first) == f"http://127.0.0.1:{first.getsockname()[1]}"
    with listen("0.0.0.0", 0) as everywhere:
        assert address_of(everywhere).startswith("http://127.0.0.1:")


def test_a_connection_sends_each_packet_at_once() -> None:
    """Without TCP_NODELAY every page came 40 ms late: headers, then a body that waited for their acknowledgement."""

    async def option_of_a_connection() -> int:
        found = asyncio.get_running_loop().create_future()

        def seen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            end = writer.get_extra_info("socket")
            found.set_result(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listen("127.0.0.1", 0) as listener:
            server = await asyncio.start_server(seen, sock=listener)
            _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            try:
                return int(await found)
            finally:
                writer.close()
                server.close()

    assert asyncio.run(option_of_a_connection()) == 1


def test_a_port_in_use_and_a_wrong_host_are_one_line() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} on 127\.0\.0\.1 cannot be used .*--port 0"):
            listen("127.0.0.1", port)
    with pytest.raises(UserError, match="'no such host' is not an address"):
        listen("no such host", 0)
    with pytest.raises(UserError, match=r"on 192\.0\.2\.1 cannot be used"):
        listen("192.0.2.1", 0)


def test_links_stay_the_same_and_are_their_owners_alone(store: Database, tmp_path: Path) -> None:
    first = links(store, tmp_path, "http://here")
    assert links(store, tmp_path, "http://here").worker == first.worker
    assert stat.S_IMODE((tmp_path / "links.json").stat().st_mode) == 0o600
    assert worker_by_token(store, first.worker.removeprefix("http://here/w/")) is not None
    assert len(workers(store)) == 1


def test_links_of_another_store_are_made_anew(store: Database, tmp_path: Path) -> None:
    (tmp_path / "links.json").write_text(json.dumps({"worker": "old"}))
    assert "old" not in links(store, tmp_path, "http://here").worker


def test_the_researchers_link_works_once_and_only_the_newest(store: Database, tmp_path: Path) -> None:
    first, second = (links(store, tmp_path, "").researcher.removeprefix("/staff/link/") for _ in range(2))
    assert open_link(store, first) is None
    found = open_link(store, second)
    assert found is not None and (found.member.login, found.purpose) == ("owner", Purpose.SIGN_IN)
    sign_in_by_link(store, second, "", Terms())
    assert open_link(store, second) is None
    assert [one.login for one in members(store)] == ["owner"], "another start makes no second owner"


@pytest.mark.usefixtures("quick_hashes")
def test_no_link_is_printed_once_a_researcher_can_sign_in(store: Database, tmp_path: Path) -> None:
    links(store, tmp_path, "")
    claim_account(store, owner(store).staff.id, "Ann", "ann", "four words in a row")
    assert links(store, tmp_path, "http://here").researcher == "http://here/researcher"


def test_an_older_programme_keeps_its_draws_and_loses_its_secret_link(store: Database, tmp_path: Path) -> None:
    (tmp_path / "links.json").write_text(json.dumps({"worker": "old", "researcher": "secret"}))
    links(store, tmp_path, "")
    assert "secret" not in (tmp_path / "links.json").read_text()
    assert draw_secret(tmp_path) == "/researcher?key=secret", "what draws were made from before there were accounts"
    assert stat.S_IMODE((tmp_path / "draws.key").stat().st_mode) == 0o600


def test_a_new_programme_draws_from_a_secret_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    found = draw_secret(tmp_path)
    assert len(found) == 64 and draw_secret(tmp_path) == found
    assert draw_secret(tmp_path / "other") != found != own_secret(tmp_path)


@pytest.mark.parametrize(
    ("host", "own"), [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_which_addresses_are_this_machines_alone(host: str, own: bool) -> None:
    assert is_loopback(host) is own


@pytest.mark.usefixtures("quick_hashes")
def test_other_machines_come_in_only_after_a_researcher_can(store: Database) -> None:
    require_accounts(store, "127.0.0.1", StaffConfig())
    for host in ("0.0.0.0", "::", "192.0.2.7"):
        with pytest.raises(UserError, match=f"host {host} can be reached from other machines, and no researcher has"):
            require_accounts(store, host, StaffConfig())
    provider = OidcConfig(issuer="https://id.example", client_id="c", emails={"a@b.example": "researcher"})
    require_accounts(store, "0.0.0.0", StaffConfig(oidc=provider))
    claim_account(store, owner(store).staff.id, "Ann", "ann", "four words in a row")
    require_accounts(store, "0.0.0.0", StaffConfig())


def test_the_consent_text_is_the_programmes_or_the_built_in_one(tmp_path: Path) -> None:
    file = tmp_path / "consent.md"
    file.write_text("You may **stop**.\n")
    assert consent_text(file).text == "You may **stop**.\n"
    assert "upset you" in consent_text(None).text and "at any time" in consent_text(None).text
    file.write_text(" \n")
    for path, problem in ((file, "is empty"), (tmp_path / "none.md", "cannot be read"), (tmp_path, "cannot be read")):
        with pytest.raises(UserError, match=problem):
            consent_text(path)


def test_a_server_that_is_gone_is_not_running(tmp_path: Path) -> None:
    assert running_server(tmp_path) is None
    with announced(tmp_path, f"http://127.0.0.1:{free_port()}"):
        assert running_server(tmp_path) is None
    assert not (tmp_path / "serve.json").exists()


def test_what_answers_at_a_dead_servers_address_is_another_programmes(tmp_path: Path) -> None:
    """Killed, a server leaves its address behind, and another programme may be served there later."""
    with Served(tmp_path / "other") as other, subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
        (tmp_path / "serve.json").write_text(json.dumps({"url": other.url, "pid": dead.pid}))
        assert running_server(tmp_path) is None
        assert running_server(other.folder) == other.url


def test_from_start_to_sigterm(tmp_path: Path) -> None:
    with Served(tmp_path / "p") as served:
        assert running_server(served.folder) == served.url
        answer = httpx.get(served.links["worker"], follow_redirects=True)
        assert answer.status_code == 200 and "server" not in answer.headers
        assert "no model writes them" in answer.text
        with httpx.Client(follow_redirects=True) as browser:
            assert "<h1>Overview</h1>" in browser.get(served.links["researcher"]).text
        used = httpx.get(served.links["researcher"])
        assert used.status_code == 404 and "This link has been used" in used.text
        generator = served.generator()
        served.process.terminate()
        assert served.process.wait(20) == 0
        assert not (served.folder / "serve.json").exists() and not Path(f"/proc/{generator}").exists()
        assert "Traceback" not in (served.folder / "serve.out").read_text()
        assert "Traceback" not in (served.folder / "logs/generator.log").read_text()


def test_ctrl_c_ends_it_even_while_a_stream_is_open(tmp_path: Path) -> None:
    with (
        Served(tmp_path / "p", seconds=5.0) as served,
        httpx.Client(base_url=served.url, follow_redirects=True, timeout=30) as client,
    ):
        agree = read_page(client.get(served.links["worker"]).text).form("/work/agree", "agreed")
        assert agree is not None
        client.post(agree.action, data={**agree.hidden, "agreed": "1"})
        deadline = time.monotonic() + 30
        while (form := read_page(client.get("/work").text).form("/work/start")) is None:
            assert time.monotonic() < deadline, "no model was deployed"
            time.sleep(0.1)
        page = read_page(client.post(form.action, data=form.hidden).text)
        say = page.form("/work/say")
        assert say is not None
        page = read_page(client.post(say.action, data={**say.hidden, "text": "hello"}).text)
        assert page.stream is not None
        with client.stream("GET", page.stream) as stream:
            assert next(stream.iter_lines()) == "retry: 1000"
            served.process.send_signal(signal.SIGINT)
            assert served.process.wait(20) == 130
    said = (served.folder / "serve.out").read_text()
    assert "interrupted" in said and "Traceback" not in said


def test_the_generator_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    with Served(tmp_path / "p") as served:
        generator = served.generator()
        served.kill()
        deadline = time.monotonic() + 20
        while Path(f"/proc/{generator}").exists() and "Z" not in Path(f"/proc/{generator}/stat").read_text():
            assert time.monotonic() < deadline, "the generator outlived its parent"
            time.sleep(0.05)
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", served.port)) != 0
