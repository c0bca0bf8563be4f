import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_local import authorities, jars, toolchain

ROOT = Path(__file__).parents[2]
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    file.write_text(f"# an authority\n{PEM}")
    return file


def test_what_is_named_wins_and_else_it_is_the_systems(
    pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    of_python = tmp_path / "python.pem"
    of_python.write_text(PEM)
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: type("Paths", (), {"cafile": str(of_python)}))
    assert authorities.bundle({"SSL_CERT_FILE": str(pem)}, []) == pem
    assert authorities.bundle({}, ["/nowhere", str(pem)]) == pem
    assert authorities.bundle({}, ["/nowhere"]) == of_python
    of_python.unlink()
    assert authorities.bundle({}, ["/nowhere"]) is None


@pytest.mark.parametrize("content", [None, "", "no certificates"])
def test_a_setting_that_leads_nowhere_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(authorities.AuthoritiesError, match=r"SSL_CERT_FILE=.*ca\.pem holds no certificates"):
        authorities.bundle({"SSL_CERT_FILE": str(tmp_path / "ca.pem")})


def test_what_the_user_said_of_pip_and_node_stays(pem: Path) -> None:
    assert authorities.for_node({}, pem) == {"NODE_EXTRA_CA_CERTS": str(pem)}
    assert authorities.for_node({"NODE_EXTRA_CA_CERTS": "mine"}, pem) == {}
    assert authorities.for_pip({}, pem, "global.timeout='5'\n") == {"PIP_CERT": str(pem)}
    assert authorities.for_pip({}, pem, "global.timeout='5'\nglobal.cert='mine'\n") == {}
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        assert authorities.for_pip({name: "mine"}, pem, "") == {}
    assert authorities.for_node({}, None) == authorities.for_pip({}, None, "") == {}


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_java_takes_the_way_of_the_others(tmp_path: Path, name: str) -> None:
    options = authorities.for_java({name: "http://someone:secret@gate.example:3128/"}, None, tmp_path / "store")
    assert options == ["-Dhttps.proxyHost=gate.example", "-Dhttps.proxyPort=3128"]
    assert authorities.for_java({}, None, tmp_path / "store") == []


@pytest.mark.parametrize(
    ("words", "todo"),
    [
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "SSL_CERT_FILE="),
        ("npm error code UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "certificate is not known"),
        ("PKIX path building failed", "certificate is not known"),
        # What Ivy says whatever happened.
        ("module not found: org.apache.kafka#kafka_2.13;4.1.2", "HTTPS_PROXY.*SSL_CERT_FILE="),
        ("Temporary failure in name resolution", "HTTPS_PROXY"),
        ("OSError: [Errno 28] No space left on device", "make room"),
    ],
)
def test_a_step_that_fails_says_what_to_do(words: str, todo: str) -> None:
    program = f"import sys; sys.exit({words!r})"
    with pytest.raises(
        toolchain.SetupError, match=f"(?s)the tool could not be installed.*{todo}.*run the same command"
    ):
        toolchain._call("the tool", [sys.executable, "-c", program])
    with pytest.raises(jars.JarsError, match=f"(?s){todo}"):
        jars._run([sys.executable, "-c", program], None)


def test_an_image_fetches_its_jars_with_two_files_alone(tmp_path: Path) -> None:
    """As `spark/Dockerfile` has it."""
    lines = (ROOT / "spark" / "Dockerfile").read_text()
    (copied,) = [line for line in lines.splitlines() if line.startswith("COPY local/pipeline_local/jars.py")]
    *files, folder = copied.removeprefix("COPY ").split()
    package = tmp_path / folder.removeprefix("/build/")
    package.mkdir()
    for file in files:
        (package / Path(file).name).write_bytes((ROOT / file).read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); "
         "runpy.run_module('pipeline_local.jars', run_name='__main__')", str(tmp_path), "--help"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "PYTHONPATH=/build /opt/venv/bin/python -m pipeline_local.jars" in lines
