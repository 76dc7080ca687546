"""Settings: who wins, what is refused, and that every refusal names the place."""

import tomllib
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest

from crossfade.cli.configuring import settings_schema
from crossfade.config import FIELDS, SETTINGS, Config, ConfigError, Setting, load, value_of


def write(folder: Path, text: str) -> Path:
    path = folder / "crossfade.toml"
    path.write_text(text, "utf-8")
    return path


def failure(folder: Path, text: str = "", **environ: str) -> ConfigError:
    if text:
        write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(environ=environ, flags={}, folder=folder)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


def test_nothing_given_means_the_defaults(tmp_path: Path) -> None:
    loaded = load(environ={}, flags={}, folder=tmp_path)
    assert loaded.config == Config()
    assert set(loaded.origins.values()) == {"default"}


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    write(tmp_path, 'port = 1001\nhost = "::1"\nlog = "memory"\n')
    environ = {"CROSSFADE_PORT": "1002", "CROSSFADE_HOST": "localhost"}
    loaded = load(environ=environ, flags={"port": 1003, "host": None}, folder=tmp_path)
    assert (loaded.config.port, loaded.config.host, loaded.config.log) == (1003, "localhost", "memory")
    assert loaded.origins["port"] == "flag --port"
    assert loaded.origins["host"] == "env CROSSFADE_HOST"
    assert loaded.origins["log"] == f"{tmp_path / 'crossfade.toml'}:3"
    assert loaded.origins["guests"] == "default"


def test_nested_settings_come_from_tables_and_double_underscores(tmp_path: Path) -> None:
    write(tmp_path, "[limits]\nagents_max = 5\n")
    loaded = load(environ={"CROSSFADE_LIMITS__HOPS_MAX": "7"}, flags={}, folder=tmp_path)
    assert (loaded.config.limits.agents_max, loaded.config.limits.hops_max) == (5, 7)


@pytest.mark.parametrize(
    ("variable", "text", "setting", "value"),
    [
        ("CROSSFADE_GUESTS", "yes", "guests", True),
        ("CROSSFADE_GUESTS", "0", "guests", False),
        ("CROSSFADE_ALLOWED_HOSTS", "a.example, b.example", "allowed_hosts", ("a.example", "b.example")),
        ("CROSSFADE_DRAIN_SECONDS", "2.5", "drain_seconds", 2.5),
        ("CROSSFADE_VERBOSITY", "debug", "verbosity", "debug"),
    ],
)
def test_text_of_the_environment_is_read_by_type(
    tmp_path: Path, variable: str, text: str, setting: str, value: object
) -> None:
    assert value_of(load(environ={variable: text}, flags={}, folder=tmp_path).config, setting) == value


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hush\n", "utf-8")
    loaded = load(environ={"CROSSFADE_SEAL_KEY_FILE": str(tmp_path / "key")}, flags={}, folder=tmp_path)
    assert loaded.config.seal_key == "hush"
    assert loaded.origins["seal_key"] == "env CROSSFADE_SEAL_KEY_FILE"


def test_what_an_orchestrator_injects_for_a_service_of_this_name_is_left_alone(tmp_path: Path) -> None:
    environ = {
        "CROSSFADE_PORT": "tcp://10.0.0.1:8765",
        "CROSSFADE_PORT_8765_TCP": "tcp://10.0.0.1:8765",
        "CROSSFADE_SERVICE_HOST": "10.0.0.1",
        "CROSSFADE_TOKEN": "cf_x",
    }
    assert load(environ=environ, flags={}, folder=tmp_path).config == Config()


# --- refusals ---------------------------------------------------------------------------------------


def test_an_unknown_name_in_a_file_is_named_with_its_line_and_its_likely_meaning(tmp_path: Path) -> None:
    error = failure(tmp_path, "port = 1\n[limits]\nagent_max = 3\n")
    assert error.message == f"{tmp_path / 'crossfade.toml'}:3: no setting is called 'limits.agent_max'"
    assert (error.code, error.hint) == ("config.unknown", "did you mean limits.agents_max?")


@pytest.mark.parametrize("text", ["[limtis]\n", "limits = 3\n", "[[limits]]\nhops_max = 1\n"])
def test_an_unknown_or_misshapen_table_is_refused(tmp_path: Path, text: str) -> None:
    assert failure(tmp_path, text).code == "config.unknown"


def test_an_unknown_variable_is_refused(tmp_path: Path) -> None:
    error = failure(tmp_path, CROSSFADE_PROT="1")
    assert error.message == "env CROSSFADE_PROT: no setting is called 'prot'"
    assert error.hint == "did you mean port?"


