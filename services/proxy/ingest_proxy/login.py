"""How the proxy's Kafka clients sign in: not at all (a laptop's broker), or to MSK by the task's IAM role.

MSK takes IAM as SASL/OAUTHBEARER; the token is a request signed with the role's keys, good for 15 minutes, and
librdkafka asks for the next one by itself:
https://docs.aws.amazon.com/msk/latest/developerguide/configure-clients-for-iam-access-control.html
"""

import logging
from functools import partial
from typing import Any, Literal

Authentication = Literal["none", "aws-msk-iam"]

logger = logging.getLogger(__name__)


class SignInError(Exception):
    """There is no token; the message says why."""


def login_settings(authentication: Authentication, region: str | None) -> dict[str, Any]:
    """librdkafka's settings for this way to sign in, for producer and admin client alike."""
    if authentication == "none":
        return {}
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "OAUTHBEARER",
        "oauth_cb": partial(_msk_token, region),
    }


def _msk_token(region: str | None, _config: str) -> tuple[str, float]:
    """A token, and when it ends in seconds since 1970. Blocks for the time that the role's keys take to come.

    Raises:
        SignInError: librdkafka asks again after ten seconds.
    """
    # Here, since a laptop needs nothing of AWS.
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415

    try:
        token, ends_ms = MSKAuthTokenProvider.generate_auth_token(region)
    except Exception as error:  # whatever a source of keys raises; the signer itself fails on "no keys" by an accident
        logger.exception("no token to sign in to MSK; it needs keys of AWS, such as a task's role")
        raise SignInError(str(error)) from error
    return token, ends_ms / 1000
