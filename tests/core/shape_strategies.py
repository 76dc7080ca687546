"""Generates shapes and contents for the tests, near the edges of what the shape allows."""

from hypothesis import strategies as st

from crossfade.core import shapes
from crossfade.core.fields import Boolean, Choice, Choices, Field, Format, Integer, Number, Option, Shape, Text

NAMES = st.sampled_from(["a", "b", "a_1", "a_2", "a__1", "choice", "Größe", "due date"])
WORDS = st.text("abÄ😀 _1", min_size=1, max_size=4)
BOUNDS = st.none() | st.integers(-3, 3) | st.sampled_from([-1.5, 0.5, 1.0, 2.5])

EMAILS = st.from_regex(r"(\"?[ab.+\" é]{0,4}\"?|[a-z]{1,3})@?@([a1-]{1,3}\.?){0,3}", fullmatch=True).filter(
    # The validator refuses "--" as third and fourth character of a label (RFC 5891); RFC 5321 does not.
    lambda text: "--" not in text
)
URIS = st.from_regex(
    r"(http|urn|x|1|):(//)?([a-z%20]{0,4}@)?(\[[0-9a-f:.v]{0,12}\]|[a-zé.]{0,4})(:[0-9a]{0,3})?"
    r"[/a%2:@ |\\]{0,6}(\?[a/?\[]{0,3})?(#[a#/]{0,3})?",
    fullmatch=True,
)
DATES = st.dates().map(str) | st.from_regex(r"[012][0-9]{3}-[0-1][0-9]-[0-3][0-9]", fullmatch=True)
TIMES = st.from_regex(
    r"[0-2][0-9]:[0-6][0-9]:([0-5][0-9]|60)(\.[0-9]{0,3})?(Z|z|[+-][0-2][0-9]:?[0-6][0-9]|)", fullmatch=True
) | st.sampled_from(["23:59:60Z", "22:59:60-01:00", "00:29:60+00:30", "23:58:60Z"])
TEXTS: dict[Format | None, st.SearchStrategy[str]] = {
    None: WORDS,
    Format.EMAIL: EMAILS,
    Format.URI: URIS,
    Format.DATE: DATES,
    Format.DATE_TIME: st.tuples(DATES, st.sampled_from("Tt "), TIMES).map("".join),
}
ANYTHING: st.SearchStrategy[object] = st.one_of(
    st.none(), st.booleans(), st.integers(), WORDS, st.lists(WORDS, max_size=2), st.just({})
)


@st.composite
def properties(draw: st.DrawFn) -> dict[str, object]:
    """Draw one property of a requested schema, sometimes impossible."""
    kind = draw(st.sampled_from(["string", "format", "number", "integer", "boolean", "enum", "names", "multi", "any"]))
    options = draw(st.lists(WORDS, min_size=1, max_size=4, unique=True))
    titled = [{"const": option, "title": f"<{option}>"} for option in options]
    low, high = draw(BOUNDS), draw(BOUNDS)
    least, most = draw(st.none() | st.integers(0, 3)), draw(st.none() | st.integers(0, 4))
    kinds: dict[str, dict[str, object]] = {
        "string": {"type": "string", "minLength": least, "maxLength": most},
        "format": {"type": "string", "format": draw(st.sampled_from(list(Format))).value},
        "number": {"type": "number", "minimum": low, "maximum": high},
        "integer": {"type": "integer", "minimum": low, "maximum": high},
        "boolean": {"type": "boolean"},
        "enum": {"type": "string", "enum": options},
        "names": {"type": "string", "oneOf": titled},
        "multi": {"type": "array", "items": {"type": "string", "enum": options}, "minItems": least, "maxItems": most},
        "any": {"type": "array", "items": {"anyOf": titled}, "minItems": least},
    }
    node = kinds[kind] | {"title": draw(st.none() | WORDS), "description": draw(st.none() | WORDS)}
    return {keyword: value for keyword, value in node.items() if value is not None}


@st.composite
def shape_values(draw: st.DrawFn) -> Shape:
    """Draw a shape that ``parse`` accepts, with defaults where a drawn value fits."""
    drawn = draw(st.dictionaries(NAMES, properties(), min_size=1, max_size=4))
    required = draw(st.lists(st.sampled_from(sorted(drawn)), unique=True))
    shape = shapes.parse({"type": "object", "properties": drawn, "required": required})
    if not isinstance(shape, Shape):
        shape = Shape((Text(name="a"), Boolean(name="b", required=True)))
    for field in shape.fields:
        value = draw(near(field))
        if shapes.check(Shape((field,)), {field.name: value}) is None:
            schema = shapes.to_schema(shape)
            schema["properties"][field.name]["default"] = value  # type: ignore[index]
            parsed = shapes.parse(schema)
            assert isinstance(parsed, Shape)
            shape = parsed
    return shape


def near(field: Field) -> st.SearchStrategy[object]:
    """Values for ``field``, most of them of its type."""
    return st.one_of(_fitting(field), _fitting(field), _fitting(field), ANYTHING)


def _fitting(field: Field) -> st.SearchStrategy[object]:
    match field:
        case Text():
            return TEXTS[field.format]
        case Number() | Integer():
            return st.integers(-4, 4) | st.sampled_from([-1.5, 0.5, 1.0, 2.5, 2.0, 1e300, 10**20])
        case Boolean():
            return st.booleans()
        case Choice():
            return st.sampled_from([option.value for option in field.options])
        case Choices():
            return st.lists(st.sampled_from([option.value for option in field.options]), max_size=4)


@st.composite
def contents(draw: st.DrawFn, shape: Shape) -> object:
    """Draw a content for ``shape``: mostly fitting, sometimes with a field missing or too many."""
    content = {field.name: draw(near(field)) for field in shape.fields if draw(st.integers(0, 5))}
    if draw(st.integers(0, 9)) == 0:
        content[draw(WORDS)] = draw(ANYTHING)
    return content


def options(*values: str) -> tuple[Option, ...]:
    """Make untitled options."""
    return tuple(Option(value) for value in values)
