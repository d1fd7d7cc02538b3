"""``python -m ringback build``: makes a plugin's ``.wasm`` file."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

#: The version of componentize-py whose output is known to run.
COMPONENTIZE = "0.25.0"
WIT = "1.0.0"


class _Mistake(Exception):
    """What the author has to mend."""


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m ringback", description="Build ringback plugins.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="make the .wasm file of a plugin")
    build.add_argument("source", nargs="?", default="plugin.py", type=Path, help="the module [default: plugin.py]")
    build.add_argument("-o", "--output", type=Path, help="[default: the module's name with .wasm]")
    arguments = parser.parse_args()
    try:
        _build(arguments.source, arguments.output or arguments.source.with_suffix(".wasm"))
    except _Mistake as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        return 1
    return 0


def _build(source: Path, output: Path) -> None:
    if not source.is_file():
        raise _Mistake(f"there is no {source}; name the module that has the decorated functions")
    program = _componentize()
    source = source.resolve()
    roles, imports = _load(source)
    vectors = source.parent / "vectors.json"
    cases = _cases(vectors) if vectors.is_file() else None
    with tempfile.TemporaryDirectory(prefix="ringback-") as directory:
        work = Path(directory)
        _write_world(work / "wit", roles, imports, cases is not None)
        entry = _entry(source.stem, roles, cases)
        (work / "ringback_entry.py").write_text(entry, "utf-8")
        path = [work, source.parent, Path(__file__).parent.parent]
        made = work / "plugin.wasm"
        command = [str(program), "--wit-path", str(work / "wit"), "--world", "plugin", "componentize"]
        for place in path:
            command += ["--python-path", str(place)]
        done = subprocess.run([*command, "ringback_entry", "--output", str(made)], capture_output=True, text=True)
        if done.returncode != 0:
            raise _Mistake(f"componentize-py failed:\n{(done.stderr or done.stdout).strip()}")
        shutil.move(made, output)
    print(f"{output} ({output.stat().st_size / 2**20:.1f} MiB): {', '.join(roles)}")


def _componentize() -> Path:
    install = f"install it with: {sys.executable} -m pip install componentize-py=={COMPONENTIZE}"
    try:
        version = importlib.metadata.version("componentize-py")
    except importlib.metadata.PackageNotFoundError:
        raise _Mistake(f"componentize-py is missing; {install}") from None
    if version != COMPONENTIZE:
        raise _Mistake(f"componentize-py is {version}, and {COMPONENTIZE} is known to work; {install}")
    beside = Path(sys.executable).with_name("componentize-py")
    found = str(beside) if beside.is_file() else shutil.which("componentize-py")
    if found is None:
        raise _Mistake(f"the program componentize-py is not beside {sys.executable}; {install}")
    return Path(found)


def _load(source: Path) -> tuple[list[str], list[str]]:
    """The roles of a module, and what it imports of the host."""
    from . import _roles

    if not source.stem.isidentifier():
        raise _Mistake(f"{source.name} cannot be imported; name it like a variable")
    sys.path.insert(0, str(source.parent))
    before = set(sys.modules)
    try:
        importlib.import_module(source.stem)
    except Exception:
        raise _Mistake(f"{source.name} cannot be imported:\n{traceback.format_exc(limit=-3).strip()}") from None
    if not _roles.roles:
        raise _Mistake(f"{source.name} decorates no function; begin with `@ringback.condition`")
    imported = set(sys.modules) - before
    return list(_roles.roles), [name for name in ("secrets", "state", "http") if f"ringback.{name}" in imported]


def _cases(file: Path) -> str:
    text = file.read_text("utf-8")
    try:
        json.loads(text)
    except ValueError as error:
        raise _Mistake(f"{file.name} is no JSON: {error}") from None
    return text


def _write_world(directory: Path, roles: list[str], imports: list[str], vectors: bool) -> None:
    package = directory / "deps" / "ringback-plugin"
    shutil.copytree(Path(__file__).parent / "wit", package)
    exports = [*roles, "configurable", *(["vectors"] if vectors else [])]
    lines = [f"  import ringback:plugin/{name}@{WIT};" for name in ("types", "log", *imports)]
    lines += [f"  export ringback:plugin/{name}@{WIT};" for name in exports]
    (directory / "world.wit").write_text("\n".join(["package local:plugin;", "world plugin {", *lines, "}\n"]))


def _entry(module: str, roles: list[str], cases: str | None) -> str:
    classes = [*(role.capitalize() for role in roles), "Configurable", *(["Vectors"] if cases is not None else [])]
    lines = ["from ringback import _wasm", f"from ringback._wasm import {', '.join(classes)}"]
    if cases is not None:
        lines.append(f"_wasm.vectors = {cases!r}")
    return "\n".join([*lines, f"import {module}", "_wasm.start()", ""])


if __name__ == "__main__":
    sys.exit(main())
