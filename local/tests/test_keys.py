import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from pipeline_local import keys, state_folder
from pipeline_local.cli import main
from pipeline_local.commands_events import env, keys_command
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.layout import Layout
from pipeline_local.topology import read_variables
from pydantic import TypeAdapter
from service_kit.settings import PlainSecret

ROOT = Path(__file__).parents[2]
OF_THE_REPOSITORY = {
    name: value for name, value in read_variables(ROOT / ".env", {}).items() if name.endswith(("_KEY", "_TOKEN"))
}
SENT = {"GATEWAY_API_KEY", "ANALYSER_TOKEN"}


@pytest.fixture
def own(tmp_path: Path) -> Installation:
    state_folder.claim(tmp_path)
    keys.make(tmp_path / "secrets.json")
    return Installation(Layout(ROOT, tmp_path), {})


def test_every_key_of_the_repository_is_public_and_has_its_private_one() -> None:
    ours = OF_THE_REPOSITORY.keys() - {"AWS_SECRET_ACCESS_KEY"}
    assert ours >= SENT
    assert ours <= set(keys.NAMES)
    assert all(OF_THE_REPOSITORY[name].startswith(keys.PUBLIC) for name in ours)


def test_no_service_gets_a_key_of_the_repository(own: Installation) -> None:
    values = [value for service in own.topology.services.values() for value in service.environment.values()]
    assert not [value for value in values if keys.PUBLIC in value]
    made = keys.read(own.layout.keys_file)
    assert own.service("emitter").environment["GATEWAY_API_KEY"] == made["GATEWAY_API_KEY"]
    assert made["ANALYSER_TOKEN"] in own.service("airflow").environment["AIRFLOW_CONN_DATABRICKS_DEFAULT"]


def test_the_file_is_its_owners_alone_and_each_installation_has_another(tmp_path: Path) -> None:
    found: list[str] = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        state_folder.claim(folder)
        mask = os.umask(0)
        keys.make(folder / "secrets.json")
        os.umask(mask)
        assert (folder / "secrets.json").stat().st_mode & 0o777 == 0o600
        found += keys.read(folder / "secrets.json").values()
        assert sorted(file.name for file in folder.iterdir()) == ["VERSION", "secrets.json"]
    assert len(set(found)) == 2 * len(keys.NAMES)
    for value in found:
        TypeAdapter(PlainSecret).validate_python(value)


def test_keys_stay_and_what_a_newer_version_adds_comes_to_them(own: Installation) -> None:
    file = own.layout.keys_file
    before = keys.read(file)
    del (older := dict(before))["ANALYSER_TOKEN"]
    file.write_text(json.dumps(older))
    file.chmod(0o644)
    keys.make(file)
    after = keys.read(file)
    assert after.keys() == before.keys()
    assert older.items() <= after.items()
    assert file.stat().st_mode & 0o777 == 0o600
    keys.make(file)
    assert keys.read(file) == after


def test_a_key_of_the_users_own_wins(tmp_path: Path, own: Installation) -> None:
    mine = "a-key-of-my-own-choice"
    assert Installation(own.layout, {"ANALYSER_TOKEN": mine}).variables["ANALYSER_TOKEN"] == mine
    # `set -a; . ./.env` in the shell gives the public ones.
    public = Installation(own.layout, OF_THE_REPOSITORY).variables
    assert public["ANALYSER_TOKEN"] == keys.read(own.layout.keys_file)["ANALYSER_TOKEN"]
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / ".env").write_text((ROOT / ".env").read_text() + f"ANALYSER_TOKEN={mine}\n")
    assert Installation(Layout(checkout, own.layout.home), {}).variables["ANALYSER_TOKEN"] == mine


@pytest.mark.parametrize("content", ["", "{", "[]", '{"ANALYSER_TOKEN": 1}', '{"ANALYSER_TOKEN": "short"}', "\xff\xfe"])
def test_a_damaged_file_is_named_with_the_remedy(own: Installation, content: str) -> None:
    own.layout.keys_file.write_text(content, encoding="latin-1")
    with pytest.raises(InstallationError, match=r"secrets\.json is damaged .*delete it"):
        _ = own.topology
    with pytest.raises(keys.KeysError, match="is damaged"):
        keys.make(own.layout.keys_file)


def test_a_shell_takes_all_of_it(own: Installation) -> None:
    said = CliRunner().invoke(env, ["--format", "shell"], obj=own).stdout
    shell = subprocess.run(
        ["bash", "-c", 'eval "$1"; env', "bash", said],
        check=True,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    told = dict(line.partition("=")[::2] for line in shell.stdout.splitlines())
    values = json.loads(CliRunner().invoke(env, ["--format", "json"], obj=own).stdout)
    assert values.items() <= told.items()
    assert SENT | {"GATEWAY_URL", "ANALYSER_URL", "STREAM_READER_URL", "AWS_ENDPOINT_URL", "LAKE_URI"} <= values.keys()
    assert values["LAKE_URI"] == own.layout.lake.as_uri()


def test_the_table_says_where_the_keys_lie_and_what_to_send(own: Installation) -> None:
    said = CliRunner().invoke(env, [], obj=own).stdout
    assert str(own.layout.keys_file) in said.splitlines()[-1]
    assert f"x-api-key: {keys.read(own.layout.keys_file)['GATEWAY_API_KEY']}" in shlex.split(said.split("\n\n")[1])


def test_before_the_first_start_there_are_none(tmp_path: Path) -> None:
    done = CliRunner().invoke(env, [], obj=Installation(Layout(ROOT, tmp_path), {}))
    assert str(done.exception) == "this installation has no keys yet; `pipeline up` makes them"


def test_one_command_makes_others_for_containers(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text((ROOT / ".env").read_text() + CliRunner().invoke(keys_command, []).stdout)
    read = read_variables(file, {})
    assert not [name for name in keys.NAMES if read[name].startswith(keys.PUBLIC)]
    assert "keys" in main.list_commands(main.make_context("pipeline", ["keys"]))
