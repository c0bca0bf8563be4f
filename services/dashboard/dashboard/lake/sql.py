"""Values as SQL: the reader's engine has no parameters, so a value enters a query here or not at all."""

from datetime import UTC, datetime


def literal(value: str | int | datetime) -> str:
    """The value as it stands in a query. A point in time must have a zone; it is exact to the microsecond."""
    if isinstance(value, str):
        # DataFusion's text knows no escapes but the doubled quote.
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a point in time needs a zone")
        return f"to_timestamp_micros({_micros(value)})"
    return f"CAST({int(value)} AS BIGINT)"


def name(text: str) -> str:
    """A column as it stands in a query, whatever letters and words it is made of."""
    return '"' + text.replace('"', '""') + '"'


def after(columns: list[str], values: list[str | int]) -> str:
    """The condition that a row comes behind these values, in the order of these columns."""
    behind = []
    for place in range(len(columns)):
        same = [f"{name(column)} = {literal(value)}" for column, value in zip(columns, values[:place], strict=False)]
        behind.append(" AND ".join([*same, f"{name(columns[place])} > {literal(values[place])}"]))
    return " OR ".join(f"({condition})" for condition in behind)


def _micros(value: datetime) -> int:
    since = value.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
