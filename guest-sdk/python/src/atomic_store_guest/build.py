"""Makes a component: ``python -m atomic_store_guest.build rules.py -o rules.wasm``.

The module is imported once, now, and the component begins with what it then holds; so a thing that
happens at import happens here, and not in the store.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Builds; the exit code is that of componentize-py."""
    parser = argparse.ArgumentParser(prog="python -m atomic_store_guest.build", description=__doc__)
    parser.add_argument("module", type=Path, help="the file that says `Rules = export(..)`")
    parser.add_argument("-o", "--output", type=Path, help="the component; rules.wasm beside it if not given")
    parser.add_argument(
        "--wasi",
        action="store_true",
        help="let it import WASI, for libraries that cannot do without; it must then be loaded with --wasi",
    )
    arguments = parser.parse_args()
    module: Path = arguments.module.resolve()
    if not module.is_file():
        parser.error(f"there is no {arguments.module}")
    output = arguments.output or module.with_suffix(".wasm")
    output.parent.mkdir(parents=True, exist_ok=True)
    package = Path(__file__).parent
    try:
        import componentize_py  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        parser.error("componentize-py is missing: pip install 'componentize-py==0.25.0'")
    command = [sys.executable, "-c", "from componentize_py import script; script()"]
    world = "upcasting-validator" if _names(module, "Upcasting") else "validator"
    command += ["-d", str(package / "wit"), "-w", world, "componentize"]
    command += [] if arguments.wasi else ["--stub-wasi"]
    command += ["-p", str(module.parent), "-p", str(package.parent), "-o", str(output), module.stem]
    return subprocess.run(command, check=False).returncode


def _names(module: Path, name: str) -> bool:
    """True if the module assigns something to the name, not within a function or a condition."""
    assigned = [step for step in ast.parse(module.read_bytes()).body if isinstance(step, ast.Assign)]
    targets = [node for step in assigned for target in step.targets for node in ast.walk(target)]
    return any(isinstance(node, ast.Name) and node.id == name for node in targets)


if __name__ == "__main__":
    sys.exit(main())
