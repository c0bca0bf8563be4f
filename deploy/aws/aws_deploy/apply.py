"""All stacks of a deployment, in order."""

from collections.abc import Collection, Mapping

from pipeline_contracts.names import Names

from aws_deploy.deployer import Deployer
from aws_deploy.stacks import ORDER, Outputs, StackKind, Wanted, build, stack_name


def apply_stacks(
    deployer: Deployer, wanted: Wanted, rebuild: Collection[StackKind] = ()
) -> Mapping[StackKind, Outputs]:
    """Apply every stack, each with the outputs of those before it; stops at the first that fails.

    ``rebuild`` names stacks whose resources were lost (LocalStack only, see ``Deployer.apply``).

    Raises:
        What ``Deployer.apply`` raises.
    """
    outputs: dict[StackKind, Outputs] = {}
    for kind in ORDER:
        outputs[kind] = deployer.apply(build(kind, wanted, outputs), rebuild=kind in rebuild)
    return outputs


def read_outputs(deployer: Deployer, names: Names) -> Mapping[StackKind, Outputs]:
    """The outputs of the stacks that are there; empty ones for the others."""
    return {kind: deployer.outputs(stack_name(names, kind)) for kind in ORDER}
