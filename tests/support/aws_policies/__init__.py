"""The security and reliability list of the AWS deployment as rules, each with copies that it must refuse."""

from aws_policies.data import RULES as DATA
from aws_policies.deployment import Deployment, Documents, Rule
from aws_policies.identity import RULES as IDENTITY
from aws_policies.operation import RULES as OPERATION
from aws_policies.transport import RULES as TRANSPORT

__all__ = ["RULES", "Deployment", "Documents", "Rule"]

RULES: list[Rule] = sorted([*DATA, *TRANSPORT, *IDENTITY, *OPERATION], key=lambda rule: rule.line)
