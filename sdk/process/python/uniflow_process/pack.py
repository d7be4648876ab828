"""Packs a program with all that it imports into one executable file, for ``process = "bin/x"`` in uniflow.toml.

    python3 -m uniflow_process.pack main.py -o bin/x -r requirements.txt

It works as a program by itself, too, where the kit is not installed: ``python3 pack.py``.

The file is a zip that begins with the line by which the system finds Python: any Python from 3.9 on runs it, on any
machine. Packages with compiled code cannot be imported from such a file; it says so when it meets one.
"""
from __future__ import annotations

import argparse
import compileall
import os
import pathlib
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipapp

_HERE = pathlib.Path(__file__).parent
_EPOCH = 315619200  # the first day of 1980 in all zones, which is the first that a zip knows


def pack(program: pathlib.Path, output: pathlib.Path, requirements: list[str], interpreter: str) -> None:
    """Writes program, a file or a folder with a __main__.py, to output."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        wanted = ["-r", str(_HERE / "requirements.txt")]
        for file in requirements:
            wanted += ["-r", file]
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--root-user-action=ignore",
             "--target", folder, *wanted], check=True)
        shutil.copytree(_HERE, root / "uniflow_process", ignore=shutil.ignore_patterns("__pycache__", "pack.py"))
        if program.is_dir():
            shutil.copytree(program, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(program, root / "__main__.py")
        _tidy(root)
        output.parent.mkdir(parents=True, exist_ok=True)
        zipapp.create_archive(root, output, interpreter=interpreter, compressed=True)
        output.chmod(0o755)


def _tidy(root: pathlib.Path) -> None:
    """Leaves out what is not imported, compiles the rest, and makes the same input give the same file."""
    for found in [*root.glob("*.dist-info"), *root.glob("bin")]:
        shutil.rmtree(found)
    compiled = [p for p in root.rglob("*") if p.suffix in (".so", ".pyd", ".dylib")]
    if compiled:
        raise SystemExit(
            f"{compiled[0].relative_to(root)} is compiled code, which cannot be imported from one file. Make a virtual environment on the "
            "machine of the host instead, and begin the program with the line #!/path/to/venv/bin/python")
    # Beside the source, so that another version of Python than this one has that to go by.
    compileall.compile_dir(root, quiet=1, legacy=True, stripdir=str(root), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    for path in [root, *root.rglob("*")]:
        os.utime(path, (_EPOCH, _EPOCH))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m uniflow_process.pack", description=__doc__.partition("\n")[0])
    parser.add_argument("program", type=pathlib.Path, help="the file of the program, or its folder, which holds __main__.py")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True, help="the file to write")
    parser.add_argument("-r", "--requirements", action="append", default=[], help="a file of requirements to pack as well")
    parser.add_argument("-p", "--python", default="/usr/bin/env python3", help="what runs the file (default: %(default)s)")
    given = parser.parse_args()
    pack(given.program, given.output, given.requirements, given.python)


if __name__ == "__main__":
    main()
