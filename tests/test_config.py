"""The settings: what config.toml says is what holds, and the environment comes last."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from server.config import Config
from server.configfile import load
from server.errors import StartupError

CONFIG_TOML = Path(__file__).parents[1] / "config.toml"


def test_config_toml_holds_every_setting_at_its_default() -> None:
    written = tomllib.loads(CONFIG_TOML.read_text(encoding="utf-8"))
    defaults = msgspec.to_builtins(Config())
    assert {name: written[name].keys() for name in written} == {
        name: defaults[name].keys() for name in defaults
    }
    assert load(CONFIG_TOML, {}, required=True) == Config()


def test_every_setting_has_a_line_of_comment() -> None:
    lines = CONFIG_TOML.read_text(encoding="utf-8").splitlines()
    for before, line in zip(lines, lines[1:], strict=False):
        if line and line[0].islower():
            assert before.startswith("# "), line


def test_a_missing_file_means_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "config.toml", {}) == Config()
    with pytest.raises(StartupError, match="there is no such file"):
        load(tmp_path / "config.toml", {}, required=True)


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[server]\nport = 1\n[rooms]\nlinger_s = 5")
    config = load(
        path,
        {
            "LIVERELAY_SERVER__PORT": "9000",
            "LIVERELAY_LOG__LIVE_EVENTS": "false",
            "LIVERELAY_SERVER__ALLOWED_HOSTS": '["relay.example.org"]',
            "LIVERELAY_SIGN__ANONYMOUS_LIMITS": "{minute = 2, hour = 3, day = 4}",
            "LIVERELAY_ROOMS__COMBO_IDLE_S": "2.5",
            "SIGN_API_KEY": "library",
            "PATH": "/bin",
        },
    )
    assert config.server.port == 9000
    assert config.rooms.linger_s == 5
    assert config.rooms.combo_idle_s == 2.5
    assert config.log.live_events is False
    assert config.server.allowed_hosts == ("relay.example.org",)
    assert config.sign.anonymous_limits.hour == 3
    assert config.sign.api_key == "library"


def test_our_own_variable_wins_over_the_librarys() -> None:
    environ = {"SIGN_API_KEY": "library", "LIVERELAY_SIGN__API_KEY": "ours"}
    assert load(Path("nowhere.toml"), environ).sign.api_key == "ours"


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("x = 1", "unknown section [x]"),
        ("server = 1", "[server] must be a table"),
        ("[server]\nport = true", "server.port = true"),
        ('[server]\nallowed_hosts = "a"', "a list of texts"),
        ("[sign]\nanonymous_limits = {minute = 0}", "expected { minute = …, hour = …, day = … }"),
        ("[sign]\nanonymous_limits = {minute = 9, hour = 3}", "a longer window cannot allow less"),
        ('[server]\ntrusted_proxies = ["lan"]', "expected an IP address or a network"),
        ('[server]\npublic_url = "relay.example.org"', "expected a URL"),
        ('[server]\npublic_url = "https://"', "expected a URL"),
        ('[tiktok]\nsession_id = "abc"', "tiktok.tt_target_idc is empty"),
        ('[tiktok]\nweb_proxy = "ftp://me:secret@proxy"', "tiktok.web_proxy = (hidden)"),
        ("[rooms]\nlinger_s = inf", "rooms.linger_s = inf"),
        ("[limits]\nlag_bytes = 1", "of at least 4096"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_what_would_be_right(
    toml: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(toml)
    with pytest.raises(StartupError) as caught:
        load(path, {})
    message = str(caught.value)
    assert said in message
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "secret" not in message
