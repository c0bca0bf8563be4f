"""Looks at what an account must have before a deployment can succeed. Changes nothing."""

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from botocore.exceptions import BotoCoreError, ClientError

from aws_deploy.calls import StackCalls
from aws_deploy.clients import Clients
from aws_deploy.deployed import NOTHING_MADE, Deployed, Deployment
from aws_deploy.deployer import stop_if_blocked
from aws_deploy.errors import (
    DeployError,
    ForeignResourceError,
    ForeignStackError,
    MissingImageError,
    SettingError,
    StackBlockedError,
)
from aws_deploy.explain import explain
from aws_deploy.leftovers import unless_gone
from aws_deploy.own_names import Service, sign_in_secret
from aws_deploy.stacks import check_asked, stack_name
from aws_deploy.surroundings import Account
from aws_deploy.wanted import ALL, Wanted

State = Literal["ok", "warning", "failed"]

_TIMEOUT_S = 10
_ZONES = 3
_NO_BROKERS = {"use1-az3"}
"""Ids of zones that MSK refuses (API reference, BrokerNodeGroupInfo). Which name such a zone has differs by account."""


@dataclass(frozen=True)
class Quota:
    """A limit of the account, and how much of it a deployment takes at most."""

    service: str
    code: str
    what: str
    needed: int


_QUOTAS = [
    Quota("vpc", "L-F678F1CE", "VPCs", 1),
    Quota("ec2", "L-0263D0A3", "Elastic IP addresses", 3),
]


@dataclass(frozen=True)
class Finding:
    """One look."""

    name: str
    state: State
    text: str


def examine(account: Account, wanted: Wanted, databricks_host: str | None) -> Iterator[Finding]:
    """Look at everything; one that fails does not keep the others from being looked at. Blocks on each call."""
    clients = account.clients
    there = _deployed(clients, wanted)
    chosen = wanted.overrides.get("network", {}).get("Zones")
    zones = there.of("network").parameters.get("Zones", "") if chosen is None else chosen
    looks: list[tuple[str, Callable[[], tuple[State, str]]]] = [
        ("credentials", lambda: _credentials(clients)),
        ("settings", lambda: _settings(wanted, there)),
        ("zones", lambda: _zones(clients, zones)),
        ("gateway logs", lambda: _gateway_role(clients)),
        ("names", lambda: _names(account, wanted)),
        ("image proxy", lambda: _image(account, "proxy", wanted, there.of("proxy"))),
        ("image emitter", lambda: _image(account, "emitter", wanted, there.of("emitter"))),
        ("image stream-reader", lambda: _image(account, "stream-reader", wanted, there.of("popularity"))),
        ("plugin", lambda: _plugin(account, there.of("connect"))),
        *((f"quota: {quota.what}", partial(_quota, clients, quota)) for quota in _QUOTAS),
    ]
    if "dashboard" in wanted.overrides or there.of("dashboard").parameters:
        looks.append(("image dashboard", lambda: _image(account, "dashboard", wanted, there.of("dashboard"))))
        looks.append(("sign-in", lambda: _sign_in(clients, wanted)))
    if databricks_host:
        looks.append(("databricks", lambda: _databricks(databricks_host)))
    for name, look in looks:
        try:
            state, text = look()
        except (DeployError, BotoCoreError, ClientError) as error:
            state, text = "failed", explain(error)
        yield Finding(name, state, text)


def _deployed(clients: Clients, wanted: Wanted) -> Deployment:
    """What apply would keep; nothing where it cannot be asked, which the look at names tells."""
    try:
        return Deployment.look(StackCalls(clients.cloudformation, wanted.target), wanted)
    except (BotoCoreError, ClientError):
        return Deployment({})


def _credentials(clients: Clients) -> tuple[State, str]:
    identity = clients.other("sts").get_caller_identity()
    return "ok", f"{identity['Arn']} in account {identity['Account']}"


def _settings(wanted: Wanted, there: Deployment) -> tuple[State, str]:
    check_asked(wanted, ALL)
    there.check_stage(wanted, ALL)
    return "ok", "templates allow what is set"


