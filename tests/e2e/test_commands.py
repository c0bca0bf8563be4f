"""Every `pipeline` command on a running installation, in the order of a first session."""

import base64
import csv
import http.client
import io
import json
import math
import os
import re
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from itertools import pairwise
from pathlib import Path

import pytest
from agreement import differences
from matrix import MATRIX, appears
from outside import held_by
from pipeline_contracts.names import Kind
from pipeline_local import descendants
from pipeline_local.topology import read_variables
from recompute import recompute
from stack import PIPELINE, ROOT, Stack, fates

SERVICES = {"dashboard", "kafka", "localstack", "mirror", "proxy", "s3-sink", "analyser", "stream-reader"}
POPULAR_DEADLINE_S = 60
USERS = [
    {"ind": 1, "first_name": "Ana", "last_name": "Lee", "age": 36, "date_joined": "2015-12-08 20:02:43"},
    {"ind": 2, "first_name": "Bo", "last_name": "Ek", "age": 200, "date_joined": "2016-01-01 00:00:00"},
]
POSTS = {
    "pin": [
        '{"index":1,"unique_id":"bc5ab9ee-505e-44f6-92ba-677fe4fdf3e3","title":"A","description":"B","poster_name":"P",'
        '"follower_count":"2k","tag_list":"t","is_image_or_video":"image","image_src":"s","downloaded":1,'
        '"save_location":"Local save in /data/art","category":"art"}'
    ],
    "geo": ['{"ind":1,"timestamp":"2020-08-28T03:52:47","latitude":1.5,"longitude":2.5,"country":"Malta"}'],
    "user": [json.dumps(user) for user in USERS],
}


