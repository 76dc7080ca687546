"""The four formats: what the sources say, and what an independent validator says."""

import jsonschema_rs
import pytest

from crossfade.core.answers import FORMATS
from crossfade.core.fields import Format
from tests.kit.tables import ids, rows

TABLE = rows("formats")
STRICT = jsonschema_rs.EmailOptions(allow_domain_literal=False, allow_display_text=False)


@pytest.mark.parametrize("row", TABLE, ids=ids(TABLE))
def test_a_string_has_the_format_if_the_table_says_so(row: dict[str, str]) -> None:
    holds, _ = FORMATS[Format(row["format"])]
    assert holds(row["text"]) is row["valid"].startswith("yes")
    schema = {"type": "string", "format": row["format"]}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True, email_options=STRICT)
    assert (validator.is_valid(row["text"]) is holds(row["text"])) is not row["valid"].endswith("own")


def test_a_domain_may_be_as_long_as_its_source_says() -> None:
    holds, _ = FORMATS[Format.EMAIL]
    domain = ".".join(["d" * 63] * 3 + ["d" * 62])
    assert len(domain) == 254
    assert holds(f"a@{domain}")
    assert not holds(f"a@{domain}d")


@pytest.mark.parametrize("name", list(Format))
def test_nothing_around_the_value_is_forgiven(name: Format) -> None:
    holds, described = FORMATS[name]
    example = described.split("such as ")[1]
    assert holds(example)
    for text in ("", f" {example}", f"{example} ", f"{example}\n", f"\n{example}"):
        assert not holds(text)
