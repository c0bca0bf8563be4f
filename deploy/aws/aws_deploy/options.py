"""Options that several commands share, and what is made of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource
from pipeline_contracts.names import Names
from pydantic import SecretStr

from aws_deploy.brokers import Brokers, MskBrokers
from aws_deploy.checkout import Checkout, own_checkout
from aws_deploy.clients import Clients
from aws_deploy.deployed import NOTHING_MADE
from aws_deploy.deployer import Deployer
from aws_deploy.errors import SettingError
from aws_deploy.own_names import Service
from aws_deploy.stacks import stack_name
from aws_deploy.surroundings import IMAGE_OF, Account, Nothing, Surroundings
from aws_deploy.wanted import ALL, OPTIONAL, ORDER, Size, StackKind, Wanted
from aws_deploy.watcher import Watcher

type Command = Callable[..., Any]

_LOCAL_POLL_S = 0.2

_TARGET = [
    click.option("--pipeline-id", envvar="PIPELINE_ID", default="pinterest", show_default=True),
    click.option("--region", envvar="AWS_REGION", default="us-east-1", show_default=True),
    click.option("--profile", envvar="AWS_PROFILE", help="Profile of the AWS configuration."),
    click.option("--endpoint-url", envvar="AWS_ENDPOINT_URL", help="LocalStack's address; unset: AWS."),
    # LocalStack in the place of AWS, with the plug-in of tests/localstack_plugin.
    click.option("--as-on-aws", is_flag=True, hidden=True),
]
_WANTED = [
    click.option("--size", type=click.Choice(["dev", "prod"]), help="Default: as deployed; at first dev."),
    click.option(
        "--proxy-url", envvar="PROXY_URL", default="", help="LocalStack: the proxy, as the gateway reaches it."
    ),
    click.option(
        "--api-key", envvar="GATEWAY_API_KEY", required=True, help="20 to 128 of A-Za-z0-9_-; use the variable."
    ),
    click.option(
        "--admin-key",
        envvar="GATEWAY_ADMIN_KEY",
        default="",
        help="Key that creates and deletes streams through the gateway, of the same form. Default: as deployed; at "
        "first, and on LocalStack, none.",
    ),
    click.option("--tag", envvar="IMAGE_TAG", default="", help="Tag of the images in ECR."),
    click.option("--image", "images", multiple=True, metavar="SERVICE=URI@DIGEST", help="An image by its digest."),
    click.option("--plugin", envvar="CONNECT_PLUGIN", type=click.Path(path_type=Path), help="S3 sink connector's zip."),
    click.option("--plugin-sha256", envvar="CONNECT_PLUGIN_SHA256", default="", help="What the zip must hash to."),
    click.option(
        "--checkout",
        envvar="PIPELINE_CHECKOUT",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Checkout that DAG, wheel and images are made of. Default: the one that this command runs from.",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="STACK.PARAMETER=VALUE",
        help="A parameter of a template. Default: as deployed.",
    ),
    click.option("--reset", "resets", multiple=True, metavar="STACK.PARAMETER", help="Restore a parameter's default."),
    click.option("--env", "environment", default="", help="Tag of every resource. Default: as deployed; at first dev."),
    click.option("--owner", default="", help="Tag of every resource. Default: as deployed; at first unknown."),
]
_FORM = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
_STACKS = click.option(
    "--stack",
    "stacks",
    multiple=True,
    type=click.Choice(ALL),
    help="Only this one; may be repeated. Default: all (LocalStack: data, streams, api).",
)


def target_options(command: Command) -> Command:
    """Which account, region and pipeline."""
    return _with(command, _TARGET)


def wanted_options(command: Command) -> Command:
    """What is to be deployed."""
    return _with(command, _WANTED)


def stacks_option(command: Command) -> Command:
    """Which stacks."""
    return _with(command, [_STACKS])


def form_option(command: Command) -> Command:
    """Table or JSON."""
    return _with(command, [_FORM])


def _with(command: Command, options: list[Any]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


class Target:
    """Account, region and pipeline, from ``target_options``."""

    def __init__(
        self, *, pipeline_id: str, region: str, profile: str | None, endpoint_url: str | None, as_on_aws: bool
    ) -> None:
        self.names = Names(pipeline_id)
        self.clients = Clients.on_localstack(endpoint_url, region) if endpoint_url else Clients.on_aws(region, profile)
        self.stand_in = bool(endpoint_url and as_on_aws)
        self.target = "aws" if self.stand_in else self.clients.target
        if self.target == "aws" and not pipeline_id[0].isalpha():
            raise SettingError(
                f"PIPELINE_ID is {pipeline_id!r}; on AWS it must begin with a letter: names of stacks and of Airflow do"
            )

    def deployer(self, watcher: Watcher | None = None) -> Deployer:
        """A deployer that tells ``watcher``."""
        poll_s = _LOCAL_POLL_S if self.clients.target == "localstack" else 2.0
        # An MSK cluster or an Airflow environment takes up to 40 minutes.
        deadline_s = 900.0 if self.target == "localstack" else 5400.0
        told = watcher or Watcher()
        return Deployer(
            self.clients.cloudformation,
            self.target,
            watcher=told,
            poll_s=poll_s,
            deadline_s=deadline_s,
            stand_in=self.stand_in,
        )

    def brokers(self) -> Brokers | None:
        """The brokers; None on the laptop, where no stack has any."""
        if self.target == "localstack":
            return None
        poll_s = _LOCAL_POLL_S if self.stand_in else 15.0
        return MskBrokers(self.clients.other("kafka"), self.names, poll_s=poll_s)

    def kinds(self, stacks: tuple[StackKind, ...], wanted: Wanted | None = None) -> tuple[StackKind, ...]:
        """The stacks that are meant, in order; of the optional ones those that are there or that something is asked of.

        Raises:
            ForeignStackError: one has an optional stack's name, and is not ours.
        """
        if stacks or self.target == "localstack":
            meant = set(stacks or ORDER)
        else:
            asked = {*wanted.overrides, *wanted.resets} if wanted else set[StackKind]()
            meant = set(ALL) - {kind for kind in OPTIONAL - asked if not self._is_there(kind)}
        return tuple(kind for kind in ALL if kind in meant)

    def asked_kinds(
        self, stacks: tuple[StackKind, ...], wanted: Wanted, given: Mapping[str, Any]
    ) -> tuple[StackKind, ...]:
        """The same, where all that stands on the command line is about one of them.

        Raises:
            SettingError: an image or the plug-in is given, and no stack that takes it is among them. (A variable may
                be set for other commands.)
        """
        kinds = self.kinds(stacks, wanted)
        images = {service: f"--image {service}=…" for service in _images(given["images"])}
        takers = {option: {kind for kind, one in IMAGE_OF.items() if one == name} for name, option in images.items()}
        takers |= {"--tag": set(IMAGE_OF), "--plugin": {"connect"}, "--plugin-sha256": {"connect"}}
        source = click.get_current_context().get_parameter_source
        for option, taking in takers.items():
            name = "images" if option in images.values() else option[2:].replace("-", "_")
            if source(name) is ParameterSource.COMMANDLINE and not taking & set(kinds):
                raise SettingError(
                    f"{option}: of the stacks that this is about ({', '.join(kinds)}) none takes it, but "
                    f"{', '.join(kind for kind in ALL if kind in taking)}; nothing was changed"
                )
        return kinds

    def _is_there(self, kind: StackKind) -> bool:
        name = stack_name(self.names, kind)
        return self.deployer().status(name, self.names.pipeline_id) not in NOTHING_MADE

    def wanted(
        self,
        *,
        size: Size | None,
        proxy_url: str,
        api_key: str,
        admin_key: str,
        images: tuple[str, ...],
        settings: tuple[str, ...],
        resets: tuple[str, ...],
        environment: str,
        owner: str,
        **_others: object,
    ) -> Wanted:
        """From ``wanted_options``.

        Raises:
            SettingError: ``--image``, ``--set`` or ``--reset`` has not the form that it must have.
        """
        return Wanted(
            names=self.names,
            target=self.target,
            local_endpoint="" if self.target == "aws" else self.clients.endpoint_url,
            proxy_url=proxy_url,
            api_key=SecretStr(api_key),
            admin_key=SecretStr(admin_key) if admin_key else None,
            environment=environment,
            owner=owner,
            size=size,
            images=_images(images),
            overrides=_overrides(settings),
            resets=_resets(resets),
        )

    def account(
        self,
        *,
        plugin: Path | None,
        plugin_sha256: str,
        tag: str,
        checkout: Path | None,
        tell: Callable[[str], object] = lambda _line: None,
        **_others: object,
    ) -> Account:
        """The account, from ``wanted_options``."""
        root = checkout or own_checkout()
        made_of = None if root is None else Checkout(root)
        return Account(self.clients, plugin=plugin, tag=tag, plugin_sha256=plugin_sha256, checkout=made_of, tell=tell)

    def surroundings(self, **given: Any) -> Surroundings:
        """What stacks need besides CloudFormation; nothing on the laptop."""
        return self.account(**given) if self.target == "aws" else Nothing()


def _pair(option: str, text: str, form: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise SettingError(f"{option} {text}: must be {form}")
    return key, value


def _images(given: tuple[str, ...]) -> dict[str, str]:
    found = dict(_pair("--image", image, "SERVICE=URI@DIGEST") for image in given)
    for service in found:
        if service not in get_args(Service):
            raise SettingError(f"--image {service}=…: there is no service {service!r}; {', '.join(get_args(Service))}")
    return found


def _overrides(settings: tuple[str, ...]) -> dict[StackKind, dict[str, str]]:
    found: dict[StackKind, dict[str, str]] = {}
    for setting in settings:
        key, value = _pair("--set", setting, "STACK.PARAMETER=VALUE")
        stack, name = _place("--set", key)
        found.setdefault(stack, {})[name] = value
    return found


def _resets(given: tuple[str, ...]) -> dict[StackKind, frozenset[str]]:
    found: dict[StackKind, set[str]] = {}
    for stack, name in (_place("--reset", key) for key in given):
        found.setdefault(stack, set()).add(name)
    return {stack: frozenset(names) for stack, names in found.items()}


def _place(option: str, key: str) -> tuple[StackKind, str]:
    stack, _, name = key.partition(".")
    if stack not in ALL:
        raise SettingError(f"{option} {key}: there is no stack {stack!r}; there are {', '.join(ALL)}")
    if not name:
        raise SettingError(f"{option} {key}: must be STACK.PARAMETER")
    return stack, name
