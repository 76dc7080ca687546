"""Values as one line of text, so that what a test keeps of them can be read and compared by eye."""

import msgspec


def written(value: object) -> str:
    """Structs by name, without the fields that hold what they hold if nobody says anything; numbers to nine digits."""
    if isinstance(value, msgspec.Struct):
        fields = [(one, getattr(value, one.name)) for one in msgspec.structs.fields(value)]
        said = [f"{one.name} {written(own)}" for one, own in fields if not _usual(own, one)]
        return f"{type(value).__name__}({', '.join(said)})"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _usual(value: object, field: msgspec.structs.FieldInfo) -> bool:
    return value == field.default and type(value) is type(field.default)
