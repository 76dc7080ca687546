"""The typed fields of a shape: what may be asked for in an answer.

Not here: reading JSON Schema (shapes.py), checking answers (answers.py), writing JSON Schema (dialects.py).
Source: MCP 2026-07-28 "Elicitation", requestedSchema: a flat object of primitives and enumerations.
"""

from enum import StrEnum

import msgspec


class Format(StrEnum):
    """What a string must look like."""

    EMAIL = "email"
    URI = "uri"
    DATE = "date"
    DATE_TIME = "date-time"


class Option(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the values to choose from."""

    value: str
    title: str = ""
    """What people see; empty: the value itself."""

    @property
    def label(self) -> str:
        """What people see."""
        return self.title or self.value


class Named(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every field has."""

    name: str
    """Key of the value in the answer."""
    title: str = ""
    description: str = ""
    required: bool = False


class Text(Named, frozen=True, kw_only=True, omit_defaults=True, tag="text"):
    """A string; lengths in code points."""

    format: Format | None = None
    min_length: int | None = None
    max_length: int | None = None
    default: str | None = None


class Number(Named, frozen=True, kw_only=True, omit_defaults=True, tag="number"):
    """A finite number; bounds inclusive."""

    minimum: int | float | None = None
    maximum: int | float | None = None
    default: int | float | None = None


class Integer(Named, frozen=True, kw_only=True, omit_defaults=True, tag="integer"):
    """A number without a fraction (``2.0`` is one, ``true`` is not); bounds inclusive."""

    minimum: int | float | None = None
    maximum: int | float | None = None
    default: int | float | None = None


class Boolean(Named, frozen=True, kw_only=True, omit_defaults=True, tag="boolean"):
    """Yes or no."""

    default: bool | None = None


class Choice(Named, frozen=True, kw_only=True, omit_defaults=True, tag="choice"):
    """Exactly one of the options."""

    options: tuple[Option, ...]
    default: str | None = None


class Choices(Named, frozen=True, kw_only=True, omit_defaults=True, tag="choices"):
    """Any of the options, each at most once."""

    options: tuple[Option, ...]
    min_items: int | None = None
    max_items: int | None = None
    default: tuple[str, ...] | None = None


Field = Text | Number | Integer | Boolean | Choice | Choices


class Shape(msgspec.Struct, frozen=True):
    """What an answer must look like: one to ``shapes.FIELDS_MAX`` fields, in the asker's order."""

    fields: tuple[Field, ...]
