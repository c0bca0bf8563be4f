"""Commands for those who send: send, env, keys, consume."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise

import click
from pipeline_contracts.audits import PATHS
from pipeline_contracts.names import KINDS, Kind

from pipeline_local import keys, printing, processes, sent, topic_records
from pipeline_local.command import end
from pipeline_local.installation import Installation, InstallationError
from pipeline_local.needs import GATEWAY, may_go_on, must_serve

STOP_DEADLINE_S = 20.0
"""More than the emitter gives its requests in flight (15 s)."""
NOT_FINISHED = 3
LOOK_S = 1.0


def start_emitter(installation: Installation, arguments: list[str], stdout: int | None = None) -> subprocess.Popen[str]:
    """Start the emitter as a child with this installation's gateway, key and ledger; ``stdout`` as ``Popen`` has it.

    Whoever waits for it calls ``end_emitter`` when something ends the waiting.

    Raises:
        InstallationError: the ledger of what was sent earlier is gone.
    """
    if (trouble := sent.gone(installation.layout)) is not None:
        raise InstallationError(trouble)
    installation.layout.ledger.parent.mkdir(parents=True, exist_ok=True)
    command = processes.command(installation.environment, installation.layout, installation.service("emitter"))
    return subprocess.Popen([*command.argv, *arguments], env=command.env, text=True, stdout=stdout)


def await_emitter(
    installation: Installation, emitter: subprocess.Popen[str], on_wait: Callable[[], None]
) -> str | None:
    """Block until it has ended; returns what it printed, where that was asked for. ``on_wait`` may raise."""
    try:
        while True:
            try:
                return emitter.communicate(timeout=LOOK_S)[0]
            except subprocess.TimeoutExpired:
                on_wait()
    finally:
        _note_sent(installation)


def _note_sent(installation: Installation) -> None:
    try:
        sent.note(installation.layout)
    except OSError as error:
        printing.say(f"cannot note that records were sent: {error}", err=True)


def end_emitter(emitter: subprocess.Popen[str]) -> None:
    """Ask the emitter to end in order and block until it has; it is killed after 20 s."""
    end([emitter], STOP_DEADLINE_S)


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    short_help="Post events through the gateway (options: `pipeline send --help`).",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def send(installation: Installation, arguments: tuple[str, ...]) -> None:
    """Post events through the gateway: the emitter, with this installation's address, key and ledger."""
    needed = needed_by_sender(arguments)
    if "--help" not in arguments and "-h" not in arguments:
        must_serve(installation, *needed)
    emitter = start_emitter(installation, list(arguments))
    try:
        await_emitter(installation, emitter, lambda: may_go_on(installation, *needed))
    except (KeyboardInterrupt, SystemExit):
        end_emitter(emitter)
    except InstallationError as error:
        end_emitter(emitter)
        printing.say(f"stopped: {error}", err=True)
        sys.exit(NOT_FINISHED)
    # Below zero: a signal ended it before it could say anything.
    sys.exit(emitter.returncode if emitter.returncode >= 0 else NOT_FINISHED)


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "json", "shell"]), default="table", show_default=True)
@click.pass_obj
def env(installation: Installation, form: str) -> None:
    """Print where everything is, with the keys and tokens of this installation, and a line to try.

    The keys lie in the file that the last line names. All of it in a shell: eval "$(pipeline env --format shell)"
    """
    if not installation.layout.keys_file.exists():
        raise InstallationError("this installation has no keys yet; `pipeline up` makes them")
    values = _addresses(installation)
    if form == "json":
        printing.say_json(values, indent=2)
        return
    if form == "shell":
        for name, value in values.items():
            printing.say(f"export {name}={shlex.quote(value)}")
        return
    for name, value in values.items():
        printing.say(f"{name}={value}")
    topic = installation.names.topic("user")
    printing.say(
        f"\ncurl -X POST {values['GATEWAY_URL']}/topics/{topic} \\\n"
        f"  -H 'x-api-key: {values['GATEWAY_API_KEY']}' -H 'Content-Type: application/vnd.kafka.json.v2+json' \\\n"
        '  -d \'{"records":[{"key":"1","value":{"ind":1,"first_name":"Ana","last_name":"Lee",'
        '"age":36,"date_joined":"2015-12-08 20:02:43"}}]}\''
        f"\n\nkeys and tokens are this installation's own: {installation.layout.keys_file}"
    )


def _addresses(installation: Installation) -> dict[str, str]:
    """Variables by which other programs find the services and are let in."""
    variables = installation.variables
    urls = {
        f"{name.upper().replace('-', '_')}_URL": installation.service(name).url
        for name in ("dashboard", "proxy", "analyser", "stream-reader", "airflow")
        if installation.has(name)
    }
    return {
        "GATEWAY_URL": installation.service("emitter").environment["GATEWAY_URL"],
        **{name: variables[name] for name in keys.NAMES if name in variables},
        "KAFKA_BOOTSTRAP_SERVERS": installation.service("proxy").environment["KAFKA_BOOTSTRAP_SERVERS"],
        "AWS_ENDPOINT_URL": installation.service("analyser").environment["AWS_ENDPOINT_URL"],
        **urls,
        "LAKE_URI": installation.layout.lake.as_uri(),
    }


@click.command("keys")
def keys_command() -> None:
    """Generate a set of keys and tokens and print it as lines of `.env`; it changes nothing.

    The defaults in `.env` are public, and containers use them: `… keys >> .env`, then start again. Plain processes have
    their own (`pipeline env`), but use what you add to `.env`. Do not commit it.
    """
    for name, value in keys.new().items():
        printing.say(f"{name}={value}")


@click.command()
@click.argument("kind", type=click.Choice([*KINDS, "dlq"]))
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=10,
    show_default=True,
    help="How many records, over all partitions.",
)
@click.option("--last", is_flag=True, help="The newest records instead of the oldest.")
@click.pass_obj
def consume(installation: Installation, kind: str, limit: int, last: bool) -> None:
    """Print records of a Kafka topic, one JSON line each: partition, offset, key, value."""
    must_serve(installation, "kafka")
    names = installation.names
    topic = names.dead_letter_topic if kind == "dlq" else names.topic(_kind(kind))
    servers = installation.service("proxy").environment["KAFKA_BOOTSTRAP_SERVERS"]
    try:
        for line in topic_records.read(servers, topic, limit, last=last):
            printing.say_json(line)
    except topic_records.TopicUnreadableError as error:
        raise InstallationError(str(error)) from error


def needed_by_sender(arguments: Sequence[str]) -> list[str]:
    """The services without which nothing is sent, by the emitter's ``--path``; what else is wrong it says itself."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    path = next((after for word, after in pairwise(words) if word == "--path"), "batch")
    return list(dict.fromkeys(name for one in PATHS if path in {one, "both"} for name in GATEWAY[one]))


def _kind(name: str) -> Kind:
    return next(kind for kind in KINDS if kind == name)
