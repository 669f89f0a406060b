"""Print what each extra adds to an installation: `python scripts/extra_sizes.py`, in MB.

Counted are the installed files of all packages that an extra needs and the program alone does not.
An extra of which a package is not installed here is left out, with the package's name.
"""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

PROGRAM = "semantic-peft-bench"
MEGABYTE = 1e6


def needed(name: str, extras: frozenset[str], found: dict[str, Distribution]) -> None:
    """Add a package with all that it needs to `found`, by name.

    Raises:
        PackageNotFoundError: One of them is not installed.
    """
    package = distribution(name)
    found[package.name] = package
    for line in package.requires or []:
        one = Requirement(line)
        wanted = one.marker is None or any(
            one.marker.evaluate({"extra": extra}) for extra in extras or {""}
        )
        if wanted and (one.name not in found or one.extras):
            found.setdefault(one.name, package)  # some need each other
            needed(one.name, frozenset(one.extras), found)


def closure(*extras: str) -> dict[str, Distribution]:
    """Return the program's packages with these extras, by their own names."""
    found: dict[str, Distribution] = {}
    needed(PROGRAM, frozenset(extras), found)
    return {package.name: package for package in found.values()}


def size(package: Distribution) -> int:
    """Return the bytes of a package's installed files."""
    places = (file.locate() for file in package.files or [])
    return sum(place.stat().st_size for place in places if place.is_file())


def main() -> None:
    """Print a line for each extra."""
    alone = closure()
    for extra in sorted(distribution(PROGRAM).metadata.get_all("Provides-Extra") or []):
        try:
            added = [package for name, package in closure(extra).items() if name not in alone]
        except PackageNotFoundError as error:
            print(f"{extra}: not installed here ({error.name})")
            continue
        print(f"{extra}: {sum(map(size, added)) / MEGABYTE:.0f}")


if __name__ == "__main__":
    main()
