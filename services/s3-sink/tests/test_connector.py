from pathlib import Path

import pytest
from s3_sink.__main__ import load_connectors
from s3_sink.connector import Connector, load_connector, load_flush_interval_ms
from s3_sink.properties import PropertiesError, read_properties
from s3_sink.settings import Settings

FILES = Path(__file__).resolve().parents[3] / "deploy" / "aws" / "connectors"
PLACEHOLDERS = Settings().placeholders()


def changed(tmp_path: Path, old: str, new: str, name: str = "s3-sink.properties") -> Path:
    text = (FILES / name).read_text()
    assert old in text
    path = tmp_path / name
    path.write_text(text.replace(old, new))
    return path


def test_the_connectors_that_are_deployed() -> None:
    connectors, flush_interval_ms = load_connectors(Settings(connectors_dir=FILES))
    assert connectors == [
        Connector(
            name="pinterest-s3-sink",
            format="json",
            topics=("pinterest.pin", "pinterest.geo", "pinterest.user"),
            bucket="pinterest-raw",
            dead_letters="pinterest.dlq",
        ),
        Connector(
            name="pinterest-dead-letters",
            format="bytes",
            topics=("pinterest.dlq",),
            bucket="pinterest-raw",
            dead_letters=None,
        ),
    ]
    assert flush_interval_ms == 2_000


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("tasks.max=3", "tasks.maximum=3", r"s3-sink.properties:5: tasks.maximum is not implemented"),
        ("tasks.max=3", "file.max.records=100", "file.max.records is not implemented"),
        ("tasks.max=3", "tasks.max=0", "tasks.max=0 is not implemented .*a whole number"),
        ("tasks.max=3\n", "", "tasks.max must be given"),
        ("type=jsonl", "type=csv", "format.output.type=csv is not implemented by this sink; it takes jsonl"),
        ("schemas.enable=false", "schemas.enable=true", "it takes false"),
        ("type=gzip", "type=zstd", "it takes gzip"),
        ("padding=true", "padding=false", "file.name.template="),
        ("fields=key,value", "fields=value,key", "it takes key,value,offset,timestamp"),
        ("storage.StringConverter", "json.JsonConverter", "key.converter="),
        ("AivenKafkaConnectS3SinkConnector", "S3SinkConnector", "connector.class="),
        ("errors.tolerance=all", "errors.tolerance=none", "it takes all"),
        ("errors.log.enable=true", "header.converter=x", "header.converter is not implemented"),
    ],
)
def test_what_is_not_implemented_is_refused_with_its_place(tmp_path: Path, old: str, new: str, problem: str) -> None:
    with pytest.raises(PropertiesError, match=problem):
        load_connector(changed(tmp_path, old, new), PLACEHOLDERS)


def test_a_worker_needs_its_flush_interval(tmp_path: Path) -> None:
    path = changed(tmp_path, "${FLUSH_INTERVAL_MS}", "0", "worker.properties")
    with pytest.raises(PropertiesError, match=r"flush\.interval\.ms=0"):
        load_flush_interval_ms(path, PLACEHOLDERS)


def test_one_topic_cannot_have_two_connectors(tmp_path: Path) -> None:
    for path in FILES.glob("*.properties"):
        (tmp_path / path.name).write_text(path.read_text())
    changed(tmp_path, "topics=${PIPELINE_ID}.pin", "topics=${PIPELINE_ID}.dlq,${PIPELINE_ID}.pin")
    with pytest.raises(PropertiesError, match=r"pinterest.dlq is given to two connectors"):
        load_connectors(Settings(connectors_dir=tmp_path))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a", ":2: write key=value"),
        ("a:b=c", ":2: write key=value"),
        ("a b=c", ":2: write key=value"),
        ("a=b\\", ":2: write key=value"),
        ("=b", ":2: write key=value"),
        ("known=c", ":2: known is given twice, first at .*:1"),
        ("a=${NOT_THERE}", r":2: \$\{NOT_THERE\} has no value; known are AWS_REGION, FLUSH_INTERVAL_MS, PIPELINE_ID"),
        ("a=$", ":2: a placeholder is written"),
        ("a=é", "is not ASCII"),
    ],
)
def test_lines_outside_the_subset(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "some.properties"
    path.write_text(f"known=b\n{line}\n", encoding="utf-8")
    with pytest.raises(PropertiesError, match=problem):
        read_properties(path, PLACEHOLDERS)


def test_comments_and_spaces(tmp_path: Path) -> None:
    path = tmp_path / "some.properties"
    path.write_text("# one\n! two\n\n  a = b=c $$5 \nempty=\n")
    assert {key: found.value for key, found in read_properties(path, {}).items()} == {"a": "b=c $5", "empty": ""}


def test_a_missing_file_names_its_setting(tmp_path: Path) -> None:
    with pytest.raises(PropertiesError, match="S3_SINK_CONNECTORS_DIR"):
        read_properties(tmp_path / "none.properties", {})
