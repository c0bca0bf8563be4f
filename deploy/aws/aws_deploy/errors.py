"""What can go wrong with a deployment, by what the caller can do about it."""


class DeployError(Exception):
    """Base of all of them; its text says what, where and what to do."""


class StackFailedError(DeployError):
    """CloudFormation could not make or change a resource. Fix the cause, then apply again."""

    def __init__(self, stack: str, resource: str, reason: str) -> None:
        super().__init__(f"Stack {stack}: resource {resource} failed: {reason}")
        self.stack = stack
        self.resource = resource
        self.reason = reason


class StackBlockedError(DeployError):
    """A stack is in a state that only a person may end; the text gives the command."""


class ForeignStackError(DeployError):
    """A stack of this name exists and is not this pipeline's. Nothing was touched."""


class UnsupportedResourceError(DeployError):
    """LocalStack said a resource was made, and made nothing."""


class DeployTimeoutError(DeployError):
    """AWS has not ended within the deadline. It goes on by itself; repeat the command later."""


class TopicError(DeployError):
    """A topic could not be made what it must be; or Kafka did not answer."""


class SettingError(DeployError):
    """Something that was asked for is not possible; the text names it and what would be."""


class ForeignResourceError(DeployError):
    """A bucket or stream of this name exists and is not this pipeline's. Nothing was touched."""


class MissingImageError(DeployError):
    """A service's image is not in its repository. Push it, then apply again."""


class PackagingError(DeployError):
    """The DAG, the wheel or an image could not be made of the checkout; the text holds the tool's last words."""


class AccessError(DeployError):
    """AWS does not accept the credentials; the text says how to get valid ones."""


class ProtectedStackError(DeployError):
    """A stack is protected against deletion. Nothing was deleted."""
