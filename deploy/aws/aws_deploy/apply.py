"""All stacks of a deployment, in order."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from pipeline_contracts.names import Names

from aws_deploy.deployed import NO_OUTPUTS, NOTHING_MADE, Deployment
from aws_deploy.deployer import Deployer
from aws_deploy.errors import SettingError
from aws_deploy.stacks import build, check_asked, stack_name
from aws_deploy.surroundings import Nothing, Surroundings
from aws_deploy.wanted import ALL, NEEDS, ORDER, Outputs, StackKind, Wanted


def apply_stacks(
    deployer: Deployer,
    wanted: Wanted,
    rebuild: Collection[StackKind] = (),
    *,
    kinds: Collection[StackKind] = ORDER,
    surroundings: Surroundings | None = None,
) -> Mapping[StackKind, Outputs]:
    """Apply these stacks, each with the outputs of those before it; stops at the first that fails.

    ``rebuild`` names stacks whose resources were lost (LocalStack only, see ``Deployer.apply``).

    Raises:
        SettingError: a stack that one of these needs is neither there nor among them; or a bad parameter, or one of a
            stack that is not among them.
        What ``Deployer.apply`` and ``surroundings`` raise.
    """
    around = surroundings or Nothing()
    check_asked(wanted, kinds)
    deployment = Deployment.look(deployer, wanted)
    deployment.check_stage(wanted, kinds)
    outputs: dict[StackKind, Outputs] = {}
    for kind in ALL:
        name = stack_name(wanted.names, kind)
        if kind not in kinds:
            if wanted.target == "aws" and deployer.settled(name, wanted.names.pipeline_id) not in NO_OUTPUTS:
                outputs[kind] = around.after(kind, deployer.outputs(name))
            continue
        _check_needs(kind, outputs)
        # Somebody else's run may be changing it.
        status = deployer.settled(name, wanted.names.pipeline_id) if deployer.target == "aws" else None
        deployment = deployment.refreshed(deployer, wanted, kind)
        has = deployment.of(kind).parameters
        ready = around.before(kind, deployment.filled_in(kind, wanted), has)
        stack = deployment.with_its_tags(build(kind, ready, outputs, has), kind)
        if deployer.target == "aws" and status in NOTHING_MADE:
            stack = replace(stack, adopt=around.has_leftovers(kind, wanted))
        outputs[kind] = around.after(kind, deployer.apply(stack, rebuild=kind in rebuild))
    return {kind: outputs[kind] for kind in ALL if kind in kinds}


def read_outputs(deployer: Deployer, names: Names, kinds: Sequence[StackKind] = ORDER) -> Mapping[StackKind, Outputs]:
    """The outputs of the stacks that are there; empty ones for the others."""
    return {kind: deployer.outputs(stack_name(names, kind)) for kind in kinds}


def _check_needs(kind: StackKind, there: Collection[StackKind]) -> None:
    if missing := sorted(NEEDS[kind] - set(there)):
        raise SettingError(f"Stack {kind} needs {', '.join(missing)}, which are not there; apply them first, or all")