@pytest.fixture(scope="module")
def posts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("posts")
    for kind, lines in POSTS.items():
        (folder / f"{kind}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_status_shows_every_service_ready(stack: Stack) -> None:
    status = stack.json("status")
    assert status["state"] == "ready"
    assert set(status["services"]) == SERVICES
    assert {service["state"] for service in status["services"].values()} == {"ready"}
    assert all(service["memory_bytes"] > 10_000_000 for service in status["services"].values())
    assert "s3-sink" in stack.pipeline("status").stdout


def test_everything_together_stays_under_four_gib(stack: Stack) -> None:
    services = stack.json("status")["services"].values()
    assert sum(service["memory_bytes"] for service in services) < 4 * 1024**3


def test_a_second_up_says_what_runs(stack: Stack) -> None:
    said = stack.pipeline("up").stdout
    assert said.startswith("already running")
    assert "kafka" in said


def test_another_installation_names_the_port_and_its_setting(stack: Stack, tmp_path: Path) -> None:
    other = Stack(tmp_path / "other")
    other.environment |= {name: value for name, value in stack.environment.items() if name.endswith("_PORT")}
    done = other.pipeline("up", check=False)
    assert done.returncode == 1
    port = stack.environment["PROXY_PORT"]
    assert f"port {port} of proxy is in use: set PROXY_PORT to a free one, in .env or the shell" in done.stderr


def test_answers_before_any_analysis_say_what_to_do(stack: Stack) -> None:
    done = stack.pipeline("answers", check=False)
    assert done.returncode == 1
    assert "send events, then `pipeline analyse`" in done.stderr


def test_the_curl_line_of_env_works(stack: Stack) -> None:
    """Taken apart here, so that curl need not be on the machine."""
    command = stack.pipeline("env").stdout.split("\n\n")[1].replace("\\\n", " ")
    words = shlex.split(command)
    headers = dict(word.split(": ") for flag, word in pairwise(words) if flag == "-H")
    request = urllib.request.Request(words[3], words[words.index("-d") + 1].encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:
        document = json.load(answer)
    assert document["offsets"][0]["error_code"] is None
    assert isinstance(document["offsets"][0]["offset"], int)


def test_this_installation_has_keys_of_its_own(stack: Stack) -> None:
    """What stands in the repository opens nothing, and no other user can read what does."""
    own, known = stack.json("env"), read_variables(ROOT / ".env", {})
    assert stack.home.stat().st_mode & 0o777 == 0o700
    assert (stack.home / "secrets.json").stat().st_mode & 0o777 == 0o600
    asked = {
        f"{own['GATEWAY_URL']}/streams": ("x-api-key", "", "GATEWAY_API_KEY"),
        f"{own['ANALYSER_URL']}/api/2.2/jobs/list": ("Authorization", "Bearer ", "ANALYSER_TOKEN"),
    }
    for url, (header, scheme, name) in asked.items():
        with urllib.request.urlopen(
            urllib.request.Request(url, headers={header: scheme + own[name]}), timeout=20
        ) as it:
            assert it.status == 200
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(url, headers={header: scheme + known[name]}), timeout=20)
        assert refused.value.code in {401, 403}


def test_send_posts_a_folder(stack: Stack, posts: Path) -> None:
    summary = stack.json("send", "--source", str(posts))
    assert summary["sent"] == {"pin": 1, "geo": 1, "user": 2}


def test_send_refuses_a_folder_that_is_not_there(stack: Stack, tmp_path: Path) -> None:
    done = stack.pipeline("send", "--source", str(tmp_path / "nope"), check=False)
    assert done.returncode == 2
    assert "nope" in done.stderr


def test_consume_shows_what_the_topic_holds(stack: Stack) -> None:
    lines = [json.loads(line) for line in stack.pipeline("consume", "geo").stdout.splitlines()]
    assert [line["key"] for line in lines] == ["1"]
    assert json.loads(lines[0]["value"])["country"] == "Malta"


def test_analyse_and_audit_account_for_every_record(stack: Stack) -> None:
    audit = stack.audit()
    assert audit["ok"], audit
    counts = fates(audit)
    # The line of `env` and the file hold the same user 1; user 2 is too old.
    assert (counts["in_log"], counts["current"], counts["repeated"], counts["quarantined"]) == (5, 3, 1, 1)
    assert "every record is accounted for" in stack.pipeline("audit").stdout


def test_answers_are_those_of_the_raw_files(stack: Stack, posts: Path) -> None:
    expected = recompute(posts)
    answers = stack.answers()
    assert answers == {name: expected[name] for name in answers}
    assert len(answers) == 9


def test_answers_as_table_and_csv(stack: Stack) -> None:
    said = stack.pipeline("answers", "users_joined_by_year").stdout
    assert "6. Users joined each year" in said
    assert "policies: " in said
    rows = list(csv.reader(io.StringIO(stack.pipeline("answers", "users_joined_by_year", "--format", "csv").stdout)))
    assert rows == [["answer", "post_year", "number_users_joined"], ["users_joined_by_year", "2015", "1"]]


def test_answers_by_other_policies_are_not_stored(stack: Stack) -> None:
    before = stack.json("answers")
    other = json.loads(
        stack.pipeline("answers", "--users", "posts", "--median", "lower", "--ties", "first", "--format", "json").stdout
    )
    assert other["policies"]["users"] == "posts"
    assert other["run_id"] is None
    assert stack.json("answers") == before


def test_an_unknown_answer_lists_those_there_are(stack: Stack) -> None:
    done = stack.pipeline("answers", "nope", check=False)
    assert done.returncode == 1
    assert "most_popular_category_by_country" in done.stderr


def test_a_second_analysis_changes_nothing(stack: Stack) -> None:
    lake = stack.home / "lake"
    before = sorted(str(file) for file in lake.rglob("*.json"))
    stack.pipeline("analyse")
    assert sorted(str(file) for file in lake.rglob("*.json")) == before


def test_quarantine_shows_coordinate_and_reason(stack: Stack) -> None:
    (row,) = stack.json("quarantine")
    assert (row["reason"], row["topic"]) == ("out_of_range", "pinterest.user")
    assert json.loads(row["value"])["age"] == 200
    assert "out_of_range" in stack.pipeline("quarantine").stdout


def test_replay_keeps_what_still_cannot_be_read(stack: Stack) -> None:
    stack.pipeline("quarantine", "--replay")
    assert len(stack.json("quarantine")) == 1
    assert stack.audit()["ok"]


def test_the_same_posts_down_the_stream(stack: Stack, posts: Path) -> None:
    stack.pipeline("send", "--source", str(posts), "--path", "stream")
    audit = stack.audit()
    assert audit["ok"], audit
    counts = fates({"rows": [row for row in audit["rows"] if row["path"] == "stream"]})
    assert (counts["in_log"], counts["current"], counts["quarantined"]) == (4, 3, 1)
    alone = stack.json("audit", "--path", "stream")["rows"]
    assert alone == [row for row in audit["rows"] if row["path"] == "stream"]
    assert {row["path"] for row in stack.json("audit", "--path", "batch")["rows"]} == {"batch"}


def test_the_stream_agrees_with_the_batch(stack: Stack, posts: Path) -> None:
    assert differences(posts, stack.home / "lake") == {}


@pytest.mark.parametrize(("kind", "path"), MATRIX)
def test_what_was_posted_appears(kind: Kind, path: str, stack: Stack, posts: Path) -> None:
    appears(stack, posts, kind, path)


def test_quarantine_of_each_path(stack: Stack) -> None:
    assert [row["path"] for row in stack.json("quarantine")] == ["batch", "stream"]
    (row,) = stack.json("quarantine", "--path", "stream")
    assert (row["reason"], row["stream"]) == ("out_of_range", "streaming-pinterest-user")
    assert json.loads(row["value"])["age"] == 200
    assert base64.b64decode(row["raw_base64"]).decode() == row["value"]
    said = stack.pipeline("quarantine").stdout
    assert "pinterest.user" in said
    assert "pinterest-user" in said


def test_popular_profiles_by_what_their_posts_are(stack: Stack) -> None:
    """Place and person of a post arrive later than its pin, and correct the score then."""
    deadline = time.monotonic() + POPULAR_DEADLINE_S
    of_the_post = ("--category", "art", "--country", "Malta", "--age-group", "36-50")
    while not stack.json("popular", *of_the_post)["profiles"] and time.monotonic() < deadline:
        time.sleep(0.5)
    for filters in ((), of_the_post):
        (profile,) = stack.json("popular", *filters)["profiles"]
        assert (profile["poster_name"], profile["posts"], profile["follower_count"]) == ("P", 1, 2000)
        assert 3.0 < profile["score"] < math.log10(2001)
    assert stack.json("popular", "--country", "Peru")["profiles"] == []
    said = stack.pipeline("popular").stdout
    assert "Popular profiles" in said
    assert "half life" in said


def test_query_sees_the_stream_tables(stack: Stack) -> None:
    for view in ("stream_pinterest_geo_current", "stream_pinterest_geo_table"):
        assert stack.json("query", f"select country from {view}") == [{"country": "Malta"}]
    assert stack.json("query", "select posts from stream_profile_popularity") == [{"posts": 1}]


def test_query_runs_sql_over_the_lake(stack: Stack) -> None:
    assert stack.json("query", "select ind, country from silver_geo") == [{"ind": 1, "country": "Malta"}]
    done = stack.pipeline("query", "select nope", check=False)
    assert done.returncode == 1
    assert "nope" in done.stderr


def test_logs_are_json_lines_with_service_level_and_event(stack: Stack) -> None:
    for service in ("dashboard", "proxy", "s3-sink", "analyser", "mirror", "stream-reader"):
        lines = [json.loads(line) for line in stack.pipeline("logs", service).stdout.splitlines() if line[:1] == "{"]
        assert lines, service
        assert all({"time", "level", "service", "event"} <= set(line) for line in lines)
        assert {line["service"] for line in lines} == {service}


def test_logs_of_an_unknown_service(stack: Stack) -> None:
    done = stack.pipeline("logs", "nope", check=False)
    assert done.returncode == 1
    assert "there are: dashboard, kafka" in done.stderr


@pytest.mark.parametrize(("host", "status"), [("localhost", 200), ("evil.example", 421)])
def test_our_services_answer_by_their_own_names_alone(host: str, status: int, stack: Stack) -> None:
    for setting in ("DASHBOARD", "PROXY", "S3_SINK", "MIRROR", "ANALYSER", "STREAM_READER"):
        connection = http.client.HTTPConnection("127.0.0.1", int(stack.environment[f"{setting}_PORT"]), timeout=10)
        connection.request("GET", "/version", headers={"Host": host})
        assert connection.getresponse().status == status, setting


def test_nothing_listens_beyond_loopback(stack: Stack) -> None:
    """Every listening socket of the installation is bound to 127.0.0.1."""
    listening = [
        (process.name(), connection.laddr.ip)
        for process in descendants.of(f"{stack.home}/")
        for connection in process.net_connections(kind="tcp")
        if connection.status == "LISTEN"
    ]
    assert len(listening) >= 6
    assert not [entry for entry in listening if entry[1] not in {"127.0.0.1", "::ffff:127.0.0.1", "::1"}]


def test_nothing_is_outside_its_folders(stack: Stack) -> None:
    """Native libraries, scratch, caches: of every service, after all that was done above."""
    assert held_by(stack.home) == []


def test_down_and_up_again_keeps_what_was_sent(stack: Stack) -> None:
    before = stack.answers()
    stack.down()
    assert stack.answers() == before, "answers are read without any service"
    done = stack.pipeline("analyse", check=False)
    assert done.returncode == 1
    assert "start it with `pipeline up`" in done.stderr
    done = stack.pipeline("audit", check=False)
    assert (done.returncode, done.stderr) == (3, "cannot audit: nothing is running; start it with `pipeline up`\n")
    stack.up()
    audit = stack.audit()
    assert audit["ok"], audit
    assert fates(audit)["in_log"] == 5 + 4


def test_up_after_the_supervisor_was_killed_cleans_up_first(stack: Stack) -> None:
    supervisor = stack.json("status")["pid"]
    os.kill(supervisor, 9)
    assert "the supervisor was killed" in stack.pipeline("status", check=False).stdout
    done = stack.pipeline("up")
    assert re.search(r"ended \d+ processes that an earlier run had left behind", done.stderr)
    assert stack.audit()["ok"]


def test_reset_asks_and_then_deletes_all_state(stack: Stack) -> None:
    refused = subprocess.run(
        [PIPELINE, "reset"], input="n\n", env=stack.environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert stack.home.exists()
    stack.pipeline("reset", "--yes")
    assert not stack.home.exists()
