"""Reading the settings: defaults, then config.toml, then the environment. No other module reads
either.

Anything unknown, mistyped or impossible raises StartupError with one line that names the source,
the key, the value and what would be right.
"""

from __future__ import annotations

import difflib
import os
import tomllib
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from server.config import SECRET_KEYS, Config, Section, problems, shown
from server.errors import StartupError

ENV_PREFIX: Final = "LIVERELAY_"
#: Names that users of TikTokLive already know, and where their values go.
LIBRARY_ENV: Final = {"SIGN_API_KEY": ("sign", "api_key"), "SIGN_API_URL": ("sign", "url")}


def load(path: Path, environ: Mapping[str, str] | None = None, *, required: bool = False) -> Config:
    """Read the settings from `path` and the environment. A missing file means the defaults, unless
    it is `required`. Raises StartupError.
    """
    raw = _read_toml(path, required=required)
    config = _convert_sections(raw, source=str(path))
    overrides = _read_environ(os.environ if environ is None else environ)
    for (section, key), (name, text) in overrides.items():
        config = _override(config, section, key, text, source=name)
    for place, problem in problems(config):
        section, _, key = place.partition(".")
        name, _text = overrides.get((section, key), ("", ""))
        source = f"environment: {name}" if name else str(path)
        raise StartupError(f"{source}: {place}{problem}")
    return config


def _read_toml(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        if required:
            raise StartupError(f"{path}: there is no such file") from None
        return {}
    except OSError as error:
        raise StartupError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StartupError(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise StartupError(f"{path}: is not valid TOML: {error}") from None
    except RecursionError:
        raise StartupError(f"{path}: is not valid TOML: lists within lists without end") from None


def _convert_sections(raw: dict[str, Any], *, source: str) -> Config:
    sections: dict[str, Section] = {}
    for name, table in raw.items():
        section_type = _section_type(name, source=source)
        if not isinstance(table, dict):
            raise StartupError(f"{source}: [{name}] must be a table, not {shown(table)}")
        known = section_type.__struct_fields__
        for key, value in table.items():
            if key not in known:
                raise StartupError(f"{source}: unknown key {name}.{key}{_near(key, known)}")
            _convert_value(section_type, name, key, value, source=source, strict=True)
        sections[name] = msgspec.convert(table, section_type)
    return Config(**sections)  # type: ignore[arg-type]


def _section_type(name: str, *, source: str) -> type[Section]:
    hints: dict[str, type[Section]] = typing.get_type_hints(Config)
    if name in hints:
        return hints[name]
    homes = [section for section, kind in hints.items() if name in kind.__struct_fields__]
    if homes:
        raise StartupError(
            f"{source}: {name} stands outside its section: write it below [{homes[0]}]"
        )
    raise StartupError(f"{source}: unknown section [{name}]{_near(name, hints)}")


def _convert_value(
    section_type: type[Section], section: str, key: str, value: Any, *, source: str, strict: bool
) -> Any:
    hint = typing.get_type_hints(section_type, include_extras=True)[key]
    try:
        return msgspec.convert(value, hint, strict=strict)
    except msgspec.ValidationError as error:
        given = "(hidden)" if key in SECRET_KEYS else shown(value)
        raise StartupError(
            f"{source}: {section}.{key} = {given}: expected {_expected(hint)}"
            f"{_what_is_wrong(hint, value, error)}"
        ) from None


def _what_is_wrong(hint: Any, value: Any, error: msgspec.ValidationError) -> str:
    """Of a list or a table: which part of it."""
    if not _is_table_or_list(hint):
        return ""
    known = getattr(hint, "__struct_fields__", ())
    unknown = [key for key in value if key not in known] if isinstance(value, dict) else []
    if unknown and known:
        return f"; {unknown[0]} is none of them{_near(unknown[0], known)}"
    return f" ({error})"


def _read_environ(environ: Mapping[str, str]) -> dict[tuple[str, str], tuple[str, str]]:
    """Overrides as (section, key) -> (variable, text); our own names win over the library's."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for name, place in LIBRARY_ENV.items():
        if environ.get(name):
            found[place] = (name, environ[name])
    known = {
        f"{ENV_PREFIX}{section.upper()}__{key.upper()}": (section, key)
        for section, section_type in typing.get_type_hints(Config).items()
        for key in section_type.__struct_fields__
    }
    for name, text in environ.items():
        if not name.startswith(ENV_PREFIX):
            continue
        if name not in known:
            raise StartupError(f"environment: unknown variable {name}{_near(name, known)}")
        found[known[name]] = (name, text)
    return found


def _override(config: Config, section: str, key: str, text: str, *, source: str) -> Config:
    old: Section = getattr(config, section)
    hint = typing.get_type_hints(type(old), include_extras=True)[key]
    value: Any = text
    if _is_table_or_list(hint):
        try:
            value = tomllib.loads(f"v = {text}")["v"]
        except (tomllib.TOMLDecodeError, RecursionError):
            raise StartupError(
                f"environment: {source} = {shown(text)}: expected {_expected(hint)}"
            ) from None
    value = _convert_value(
        type(old), section, key, value, source=f"environment: {source}", strict=False
    )
    return msgspec.structs.replace(
        config, **{section: msgspec.structs.replace(old, **{key: value})}
    )


def _is_table_or_list(hint: Any) -> bool:
    return typing.get_origin(hint) is tuple or (
        isinstance(hint, type) and issubclass(hint, msgspec.Struct)
    )


_TYPE_WORDS: Final = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _expected(hint: Any) -> str:
    """What a key takes, in words: the type, then its bounds."""
    bounds = ""
    if typing.get_origin(hint) is Annotated:
        hint, *extras = typing.get_args(hint)
        bounds = "".join(_bounds(meta) for meta in extras)
    if typing.get_origin(hint) is Literal:
        return " or ".join(f'"{choice}"' for choice in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return 'a list of texts such as ["one", "two"]'
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        keys = ", ".join(f"{key} = …" for key in hint.__struct_fields__)
        return "{ " + keys + " }"
    return _TYPE_WORDS.get(hint, str(hint)) + bounds


def _bounds(meta: Any) -> str:
    if meta.ge is not None and meta.le is not None:
        return f" from {meta.ge} to {meta.le}"
    above = f" above {meta.gt}" if meta.gt is not None else ""
    least = f" of at least {meta.ge}" if meta.ge is not None else ""
    most = f" and at most {meta.le}" if meta.le is not None else ""
    length = " that is not empty" if meta.min_length == 1 else ""
    return above + least + most + length


def _near(word: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {match[0]}?" if match else ""