@pytest.mark.parametrize("setting", [setting for setting in SETTINGS if setting.high is not None], ids=lambda s: s.name)
def test_each_bound_holds_at_both_ends(tmp_path: Path, setting: Setting) -> None:
    kind = FIELDS[setting.name][0]
    assert setting.low is not None
    assert setting.high is not None
    for value, fits in ((setting.low, True), (setting.high, True), (setting.low - 1, False), (setting.high + 1, False)):
        text = str(int(value)) if kind is int else str(value)
        try:
            load(environ={setting.variable: text}, flags={}, folder=tmp_path)
            code = ""
        except ConfigError as error:
            code = error.message
        assert ("is not between" in code) is not fits, (value, code)


@pytest.mark.parametrize(
    "text",
    [
        'port = "8765"',
        "port = 1.5",
        "guests = 1",
        'guests = "yes"',
        'log = "postgres"',
        'allowed_hosts = "a"',
        "port = true",
    ],
)
def test_a_file_with_a_value_of_the_wrong_type_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    error = failure(tmp_path, f"# first\n{text}\n")
    assert error.code == "config.value"
    assert f"{tmp_path / 'crossfade.toml'}:2: {text.partition(' ')[0]}: " in error.message


@pytest.mark.parametrize(("variable", "text"), [("CROSSFADE_PORT", "many"), ("CROSSFADE_DRAIN_SECONDS", "nan")])
def test_a_variable_that_cannot_be_read_is_refused(tmp_path: Path, variable: str, text: str) -> None:
    assert variable in failure(tmp_path, **{variable: text}).message


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("port = \n", ":1:8:"),
        ("port = 1\nport = 2\n", ":2:9:"),
        ('a = 1\n[limits\nx = "', ":2:8:"),
        ("x = [1,\n", ":2:1:"),
    ],
)
def test_a_damaged_file_is_one_error_with_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    error = failure(tmp_path, text)
    assert error.code == "config.damaged"
    assert f"crossfade.toml{place}" in error.message


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "crossfade.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(environ={}, flags={}, folder=tmp_path)


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(environ={"CROSSFADE_CONFIG": str(tmp_path / "none.toml")}, flags={}, folder=tmp_path)


def test_a_secret_is_never_repeated_in_an_error(tmp_path: Path) -> None:
    write(tmp_path, "seal_key = 12345\n")
    with pytest.raises(ConfigError) as caught:
        load(environ={}, flags={}, folder=tmp_path)
    assert "12345" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[limits]\nwait_seconds_default = 40.0\nwait_seconds_max = 30.0\n", "above limits.wait_seconds_max"),
        ("[limits]\ndeadline_seconds_default = 100\ndeadline_seconds_max = 10\n", "above limits.deadline_seconds_max"),
        ('public_url = "hub.example.org"\n', "is not an http(s) URL"),
        ('host = "0.0.0.0"\nguests = true\n', "not on 0.0.0.0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path: Path, text: str, said: str) -> None:
    error = failure(tmp_path, text)
    assert said in error.message
    assert "crossfade.toml:" in error.message


# --- the table of settings --------------------------------------------------------------------------


def test_every_field_is_described_once_and_every_default_is_within_its_bounds() -> None:
    assert [setting.name for setting in SETTINGS if setting.name not in FIELDS] == []
    assert sorted(setting.name for setting in SETTINGS) == sorted(FIELDS)
    for setting in SETTINGS:
        default = FIELDS[setting.name][1]
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert setting.low is not None, setting.name
            assert setting.high is not None, setting.name
            assert setting.low <= default <= setting.high, setting.name
        assert setting.help.endswith("."), setting.name


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True),
        ('port = 1\nlog = "memory"\nallowed_hosts = ["a"]\n[limits]\nagents_max = 5\n', True),
        ("prot = 1\n", False),
        ("port = 70000\n", False),
        ("[limits]\nagent_max = 5\n", False),
        ('log = "postgres"\n', False),
    ],
)
def test_the_schema_takes_what_the_loader_takes(tmp_path: Path, text: str, fits: bool) -> None:
    schema = msgspec.json.decode(msgspec.json.encode(settings_schema()))
    assert jsonschema_rs.is_valid(schema, tomllib.loads(text)) is fits
    write(tmp_path, text)
    try:
        load(environ={}, flags={}, folder=tmp_path)
        taken = True
    except ConfigError:
        taken = False
    assert taken is fits
