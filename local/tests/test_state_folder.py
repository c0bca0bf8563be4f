import errno
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_local import state_folder
from pipeline_local.cli import CommandGroup, reset
from pipeline_local.installation import Installation
from pipeline_local.layout import Layout
from pipeline_local.state_folder import StateFolderError

ROOT = Path(__file__).parents[2]
OURS = [
    "DEMO",
    "kafka",
    "lake",
    "logs",
    "secrets.json",
    "status.json",
    "status.12.tmp",
    "up.lock",
    "status.json.damaged2",
]
THEIRS = ["photos", "README.md", ".git", "version", "LAKE", "status.json~", "VERSION.txt", "kafka 2", "Documents"]


def filled(folder: Path, names: set[str], version: str | None) -> dict[str, bytes]:
    for name in names:
        if name in {"kafka", "lake", "photos", ".git"}:
            (folder / name / "inner").mkdir(parents=True)
            (folder / name / "inner" / "file").write_text(name)
        else:
            (folder / name).write_text(name)
    if version is not None:
        (folder / "VERSION").write_text(version)
    return content(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() if file.is_file() else b"" for file in folder.rglob("*")}


@settings(deadline=None)
@given(
    ours=st.sets(st.sampled_from(OURS)),
    theirs=st.sets(st.sampled_from(THEIRS)),
    version=st.sampled_from([None, "1\n", "2", "99", "", "1.0.3", "garbage"]),
)
def test_a_folder_is_deleted_whole_or_stays_as_it_is(ours: set[str], theirs: set[str], version: str | None) -> None:
    with TemporaryDirectory() as above:
        home = Path(above) / "home"
        home.mkdir()
        before = filled(home, ours | theirs, version)
        is_state = not theirs and (version in {"1\n", "2", "99"} or "DEMO" in ours or not before)
        done = CliRunner().invoke(_group(), ["reset", "--yes"], obj=Installation(Layout(ROOT, home)))
        assert (done.exit_code, home.exists()) == ((0, False) if is_state else (1, True)), done.output
        if not is_state:
            assert content(home) == before
            assert "othing was deleted" in done.output
            assert all(name in done.output for name in sorted(theirs)[:5])


def _group() -> CommandGroup:
    return CommandGroup(commands={"reset": reset})


def test_nobody_is_asked_about_a_folder_that_stays(tmp_path: Path) -> None:
    filled(tmp_path, {"photos"}, None)
    done = CliRunner().invoke(_group(), ["reset"], obj=Installation(Layout(ROOT, tmp_path)))
    assert done.exit_code == 1
    assert "Delete" not in done.output


def test_a_mount_point_is_emptied_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state_folder.claim(tmp_path)
    (tmp_path / "lost+found").mkdir()

    def busy(path: Path) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))

    monkeypatch.setattr(Path, "rmdir", busy)
    done = CliRunner().invoke(_group(), ["reset", "--yes"], obj=Installation(Layout(ROOT, tmp_path)))
    assert (done.exit_code, done.output) == (0, "deleted\n")
    assert [file.name for file in tmp_path.iterdir()] == ["lost+found"]


def test_what_a_link_leads_to_is_not_deleted(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    state_folder.claim(home)
    (home / "lake").symlink_to(elsewhere, target_is_directory=True)
    state_folder.delete(home)
    assert not home.exists()
    assert (elsewhere / "file").exists()


def test_what_was_cut_off_can_be_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    state_folder.claim(home)
    for name in ("DEMO", "lake", "status.json"):
        (home / name).touch()
    unlink: Callable[..., None] = Path.unlink

    def full(path: Path, missing_ok: bool = False) -> None:
        if path.name == "status.json":
            raise PermissionError(errno.EACCES, "denied", str(path))
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", full)
        with pytest.raises(StateFolderError, match=r"cannot delete .*status\.json.*denied"):
            state_folder.delete(home)
    state_folder.delete(home)
    assert not home.exists()


def test_a_folder_is_private_and_marked(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    state_folder.claim(home)
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "VERSION").read_text() == "1\n"
    home.chmod(0o755)  # as an older version made it
    (home / "somebody's note").touch()
    state_folder.claim(home)
    assert home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["photos", ".bashrc"])
def test_somebodys_folder_is_not_taken(tmp_path: Path, name: str) -> None:
    before = filled(tmp_path, {name}, None)
    with pytest.raises(StateFolderError, match=f"not this pipeline's .{name}.: set PIPELINE_HOME"):
        state_folder.claim(tmp_path)
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("version", "remedy"), [("2", "run `pipeline reset`"), ("", "by hand"), ("garbage", "by hand")]
)
def test_another_version_is_refused_with_a_remedy_that_works(tmp_path: Path, version: str, remedy: str) -> None:
    (tmp_path / "VERSION").write_text(version)
    with pytest.raises(StateFolderError, match=remedy):
        state_folder.claim(tmp_path)


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateFolderError, match=r"cannot use .*file"):
        state_folder.claim(tmp_path / "file")


def test_every_name_of_the_layout_is_known() -> None:
    """What a service or a command puts into the folder must not keep `pipeline reset` from deleting it."""
    layout = Layout(ROOT, Path("/home"))
    paths = [value for name in dir(Layout) if isinstance(value := getattr(layout, name), Path)]
    own = {path.relative_to("/home").parts[0] for path in paths if path.is_relative_to("/home") and path.parts[2:]}
    own |= set(Installation(layout).topology.services)
    assert {"lake", "kafka", "status.json", "emitter", "DEMO"} <= own
    assert not [name for name in own if not state_folder._OWN.fullmatch(name)]
