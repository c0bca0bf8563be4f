"""Settings come from the environment once, at the composition root, and are passed down."""

import re
import sys
from ipaddress import ip_address
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)]
"""A level of ``logs.configure_logging``; small letters are taken, too."""


def _plain(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", value.get_secret_value()):
        raise ValueError("may hold A-Z, a-z, 0-9, '_' and '-' only")
    return value


PlainSecret = Annotated[SecretStr, Field(min_length=20, max_length=128), AfterValidator(_plain)]
"""A key or token that means the same unescaped in a header, a URI and a file of variables."""


class ServiceSettings(BaseSettings):
    """Base of a service's settings: frozen, from environment variables only, empty ones count as unset.

    Subclasses set ``model_config = SettingsConfigDict(env_prefix="PROXY_")`` and name units in field names.
    Fields shared by services give their variable by ``validation_alias="KAFKA_BOOTSTRAP_SERVERS"``.
    Secrets are ``SecretStr``.
    """

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    @classmethod
    def load(cls) -> Self:
        """Read the environment; on a bad or missing value, say each one on stderr and exit with 2."""
        try:
            return cls()
        except ValidationError as error:
            for problem in error.errors():
                sys.stderr.write(f"{cls._variable(problem['loc'])}: {problem['msg']}\n")
            raise SystemExit(2) from error

    def described(self) -> dict[str, object]:
        """All values, fit for a log line: secrets are stars."""
        return self.model_dump(mode="json")

    @classmethod
    def _variable(cls, location: tuple[int | str, ...]) -> str:
        name = str(location[0]) if location else cls.__name__
        field = cls.model_fields.get(name)
        return name if field is None else f"{cls.model_config.get('env_prefix', '')}{name}".upper()


def check_reach(prefix: str, host: str, token: SecretStr | None) -> None:
    """Without a token a service may listen on loopback alone. For validators; ``prefix`` is that of the variables.

    Raises:
        ValueError: others can reach ``host``, and there is no token.
    """
    if token is None and not _is_loopback(host):
        msg = f"{prefix}HOST is {host}, which others can reach; set {prefix}TOKEN"
        raise ValueError(msg)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