def _zones(clients: Clients, chosen: str) -> tuple[State, str]:
    """Those that the subnets will lie in: the chosen ones, or the region's first three."""
    wanted = {"state": "available", "zone-type": "availability-zone"}
    found = clients.other("ec2").describe_availability_zones(
        Filters=[{"Name": name, "Values": [value]} for name, value in wanted.items()]
    )
    ids = {zone["ZoneName"]: zone["ZoneId"] for zone in found["AvailabilityZones"]}
    names = sorted(ids)
    used = chosen.split(",") if chosen else names[:_ZONES]
    without = [name for name in used if ids.get(name) in _NO_BROKERS]
    if without:
        wrong = f"MSK has no brokers in {', '.join(f'{name} ({ids[name]})' for name in without)}"
    elif len(set(used) & set(names)) < _ZONES:
        wrong = f"three different ones of {', '.join(names)} are needed"
    else:
        return "ok", ", ".join(used)
    good = [name for name in names if ids[name] not in _NO_BROKERS][:_ZONES]
    cure = f"--set network.Zones={','.join(good)}" if len(good) == _ZONES else "choose another region"
    return "failed", f"{', '.join(used)}; {wrong}: {cure}"


def _gateway_role(clients: Clients) -> tuple[State, str]:
    if clients.apigateway.get_account().get("cloudwatchRoleArn"):
        return "ok", "API Gateway may write logs in this account"
    return "failed", (
        "API Gateway has no role for logs in this account, so the stage cannot be made. Give it one once "
        "(`aws apigateway update-account`, see deploy/aws/README.md)"
    )


def _names(account: Account, wanted: Wanted) -> tuple[State, str]:
    """What ``apply`` will find: stacks that only a person may go on with, and names that are taken."""
    stacks = StackCalls(account.clients.cloudformation, wanted.target)
    ours, wrong = [], []
    for kind in ALL:
        try:
            name = stack_name(wanted.names, kind)
            status = stacks.status(name, wanted.names.pipeline_id)
            if status:
                stop_if_blocked(name, status)
            if status in NOTHING_MADE and account.has_leftovers(kind, wanted):
                ours.append(kind)
        except (ForeignStackError, ForeignResourceError, SettingError, StackBlockedError) as error:
            wrong.append(str(error))
    if wrong:
        return "failed", "; ".join(wrong)
    return "ok", f"{', '.join(ours)}: there and ours, and taken over" if ours else "nothing is in the way"


def _image(account: Account, service: Service, wanted: Wanted, there: Deployed) -> tuple[State, str]:
    if service in wanted.images:
        return "ok", wanted.images[service]
    if not account.tag and "Image" in there.parameters:
        return "ok", f"stays {there.parameters['Image']}"
    try:
        return "ok", account.image(service, wanted)
    except MissingImageError:
        if not account.can_build():
            raise
        return "ok", "not there yet; apply builds and pushes it"


def _sign_in(clients: Clients, wanted: Wanted) -> tuple[State, str]:
    """Whether the secret is there that stack dashboard reads; its value is not looked at."""
    name = sign_in_secret(wanted.names)
    try:
        clients.other("secretsmanager").describe_secret(SecretId=name)
    except ClientError as error:
        unless_gone(error)
        return "failed", (
            f"there is no secret {name}: `aws secretsmanager create-secret --name {name} --secret-string "
            'file://secret.json`, where the file holds {"client_secret": "…"}'
        )
    return "ok", f"{name} is there"


def _plugin(account: Account, there: Deployed) -> tuple[State, str]:
    if account.plugin is None and "PluginSha256" in there.parameters:
        return "ok", f"stays {there.parameters['PluginSha256']}"
    if account.plugin is None:
        return "warning", "no --plugin; stack connect needs the connector's zip at its first deployment"
    return ("ok", str(account.plugin)) if account.plugin.is_file() else ("failed", f"{account.plugin} is not there")


def _quota(clients: Clients, quota: Quota) -> tuple[State, str]:
    """The limit only: how much of it is used, each service counts in its own way."""
    found = clients.other("service-quotas").get_service_quota(ServiceCode=quota.service, QuotaCode=quota.code)
    value = int(found["Quota"]["Value"])
    return ("ok" if value >= quota.needed else "failed"), f"{value} allowed, up to {quota.needed} taken by this"


def _databricks(host: str) -> tuple[State, str]:
    address = f"https://{host.removeprefix('https://').rstrip('/')}/api/2.1/jobs/list?limit=1"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S):
            return "ok", "answers"
    except urllib.error.HTTPError as error:
        # Nobody has signed in here: being refused is the right answer.
        return ("ok", "answers") if error.code in {401, 403} else ("failed", f"{host} answers {error.code}")
    except OSError as error:
        return "failed", f"{host} does not answer: {error}"
