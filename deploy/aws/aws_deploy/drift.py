"""What differs between a stack's resources and its template.

CloudFormation takes over ("imports") a resource as it is and does not change it to the template. What differs stays
so until that property changes in the template, so a person has to be told.
Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-automatically.html
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from service_kit.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

DEADLINE_S = 300.0


def differences(client: "CloudFormationClient", stack: str, clock: Clock, poll_s: float) -> Iterator[str]:
    """A line for each property that is not as the template says, or why that is not known.

    Blocks while CloudFormation compares, ``DEADLINE_S`` at most.
    """
    try:
        yield from _compared(client, stack, clock, poll_s)
    except (ClientError, BotoCoreError) as error:
        # The stack is whole: a missing right to compare it must not stop the stacks after it.
        yield f"it could not be compared with its template: {error}"


def _compared(client: "CloudFormationClient", stack: str, clock: Clock, poll_s: float) -> Iterator[str]:
    detection = client.detect_stack_drift(StackName=stack)["StackDriftDetectionId"]
    end = clock.monotonic() + DEADLINE_S
    while True:
        found = client.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
        if found["DetectionStatus"] != "DETECTION_IN_PROGRESS":
            break
        if clock.monotonic() >= end:
            yield f"it could not be compared with its template within {DEADLINE_S:.0f} s"
            return
        clock.sleep(poll_s)
    if found["DetectionStatus"] == "DETECTION_FAILED":
        yield f"not everything could be compared: {found.get('DetectionStatusReason', 'no reason given')}"
    for drift in _drifts(client, stack):
        resource = f"{drift['LogicalResourceId']} ({drift['ResourceType']})"
        for one in drift.get("PropertyDifferences", []):
            yield f"{resource}: {one['PropertyPath']} is {one['ActualValue']}, not {one['ExpectedValue']}"
        if drift["StackResourceDriftStatus"] == "DELETED":
            yield f"{resource}: is gone"


def _drifts(client: "CloudFormationClient", stack: str) -> Iterator[Any]:
    page: dict[str, Any] = {}
    while True:
        found = client.describe_stack_resource_drifts(
            StackName=stack, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"], **page
        )
        yield from found["StackResourceDrifts"]
        if not found.get("NextToken"):
            return
        page = {"NextToken": found["NextToken"]}
